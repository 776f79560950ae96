//! People: accounts, passwords, sessions, and what limits strangers at the door. The only writer of those tables.
//!
//! Every change and its record are one transaction. All state is in Postgres, so any replica can take the next request
//! (H-07); what one request learnt about a person is never kept for the next (S-27). Passwords and secrets leave this
//! module only towards the person they belong to, never towards logs, records or errors (S-48).

pub mod admin;
mod common;
pub mod hasher;
pub mod identity;
pub mod password;
mod records;
pub mod sessions;
pub mod setup;
pub mod sign_in;
mod strangers;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;

use crate::audit::{AppendError, BadPayload};
use crate::clock::Clock;
use crate::config::Config;
use crate::database::Database;
use crate::database::outage::is_passing;
use crate::domain::people::Person;
use crate::domain::text;
use crate::random::Random;
use hasher::{Cost, HashFailed, Hasher, Room};
pub use records::By;
use strangers::Strangers;

/// What accounts need from the configuration.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Without a request for this long, a session ends.
    pub idle: SignedDuration,
    /// A session ends after this in any case.
    pub absolute: SignedDuration,
    /// The public host name, which nobody may have as a password.
    pub host: String,
}

impl Settings {
    #[must_use]
    pub fn of(config: &Config) -> Self {
        Self {
            idle: config.session.idle,
            absolute: config.session.absolute,
            host: config.public_url().host_str().unwrap_or_default().to_owned(),
        }
    }
}

/// The service for everything about people. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Accounts(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    database: Database,
    clock: Clock,
    random: Random,
    settings: Settings,
    hasher: Hasher,
    strangers: Strangers,
}

impl Accounts {
    /// The service as it is served: passwords cost what they must (S-08).
    #[must_use]
    pub fn new(database: Database, clock: Clock, random: Random, settings: Settings) -> Self {
        let hasher = Hasher::new(Cost::SERVED, Room::default()).expect("what is served costs enough");
        Self::with_hasher(database, clock, random, settings, hasher)
    }

    /// The service for tests, where a password may be cheap.
    #[must_use]
    pub fn cheap(database: Database, clock: Clock, random: Random, settings: Settings) -> Self {
        Self::with_hasher(database, clock, random, settings, Hasher::of_any_cost(Cost::CHEAP, Room::default()))
    }

    /// The service with a hasher of one's own.
    #[must_use]
    pub fn with_hasher(database: Database, clock: Clock, random: Random, settings: Settings, hasher: Hasher) -> Self {
        Self(Arc::new(Parts { database, clock, random, settings, hasher, strangers: Strangers::default() }))
    }
}

/// Where a request came from.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The client's address, already freed from proxies (S-14).
    pub address: IpAddr,
    pub user_agent: String,
}

impl Origin {
    /// The browser's own words, bounded and safe to show.
    fn agent(&self) -> String {
        text::visible(&self.user_agent).chars().filter(|c| !c.is_control()).take(256).collect()
    }
}

/// A session that has just begun. The secret goes into the cookie and nowhere else.
#[derive(Debug)]
pub struct NewSession {
    pub cookie_secret: SecretString,
    pub person: Person,
    /// The absolute end, for the cookie's lifetime.
    pub expires_at: Timestamp,
}

/// The secret that form tokens of one session are made with (S-38). Does not print itself.
#[derive(Clone, PartialEq, Eq)]
pub struct CsrfSecret([u8; 32]);

impl CsrfSecret {
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for CsrfSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CsrfSecret([redacted])")
    }
}

/// The database or the record could not be reached, or not until the end: 503 towards people. A commit may have been done
/// without being confirmed, so nobody may be told that nothing was. The cause is for the log.
#[derive(Debug, thiserror::Error)]
#[error("accounts cannot be read or changed just now")]
pub struct Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>);

impl Unavailable {
    /// Whether the reason is one of [`is_passing`].
    #[must_use]
    pub fn is_passing(&self) -> bool {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&*self.0);
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref() {
                return is_passing(error);
            }
            cause = error.source();
        }
        false
    }
}

macro_rules! unavailable_because {
    ($($cause:ty),*) => {
        $(impl From<$cause> for Unavailable {
            fn from(cause: $cause) -> Self {
                Self(Box::new(cause))
            }
        })*
    };
}
unavailable_because!(sqlx::Error, AppendError, BadPayload, HashFailed);

/// The time from `now` until `then` as a whole number of seconds, at least one: what `Retry-After` can say.
fn until(then: Timestamp, now: Timestamp) -> Duration {
    let left = Duration::try_from(then.duration_since(now)).unwrap_or_default();
    Duration::from_secs((left.as_secs() + u64::from(left.subsec_nanos() > 0)).max(1))
}
