//! One read for everybody who asks for the same thing at the same time. It is no cache: whoever asks is given what was
//! read after they asked, so what a page shows is as fresh as if it had been read for it alone (P-06).
//!
//! It must never hold anything that depends on who asks: who somebody is and what they may is read for every request
//! (S-27).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;

use super::error::Failure;

/// Reads that are shared.
#[derive(Debug)]
pub struct JointRead<T> {
    /// How many have asked.
    arrivals: AtomicU64,
    last: Mutex<Last<T>>,
}

/// What the last read found.
#[derive(Debug)]
struct Last<T> {
    /// It serves the first so many who asked: those who did before it began.
    serves: u64,
    /// None when it failed.
    found: Option<Arc<T>>,
}

impl<T> Default for JointRead<T> {
    fn default() -> Self {
        Self { arrivals: AtomicU64::new(0), last: Mutex::new(Last { serves: 0, found: None }) }
    }
}

impl<T> JointRead<T> {
    /// What `read` finds, or what somebody else's found that began after this was called. One read is under way at a
    /// time; those who come meanwhile share the next.
    ///
    /// # Errors
    /// The read's. Everybody who was waiting by then is told to come again rather than kept waiting for another try.
    pub async fn read(&self, read: impl Future<Output = Result<T, Failure>>) -> Result<Arc<T>, Failure> {
        let arrival = self.arrivals.fetch_add(1, Ordering::SeqCst) + 1;
        let mut last = self.last.lock().await;
        if last.serves >= arrival {
            return last.found.clone().ok_or_else(|| Failure::unavailable(Duration::from_secs(2)));
        }
        let serves = self.arrivals.load(Ordering::SeqCst);
        match read.await {
            Ok(found) => {
                let found = Arc::new(found);
                // Only now: had this future been dropped half-way, nobody may take the old for the new.
                *last = Last { serves, found: Some(Arc::clone(&found)) };
                Ok(found)
            }
            Err(failure) => {
                *last = Last { serves: self.arrivals.load(Ordering::SeqCst), found: None };
                Err(failure)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::StatusCode;
    use futures::FutureExt as _;
    use tokio::sync::Notify;

    #[tokio::test]
    async fn whoever_asks_is_given_what_was_read_after_they_asked() {
        let (joint, truth) = (JointRead::default(), AtomicU64::new(1));
        let look = async || Ok(truth.load(Ordering::SeqCst));
        assert_eq!(*joint.read(look()).await.unwrap(), 1);
        truth.store(2, Ordering::SeqCst);
        assert_eq!(*joint.read(look()).await.unwrap(), 2, "nothing older is kept for later");
    }

    #[tokio::test]
    async fn those_who_come_during_a_read_share_the_next_one() {
        let (joint, reads, go_on) = (JointRead::default(), AtomicU64::new(0), Notify::new());
        let look = async || {
            let number = reads.fetch_add(1, Ordering::SeqCst) + 1;
            go_on.notified().await;
            Ok(number)
        };
        let mut first = Box::pin(joint.read(look()));
        let mut second = Box::pin(joint.read(look()));
        let mut third = Box::pin(joint.read(look()));
        assert!(first.as_mut().now_or_never().is_none());
        assert!(second.as_mut().now_or_never().is_none());
        assert!(third.as_mut().now_or_never().is_none());
        go_on.notify_one();
        assert_eq!(*first.await.unwrap(), 1);
        assert!(second.as_mut().now_or_never().is_none(), "the first read began before the second asked");
        go_on.notify_one();
        assert_eq!((*second.await.unwrap(), *third.await.unwrap()), (2, 2));
    }

    #[tokio::test]
    async fn a_read_that_was_given_up_serves_nobody() {
        let joint = JointRead::default();
        assert_eq!(*joint.read(async { Ok(1) }).await.unwrap(), 1);
        assert!(joint.read(std::future::pending()).now_or_never().is_none());
        assert_eq!(*joint.read(async { Ok(2) }).await.unwrap(), 2);
    }

    #[tokio::test]
    async fn a_failed_read_is_told_to_all_who_wait_and_tried_again_for_the_next() {
        let (joint, go_on) = (JointRead::<u64>::default(), Notify::new());
        let failing = async || {
            go_on.notified().await;
            Err(Failure::unavailable(Duration::from_secs(2)))
        };
        let mut first = Box::pin(joint.read(failing()));
        let mut second = Box::pin(joint.read(failing()));
        assert!(first.as_mut().now_or_never().is_none() && second.as_mut().now_or_never().is_none());
        go_on.notify_one();
        for failed in [first.await, second.now_or_never().expect("nobody waits for a second try")] {
            let response = axum::response::IntoResponse::into_response(failed.unwrap_err());
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        }
        assert_eq!(*joint.read(async { Ok(3) }).await.unwrap(), 3);
    }
}
