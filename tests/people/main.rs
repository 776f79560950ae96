//! People against a real Postgres and a clock that stands still: who gets in, who does not, for how long, and what the
//! record says about it.

mod admin;
mod house;
mod sessions;
mod setup;
mod sign_in;
mod strangers;
#[path = "../support/mod.rs"]
mod support;
mod terminal;
