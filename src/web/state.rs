//! What every handler is given. Handles only: cloning is cheap, and nothing in here remembers one request for another.

use std::sync::Arc;

use super::cookie::Cookies;
use super::health::Readiness;
use crate::accounts::Accounts;
use crate::clock::Clock;
use crate::config::Config;
use crate::database::Database;
use crate::random::Random;

/// The portal's parts, as handlers see them.
#[derive(Debug, Clone)]
pub struct AppState {
    pub clock: Clock,
    pub random: Random,
    pub config: Arc<Config>,
    pub database: Database,
    pub accounts: Accounts,
    pub readiness: Readiness,
}

impl AppState {
    /// The names and attributes of our cookies at this portal's address.
    #[must_use]
    pub fn cookies(&self) -> Cookies {
        Cookies::new(self.config.is_https())
    }
}
