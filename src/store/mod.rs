//! SQL, and nothing else: functions over `&mut PgConnection`, one file per family of tables. Nothing here begins a
//! transaction, reads a clock, or decides anything; rows become domain values by `TryFrom`, and an impossible row is a
//! loud [`Inconsistent`], never a default.

pub mod accounts;
pub mod approvals;
pub mod changes;
pub mod clock;
pub mod decisions;
pub mod history;
pub mod pipelines;
pub mod queue;
pub mod records;
pub mod sessions;
pub mod sources;
pub mod throttle;

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
