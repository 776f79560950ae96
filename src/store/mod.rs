//! SQL, and nothing else: functions over `&mut PgConnection`, one file per family of tables. Nothing here begins a
//! transaction, reads a clock, or decides anything; rows become domain values by `TryFrom`, and an impossible row is a
//! loud [`Inconsistent`], never a default.

pub mod access;
pub mod accounts;
pub mod approvals;
pub mod ceremonies;
pub mod changes;
pub mod channels;
pub mod clock;
pub mod decisions;
pub mod devices;
pub mod directory;
pub mod events;
pub mod factors;
pub mod history;
pub mod hooks;
pub mod identities;
pub mod links;
pub mod mail;
pub mod mailed_links;
pub mod notices;
pub mod pipelines;
pub mod push;
pub mod queue;
pub mod records;
pub mod seal;
pub mod sessions;
pub mod sources;
pub mod throttle;
pub mod tokens;

/// A row that the program could not have written. Names the table and the row.
#[derive(Debug, thiserror::Error)]
#[error("{table} {row}: {problem}")]
pub struct Inconsistent {
    pub table: &'static str,
    pub row: String,
    pub problem: String,
}

impl From<Inconsistent> for sqlx::Error {
    fn from(problem: Inconsistent) -> Self {
        Self::Decode(Box::new(problem))
    }
}
