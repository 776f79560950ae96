//! How a sweep went, for people and metrics.

use jiff::{SignedDuration, Timestamp};

use crate::domain::ids::SourceName;

/// One sweep of one source.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceStatus {
    pub source: SourceName,
    pub began: Timestamp,
    pub took: SignedDuration,
    pub ended: Ended,
    /// Pipelines that AWS lists and the configuration takes.
    pub pipelines: usize,
    /// Those of them with a gate.
    pub gated: usize,
    pub unreadable: usize,
    /// Requests that were seen waiting.
    pub waiting: usize,
    pub opened: usize,
    pub closed: usize,
    pub reads_per_second: f64,
}

/// How a sweep came to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// Everything that could be read was read.
    Read,
    /// The source as a whole could not be read.
    Blind(String),
    /// The database did not take what was read.
    Failed(String),
    /// The process is ending.
    Stopped,
}
