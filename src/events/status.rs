//! How a queue does, for people and metrics. Counts are of this process's life.

use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;

use super::Listener;
use crate::domain::ids::SourceName;

/// One source's queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueStatus {
    pub source: SourceName,
    pub hearing: Hearing,
    pub received: u64,
    pub deleted: u64,
    /// Not about what waits for people.
    pub beside: u64,
    /// About another account, region or pipeline than those of the source.
    pub elsewhere: u64,
    /// Left to the dead-letter queue, each as often as it came.
    pub not_understood: u64,
    /// Pipelines that were looked at.
    pub looks: u64,
    /// Messages that wait for a look.
    pub held: usize,
}

/// Whether a queue can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hearing {
    NotYet,
    Well,
    /// Since when, and why not.
    Badly(Timestamp, String),
}

/// What became of a message that was handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heeded {
    /// The pipeline will be looked at.
    Held,
    /// It is not about what waits for people.
    Beside,
    /// It is about none of our sources.
    Elsewhere,
    /// So much is to be looked at that it was not taken. It may be handed over again.
    TooMuch,
    /// Why it cannot be understood.
    NotUnderstood(&'static str),
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    pub received: AtomicU64,
    pub deleted: AtomicU64,
    pub beside: AtomicU64,
    pub elsewhere: AtomicU64,
    pub not_understood: AtomicU64,
    pub looks: AtomicU64,
}

pub(super) fn add(count: &AtomicU64, more: usize) {
    count.fetch_add(more as u64, Ordering::Relaxed);
}

impl Listener {
    pub(super) fn status(&self) -> QueueStatus {
        let now = |count: &AtomicU64| count.load(Ordering::Relaxed);
        QueueStatus {
            source: self.source.clone(),
            hearing: self.hearing.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            received: now(&self.counts.received),
            deleted: now(&self.counts.deleted),
            beside: now(&self.counts.beside),
            elsewhere: now(&self.counts.elsewhere),
            not_understood: now(&self.counts.not_understood),
            looks: now(&self.counts.looks),
            held: self.held().messages(),
        }
    }
}
