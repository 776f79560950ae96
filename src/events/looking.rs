//! Following hints: a few pipelines at a time are looked at, and the messages that said so deleted afterwards.

use std::sync::PoisonError;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio_util::sync::CancellationToken;

use super::Listener;
use super::held::Work;
use super::status::add;
use crate::codepipeline::observed::ReadError;
use crate::codepipeline::queue::Receipt;
use crate::watcher::Looked;

/// How many pipelines are looked at at a time. The source's pace limits the reads (P-14).
const AT_A_TIME: usize = 8;

impl Listener {
    pub(super) async fn look_again_and_again(&self, stop: &CancellationToken) {
        self.held().nobody_looks();
        let mut looks = FuturesUnordered::new();
        loop {
            while looks.len() < AT_A_TIME && !stop.is_cancelled() {
                let Some(work) = self.held().begin(self.clock.now()) else { break };
                looks.push(self.follow(work));
            }
            if stop.is_cancelled() && looks.is_empty() {
                return;
            }
            let pause = self.until_next().filter(|_| looks.len() < AT_A_TIME && !stop.is_cancelled());
            // Looks go on whichever of these comes first: they may be in the middle of a transaction (P-02).
            tokio::select! {
                Some(()) = looks.next(), if !looks.is_empty() => {}
                () = self.news.notified() => {}
                () = tokio::time::sleep(pause.unwrap_or_default()), if pause.is_some() => {}
                () = stop.cancelled(), if !stop.is_cancelled() => {}
            }
        }
    }

    /// Takes every look that is due now.
    pub(super) async fn look_at_what_is_due(&self) {
        loop {
            let work = self.held().begin(self.clock.now());
            let Some(work) = work else { return };
            self.follow(work).await;
        }
    }

    fn until_next(&self) -> Option<Duration> {
        Some(self.held().until_next(self.clock.now())?.unsigned_abs())
    }

    /// Looks at a pipeline. What cannot be read although AWS answered is left to come again, and to the dead-letter queue in
    /// the end: the sweep says on the pipeline why.
    async fn follow(&self, work: Work) {
        let looked = self.look(&work).await;
        let (now, fraction) = (self.clock.now(), self.random.fraction());
        match looked {
            Ok(Looked::Read) => {
                add(&self.counts.looks, 1);
                self.complaints.lock().unwrap_or_else(PoisonError::into_inner).looking_works();
                self.held().done(&work);
                self.finish(work).await;
            }
            Ok(Looked::NotWatched) => {
                add(&self.counts.elsewhere, work.messages.len().max(1));
                self.held().done(&work);
                self.finish(work).await;
            }
            Ok(Looked::TooSoon) => self.held().too_soon(work, now),
            Ok(Looked::Unreadable(error)) if is_passing(&error) => {
                self.complain_of_looking(&error.explain());
                self.held().failed(work, now, fraction);
            }
            Ok(Looked::Unreadable(error)) => {
                tracing::debug!(source = %self.source, pipeline = %work.pipeline, why = error.explain(), "not readable");
                self.held().done(&work);
            }
            Err(error) => {
                self.complain_of_looking(&format!("the database does not take it: {error}"));
                self.held().failed(work, now, fraction);
            }
        }
        self.room.notify_one();
    }

    async fn look(&self, work: &Work) -> sqlx::Result<Looked> {
        for kept in work.messages.values() {
            self.lookout.pulse().or_dead(self.tell(kept.deadline.as_ref())).await?;
        }
        self.lookout.look(&self.source, &work.pipeline).await
    }

    async fn finish(&self, work: Work) {
        let receipts: Vec<Receipt> = work.messages.into_values().map(|kept| kept.receipt).collect();
        self.delete(&receipts).await;
    }

    fn complain_of_looking(&self, why: &str) {
        if self.complaints.lock().unwrap_or_else(PoisonError::into_inner).looking_fails() {
            tracing::warn!(source = %self.source, why, "what AWS announced could not be looked at; tried again until it can");
        }
    }
}

/// Whether the same look may work a moment later.
fn is_passing(error: &ReadError) -> bool {
    error.is_passing() || matches!(error, ReadError::Credentials(_))
}
