//! The pages of people who check: the history of decisions, and each record with everything it holds.
//!
//! Read-only in every respect: nothing here can change a record, and the serving role could not either.

mod fields;
mod filter;
mod history;
mod record;
mod record_view;
mod words;

pub use history::show as history;
pub use record::show as record;
