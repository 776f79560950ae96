//! What is remembered from sweep to sweep, and what a failure means for the next one.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};

use crate::codepipeline::observed::ReadError;
use crate::domain::ids::PipelineName;

/// A pipeline that may not be read, or answers nonsense, is tried again after this, then after twice as long …
const FIRST_RETRY: SignedDuration = SignedDuration::from_secs(60);
const LAST_RETRY: SignedDuration = SignedDuration::from_mins(15);
/// Throttling passes by itself; a source counts as unreadable when this many sweeps in a row failed for it.
const THROTTLED_SWEEPS: u32 = 2;

/// What is remembered from sweep to sweep. Losing it costs reads alone.
#[derive(Default)]
pub struct Memory {
    pub account_is_settled: bool,
    pub throttled_sweeps: u32,
    retries: HashMap<PipelineName, Retry>,
}

struct Retry {
    failures: u32,
    next: Timestamp,
}

/// Why a sweep ends early.
pub enum Trouble {
    Blind(String),
    /// Asked to slow down; the source is not called unreadable yet.
    Patience(String),
    Failed(sqlx::Error),
}

impl From<sqlx::Error> for Trouble {
    fn from(error: sqlx::Error) -> Self {
        Self::Failed(error)
    }
}

/// Whether an error is about the way to AWS rather than about one pipeline.
pub fn is_of_source(error: &ReadError) -> bool {
    matches!(error, ReadError::Throttled | ReadError::Unreachable(_) | ReadError::Credentials(_))
}

impl Memory {
    pub fn is_waiting(&self, name: &PipelineName, now: Timestamp) -> bool {
        self.retries.get(name).is_some_and(|retry| retry.next > now)
    }

    pub fn works(&mut self, name: &PipelineName) {
        self.retries.remove(name);
    }

    /// Being denied, and nonsense, are not tried with every sweep; a bad connection is.
    pub fn fails(&mut self, name: &PipelineName, error: &ReadError, now: Timestamp) {
        if is_of_source(error) {
            return;
        }
        let retry = self.retries.entry(name.clone()).or_insert(Retry { failures: 0, next: now });
        let wait = FIRST_RETRY * (1_i32 << retry.failures.min(8));
        retry.failures += 1;
        retry.next = now + wait.min(LAST_RETRY);
    }

    pub fn whole_source(&mut self, error: &ReadError) -> Trouble {
        if *error == ReadError::Throttled {
            self.throttled_sweeps += 1;
            if self.throttled_sweeps < THROTTLED_SWEEPS {
                return Trouble::Patience(error.explain());
            }
        }
        Trouble::Blind(error.explain())
    }
}
