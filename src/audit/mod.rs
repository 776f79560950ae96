//! The record: the only writer of audit rows, and the verifier that trusts nothing it reads. Owns the entry's bytes, the
//! payload's form and the closed list of kinds.
//!
//! It must never change or remove a record, never re-serialise a payload, and never begin or commit: the caller's
//! transaction holds the state change and its record together, with the append as its last statement.

pub mod append;
pub mod chain;
pub mod entry;
pub mod kind;
pub mod payload;
pub mod proof;
mod stored;
pub mod verify;

pub use append::{AppendError, Appended, append, append_all};
pub use chain::{Broken, Intact, Verdict, Why};
pub use kind::Kind;
pub use payload::{BadPayload, Payload};
