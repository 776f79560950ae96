//! Several replicas on one database (H-01 to H-10, but for H-08: history is read where everything is). Most stories put
//! them into this process; where one must be killed, they are processes.

#![allow(clippy::unwrap_used, reason = "a story that cannot go on ends there, telling where")]

#[path = "../support/mod.rs"]
mod support;

#[path = "../portal/harness/mod.rs"]
mod harness;
#[allow(unused_imports, reason = "a stage has more on it than these stories need")]
#[path = "../faults/harness/mod.rs"]
mod processes;

mod anywhere;
mod database;
mod hearing;
mod killing;
mod leaders;
mod leases;
mod proving;

use std::time::Duration;

/// Waits until `ask` answers: for what a loop in here or the database does by itself.
async fn until<T>(what: &str, ask: impl AsyncFnMut() -> Option<T>) -> T {
    processes::until(what, Duration::from_secs(60), ask).await
}
