//! People against a real Postgres and a clock that stands still: who gets in, who does not, for how long, and what the
//! record says about it.

#![allow(clippy::unwrap_used, reason = "a story that cannot go on ends there, telling where")]

mod admin;
mod break_glass;
mod devices;
mod factors;
mod grants;
mod house;
mod import;
mod links;
mod mail;
mod passkeys;
mod resets;
mod sessions;
mod setup;
mod sign_in;
mod strangers;
#[path = "../support/mod.rs"]
mod support;
mod terminal;
mod tokens;
