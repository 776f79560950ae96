//! Decisions, from the click to AWS's word and back, against a real Postgres and CodePipeline's protocol over HTTP. Each
//! story ends by holding the simulator's effects against the record.

#![allow(clippy::unwrap_used, reason = "a story that cannot go on ends there, telling where")]

#[path = "../support/mod.rs"]
mod support;

mod other_aws;
mod stage;
mod stories_answers;
mod stories_doubt;
mod stories_marks;
mod stories_modes;
mod stories_other_aws;
mod stories_people;
mod stories_rights;
mod stories_too_late;
mod stories_unattended;
mod stories_waiting;
