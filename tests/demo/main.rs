//! The demo as a person meets it: the real program in a process of its own, its pages over HTTP, its end by Ctrl-C or worse.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall say where")]

mod harness;
mod lasting;
mod refusing;
#[path = "../support/mod.rs"]
mod support;
