//! Starting while the server is not there yet, or goes away in between: what passes by itself is waited for, and everything
//! else is said at once. It must never hide why it waits.

use std::fmt::Display;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::migrate::MigrateFailure;
use super::open::OpenError;
use super::outage::is_passing;

/// How long a start waits for a server that cannot be reached.
const START: Duration = Duration::from_secs(30);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What is left of the time in which a start may be tried again.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    until: Instant,
}

impl Patience {
    /// Begins now, and lasts for all the steps of one start.
    #[must_use]
    pub fn begin() -> Self {
        Self { until: Instant::now() + START }
    }

    /// Takes `step` until it works, fails for good, or the time is over. Each try is a whole one: nothing under way is
    /// ever dropped (P-02).
    ///
    /// # Errors
    /// What the last try said.
    pub async fn keep<T, E: Display>(
        &self,
        is_passing: impl Fn(&E) -> bool,
        step: impl AsyncFn() -> Result<T, E>,
    ) -> Result<T, E> {
        let mut pause = FIRST_PAUSE;
        loop {
            match step().await {
                Err(error) if is_passing(&error) && Instant::now() + pause < self.until => {
                    if pause == FIRST_PAUSE {
                        let seconds = START.as_secs();
                        tracing::warn!(%error, seconds, "the database cannot be used yet; the start is tried for so long");
                    }
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                result => return result,
            }
        }
    }
}

impl OpenError {
    /// As [`is_passing`].
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { passing, .. } => *passing,
            Self::Database(error)
            | Self::Migrate(
                MigrateFailure::Connect(error)
                | MigrateFailure::Database(error)
                | MigrateFailure::Statement { source: error, .. },
            ) => is_passing(error),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::sync::atomic::{AtomicU32, Ordering};

    async fn tries(patience: Patience, error: impl Fn() -> sqlx::Error, works_after: u32) -> (u32, bool) {
        let count = AtomicU32::new(0);
        let step = async || match count.fetch_add(1, Ordering::Relaxed) {
            n if n < works_after => Err(error()),
            _ => Ok(()),
        };
        let works = patience.keep(is_passing, step).await.is_ok();
        (count.load(Ordering::Relaxed), works)
    }

    fn cut() -> sqlx::Error {
        sqlx::Error::Io(io::ErrorKind::ConnectionReset.into())
    }

    #[tokio::test]
    async fn a_cut_is_tried_again_and_a_definite_problem_is_not() {
        assert_eq!(tries(Patience::begin(), cut, 1).await, (2, true));
        assert_eq!(tries(Patience::begin(), || sqlx::Error::RowNotFound, 1).await, (1, false));
    }

    #[tokio::test]
    async fn when_the_time_is_over_the_last_error_is_what_is_told() {
        let over = Patience { until: Instant::now() };
        assert_eq!(tries(over, cut, u32::MAX).await, (1, false));
    }
}
