//! Single sign-on over HTTP, as browsers meet it: with a provider that does everything wrong that can be done wrong, and
//! with a real one, the certified `oidc-provider`.

#![allow(clippy::unwrap_used, reason = "a story that cannot go on ends there, telling where")]

#[path = "../support/mod.rs"]
mod support;

#[path = "../portal/harness/mod.rs"]
mod harness;

mod answers;
mod door;
mod linking;
mod mapping;
mod provider;
mod real;
mod second;
mod stepping_up;
mod tokens;
mod trip;
