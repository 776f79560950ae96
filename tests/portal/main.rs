//! The whole portal through HTTP, as people and programs meet it: a real Postgres, CodePipeline's protocol over HTTP, a
//! clock that moves only when told.

#![allow(clippy::unwrap_used, reason = "a story that cannot go on ends there, telling where")]

#[path = "../support/mod.rs"]
mod support;

mod access;
mod accounts;
mod answers;
mod approval;
mod deciding;
mod door;
mod escalations;
mod events;
mod factors;
mod foreign;
mod hanging_up;
mod harness;
mod history;
mod links;
mod mailed;
mod markup;
mod me;
mod notices;
mod notifications;
mod panics;
mod passwords;
mod process;
mod proof;
mod queue;
mod requests;
mod storm;
mod telling;
mod tidying;
mod tokens;
mod unattended;
mod who_may;
mod who_may_past;
