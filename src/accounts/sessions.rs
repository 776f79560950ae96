//! Sessions: who is behind a cookie, for how long, and how sessions end.

use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;

use super::{Accounts, CsrfSecret, NewSession, Origin, Unavailable};
use crate::domain::ids::SessionId;
use crate::domain::people::Person;

/// One of a person's sessions, as they may see it.
#[derive(Debug, Clone)]
pub struct SessionView {
    pub id: SessionId,
    pub method: String,
    pub started_at: Timestamp,
    pub last_seen_at: Timestamp,
    pub expires_at: Timestamp,
    /// Where it was begun from.
    pub address: String,
    pub user_agent: String,
    /// The session that asked.
    pub current: bool,
}

/// Why a password was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangePasswordError {
    #[error("The current password is wrong.")]
    WrongCurrent,
    /// The new password is refused; the text says by which rule.
    #[error("{0}")]
    Refused(String),
    #[error("Too many tries.")]
    TooMany { retry_after: Duration },
    #[error("Too many people are signing in.")]
    Busy { retry_after: Duration },
    /// The session ended meanwhile.
    #[error("You are no longer signed in.")]
    SignedOut,
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl Accounts {
    /// Who is behind a cookie, read afresh: no account, a disabled one, or an ended session is `None` (S-27).
    /// `counts_as_activity` is false for background fetches, which do not keep a session alive (S-26).
    ///
    /// # Errors
    /// The database did not answer. Treat as 503, never as signed out.
    pub async fn person(
        &self,
        cookie_secret: &str,
        address: IpAddr,
        counts_as_activity: bool,
    ) -> Result<Option<(Person, CsrfSecret)>, sqlx::Error> {
        let _ = (cookie_secret, address, counts_as_activity);
        Err(sqlx::Error::PoolClosed)
    }

    /// Ends the session this person came with.
    pub async fn sign_out(&self, person: &Person) -> Result<(), Unavailable> {
        let _ = person;
        Err(sqlx::Error::PoolClosed.into())
    }

    /// The person's living sessions, the newest first.
    pub async fn list_sessions(&self, person: &Person) -> Result<Vec<SessionView>, Unavailable> {
        let _ = person;
        Err(sqlx::Error::PoolClosed.into())
    }

    /// Ends one of the person's own sessions. False: there is no such session of theirs.
    pub async fn end_session(&self, person: &Person, session: SessionId) -> Result<bool, Unavailable> {
        let _ = (person, session);
        Err(sqlx::Error::PoolClosed.into())
    }

    /// Ends all of the person's sessions but the one that asks; says how many those were.
    pub async fn end_other_sessions(&self, person: &Person) -> Result<usize, Unavailable> {
        let _ = person;
        Err(sqlx::Error::PoolClosed.into())
    }

    /// Sets a new password, ends every session of the person and begins a new one (S-06, S-25).
    pub async fn change_password(
        &self,
        person: &Person,
        current: SecretString,
        new: SecretString,
        origin: Origin,
    ) -> Result<NewSession, ChangePasswordError> {
        let _ = (person, current, new, origin);
        Err(Unavailable::from(sqlx::Error::PoolClosed).into())
    }
}
