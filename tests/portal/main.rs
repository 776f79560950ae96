//! The whole portal through HTTP, as people and programs meet it: a real Postgres, CodePipeline's protocol over HTTP, a
//! clock that moves only when told.

#![allow(clippy::unwrap_used, reason = "a story that cannot go on ends there, telling where")]

#[path = "../support/mod.rs"]
mod support;

mod access;
mod answers;
mod approval;
mod deciding;
mod door;
mod events;
mod hanging_up;
mod harness;
mod history;
mod markup;
mod panics;
mod process;
mod queue;
mod requests;
mod storm;
