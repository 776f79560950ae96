//! Tasks that must go on for as long as the process does (P-21). A task that panics or ends before its time is started
//! again, later each time; panics are counted, and a task that keeps panicking is named to whoever asks.
//!
//! The panic itself is logged by the panic hook, once. It must never hide one: whatever is caught here is counted.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Display;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// This many panics of one task within [`WINDOW`] are trouble.
const TOO_MANY: usize = 5;
const WINDOW: Duration = Duration::from_secs(60);
/// Before a task is started again: this, then twice as long … The longest is short enough for a task that panics at once,
/// every time, to stay in trouble.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Starts tasks again, and knows how they do. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Supervisor(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    first_pause: Duration,
    panics: Mutex<BTreeMap<&'static str, Panics>>,
}

#[derive(Debug, Default)]
struct Panics {
    total: u64,
    /// The last few, oldest first.
    recent: VecDeque<Instant>,
}

impl Default for Supervisor {
    fn default() -> Self {
        Self::pausing(FIRST_PAUSE)
    }
}

impl Supervisor {
    fn pausing(first_pause: Duration) -> Self {
        Self(Arc::new(Inner { first_pause, panics: Mutex::default() }))
    }

    /// Runs the task that `begin` makes until it ends well, or until `stop`. A task under way is never cut short: it may
    /// hold a transaction (P-02), and has heard of `stop` itself.
    pub async fn keep<F, E>(&self, what: &'static str, stop: &CancellationToken, begin: impl Fn() -> F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Display + Send + 'static,
    {
        let mut pause = self.0.first_pause;
        loop {
            let began = Instant::now();
            match tokio::spawn(begin()).await {
                Ok(Ok(())) => return,
                Ok(Err(error)) => tracing::warn!(%error, task = what, "a task ended; it is started again"),
                Err(died) if died.is_panic() => {
                    self.note_panic(what);
                    tracing::warn!(task = what, "the task that panicked is started again");
                }
                // Only the runtime's own end cancels it.
                Err(_) => return,
            }
            if began.elapsed() >= WINDOW {
                pause = self.0.first_pause;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Counts a panic of something that is not kept going, such as a request. That alone is no trouble: whoever found
    /// a way to make one could otherwise make every replica unready.
    pub fn count_panic(&self, what: &'static str) {
        let mut panics = self.0.panics.lock().unwrap_or_else(PoisonError::into_inner);
        panics.entry(what).or_default().total += 1;
    }

    fn note_panic(&self, what: &'static str) {
        let mut panics = self.0.panics.lock().unwrap_or_else(PoisonError::into_inner);
        panics.entry(what).or_default().note(Instant::now());
    }

    /// How many panics there were, by task.
    #[must_use]
    pub fn panics(&self) -> Vec<(&'static str, u64)> {
        let panics = self.0.panics.lock().unwrap_or_else(PoisonError::into_inner);
        panics.iter().map(|(what, panics)| (*what, panics.total)).collect()
    }

    /// The tasks that panic again and again.
    #[must_use]
    pub fn troubled(&self) -> Vec<&'static str> {
        let now = Instant::now();
        let panics = self.0.panics.lock().unwrap_or_else(PoisonError::into_inner);
        panics.iter().filter(|(_, panics)| panics.are_too_many(now)).map(|(what, _)| *what).collect()
    }
}

impl Panics {
    fn note(&mut self, now: Instant) {
        self.total += 1;
        self.recent.push_back(now);
        if self.recent.len() > TOO_MANY {
            self.recent.pop_front();
        }
    }

    fn are_too_many(&self, now: Instant) -> bool {
        self.recent.len() == TOO_MANY && self.recent.iter().all(|at| now.duration_since(*at) <= WINDOW)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// A task that panics so many times and then does its work.
    async fn kept(supervisor: &Supervisor, panics: u32) -> u32 {
        let (begun, stop) = (Arc::new(AtomicU32::new(0)), CancellationToken::new());
        let begin = || {
            let begun = begun.clone();
            async move {
                assert!(begun.fetch_add(1, Ordering::SeqCst) >= panics, "not yet");
                Ok::<(), &str>(())
            }
        };
        supervisor.keep("counting", &stop, begin).await;
        begun.load(Ordering::SeqCst)
    }

    #[tokio::test]
    async fn a_task_that_panics_is_counted_and_goes_on() {
        let supervisor = Supervisor::pausing(Duration::ZERO);
        assert_eq!(kept(&supervisor, 4).await, 5);
        assert_eq!(supervisor.panics(), [("counting", 4)]);
        assert!(supervisor.troubled().is_empty());
    }

    #[tokio::test]
    async fn five_panics_in_a_minute_are_trouble_of_that_task_alone() {
        let supervisor = Supervisor::pausing(Duration::ZERO);
        (0..9).for_each(|_| supervisor.count_panic("answering"));
        assert_eq!(kept(&supervisor, 5).await, 6);
        assert_eq!(supervisor.troubled(), ["counting"]);
    }

    #[test]
    fn trouble_passes_when_a_minute_has_and_stays_with_who_panics_at_every_start() {
        let start = Instant::now();
        let mut panics = Panics::default();
        (0..5).for_each(|second| panics.note(start + Duration::from_secs(second)));
        assert!(panics.are_too_many(start + WINDOW));
        assert!(!panics.are_too_many(start + WINDOW + Duration::from_secs(1)));
        let mut at = start;
        let mut pause = FIRST_PAUSE;
        for number in 1..=50 {
            panics.note(at);
            at += pause;
            pause = (pause * 2).min(LONGEST_PAUSE);
            assert!(number < TOO_MANY || panics.are_too_many(at), "after {number}");
        }
    }

    #[tokio::test]
    async fn a_task_that_only_fails_is_started_again_and_is_no_trouble() {
        let supervisor = Supervisor::pausing(Duration::ZERO);
        let (begun, stop) = (Arc::new(AtomicU32::new(0)), CancellationToken::new());
        let begin = || {
            let begun = begun.clone();
            async move { if begun.fetch_add(1, Ordering::SeqCst) < 9 { Err("the database is away") } else { Ok(()) } }
        };
        supervisor.keep("failing", &stop, begin).await;
        assert_eq!(begun.load(Ordering::SeqCst), 10);
        assert!(supervisor.panics().is_empty());
    }

    #[tokio::test]
    async fn a_stop_is_not_kept_waiting_by_a_pause() {
        let supervisor = Supervisor::pausing(Duration::from_secs(3_600));
        let stop = CancellationToken::new();
        let told = stop.clone();
        let begin = || {
            told.cancel();
            async { Err::<(), _>("no") }
        };
        supervisor.keep("stopping", &stop, begin).await;
        assert!(stop.is_cancelled());
    }
}
