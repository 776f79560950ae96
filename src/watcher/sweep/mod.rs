//! One sweep of one source: list, compare, read what may hold a request, write the difference. Costs one read for every
//! thousand pipelines and one for every pipeline with a gate; anything more is for what changed.

mod look;
mod memory;
mod outcome;
mod tags;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use futures::StreamExt as _;
use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;

use super::account::{self, Account};
use super::{Ended, Source, SourceStatus, definitions};
use crate::approvals::{Approval, Reader, RefreshError, Swept};
use crate::clock::Clock;
use crate::codepipeline::observed::{Listing, ReadError};
use crate::domain::ids::PipelineName;
use crate::random::Random;
use crate::store::pipelines::{self, Pipeline};
use crate::store::{approvals, sources};

pub(super) use look::look;
pub(super) use memory::Memory;
use memory::{Storm, Trouble};

/// How many pipelines are read at a time. The pace limits the reads; this only hides the time they take.
const AT_A_TIME: usize = 8;

/// Sweeps the source and says how it went. Never fails as a whole: what went wrong is on the source, or in the status.
pub(super) async fn sweep(
    reader: &Reader,
    (clock, random): (&Clock, &Random),
    source: &Source,
    stop: &CancellationToken,
) -> SourceStatus {
    let mut memory = source.memory.lock().await;
    let began = clock.now();
    let name = &source.gateway.source().name;
    let mut status = SourceStatus {
        source: name.clone(),
        began,
        took: SignedDuration::ZERO,
        ended: Ended::Read,
        pipelines: 0,
        gated: 0,
        unreadable: 0,
        waiting: 0,
        opened: 0,
        closed: 0,
        reads_per_second: 0.0,
    };
    let sweep = Sweep { reader, clock, random, source, stop, began };
    let pulse = &reader.database().pulse;
    let result = sweep.run(&mut memory, &mut status).await;
    let written = match &result {
        Ok(()) => pulse.or_dead(reader.mark_seen(name)).await,
        Err(Trouble::Blind(why)) => pulse.or_dead(reader.mark_blind(name, why)).await,
        Err(_) => Ok(()),
    };
    status.ended = match (result, written) {
        (Err(Trouble::Failed(error)), _) | (_, Err(error)) => Ended::Failed(error.to_string()),
        (Err(Trouble::Blind(why) | Trouble::Patience(why)), _) => Ended::Blind(why),
        (Ok(()), _) if stop.is_cancelled() => Ended::Stopped,
        (Ok(()), _) => Ended::Read,
    };
    status.took = clock.now().duration_since(began);
    status.reads_per_second = source.gateway.reads_per_second();
    status
}

pub(super) struct Sweep<'a> {
    reader: &'a Reader,
    clock: &'a Clock,
    random: &'a Random,
    source: &'a Source,
    stop: &'a CancellationToken,
    began: Timestamp,
}

/// What was known before the sweep.
struct Known {
    account: Option<String>,
    pipelines: HashMap<PipelineName, Pipeline>,
    open: BTreeMap<PipelineName, Vec<Approval>>,
    tags: tags::Due,
}

/// One pipeline to look at.
struct Task {
    name: PipelineName,
    /// Absent: AWS no longer lists it, but it has requests that were open.
    listed: Option<Listing>,
    kept: Option<Pipeline>,
    open: Vec<Approval>,
}

/// What came of one pipeline.
enum Outcome {
    /// It has no gate; to know that may have taken a read.
    Idle {
        was_read: bool,
    },
    /// It was left alone this time.
    Skipped,
    Read(Swept),
    Unreadable(ReadError),
    /// The database did not take it: this pipeline's rows, not the database as a whole.
    Unwritten,
    /// The process is ending.
    Stopped,
}

impl<'a> Sweep<'a> {
    /// For one look, which begins now.
    pub(super) fn of_one(
        reader: &'a Reader,
        (clock, random): (&'a Clock, &'a Random),
        source: &'a Source,
        stop: &'a CancellationToken,
    ) -> Self {
        Self { reader, clock, random, source, stop, began: clock.now() }
    }
}

impl Sweep<'_> {
    async fn run(&self, memory: &mut Memory, status: &mut SourceStatus) -> Result<(), Trouble> {
        // Each step by itself: a server that is gone ends the step, and what was read before it is kept.
        let pulse = &self.reader.database().pulse;
        pulse.or_dead(self.tell_ears()).await?;
        let listed = match self.source.gateway.list_pipelines().await {
            Ok(listed) => listed,
            Err(error) => return Err(memory.whole_source(&error)),
        };
        let mut known = pulse.or_dead(self.load()).await?;
        match self.source.account.get() {
            None => {
                pulse.or_dead(self.settle_account(&listed, &mut known)).await?;
                self.source.account.get_or_init(|| known.account.clone());
            }
            // A look found out meanwhile that it is another account than the one of what was just loaded.
            Some(account) if account.is_some() && *account != known.account => {
                known = pulse.or_dead(self.load()).await?;
            }
            Some(_) => {}
        }
        let tasks = self.plan(&listed, &mut known, memory, status);
        memory.keep_only(&tasks.iter().map(|task| &task.name).collect());
        pulse.or_dead(self.forget_unlisted(&listed, &known)).await?;
        let place = (known.account.as_deref(), &known.tags);
        let (outcomes, storm, broken) = self.read_all(tasks, memory, place).await;
        pulse.or_dead(self.write((outcomes, broken), &storm, memory, status)).await
    }

    /// Whether announcements are heard is for whoever sweeps to say, because it is what they rely on.
    async fn tell_ears(&self) -> sqlx::Result<()> {
        let trouble = self.source.ears.trouble(self.began);
        let mut conn = self.reader.database().pages.acquire().await?;
        sources::mark_ears(&mut conn, &self.source.gateway.source().name, trouble.as_ref()).await
    }

    async fn load(&self) -> sqlx::Result<Known> {
        let name = &self.source.gateway.source().name;
        let mut conn = self.reader.database().pages.acquire().await?;
        let account = sources::find(&mut conn, name).await?.and_then(|source| source.account);
        let kept = pipelines::list(&mut conn, name).await?;
        let mut open: BTreeMap<PipelineName, Vec<Approval>> = BTreeMap::new();
        for approval in approvals::list_open(&mut conn, name).await? {
            open.entry(approval.gate.pipeline.clone()).or_default().push(approval);
        }
        let tags = tags::Due::load(&mut conn, name, self.began).await?;
        let pipelines = kept.into_iter().map(|pipeline| (pipeline.name.clone(), pipeline)).collect();
        Ok(Known { account, pipelines, open, tags })
    }

    async fn settle_account(&self, listed: &[Listing], known: &mut Known) -> Result<(), Trouble> {
        match account::settle(self.reader, self.source, listed, known.account.as_deref()).await? {
            Account::Wrong(why) => Err(Trouble::Blind(why)),
            Account::Known(account) if account == known.account => Ok(()),
            Account::Known(_) => {
                *known = self.load().await?;
                Ok(())
            }
        }
    }

    /// What a sweep came to longest ago first; of the same sweep, pipelines with open requests, then those with gates,
    /// then those nothing is known about. What this process never came to is in no order, so that watchers that do not live
    /// long enough for a whole sweep come to everything all the same.
    fn plan(&self, listed: &[Listing], known: &mut Known, memory: &Memory, status: &mut SourceStatus) -> Vec<Task> {
        let mut tasks = Vec::with_capacity(listed.len());
        for listing in listed {
            let open = known.open.remove(&listing.name).unwrap_or_default();
            // A pipeline that was taken out of the configuration is watched until its requests have ended.
            if open.is_empty() && !self.source.matcher.takes(listing.name.as_str()) {
                continue;
            }
            let kept = known.pipelines.get(&listing.name).cloned();
            tasks.push(Task { name: listing.name.clone(), listed: Some(listing.clone()), kept, open });
        }
        status.pipelines = tasks.len();
        for (name, open) in std::mem::take(&mut known.open) {
            let kept = known.pipelines.get(&name).cloned();
            tasks.push(Task { name, listed: None, kept, open });
        }
        tasks.sort_by_cached_key(|task| {
            let has_gates = task.kept.as_ref().is_some_and(|kept| kept.gate_count > 0);
            let reached = memory.reached(&task.name);
            let lot = if reached.is_none() { u64::from_be_bytes(self.random.bytes()) } else { 0 };
            (reached, task.open.is_empty(), !has_gates, lot)
        });
        tasks
    }

    async fn forget_unlisted(&self, listed: &[Listing], known: &Known) -> sqlx::Result<()> {
        let listed: HashSet<&PipelineName> = listed.iter().map(|listing| &listing.name).collect();
        let gone: Vec<String> =
            known.pipelines.keys().filter(|name| !listed.contains(name)).map(ToString::to_string).collect();
        if gone.is_empty() {
            return Ok(());
        }
        let mut conn = self.reader.database().pages.acquire().await?;
        pipelines::mark_gone(&mut conn, &self.source.gateway.source().name, &gone, self.began).await
    }

    /// Reads every pipeline, a few at a time. Ends early, with what was read until then, when the credentials fail or the
    /// database does, because then nothing can be read or kept, and in a storm of throttling.
    async fn read_all(
        &self,
        tasks: Vec<Task>,
        memory: &Memory,
        (account, due): (Option<&str>, &tags::Due),
    ) -> (Vec<(PipelineName, Outcome)>, Storm, Option<Trouble>) {
        let (broken, storm) = (Mutex::new(None), Storm::default());
        let outcomes: Vec<_> = futures::stream::iter(tasks)
            .map(async |task| {
                let name = task.name.clone();
                if self.stop.is_cancelled() || lock(&broken).is_some() || storm.rages() {
                    return (name, Outcome::Stopped);
                }
                if memory.is_waiting(&name, self.began) {
                    return (name, Outcome::Skipped);
                }
                // Boxed: the futures of a sweep are moved around, and are large.
                let pulse = &self.reader.database().pulse;
                let outcome = pulse.or_dead(Box::pin(self.read_one(task, account, due))).await;
                match &outcome {
                    Ok(Outcome::Unreadable(ReadError::Throttled)) => storm.note(true),
                    Ok(Outcome::Read(_) | Outcome::Idle { was_read: true }) => storm.note(false),
                    _ => {}
                }
                match outcome {
                    Ok(Outcome::Unreadable(error @ ReadError::Credentials(_))) => {
                        lock(&broken).get_or_insert(Trouble::Blind(error.explain()));
                        (name, Outcome::Stopped)
                    }
                    Ok(outcome) => (name, outcome),
                    Err(error) if refuses_one_thing(&error) => {
                        tracing::error!(
                            error = &error as &dyn std::error::Error, source = %self.source.gateway.source().name,
                            pipeline = %name, "what was read of a pipeline could not be written down"
                        );
                        (name, Outcome::Unwritten)
                    }
                    Err(error) => {
                        lock(&broken).get_or_insert(Trouble::Failed(error));
                        (name, Outcome::Stopped)
                    }
                }
            })
            .buffer_unordered(AT_A_TIME)
            .collect()
            .await;
        (outcomes, storm, broken.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    async fn read_one(&self, task: Task, account: Option<&str>, due: &tags::Due) -> sqlx::Result<Outcome> {
        let mut was_read = false;
        let kept = match (task.kept, task.listed) {
            (Some(kept), Some(listed)) if definitions::is_current(&kept, &listed) => kept,
            (Some(kept), None) => kept,
            (_, None) => match self.find_past(&task.name).await? {
                Some(kept) => kept,
                None => return Ok(Outcome::Idle { was_read }),
            },
            (_, Some(listed)) => {
                match definitions::read(self.reader, self.source, (&listed.name, Some(&listed)), self.clock.now())
                    .await?
                {
                    Ok(pipeline) => {
                        was_read = true;
                        pipeline
                    }
                    Err(error) => return Ok(Outcome::Unreadable(error)),
                }
            }
        };
        if kept.gate_count == 0 && task.open.is_empty() {
            return Ok(Outcome::Idle { was_read });
        }
        self.read_tags((&kept, was_read), account, due).await?;
        match self.reader.sweep(&self.source.gateway, account, &kept, &task.open).await {
            Ok(swept) => Ok(Outcome::Read(swept)),
            Err(RefreshError::Unreadable(error)) => Ok(Outcome::Unreadable(error)),
            Err(RefreshError::Database(error)) => Err(error),
            Err(RefreshError::NoSuchApproval) => Ok(Outcome::Idle { was_read }),
        }
    }

    async fn find_past(&self, name: &PipelineName) -> sqlx::Result<Option<Pipeline>> {
        let mut conn = self.reader.database().pages.acquire().await?;
        pipelines::find(&mut conn, &self.source.gateway.source().name, name).await
    }
}

/// Whether the database answered, and refused this one thing. When it is away, full, ending or read-only, the next
/// pipeline would fare no better, and reading it would cost AWS calls for nothing.
fn refuses_one_thing(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(refused) => {
            let class = refused.code().map(|code| code.chars().take(2).collect::<String>());
            !matches!(class.as_deref(), None | Some("08" | "25" | "28" | "53" | "57" | "58" | "F0" | "XX"))
        }
        sqlx::Error::RowNotFound
        | sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::Decode(_)
        | sqlx::Error::Encode(_) => true,
        _ => false,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
