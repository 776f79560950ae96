//! Identity providers: how a person is sent to one, and what of its answer is believed. The only user of OpenID Connect,
//! all of whose rules are the `openidconnect` crate's; what is decided here is which of them are not negotiable.
//!
//! It knows nothing of accounts, keeps nothing about people, and must never log a code, a token or a secret.

mod back;
mod claims;
mod known;
mod provider;
mod trouble;
mod verifying;
mod wire;
mod witness;

use std::sync::Arc;

use url::Url;

use crate::clock::Clock;
use crate::config::SsoConfig;
use crate::random::Random;

pub use back::Back;
pub use provider::{Errand, Provider};
pub use trouble::Trouble;
pub use witness::Witness;

/// The providers that are configured, in that order. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Providers(Arc<Vec<Arc<Provider>>>);

/// A provider cannot be made ready.
#[derive(Debug, thiserror::Error)]
#[error("sso {name:?}: {problem}")]
pub struct OpenError {
    name: String,
    problem: String,
}

impl Providers {
    /// Makes them ready. None is asked anything yet: a provider that is down keeps no portal from starting.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(configs: &[SsoConfig], public_url: &Url, clock: &Clock, random: &Random) -> Result<Self, OpenError> {
        let open = |config: &SsoConfig| {
            let provider = Provider::open(config, public_url, (clock, random));
            provider.map(Arc::new).map_err(|problem| OpenError { name: config.name.clone(), problem })
        };
        configs.iter().map(open).collect::<Result<_, _>>().map(|all| Self(Arc::new(all)))
    }

    #[must_use]
    pub fn find(&self, name: &str) -> Option<Arc<Provider>> {
        self.0.iter().find(|provider| provider.config().name == name).cloned()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Provider> {
        self.0.iter().map(|provider| &**provider)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
