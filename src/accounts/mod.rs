//! People: accounts, passwords, sessions, and what limits strangers at the door. The only writer of those tables. Who may
//! decide what is `access`'s; only the very first grant is given here, with the first approver's account.
//!
//! Every change and its record are one transaction. All state is in Postgres, so any replica can take the next request
//! (H-07); what one request learnt about a person is never kept for the next (S-27). Passwords and secrets leave this
//! module only towards the person they belong to, never towards logs, records or errors (S-48).

pub mod admin;
mod beginning;
mod break_glass;
pub mod ceremonies;
pub mod change;
mod common;
mod compromised;
pub mod devices;
pub mod directory;
pub mod factors;
mod first_grant;
pub mod hasher;
pub mod identity;
pub mod import;
pub mod invitations;
mod knocks;
mod letters;
pub mod links;
pub(crate) mod notices;
pub mod oneself;
pub mod password;
pub(crate) mod records;
pub mod removal;
pub mod resets;
pub mod seal;
pub mod sessions;
pub mod setup;
pub mod sign_in;
pub mod sso;
mod strangers;
pub mod tokens;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use url::Url;

use crate::audit::{AppendError, BadPayload};
use crate::clock::Clock;
use crate::config::Config;
use crate::database::Database;
use crate::database::outage::is_passing;
use crate::domain::people::Person;
use crate::domain::text;
use crate::mail::Outbox;
use crate::random::Random;
use crate::sealing::Sealer;
pub use factors::ProofError;
use factors::RelyingParty;
use hasher::{Cost, HashFailed, Hasher, Room};
pub use knocks::Knocks;
use password::About;
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
    /// The address people use: what links in mails begin with, and passkeys are bound to (S-44).
    pub public_url: Url,
    /// Whether there is a mail server.
    pub sends_mail: bool,
    /// Whether everybody may sign in with a password, rather than break-glass accounts alone.
    pub local_sign_in: bool,
    /// Words that nobody may have as a password (S-03).
    pub forbidden_words: Vec<String>,
}

impl Settings {
    #[must_use]
    pub fn of(config: &Config) -> Self {
        Self {
            idle: config.session.idle,
            absolute: config.session.absolute,
            host: config.public_url().host_str().unwrap_or_default().to_owned(),
            public_url: config.public_url(),
            sends_mail: config.mail.server().is_some(),
            local_sign_in: config.sign_in.local,
            forbidden_words: config.sign_in.forbidden_words.clone(),
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
    sealer: Sealer,
    outbox: Outbox,
    strangers: Strangers,
    links_tried: Knocks,
    mailed_tried: Knocks,
    tokens_refused: Knocks,
    /// Absent where the address has no host name.
    relying: Option<RelyingParty>,
}

impl Accounts {
    /// The service as it is served: passwords cost what they must (S-08).
    #[must_use]
    pub fn new(database: Database, clock: Clock, random: Random, settings: Settings, sealer: Sealer) -> Self {
        let hasher = Hasher::new(Cost::SERVED, Room::default()).expect("what is served costs enough");
        Self::of_parts(database, (clock, random), settings, hasher, sealer)
    }

    /// The service for tests, where a password may be cheap.
    #[must_use]
    pub fn cheap(database: Database, clock: Clock, random: Random, settings: Settings) -> Self {
        Self::with_hasher(database, clock, random, settings, Hasher::of_any_cost(Cost::CHEAP, Room::default()))
    }

    /// The service for tests, with a hasher of one's own. Its secrets are sealed with a key that anybody can read here.
    #[must_use]
    pub fn with_hasher(database: Database, clock: Clock, random: Random, settings: Settings, hasher: Hasher) -> Self {
        let sealer = Sealer::of_keys(&[&[7; 32]], random.clone()).expect("32 bytes make a key");
        Self::of_parts(database, (clock, random), settings, hasher, sealer)
    }

    fn of_parts(
        database: Database,
        (clock, random): (Clock, Random),
        settings: Settings,
        hasher: Hasher,
        sealer: Sealer,
    ) -> Self {
        let (clock_of_mail, sealer_of_mail) = (clock.clone(), sealer.clone());
        let outbox =
            Outbox::new(settings.sends_mail, &settings.public_url, sealer_of_mail, clock_of_mail, random.clone());
        let relying = RelyingParty::of(&settings.public_url);
        Self(Arc::new(Parts {
            database,
            clock,
            random,
            settings,
            hasher,
            sealer,
            outbox,
            strangers: Strangers::default(),
            links_tried: Knocks::at_links(),
            mailed_tried: Knocks::at_links(),
            tokens_refused: Knocks::with_tokens(),
            relying,
        }))
    }

    /// What seals this portal's secrets.
    #[must_use]
    pub fn sealer(&self) -> &Sealer {
        &self.0.sealer
    }

    /// Whose password it is to be.
    fn about<'a>(&'a self, email: &'a str, name: &'a str) -> About<'a> {
        About { email, name, host: &self.0.settings.host, words: &self.0.settings.forbidden_words }
    }
}

/// Where a request came from.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The client's address, already freed from proxies (S-14).
    pub address: IpAddr,
    pub user_agent: String,
    /// The cookie by which the browser may be known (S-12). Never told to anybody.
    pub device: Option<SecretString>,
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
    /// What the browser is known by from now on: the value of another cookie, which serves for [`devices::KNOWN_FOR`].
    /// Absent where that stays as it was.
    pub device: Option<SecretString>,
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
