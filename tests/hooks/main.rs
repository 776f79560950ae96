//! What comes to `/hooks/sns`: what AWS signed is followed at once and once, and whatever anybody else sends, in whatever form,
//! does nothing, is told nothing, and makes the portal ask nobody for anything.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall say where")]

#[path = "../portal/harness/mod.rs"]
mod harness;
#[path = "../support/mod.rs"]
mod support;

mod confirming;
mod fetching;
mod forged;
mod genuine;
mod recorded;
mod server;
mod signing;
mod stage;
