//! What is known of a provider: its addresses and its keys, as it tells them itself. Kept for an hour, and read again when
//! a key turns up that is not among them, but not more often than strangers can be prevented from causing.

use std::fmt;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use openidconnect::core::{
    CoreAuthDisplay, CoreClaimName, CoreClaimType, CoreClientAuthMethod, CoreGrantType, CoreJsonWebKey,
    CoreJsonWebKeySet, CoreJweContentEncryptionAlgorithm, CoreJweKeyManagementAlgorithm, CoreResponseMode,
    CoreResponseType, CoreSubjectIdentifierType,
};
use openidconnect::{AdditionalProviderMetadata, DiscoveryError, IssuerUrl, JsonWebKeySet, ProviderMetadata};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::trouble::Trouble;
use super::wire::{Wire, WireError};
use crate::clock::Clock;

/// After this the provider is asked again.
const FRESH: SignedDuration = SignedDuration::from_hours(1);
/// So long it is believed when it cannot be asked.
const USABLE: SignedDuration = SignedDuration::from_hours(24);
/// After it could not be reached, or said what is not believed, nobody waits for it again so soon.
const PAUSE: SignedDuration = SignedDuration::from_secs(5);
/// The same while what was known of it before can be used.
const LONG_PAUSE: SignedDuration = SignedDuration::from_secs(60);
/// At least so long between two reads of the keys that an unknown one causes.
const KEYS_PAUSE: SignedDuration = SignedDuration::from_secs(30);

pub(super) type Metadata = ProviderMetadata<
    Beyond,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;

/// What a provider tells beyond OpenID Connect Discovery.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Beyond {
    /// RFC 9207.
    #[serde(default)]
    pub authorization_response_iss_parameter_supported: bool,
}

impl AdditionalProviderMetadata for Beyond {}

/// Everything read of a provider at one time.
#[derive(Debug, Clone)]
pub(super) struct Read {
    pub metadata: Arc<Metadata>,
    pub keys: Arc<CoreJsonWebKeySet>,
    at: Timestamp,
    keys_at: Timestamp,
}

/// What one process knows of one provider.
pub(super) struct Known {
    issuer: IssuerUrl,
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    read: Option<Read>,
    /// When it last gave nothing that could be used, and why.
    failed: Option<(Timestamp, Trouble)>,
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Known").field("issuer", &self.issuer.as_str()).finish_non_exhaustive()
    }
}

impl Known {
    pub(super) fn new(issuer: IssuerUrl, clock: Clock) -> Self {
        Self { issuer, clock, state: Mutex::default() }
    }

    /// What is known, asked for if need be. Who comes meanwhile waits for the same answer.
    ///
    /// # Errors
    /// The provider cannot be asked, or is another than the configured one (S-20).
    pub(super) async fn load(&self, wire: &Wire) -> Result<Read, Trouble> {
        let now = self.clock.now();
        let mut state = self.state.lock().await;
        if let Some(read) = state.read.as_ref().filter(|read| now.duration_since(read.at) < FRESH) {
            return Ok(read.clone());
        }
        let old = state.read.clone().filter(|read| now.duration_since(read.at) < USABLE);
        let pause = if old.is_some() { LONG_PAUSE } else { PAUSE };
        if let Some((_, trouble)) = state.failed.as_ref().filter(|(at, _)| now.duration_since(*at) < pause) {
            return Self::make_do(old, trouble.clone());
        }
        match self.discover(wire, now).await {
            Ok(read) => {
                *state = State { read: Some(read.clone()), failed: None };
                Ok(read)
            }
            Err(trouble) => {
                tracing::warn!(issuer = self.issuer.as_str(), why = %trouble, is_usable = old.is_some(), "not read anew");
                state.failed = Some((self.clock.now(), trouble.clone()));
                Self::make_do(old, trouble)
            }
        }
    }

    /// What was known before does while the provider cannot be asked, but not once it says something wrong.
    fn make_do(old: Option<Read>, trouble: Trouble) -> Result<Read, Trouble> {
        match (old, trouble) {
            (Some(old), Trouble::Passing(_)) => Ok(old),
            (_, trouble) => Err(trouble),
        }
    }

    /// The keys read anew, because one was missing. None: that was done a moment ago.
    pub(super) async fn load_keys_again(&self, wire: &Wire) -> Result<Option<Read>, Trouble> {
        let now = self.clock.now();
        let mut state = self.state.lock().await;
        let Some(read) = state.read.as_mut() else { return Ok(None) };
        if now.duration_since(read.keys_at) < KEYS_PAUSE {
            return Ok(None);
        }
        // Also if it fails: whoever sends unknown keys causes one request in half a minute, answered or not.
        read.keys_at = now;
        let keys = JsonWebKeySet::fetch_async(read.metadata.jwks_uri(), wire).await.map_err(of_discovery)?;
        read.keys = Arc::new(keys);
        Ok(Some(read.clone()))
    }

    async fn discover(&self, wire: &Wire, now: Timestamp) -> Result<Read, Trouble> {
        let metadata = Metadata::discover_async(self.issuer.clone(), wire).await.map_err(of_discovery)?;
        let keys = Arc::new(metadata.jwks().clone());
        Ok(Read { metadata: Arc::new(metadata), keys, at: now, keys_at: now })
    }
}

fn of_discovery(error: DiscoveryError<WireError>) -> Trouble {
    match error {
        DiscoveryError::Request(cause) => Trouble::of_wire(&cause, "it does not say who it is"),
        DiscoveryError::Validation(why) => {
            Trouble::wrong(format!("it is another issuer than configured: {why}; `issuer` must be exactly the same"))
        }
        DiscoveryError::Parse(why) => Trouble::wrong(format!("what it says about itself cannot be read: {why}")),
        other => Trouble::wrong(format!("what it says about itself cannot be used: {other}")),
    }
}
