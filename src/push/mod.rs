//! Telling browsers what waits, where a person turned that on (docs/decisions/0021). A [`Message`] is put within the transaction that
//! says that its person was told, and sent afterwards with a lease that is committed before a push service is asked: a service
//! that is away holds up nothing and loses nothing (H-04).
//!
//! Where a browser is reached, and what it is told, lies sealed in the database; what is sent can be read by that browser alone.
//! Nothing here may decide anything, send anything that decides, or let an address be seen: whoever knows it may write there.

mod encrypting;
mod key;
mod message;
mod sending;
mod turning;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::SignedDuration;
use reqwest::ClientBuilder;
use sqlx::PgConnection;
use uuid::Uuid;

pub use message::{Message, Topic, Urgency};
pub use turning::{Said, TurnError};

use crate::accounts::{Accounts, Unavailable};
use crate::clock::Clock;
use crate::config::{Config, PushConfig};
use crate::database::Database;
use crate::random::Random;
use crate::sealing::Sealer;
use crate::store::push::messages::{self, Overview, Trouble};
use crate::wire::{self, Wire};
use key::ServerKey;

/// How long messages are remembered: beyond the longest time that AWS lets an approval wait, so that one that is still on a
/// screen is taken back.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(24 * 70);
/// What admins see goes back so far.
const OVERVIEW: SignedDuration = SignedDuration::from_hours(24 * 30);
/// How much of what went wrong admins see.
const SHOWN: i64 = 20;

/// The service that tells browsers. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Push(Arc<Parts>);

#[derive(Debug, Clone)]
struct Parts {
    database: Database,
    clock: Clock,
    random: Random,
    sealer: Sealer,
    config: PushConfig,
    wire: Wire,
    holder: Uuid,
}

/// Browsers cannot be told anything.
#[derive(Debug, thiserror::Error)]
#[error("browsers could not be told anything, because TLS cannot be set up: {0}")]
pub struct OpenError(#[from] reqwest::Error);

/// How telling browsers is going.
#[derive(Debug, Clone)]
pub struct System {
    pub is_on: bool,
    pub overview: Overview,
    pub troubled: Vec<Trouble>,
}

impl Push {
    /// # Errors
    /// [`OpenError`].
    pub fn open(
        config: &Config,
        accounts: &Accounts,
        database: &Database,
        (clock, random): (&Clock, &Random),
    ) -> Result<Self, OpenError> {
        Ok(Self(Arc::new(Parts {
            database: database.clone(),
            clock: clock.clone(),
            random: random.clone(),
            sealer: accounts.sealer().clone(),
            config: config.push.clone(),
            wire: Wire::open(wire::strangers())?,
            holder: random.uuid_v4(),
        })))
    }

    /// The same, by a client of one's own: tests hand in where every host is, and whom it trusts.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn by_way_of(&self, http: ClientBuilder) -> Result<Self, OpenError> {
        let wire = Wire::open(http)?;
        Ok(Self(Arc::new(Parts { wire, holder: self.0.random.uuid_v4(), ..(*self.0).clone() })))
    }

    /// Whether the operator turned it on at all.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.config.contact().is_some()
    }

    /// The public key that browsers are told, in base64url. None: it is off.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn public_key(&self) -> Result<Option<String>, Unavailable> {
        if !self.is_on() {
            return Ok(None);
        }
        let mut conn = self.0.database.pages.acquire().await?;
        Ok(Some(URL_SAFE_NO_PAD.encode(self.key(&mut conn).await?.public)))
    }

    async fn key(&self, conn: &mut PgConnection) -> sqlx::Result<ServerKey> {
        let parts = &*self.0;
        ServerKey::load(conn, (&parts.sealer, &parts.clock, &parts.random)).await
    }

    /// # Errors
    /// [`Unavailable`].
    pub async fn system(&self) -> Result<System, Unavailable> {
        let now = self.0.clock.now();
        let mut conn = self.0.database.pages.acquire().await?;
        Ok(System {
            is_on: self.is_on(),
            overview: messages::count(&mut conn, now.checked_sub(OVERVIEW).unwrap_or(now)).await?,
            troubled: messages::list_troubled(&mut conn, SHOWN).await?,
        })
    }

    /// Forgets messages that were dealt with long ago.
    ///
    /// # Errors
    /// What was not forgotten is forgotten by the next call.
    pub async fn sweep(&self) -> sqlx::Result<()> {
        let now = self.0.clock.now();
        let mut conn = self.0.database.pages.acquire().await?;
        messages::delete_before(&mut conn, now.checked_sub(REMEMBERED).unwrap_or(now)).await
    }
}
