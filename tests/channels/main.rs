//! Channels: a chat or a program is told what happens at the gates that an admin chose, once something makes it out, however long
//! that takes; nothing it is told decides, and nothing that is typed makes the portal ask whom it should not.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall say where")]

#[path = "../portal/harness/mod.rs"]
mod harness;
#[path = "../hooks/server.rs"]
#[allow(dead_code, reason = "another test program needs more of it")]
mod server;
#[path = "../hooks/signing.rs"]
#[allow(dead_code, reason = "another test program needs more of it")]
mod signing;
#[path = "../support/mod.rs"]
mod support;

mod away;
mod chats;
mod pages;
mod stage;
mod webhooks;
