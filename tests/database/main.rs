//! The database module against real servers: the private Postgres and its guard, migrations, roles, safety.

mod migrations;
#[path = "../support/mod.rs"]
mod support;
