//! The portal under people and programs that mean it no good, or simply come all at once: slow connections, many
//! sign-ins, restarts under load. Real processes; time is real where the limits are the operating system's.

#![allow(clippy::unwrap_used, reason = "a story that cannot go on ends there, telling where")]

#[path = "../support/mod.rs"]
mod support;

mod balancer;
mod connections;
mod draining;
mod harness;
mod many_sign_ins;
mod probing;
mod restarting;
mod starting;
