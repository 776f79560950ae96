//! Writing down what a sweep saw: which pipelines were read, which could not be, and what that says about the source.

use jiff::Timestamp;

use super::memory::{Storm, is_of_source};
use super::{Memory, Outcome, Sweep, Trouble};
use crate::approvals::Swept;
use crate::codepipeline::observed::ReadError;
use crate::domain::ids::{ApprovalId, PipelineName};
use crate::store::{approvals, pipelines, sources};
use crate::watcher::SourceStatus;

impl Sweep<'_> {
    /// Writes down which pipelines were read and which could not be, also when the sweep `broken` off in the middle.
    pub(super) async fn write(
        &self,
        (outcomes, broken): (Vec<(PipelineName, Outcome)>, Option<Trouble>),
        storm: &Storm,
        memory: &mut Memory,
        status: &mut SourceStatus,
    ) -> Result<(), Trouble> {
        let mut tally = Tally::default();
        for (name, outcome) in outcomes {
            if let Outcome::Read(Swept { first_opened_at: Some(at), .. }) = &outcome
                && self.source.ears.found(&name, *at, self.clock.now())
            {
                let source = &self.source.gateway.source().name;
                tracing::warn!(%source, pipeline = %name, "an approval waited and no announcement led to it; the queue is not relied on for an hour");
            }
            tally.take(name, outcome, memory, (status, self.began));
        }
        status.unreadable += tally.unreadable.len() + tally.unwritten.len();
        self.write_read(&tally.read, &tally.seen).await?;
        self.write_unreadable(&tally.unreadable).await?;
        self.write_unreadable(&tally.unwritten).await?;
        if let Some(trouble) = broken {
            return Err(trouble);
        }
        let cut_short = storm.rages().then_some(&ReadError::Throttled);
        if let Some(error) = tally.of_the_whole_source().or(cut_short) {
            return Err(memory.whole_source(error));
        }
        memory.throttled_sweeps = 0;
        if !self.stop.is_cancelled() {
            let mut conn = self.reader.database().pages.acquire().await?;
            sources::mark_swept(&mut conn, &self.source.gateway.source().name, self.began).await?;
        }
        Ok(())
    }

    pub(super) async fn write_read(
        &self,
        read: &[(PipelineName, Timestamp)],
        seen: &[(ApprovalId, Timestamp)],
    ) -> sqlx::Result<()> {
        let mut conn = self.reader.database().pages.acquire().await?;
        if !read.is_empty() {
            pipelines::mark_read(&mut conn, &self.source.gateway.source().name, read).await?;
        }
        if !seen.is_empty() {
            approvals::mark_all_seen_open(&mut conn, seen).await?;
        }
        Ok(())
    }

    pub(super) async fn write_unreadable(&self, unreadable: &[(PipelineName, ReadError)]) -> sqlx::Result<()> {
        if unreadable.is_empty() {
            return Ok(());
        }
        let mut conn = self.reader.database().pages.acquire().await?;
        for (name, error) in unreadable {
            let source = &self.source.gateway.source().name;
            pipelines::mark_unreadable(&mut conn, source, name, self.began, &error.explain()).await?;
        }
        Ok(())
    }
}

/// The outcomes, sorted.
#[derive(Default)]
struct Tally {
    read: Vec<(PipelineName, Timestamp)>,
    seen: Vec<(ApprovalId, Timestamp)>,
    unreadable: Vec<(PipelineName, ReadError)>,
    unwritten: Vec<(PipelineName, ReadError)>,
}

impl Tally {
    fn take(
        &mut self,
        name: PipelineName,
        outcome: Outcome,
        memory: &mut Memory,
        (status, began): (&mut SourceStatus, Timestamp),
    ) {
        let came_to_it = match &outcome {
            Outcome::Stopped => false,
            Outcome::Unreadable(error) => !is_of_source(error),
            _ => true,
        };
        if came_to_it {
            memory.reach(&name, began);
        }
        match outcome {
            Outcome::Idle { .. } => memory.works(&name),
            Outcome::Skipped => status.unreadable += 1,
            Outcome::Stopped => {}
            Outcome::Unwritten => {
                // Tried again with the next sweep: a lock or a conflict is gone by then.
                let why = "what it says could not be written down; the log tells why";
                self.unwritten.push((name, ReadError::Broken(why.to_owned())));
            }
            Outcome::Unreadable(error) => {
                memory.fails(&name, &error, began);
                self.unreadable.push((name, error));
            }
            Outcome::Read(swept) => {
                status.gated += 1;
                status.waiting += swept.seen.len() + swept.opened;
                status.opened += swept.opened;
                status.closed += swept.closed;
                self.seen.extend(swept.seen);
                memory.works(&name);
                match swept.trouble {
                    Some(error) => self.unreadable.push((name, error)),
                    None => self.read.push((name, began)),
                }
            }
        }
    }

    /// Set when nothing at all could be read, for reasons that are not any pipeline's.
    fn of_the_whole_source(&self) -> Option<&ReadError> {
        let (_, first) = self.unreadable.first()?;
        let all = self.read.is_empty() && self.unreadable.iter().all(|(_, error)| is_of_source(error));
        all.then_some(first)
    }
}
