//! The outbox: where a letter waits from the transaction of what it tells of until it is delivered.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use sqlx::PgConnection;
use url::Url;
use zeroize::Zeroizing;

use super::letter::{Letter, Written};
use crate::clock::Clock;
use crate::domain::ids::{AccountId, MailId};
use crate::random::Random;
use crate::sealing::{Purpose, Sealer};
use crate::store::mail::{self, NewMail};

/// Takes letters. Cheap to clone.
#[derive(Clone)]
pub struct Outbox(Arc<Parts>);

struct Parts {
    is_open: bool,
    origin: String,
    sealer: Sealer,
    clock: Clock,
    random: Random,
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox").field("is_open", &self.0.is_open).finish_non_exhaustive()
    }
}

impl Outbox {
    /// `is_open`: whether there is a mail server at all. Addresses in letters begin with the public one (S-44).
    #[must_use]
    pub fn new(is_open: bool, public_url: &Url, sealer: Sealer, clock: Clock, random: Random) -> Self {
        let origin = public_url.origin().ascii_serialization();
        Self(Arc::new(Parts { is_open, origin, sealer, clock, random }))
    }

    /// Whether letters are taken. If not, whoever needs to know something is told in another way.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.0.is_open
    }

    /// The whole address of one of our pages.
    #[must_use]
    pub fn address_of(&self, path: &str) -> String {
        format!("{}{path}", self.0.origin)
    }

    /// Takes a letter to `address` within the caller's transaction. False: no mail is configured, so none will be sent.
    ///
    /// # Errors
    /// Whatever the database says. A letter that its template cannot write is an encoding error.
    pub async fn put(
        &self,
        conn: &mut PgConnection,
        (account, address): (AccountId, &str),
        letter: &Letter,
    ) -> Result<bool, sqlx::Error> {
        let parts = &*self.0;
        if !parts.is_open {
            return Ok(false);
        }
        let now = parts.clock.now();
        let id = MailId(parts.random.uuid_v7(now));
        let written = letter.write(&parts.origin).map_err(|error| sqlx::Error::Encode(Box::new(error)))?;
        let body = serde_json::to_vec(&written).map_err(|error| sqlx::Error::Encode(Box::new(error)))?;
        let sealed = parts.sealer.seal(Purpose::Mail, &owner(id), &Zeroizing::new(body));
        let new = NewMail {
            id,
            kind: letter.kind(),
            rank: letter.rank().number(),
            account,
            address,
            sealed: &sealed,
            created_at: now,
            useless_at: now.checked_add(letter.serves()).unwrap_or(Timestamp::MAX),
        };
        mail::insert_mail(conn, &new).await?;
        Ok(true)
    }

    /// What was put in as `sealed`. None: it cannot be opened any more.
    pub(super) fn open(&self, id: MailId, sealed: &[u8]) -> Option<Written> {
        let body = self.0.sealer.open_sealed(Purpose::Mail, &owner(id), sealed).ok()?;
        serde_json::from_slice(&body).ok()
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.0.clock
    }

    pub(super) fn random(&self) -> &Random {
        &self.0.random
    }
}

fn owner(id: MailId) -> String {
    id.to_string()
}
