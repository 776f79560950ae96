//! The database as a whole: connecting, migrating, roles, whether it is safe to serve from, and a private Postgres for
//! those who have none. Owns every statement that names a role or a schema.
//!
//! It must never hold business SQL (that is the store's), never begin a transaction for somebody else, and never keep
//! the owner's login open while people are served.

pub mod connect;
pub mod migrate;
pub mod open;
pub mod outage;
pub mod patience;
pub mod pool;
pub mod private;
pub mod pulse;
pub mod roles;
pub mod safety;

pub use connect::{BadUrl, Database};
pub use open::{DatabaseSettings, OpenError, Opened, Serving, open, open_for_serving};
pub use patience::Patience;
pub use pool::Pool;
pub use pulse::Pulse;
pub use roles::Role;
