//! What is remembered from sweep to sweep, and what a failure means for the next one.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU32, Ordering};

use jiff::{SignedDuration, Timestamp};

use crate::codepipeline::observed::ReadError;
use crate::domain::ids::PipelineName;

/// A pipeline that may not be read, or answers nonsense, is tried again after this, then after twice as long …
const FIRST_RETRY: SignedDuration = SignedDuration::from_secs(60);
const LAST_RETRY: SignedDuration = SignedDuration::from_mins(15);
/// Throttling passes by itself; a source counts as unreadable when this many sweeps in a row failed for it.
const THROTTLED_SWEEPS: u32 = 2;

/// When so many reads in a row were given up because AWS asked to slow down, each after several tries, the rest would fare
/// no better: the sweep ends, and the next begins with what this one did not come to.
const GIVEN_UP: u32 = 4;

/// How many reads in a row AWS did not answer, only asked to slow down.
#[derive(Debug, Default)]
pub struct Storm(AtomicU32);

impl Storm {
    pub fn note(&self, was_throttled: bool) {
        if was_throttled {
            self.0.fetch_add(1, Ordering::Relaxed);
        } else if !self.rages() {
            self.0.store(0, Ordering::Relaxed);
        }
    }

    /// Whether this sweep ends here. Once it does, an answer to an earlier read does not begin it again.
    pub fn rages(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= GIVEN_UP
    }
}

/// What is remembered from sweep to sweep. Losing it costs reads alone.
#[derive(Default)]
pub struct Memory {
    pub throttled_sweeps: u32,
    retries: HashMap<PipelineName, Retry>,
    /// When the sweep began that last came to each pipeline.
    reached: HashMap<PipelineName, Timestamp>,
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

    /// When a sweep last came to it. Absent, and earlier than anything: never.
    pub fn reached(&self, name: &PipelineName) -> Option<Timestamp> {
        self.reached.get(name).copied()
    }

    pub fn reach(&mut self, name: &PipelineName, began: Timestamp) {
        self.reached.insert(name.clone(), began);
    }

    /// What AWS no longer lists is not remembered for ever.
    pub fn keep_only(&mut self, listed: &HashSet<&PipelineName>) {
        self.reached.retain(|name, _| listed.contains(name));
        self.retries.retain(|name, _| listed.contains(name));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_ends_when_four_reads_in_a_row_were_given_up_and_not_when_some_get_through() {
        // P-14
        let storm = Storm::default();
        for _ in 0..50 {
            (0..3).for_each(|_| storm.note(true));
            storm.note(false);
        }
        assert!(!storm.rages());
        (0..4).for_each(|_| storm.note(true));
        assert!(storm.rages());
        storm.note(false);
        assert!(storm.rages(), "a late answer does not let the sweep go on");
    }
}
