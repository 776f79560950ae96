//! People against a real Postgres and a clock that stands still: who gets in, who does not, for how long, and what the
//! record says about it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall say where")]

mod admin;
mod house;
mod sessions;
mod setup;
mod sign_in;
mod strangers;
#[path = "../support/mod.rs"]
mod support;
mod terminal;
