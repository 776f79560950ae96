//! Hints: that something which pages show has changed, told to whoever has such a page open in this process, wherever the
//! change was made. [`Hearing`] finds out; [`Hints`] passes on.
//!
//! A hint is never the change itself and carries nothing but an id (decision 0012): whoever hears one looks again, with
//! their own rights. It must never be the only way to learn of a change, and nothing may be decided by it.

mod hearing;
mod notice;
mod topic;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::broadcast;

pub use hearing::Hearing;
pub use topic::Topic;

/// How many hints wait for a slow listener. One more, and they are replaced by a single [`Topic::Everything`].
pub const WAITING: usize = 32;

/// Passes hints on within this process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Hints(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    told: broadcast::Sender<Topic>,
    last: Mutex<Option<Instant>>,
}

impl Default for Hints {
    fn default() -> Self {
        let (told, _) = broadcast::channel(WAITING);
        Self(Arc::new(Inner { told, last: Mutex::default() }))
    }
}

impl Hints {
    /// Tells all who listen. Whoever does not read fast enough loses the oldest.
    pub fn tell(&self, topic: Topic) {
        *self.0.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        // Nobody listening is fine.
        let _ = self.0.told.send(topic);
    }

    /// Everything told from now on.
    #[must_use]
    pub fn listen(&self) -> Listener {
        Listener(self.0.told.subscribe())
    }

    /// Whether anything was told within this time: a page made meanwhile may be older than that.
    #[must_use]
    pub fn has_told_within(&self, span: Duration) -> bool {
        let last = *self.0.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.is_some_and(|last| last.elapsed() < span)
    }
}

/// One who listens. Holds at most [`WAITING`] hints, however long nobody takes them.
#[derive(Debug)]
pub struct Listener(broadcast::Receiver<Topic>);

impl Listener {
    /// The next hint. [`Topic::Everything`] when some were lost. May be dropped while waiting; nothing is lost by it.
    pub async fn next(&mut self) -> Option<Topic> {
        match self.0.recv().await {
            Ok(topic) => Some(topic),
            Err(broadcast::error::RecvError::Lagged(_)) => {
                // What is left is part of everything.
                self.0 = self.0.resubscribe();
                Some(Topic::Everything)
            }
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::ApprovalId;

    fn approval(number: usize) -> Topic {
        Topic::Approval(ApprovalId(uuid::Uuid::from_u128(number as u128)))
    }

    #[tokio::test]
    async fn a_listener_who_is_slow_hears_once_that_everything_may_have_changed() {
        // P-11
        let hints = Hints::default();
        let (mut slow, mut quick) = (hints.listen(), hints.listen());
        for number in 0..WAITING {
            hints.tell(approval(number));
        }
        assert_eq!(quick.next().await, Some(approval(0)), "32 are kept");
        for number in 0..100 {
            hints.tell(approval(number));
        }
        assert_eq!(slow.next().await, Some(Topic::Everything));
        hints.tell(Topic::Queue);
        assert_eq!(slow.next().await, Some(Topic::Queue), "the rest of what was lost is not told one by one");
    }

    #[test]
    fn what_was_told_lately_is_remembered() {
        let hints = Hints::default();
        assert!(!hints.has_told_within(Duration::from_secs(3600)));
        hints.tell(Topic::Queue);
        assert!(hints.has_told_within(Duration::from_secs(3600)));
        assert!(!hints.has_told_within(Duration::ZERO));
    }
}
