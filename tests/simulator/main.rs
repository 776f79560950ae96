//! The simulator, proved by the real Rust SDK and the real AWS CLI.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall say where")]

mod continued;
mod errors;
mod faults;
mod harness;
mod identity;
mod living;
mod modes;
mod paging;
mod situations;
mod validation;
mod walk;
