//! Links that open an account once: an invitation for a day, a new password for an hour (S-06). 256 random bits, kept only
//! as SHA-256; dead once used, replaced by a newer one, or with the account. Looking at one never uses it up.
//!
//! Unknown, used, replaced, too old, and made for something else are one answer after the same work (L-08).

use std::net::IpAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::PgConnection;
use zeroize::Zeroizing;

use super::hasher::Busy;
use super::sessions::hash_of;
use super::strangers::Deed;
use super::{Accounts, By, Unavailable, until};
use crate::domain::ids::{AccountId, sha256};
use crate::store::links::{self, Found, NewLink};

/// What a link is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Invite,
    Reset,
}

impl Purpose {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Invite => "invite",
            Self::Reset => "reset",
        }
    }

    /// How long it serves.
    pub(super) fn serves(self) -> SignedDuration {
        match self {
            Self::Invite => SignedDuration::from_hours(24),
            Self::Reset => SignedDuration::from_hours(1),
        }
    }

    fn page(self) -> &'static str {
        match self {
            Self::Invite => "/invite/",
            Self::Reset => "/reset/",
        }
    }
}

/// A link that has just been made.
pub(super) struct Link {
    /// The whole address. Goes to the person, and nowhere else.
    pub(super) address: SecretString,
    pub(super) expires_at: Timestamp,
}

/// Why a link was not followed, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// Unknown, used, replaced, too old, for something else, or of an account that is disabled. 404.
    #[error("This link does not work, or does so no longer.")]
    Unknown,
    /// The text says which rule the field breaks; `field` is `name`, `password` or `passkey`. The link still works.
    #[error("{problem}")]
    BadField { field: &'static str, problem: String },
    #[error("Too many tries.")]
    TooMany { retry_after: Duration },
    #[error("Too many people are signing in.")]
    Busy { retry_after: Duration },
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl From<Busy> for LinkError {
    fn from(busy: Busy) -> Self {
        Self::Busy { retry_after: busy.retry_after }
    }
}

impl From<sqlx::Error> for LinkError {
    fn from(error: sqlx::Error) -> Self {
        Self::Unavailable(error.into())
    }
}

impl Accounts {
    /// Makes a link within the caller's transaction, in place of any before it.
    pub(super) async fn make_link(
        &self,
        conn: &mut PgConnection,
        purpose: Purpose,
        account: AccountId,
        by: &By,
    ) -> Result<Link, Unavailable> {
        let now = self.0.clock.now();
        let expires_at = now.checked_add(purpose.serves()).unwrap_or(Timestamp::MAX);
        let secret: Zeroizing<[u8; 32]> = Zeroizing::new(self.0.random.bytes());
        let new = NewLink {
            secret_hash: &sha256(secret.as_slice()),
            purpose: purpose.name(),
            account,
            created_at: now,
            expires_at,
            created_by: by.account(),
        };
        links::replace_link(conn, &new).await?;
        let path = Zeroizing::new(format!("{}{}", purpose.page(), URL_SAFE_NO_PAD.encode(secret.as_slice())));
        Ok(Link { address: SecretString::from(self.0.outbox.address_of(&path)), expires_at })
    }

    /// Looks a code up that somebody at `address` has.
    ///
    /// # Errors
    /// [`LinkError::Unknown`] or [`LinkError::TooMany`].
    pub(super) async fn find_link(
        &self,
        purpose: Purpose,
        code: &SecretString,
        address: IpAddr,
    ) -> Result<Found, LinkError> {
        let now = self.0.clock.now();
        if let Some(then) = self.0.links_tried.knock(address, now) {
            self.0.strangers.count(Deed::LinkThrottled);
            return Err(LinkError::TooMany { retry_after: until(then, now) });
        }
        let mut conn = self.0.database.pages.acquire().await?;
        let found = links::find_link(&mut conn, &code_hash(code), purpose.name(), now).await?;
        drop(conn);
        found.ok_or_else(|| self.refuse_link())
    }

    /// Counts a link of a mail about an approval that does not work. Some: too many of those came from this address; how
    /// long to wait. What works is never asked for this: colleagues may share an address.
    #[must_use]
    pub fn count_refused_link(&self, address: IpAddr) -> Option<Duration> {
        let now = self.0.clock.now();
        let then = self.0.mailed_tried.knock(address, now);
        self.0.strangers.count(if then.is_some() { Deed::LinkThrottled } else { Deed::LinkRefused });
        then.map(|then| until(then, now))
    }

    /// Counts what was sent in place of a mail's code and is not it.
    pub fn count_wrong_mail_code(&self) {
        self.0.strangers.count(Deed::MailCodeRefused);
    }

    pub(super) fn refuse_link(&self) -> LinkError {
        self.0.strangers.count(Deed::LinkRefused);
        LinkError::Unknown
    }

    /// Ends what links an account still has, within the caller's transaction.
    pub(super) async fn end_links(&self, conn: &mut PgConnection, account: AccountId) -> Result<(), sqlx::Error> {
        links::end_links(conn, account, self.0.clock.now()).await
    }
}

/// What a code is kept under. What no code of ours can be is looked for like one.
pub(super) fn code_hash(code: &SecretString) -> [u8; 32] {
    hash_of(code.expose_secret()).unwrap_or_default()
}
