//! Finds waiting approvals and notices what became of them. A reconciler: [`Watcher::activate`] takes no input, reads
//! everything, compares it with what is known, and writes the difference; the timer and pokes only wake it, so that nothing
//! depends on having heard of an event.
//!
//! Each source is swept by one replica at a time, by a lease that only saves reads (H-01, H-02): two watchers on one source
//! write the same rows and records as one. It must never decide anything, and never stop over one pipeline.

mod account;
mod definitions;
mod ears;
mod lease;
mod lookout;
mod status;
mod sweep;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use lookout::{APART, Looked, Lookout};
pub use status::{Ended, SourceStatus};

use crate::approvals::Reader;
use crate::clock::Clock;
use crate::codepipeline::Gateway;
use crate::config::Matcher;
use crate::domain::ids::{PipelineName, SourceName};
use crate::random::Random;
use crate::store::sources;
use crate::supervise::Supervisor;
use ears::Ears;
use lease::Lease;
use sweep::Memory;

/// Between two sweeps that follow each other at once.
const SHORTEST_PAUSE: Duration = Duration::from_millis(500);

/// The reconciler of all sources.
pub struct Watcher {
    reader: Reader,
    clock: Clock,
    random: Random,
    poll_interval: Duration,
    /// While the source's announcements are heard.
    queue_poll_interval: Duration,
    sources: Vec<Arc<Source>>,
    handle: WatcherHandle,
    supervisor: Supervisor,
}

/// One watched source.
struct Source {
    gateway: Gateway,
    matcher: Matcher,
    /// Which account it is, once that is settled in the life of this process.
    account: OnceLock<Option<String>>,
    ears: Arc<Ears>,
    /// What only saves reads; nobody else waits for it.
    memory: tokio::sync::Mutex<Memory>,
    /// Pipelines whose tags could not be read, and when that is tried again.
    tag_retries: Mutex<BTreeMap<PipelineName, Timestamp>>,
}

/// What others hold of the watcher: a way to wake it and to see how it does. Cheap to clone.
#[derive(Clone, Default)]
pub struct WatcherHandle(Arc<BTreeMap<SourceName, Seat>>);

#[derive(Default)]
struct Seat {
    wake: Notify,
    ears: Arc<Ears>,
    status: Mutex<Option<SourceStatus>>,
}

impl WatcherHandle {
    /// Wakes the sweep of every source, as soon as it is done with what it does.
    pub fn poke(&self) {
        self.0.values().for_each(|seat| seat.wake.notify_one());
    }

    /// Wakes the sweep of one source.
    pub fn poke_source(&self, source: &SourceName) {
        if let Some(seat) = self.0.get(source) {
            seat.wake.notify_one();
        }
    }

    /// What AWS announces of a source is received at present: its sweep is only the safety net then, and slower.
    pub fn hears(&self, source: &SourceName, now: Timestamp) {
        if let Some(seat) = self.0.get(source) {
            seat.ears.hear(now);
        }
    }

    /// Something was announced of a pipeline, and will be looked at.
    pub fn was_announced(&self, source: &SourceName, pipeline: &PipelineName, now: Timestamp) {
        if let Some(seat) = self.0.get(source) {
            seat.ears.note(pipeline, now);
        }
    }

    /// Nothing is received, for a reason that the page tells; none where nobody listens any more. The source is swept at once if it was.
    pub fn is_deaf(&self, source: &SourceName, why: Option<String>, now: Timestamp) {
        if let Some(seat) = self.0.get(source)
            && seat.ears.close(why, now)
        {
            seat.wake.notify_one();
        }
    }

    /// How the last sweep of each source went in this process; nothing for sources that another replica sweeps.
    #[must_use]
    pub fn status(&self) -> Vec<SourceStatus> {
        let last = |seat: &Seat| seat.status.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.0.values().filter_map(last).collect()
    }

    fn last(&self, source: &SourceName) -> Option<SourceStatus> {
        self.0.get(source)?.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn report(&self, status: SourceStatus) {
        if let Some(seat) = self.0.get(&status.source) {
            *seat.status.lock().unwrap_or_else(PoisonError::into_inner) = Some(status);
        }
    }
}

impl Watcher {
    /// A watcher of every source the reader is connected to.
    ///
    /// # Errors
    /// A sentence about a pattern of `include` or `exclude` that cannot be read.
    pub fn new(reader: &Reader, clock: &Clock, random: &Random, poll_interval: SignedDuration) -> Result<Self, String> {
        let mut sources = Vec::new();
        let mut seats = BTreeMap::new();
        for gateway in reader.gateways() {
            let matcher = gateway.source().matcher()?;
            let seat = Seat::default();
            let ears = Arc::clone(&seat.ears);
            seats.insert(gateway.source().name.clone(), seat);
            let memory = tokio::sync::Mutex::new(Memory::default());
            let tag_retries = Mutex::default();
            let account = OnceLock::new();
            sources.push(Arc::new(Source { gateway: gateway.clone(), matcher, account, ears, memory, tag_retries }));
        }
        Ok(Self {
            reader: reader.clone(),
            clock: clock.clone(),
            random: random.clone(),
            poll_interval: poll_interval.unsigned_abs(),
            queue_poll_interval: poll_interval.unsigned_abs(),
            sources,
            handle: WatcherHandle(Arc::new(seats)),
            supervisor: Supervisor::default(),
        })
    }

    /// Counts the panics of its tasks there.
    #[must_use]
    pub fn supervised_by(mut self, supervisor: &Supervisor) -> Self {
        self.supervisor = supervisor.clone();
        self
    }

    /// Sweeps a source only so often while its announcements are heard, and never more often than others.
    #[must_use]
    pub fn slowed_to(mut self, queue_poll_interval: SignedDuration) -> Self {
        self.queue_poll_interval = self.poll_interval.max(queue_poll_interval.unsigned_abs());
        self
    }

    #[must_use]
    pub fn handle(&self) -> WatcherHandle {
        self.handle.clone()
    }

    /// Makes the configured sources known in the database. Once, before anything is swept.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn register(&self) -> sqlx::Result<()> {
        let names: Vec<String> = self.sources.iter().map(|it| it.gateway.source().name.to_string()).collect();
        let regions: Vec<String> = self.sources.iter().map(|it| it.gateway.region()).collect();
        let mut tx = self.reader.database().pages.begin().await?;
        sources::mark_configured(&mut tx, &names, &regions).await?;
        tx.commit().await
    }

    /// Sweeps every source once, whoever holds the leases.
    pub async fn activate(&self) -> Vec<SourceStatus> {
        let never = CancellationToken::new();
        futures::future::join_all(self.sources.iter().map(|source| self.activate_source(source, &never))).await
    }

    async fn activate_source(&self, source: &Source, stop: &CancellationToken) -> SourceStatus {
        let status = Box::pin(sweep::sweep(&self.reader, (&self.clock, &self.random), source, stop)).await;
        let said_before = self.handle.last(&status.source).is_some_and(|last| last.ended == status.ended);
        match &status.ended {
            Ended::Read => tracing::debug!(source = %status.source, waiting = status.waiting, "swept"),
            Ended::Blind(_) | Ended::Failed(_) if said_before => {
                tracing::debug!(source = %status.source, ended = ?status.ended, "no better than the sweep before");
            }
            Ended::Blind(why) => tracing::warn!(source = %status.source, why, "the source cannot be read"),
            Ended::Failed(why) => tracing::error!(source = %status.source, why, "a sweep could not be written down"),
            Ended::Stopped => {}
        }
        self.handle.report(status.clone());
        status
    }

    /// Sweeps every source again and again, until `stop`. Returns when every sweep under way has ended. A sweep that
    /// panics is begun again and holds up no other source (P-21).
    pub async fn run(self, stop: CancellationToken) {
        let watcher = Arc::new(self);
        let registering = || {
            let watcher = Arc::clone(&watcher);
            async move { watcher.register().await }
        };
        watcher.supervisor.keep("making the sources known", &stop, registering).await;
        let holder = watcher.random.uuid_v4();
        let mut tasks = JoinSet::new();
        for source in &watcher.sources {
            let lease = Lease::new(&source.gateway.source().name, holder, watcher.reader.database().clone());
            tasks.spawn(Arc::clone(&watcher).keep_lease(Arc::clone(&lease), stop.clone()));
            tasks.spawn(Arc::clone(&watcher).keep_sweeping(Arc::clone(source), lease, stop.clone()));
        }
        while tasks.join_next().await.is_some() {}
    }

    async fn keep_lease(self: Arc<Self>, lease: Arc<Lease>, stop: CancellationToken) {
        let begin = || {
            let keeping = Arc::clone(&lease).keep(stop.clone());
            async move {
                keeping.await;
                Ok::<(), Infallible>(())
            }
        };
        self.supervisor.keep("holding the right to watch", &stop, begin).await;
    }

    async fn keep_sweeping(self: Arc<Self>, source: Arc<Source>, lease: Arc<Lease>, stop: CancellationToken) {
        let begin = || {
            let sweeping = Arc::clone(&self).run_source(Arc::clone(&source), Arc::clone(&lease), stop.clone());
            async move {
                sweeping.await;
                Ok::<(), Infallible>(())
            }
        };
        self.supervisor.keep("watching", &stop, begin).await;
        lease.sweep_ended();
    }

    async fn run_source(self: Arc<Self>, source: Arc<Source>, lease: Arc<Lease>, stop: CancellationToken) {
        let Some(seat) = self.handle.0.get(&source.gateway.source().name) else { return };
        let mut failures = 0;
        while !stop.is_cancelled() {
            let began = Instant::now();
            let mut went = Went::Unread;
            if lease.is_held() {
                went = match self.activate_source(&source, &stop).await.ended {
                    Ended::Read => Went::Read(began.elapsed()),
                    Ended::Failed(_) => Went::Failed(failures),
                    Ended::Blind(_) | Ended::Stopped => Went::Unread,
                };
            }
            failures = if let Went::Failed(before) = went { before.saturating_add(1) } else { 0 };
            // A source that could not be read is seen to be back as soon as ever.
            let can_wait = matches!(went, Went::Read(_)) && source.ears.are_relied_on(self.clock.now());
            let pause = self.pause(if can_wait { self.queue_poll_interval } else { self.poll_interval }, went);
            // Nothing here touches the database, so nothing is lost when one of these is dropped (P-02).
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
                () = seat.wake.notified() => {}
                () = lease.taken() => {}
            }
        }
    }

    fn pause(&self, interval: Duration, went: Went) -> Duration {
        // A tenth more or less, so that sources and replicas drift apart.
        pause(interval.mul_f64(0.9 + 0.2 * self.random.fraction()), went)
    }
}

/// How the last sweep went, as far as the next one's time depends on it.
#[derive(Debug, Clone, Copy)]
enum Went {
    /// It took so long.
    Read(Duration),
    /// AWS could not be read, or it is another replica that reads it.
    Unread,
    /// The database failed, after so many sweeps in which it had failed already.
    Failed(u32),
}

/// What is left of the interval, which runs from start to start: a pipeline is read once in it, however long the sweep
/// takes. After one that could not be read it is kept whole, because whoever asks to slow down is not asked at once again.
/// A connection that was cut asks for nothing: the sweep goes on where it stopped, soon, and later when that does not help.
fn pause(interval: Duration, went: Went) -> Duration {
    let left = match went {
        Went::Read(took) => interval.saturating_sub(took),
        Went::Unread => interval,
        Went::Failed(before) => SHORTEST_PAUSE.saturating_mul(1 << before.min(10)).min(interval),
    };
    left.max(SHORTEST_PAUSE.min(interval))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(count: f64) -> Duration {
        Duration::from_secs_f64(count)
    }

    #[test]
    fn the_interval_runs_from_start_to_start_and_a_long_sweep_is_followed_by_the_next() {
        let interval = secs(15.0);
        assert_eq!(pause(interval, Went::Read(secs(4.0))), secs(11.0));
        assert_eq!(pause(interval, Went::Read(secs(30.0))), SHORTEST_PAUSE);
        assert_eq!(pause(secs(0.1), Went::Read(secs(1.0))), secs(0.1));
        assert_eq!(pause(interval, Went::Unread), interval, "an AWS that asks to slow down is left in peace");
    }

    #[test]
    fn a_sweep_that_the_database_broke_off_is_taken_up_soon_and_ever_later_while_that_does_not_help() {
        let pauses: Vec<f64> = (0..7).map(|before| pause(secs(15.0), Went::Failed(before)).as_secs_f64()).collect();
        assert_eq!(pauses, [0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0]);
        assert_eq!(pause(secs(15.0), Went::Failed(u32::MAX)), secs(15.0));
    }

    /// 300 gates at ten reads a second, polled every 15 s: how long after an opening each is seen, by when it opens.
    #[test]
    fn an_opening_is_seen_within_one_sweep_where_a_sweep_is_longer_than_the_interval() {
        let (sweep, interval) = (secs(30.1), secs(15.0));
        let period = sweep + pause(interval, Went::Read(sweep));
        assert!(period < secs(31.0), "it was the sum of both, 45 s: {period:?}");
    }
}
