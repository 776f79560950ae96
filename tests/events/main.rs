//! What AWS announces, by a queue that `moto` serves: it makes the portal look at once, and nothing that is lost, late, forged or
//! repeated does more or less than that.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall say where")]

#[path = "../support/mod.rs"]
mod support;
#[allow(dead_code, reason = "shared with the watcher's tests, which use more of it")]
#[path = "../watcher/harness.rs"]
mod watching;

#[allow(unused_imports, reason = "a stage has more on it than these stories need")]
#[path = "../faults/harness/mod.rs"]
mod processes;

mod deadlines;
mod harness;
mod killing;
mod looking;
mod losing;
mod refusing;
mod replicas;
