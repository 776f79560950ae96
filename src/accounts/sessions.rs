//! Sessions: who is behind a cookie, for how long, and how sessions end. The cookie holds 256 random bits; the database
//! knows only their SHA-256, so that a dump of it signs nobody in (S-23).

use std::collections::HashSet;
use std::net::IpAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use serde_json::json;
use sqlx::{Connection as _, PgConnection, PgPool};
use zeroize::Zeroizing;

use super::hasher::Busy;
use super::identity::EmailKey;
use super::password::{self, About};
use super::records::with_ended;
use super::sign_in::{SignInError, Tried, lock_unchanged};
use super::{Accounts, By, CsrfSecret, NewSession, Origin, Unavailable};
use crate::audit::Kind;
use crate::domain::ids::{SessionId, sha256};
use crate::domain::people::Person;
use crate::store::accounts::{self, Account};
use crate::store::sessions::{self as stored, Ended, NewRow, mark_of};
use crate::store::throttle::clear_tries;

/// How often a session's last-seen time is written (H-09).
const TOUCH: SignedDuration = SignedDuration::from_secs(60);
/// How many sessions one step ends whose time is over: each has a record.
const OVER: i64 = 20;

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

impl From<SignInError> for ChangePasswordError {
    fn from(error: SignInError) -> Self {
        match error {
            SignInError::Wrong => Self::WrongCurrent,
            SignInError::TooMany { retry_after } => Self::TooMany { retry_after },
            SignInError::Busy { retry_after } => Self::Busy { retry_after },
            SignInError::Unavailable(cause) => Self::Unavailable(cause),
        }
    }
}

impl From<Busy> for ChangePasswordError {
    fn from(busy: Busy) -> Self {
        Self::Busy { retry_after: busy.retry_after }
    }
}

/// The hash a session is kept under. None for what no cookie of ours can hold.
pub(super) fn hash_of(cookie_secret: &str) -> Option<[u8; 32]> {
    let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(cookie_secret).ok()?);
    (bytes.len() == 32).then(|| sha256(&bytes))
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
        self.person_by((&self.0.database.reads, &self.0.database.pages), (cookie_secret, address), counts_as_activity)
            .await
    }

    /// The same for a request that decides, over the connections kept for deciding: a flood of page views holds no
    /// decision up, not even at the door (P-05).
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn person_deciding(
        &self,
        cookie_secret: &str,
        address: IpAddr,
    ) -> Result<Option<(Person, CsrfSecret)>, sqlx::Error> {
        self.person_by((&self.0.database.decisions, &self.0.database.decisions), (cookie_secret, address), true).await
    }

    async fn person_by(
        &self,
        (looking, writing): (&PgPool, &PgPool),
        (cookie_secret, address): (&str, IpAddr),
        counts_as_activity: bool,
    ) -> Result<Option<(Person, CsrfSecret)>, sqlx::Error> {
        let Some(hash) = hash_of(cookie_secret) else { return Ok(None) };
        let now = self.0.clock.now();
        let mut conn = looking.acquire().await?;
        let found = stored::find_session(&mut conn, &hash, address, now, self.idle_since(now)).await?;
        drop(conn);
        let Some(found) = found else { return Ok(None) };
        let step = TOUCH.min(self.0.settings.idle / 10);
        if counts_as_activity && now.duration_since(found.last_seen_at) >= step {
            let seen = match writing.acquire().await {
                Ok(mut conn) => stored::mark_seen(&mut conn, found.person.session, now, found.last_seen_at).await,
                Err(error) => Err(error),
            };
            match seen {
                Ok(_) => {}
                // A server that cannot write, its disk full, still lets people read (F-31).
                Err(error @ sqlx::Error::Database(_)) => tracing::warn!(%error, "a session's use could not be noted"),
                Err(error) => return Err(error),
            }
        }
        Ok(Some((found.person, CsrfSecret(found.csrf_secret))))
    }

    /// Ends the session this person came with. Ending it twice is no error.
    pub async fn sign_out(&self, person: &Person) -> Result<(), Unavailable> {
        self.end_one(person, person.session, "signed out").await.map(|_| ())
    }

    /// The person's living sessions, the newest first.
    pub async fn list_sessions(&self, person: &Person) -> Result<Vec<SessionView>, Unavailable> {
        let now = self.0.clock.now();
        let mut conn = self.0.database.pages.acquire().await?;
        let listed = stored::list_sessions(&mut conn, person.account, now, self.idle_since(now)).await?;
        let view = |session: stored::Listed| SessionView {
            current: session.id == person.session,
            id: session.id,
            method: session.method,
            started_at: session.started_at,
            last_seen_at: session.last_seen_at,
            expires_at: session.expires_at,
            address: session.address,
            user_agent: session.user_agent,
        };
        Ok(listed.into_iter().map(view).collect())
    }

    /// Ends one of the person's own sessions. False: there is no such session of theirs.
    pub async fn end_session(&self, person: &Person, session: SessionId) -> Result<bool, Unavailable> {
        self.end_one(person, session, "ended by its person").await
    }

    async fn end_one(&self, person: &Person, session: SessionId, why: &str) -> Result<bool, Unavailable> {
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        let Some(ended) = stored::delete_session(&mut tx, person.account, session).await? else { return Ok(false) };
        self.record_ended(&mut tx, &By::person(person), &ended, why).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Ends all of the person's sessions but the one that asks; says how many those were.
    pub async fn end_other_sessions(&self, person: &Person) -> Result<usize, Unavailable> {
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        let ended = stored::delete_all(&mut tx, person.account, Some(person.session)).await?;
        if !ended.is_empty() {
            let fields = json!({ "person": person.account, "why": "other sessions ended by their person" });
            self.record(&mut tx, Kind::SessionEnded, &By::person(person), with_ended(fields, &ended)).await?;
        }
        tx.commit().await?;
        Ok(ended.len())
    }

    /// Sets a new password, ends every session of the person and begins a new one (S-06, S-25).
    ///
    /// # Errors
    /// [`ChangePasswordError`]. `WrongCurrent` counts like a failed sign-in: a stolen session is no way around the limits.
    pub async fn change_password(
        &self,
        person: &Person,
        current: SecretString,
        new: SecretString,
        origin: Origin,
    ) -> Result<NewSession, ChangePasswordError> {
        let about = About { email: &person.email, name: &person.name, host: &self.0.settings.host };
        let new = password::accept(&new, about).map_err(|bad| ChangePasswordError::Refused(bad.to_string()))?;
        if password::normalise(&current).is_some_and(|current| *current == *new) {
            return Err(ChangePasswordError::Refused("The new password is the current one.".to_owned()));
        }
        let seat = self.seat().await?;
        let tried = self.try_password(seat, &EmailKey::of(&person.email), &current, &origin).await?;
        let Tried { account: Some(account), seat, .. } = tried else {
            return Err(ChangePasswordError::WrongCurrent);
        };
        let (_, phc) = seat.hash(&new, &self.0.random).await.map_err(Unavailable::from)?;
        self.exchange(person, &account, &phc, &origin).await?.ok_or(ChangePasswordError::SignedOut)
    }

    async fn exchange(
        &self,
        person: &Person,
        checked: &Account,
        phc: &str,
        origin: &Origin,
    ) -> Result<Option<NewSession>, Unavailable> {
        let now = self.0.clock.now();
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        let Some(account) = lock_unchanged(&mut tx, checked).await? else { return Ok(None) };
        let ended = stored::delete_all(&mut tx, account.id, None).await?;
        if account.id != person.account || !ended.iter().any(|session| session.id == person.session) {
            return Ok(None);
        }
        clear_tries(&mut tx, &EmailKey::of(&account.email_key).hash()).await?;
        accounts::mark_password(&mut tx, account.id, phc, Some((now, false))).await?;
        let account = Account { must_change_password: false, ..account };
        let new = self.insert_session(&mut tx, &account, &person.method, origin).await?;
        let fields = with_ended(json!({ "person": account.id }), &ended);
        self.record(&mut tx, Kind::AccountPasswordChanged, &By::person(person), fields).await?;
        self.record_started(&mut tx, &new.person, origin).await?;
        tx.commit().await?;
        Ok(Some(new))
    }

    /// Those of these sessions that live and whose person has a role to look with, at this moment. Nobody's activity.
    ///
    /// # Errors
    /// The database did not answer.
    pub async fn living_sessions(&self, asked: &[SessionId]) -> Result<HashSet<SessionId>, Unavailable> {
        let now = self.0.clock.now();
        let mut conn = self.0.database.pages.acquire().await?;
        Ok(stored::list_living(&mut conn, asked, now, self.idle_since(now)).await?)
    }

    /// Ends sessions whose time is over, a few at a time. Says how many; call again while it is not zero.
    ///
    /// # Errors
    /// Nothing was ended.
    pub async fn end_sessions_over(&self) -> Result<usize, Unavailable> {
        let now = self.0.clock.now();
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        let over = stored::delete_over(&mut tx, now, self.idle_since(now), OVER).await?;
        for ended in &over {
            self.record_ended(&mut tx, &By::System, ended, "its time was over").await?;
        }
        tx.commit().await?;
        Ok(over.len())
    }

    /// Begins a session within the caller's transaction. Recording it is the caller's last step.
    pub(super) async fn insert_session(
        &self,
        conn: &mut PgConnection,
        account: &Account,
        method: &str,
        origin: &Origin,
    ) -> Result<NewSession, Unavailable> {
        let now = self.0.clock.now();
        let expires_at = now.checked_add(self.0.settings.absolute).unwrap_or(Timestamp::MAX);
        let secret: Zeroizing<[u8; 32]> = Zeroizing::new(self.0.random.bytes());
        let token_hash = sha256(secret.as_slice());
        let id = SessionId(self.0.random.uuid_v7(now));
        let row = NewRow {
            id,
            token_hash: &token_hash,
            csrf_secret: &self.0.random.bytes(),
            account: account.id,
            method,
            address: &origin.address.to_string(),
            user_agent: &origin.agent(),
            started_at: now,
            expires_at,
        };
        stored::insert_session(conn, &row).await?;
        let person = Person {
            account: account.id,
            email: account.email.clone(),
            name: account.name.clone(),
            roles: Person::rights(account.roles, account.must_change_password),
            must_change_password: account.must_change_password,
            session: id,
            method: method.to_owned(),
            signed_in_at: now,
            stepped_up_at: None,
            address: origin.address,
            session_mark: mark_of(&token_hash),
        };
        let cookie_secret = SecretString::from(URL_SAFE_NO_PAD.encode(secret.as_slice()));
        Ok(NewSession { cookie_secret, person, expires_at })
    }

    /// Ends every session of an account within the caller's transaction.
    pub(super) async fn end_all(&self, conn: &mut PgConnection, account: &Account) -> Result<Vec<Ended>, Unavailable> {
        Ok(stored::delete_all(conn, account.id, None).await?)
    }

    fn idle_since(&self, now: Timestamp) -> Timestamp {
        now.checked_sub(self.0.settings.idle).unwrap_or(Timestamp::MIN)
    }
}
