//! The database as a whole: connecting, migrating, roles, whether it is safe to serve from, and a private Postgres for
//! those who have none. Owns every statement that names a role or a schema.
//!
//! It must never hold business SQL (that is the store's), never begin a transaction for somebody else, and never keep
//! the owner's login open while people are served.

pub mod connect;
pub mod migrate;
pub mod private;
pub mod roles;
pub mod safety;

use std::path::PathBuf;

use secrecy::SecretString;

pub use connect::{BadUrl, Database};
pub use roles::Role;

/// Which Postgres, and as whom. The configuration fills this in; nothing here reads the environment.
#[derive(Debug, Clone)]
pub struct DatabaseSettings {
    /// The serving login (`DATABASE_URL`). Absent: a private Postgres under `data_dir`.
    pub url: Option<SecretString>,
    /// The login that owns the schema (`COUNTERSIGN_DATABASE_OWNER_URL`); for migrations only.
    pub owner_url: Option<SecretString>,
    /// The login that verifies and exports (`COUNTERSIGN_DATABASE_READER_URL`). Absent: the serving login.
    pub reader_url: Option<SecretString>,
    /// Where a private Postgres lives.
    pub data_dir: PathBuf,
    /// Where the server programs of a private Postgres are, when they are not found by themselves.
    pub postgres_bin: Option<PathBuf>,
}
