//! Browsers that are told what waits: by a push service that reads what it is sent as a browser does, answers what it likes, and is
//! away when it likes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall say where")]

#[path = "../portal/harness/mod.rs"]
mod harness;
#[path = "../hooks/signing.rs"]
#[allow(dead_code, reason = "only the authority is wanted")]
mod signing;
#[path = "../support/mod.rs"]
mod support;

mod away;
mod ending;
mod key;
mod service;
mod stage;
mod telling;
mod turning;
