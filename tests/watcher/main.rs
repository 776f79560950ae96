//! The watcher and the gateway against a simulated CodePipeline and a real Postgres: what waits is found, what became of it
//! is noticed, nothing is read twice without need, and one request is one request.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall say where")]

#[path = "../support/mod.rs"]
mod support;

mod ending;
mod finding;
mod frugal;
mod harness;
mod hostile;
mod lease;
mod refresh;
mod submit;
mod tags;
mod trouble;
