//! Telling chats and other programs what happens, beside the people: an admin makes a channel, says which gates it is told of and
//! what of, and every notice that a trigger leaves (migration 0012) is passed on to it (docs/decisions/0020).
//!
//! Three steps, as for letters: a notice is given to the channels it concerns ([`giving`]), what a channel is to be told becomes
//! a message in the transaction that says so ([`composing`]), and messages are sent with a lease that is committed before anybody is
//! asked ([`sending`]). What one end does or does not do holds up no other, no sweep and no decision (H-04).
//!
//! Nothing here may decide anything, send anything that decides, tell a token or a fingerprint, or let an address be seen: whoever
//! knows it may write there. What AWS says is escaped for each kind of end.

mod composing;
mod ending;
mod giving;
mod making;
mod message;
mod sending;
mod slack;
mod teams;
mod webhook;

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use reqwest::ClientBuilder;
use uuid::Uuid;

pub use making::{Asked, Checked, Secret, Seen};

use crate::accounts::Accounts;
use crate::clock::Clock;
use crate::config::Config;
use crate::database::Database;
use crate::domain::hosts::HostPattern;
use crate::random::Random;
use crate::sealing::Sealer;
use crate::store::channels::deliveries;
use crate::wire::{self, Wire};

/// How long a chat that had nothing to hear waits for what else comes.
const GATHER: SignedDuration = SignedDuration::from_secs(10);
/// How long anything is tried.
const OF_USE: SignedDuration = SignedDuration::from_hours(72);
/// What asks for a decision is of some use for this long at least, however near its deadline is.
const LEAST_USE: SignedDuration = SignedDuration::from_mins(5);
/// How long messages are remembered.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(24 * 30);

/// The service that tells channels. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Channels(Arc<Parts>);

#[derive(Debug, Clone)]
struct Parts {
    database: Database,
    clock: Clock,
    random: Random,
    sealer: Sealer,
    /// What addresses of our pages begin with.
    origin: String,
    /// Hosts that the operator lists.
    hosts: Vec<HostPattern>,
    wire: Wire,
    holder: Uuid,
}

/// Channels cannot be told anything.
#[derive(Debug, thiserror::Error)]
#[error("chats and webhooks could not be told anything, because TLS cannot be set up: {0}")]
pub struct OpenError(#[from] reqwest::Error);

impl Channels {
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
            origin: config.public_origin(),
            hosts: config.channels.hosts.clone(),
            wire: Wire::open(wire::strangers())?,
            holder: random.uuid_v4(),
        })))
    }

    /// The same, by a client of one's own, as another replica would: tests hand in where every host is, whom it trusts, and for how
    /// long an answer is waited for.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn by_way_of(&self, http: ClientBuilder, time: Duration) -> Result<Self, OpenError> {
        let wire = Wire::open_within(http, time)?;
        Ok(Self(Arc::new(Parts { wire, holder: self.0.random.uuid_v4(), ..(*self.0).clone() })))
    }

    /// Gives notices that are due to the channels they concern, and makes messages of what is due for a channel. Says how much it
    /// took; call again while it is not zero.
    ///
    /// # Errors
    /// The database did not answer, or what is in it is impossible. What was not done is done by the next call.
    pub async fn step(&self) -> sqlx::Result<usize> {
        let pulse = &self.0.database.pulse;
        let given = pulse.or_dead(self.give()).await?;
        // What came together is one message: all of it is given out first.
        if given > 0 {
            return Ok(given);
        }
        pulse.or_dead(self.compose()).await
    }

    /// Forgets messages that were dealt with long ago.
    ///
    /// # Errors
    /// What was not forgotten is forgotten by the next call.
    pub async fn sweep(&self) -> sqlx::Result<()> {
        let now = self.0.clock.now();
        let mut conn = self.0.database.pages.acquire().await?;
        deliveries::delete_before(&mut conn, now.checked_sub(REMEMBERED).unwrap_or(now)).await
    }

    fn address_of(&self, path: &str) -> String {
        format!("{}{path}", self.0.origin)
    }
}
