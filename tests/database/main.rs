//! The database module against real servers: the private Postgres and its guard, migrations, roles, safety, pools.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod migrations;
mod pools;
mod private;
mod roles;
mod safety;
mod serving;
#[path = "../support/mod.rs"]
mod support;
