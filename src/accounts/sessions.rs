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
use sqlx::{Connection as _, PgConnection};
use zeroize::Zeroizing;

use super::beginning::Begun;
use super::hasher::Busy;
use super::identity::EmailKey;
use super::password::{self, About};
use super::records::with_ended;
use super::sign_in::{SignInError, Tried, lock_unchanged};
use super::{Accounts, By, CsrfSecret, NewSession, Origin, Unavailable};
use crate::audit::Kind;
use crate::database::Pool;
use crate::domain::ids::{AccountId, SessionId, sha256};
use crate::domain::people::{Factor, Person};
use crate::store::accounts::{self, Account};
use crate::store::factors::load_kinds;
use crate::store::mailed_links;
use crate::store::push::browsers as push;
use crate::store::sessions::{self as stored, Ended};
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
    /// Where it was last seen, if that was elsewhere.
    pub last_address: Option<String>,
    pub user_agent: String,
    /// The session that asked.
    pub current: bool,
}

impl SessionView {
    /// As seen from the session that asks, if one of the same person does.
    fn of(session: stored::Listed, asking: Option<SessionId>) -> Self {
        Self {
            current: Some(session.id) == asking,
            id: session.id,
            method: session.method,
            started_at: session.started_at,
            last_seen_at: session.last_seen_at,
            expires_at: session.expires_at,
            address: session.address,
            last_address: session.last_address,
            user_agent: session.user_agent,
        }
    }
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
        (looking, writing): (&Pool, &Pool),
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
                Ok(mut conn) => {
                    let from = address.to_string();
                    stored::mark_seen(&mut conn, (found.person.session, &from), now, found.last_seen_at).await
                }
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

    /// Signs the person out everywhere; nor is any browser told any more what waits for them.
    pub async fn sign_out_everywhere(&self, person: &Person) -> Result<(), Unavailable> {
        let mut conn = self.0.database.pages.acquire().await?;
        push::end_of(&mut conn, person.account, None).await?;
        drop(conn);
        self.end_other_sessions(person).await?;
        self.sign_out(person).await
    }

    /// The person's living sessions, the newest first.
    pub async fn list_sessions(&self, person: &Person) -> Result<Vec<SessionView>, Unavailable> {
        let now = self.0.clock.now();
        let mut conn = self.0.database.pages.acquire().await?;
        let listed = stored::list_sessions(&mut conn, person.account, now, self.idle_since(now)).await?;
        Ok(listed.into_iter().map(|session| SessionView::of(session, Some(person.session))).collect())
    }

    /// Somebody's living sessions, the newest first.
    pub async fn list_sessions_of(&self, account: AccountId) -> Result<Vec<SessionView>, Unavailable> {
        let now = self.0.clock.now();
        let mut conn = self.0.database.pages.acquire().await?;
        let listed = stored::list_sessions(&mut conn, account, now, self.idle_since(now)).await?;
        Ok(listed.into_iter().map(|session| SessionView::of(session, None)).collect())
    }

    /// Ends one of the person's own sessions. False: there is no such session of theirs.
    pub async fn end_session(&self, person: &Person, session: SessionId) -> Result<bool, Unavailable> {
        self.end_one(person, session, "ended by its person").await
    }

    async fn end_one(&self, person: &Person, session: SessionId, why: &str) -> Result<bool, Unavailable> {
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        let Some(ended) = stored::delete_session(&mut tx, person.account, session).await? else { return Ok(false) };
        // Whoever signs out here goes on being told here, as the page says where that is turned on.
        if session != person.session {
            push::end_in(&mut tx, [session]).await?;
        }
        self.record_ended(&mut tx, &By::person(person), &ended, why).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Ends all of the person's sessions but the one that asks; says how many those were.
    pub async fn end_other_sessions(&self, person: &Person) -> Result<usize, Unavailable> {
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        let ended = stored::delete_all(&mut tx, person.account, Some(person.session)).await?;
        let told = push::end_of(&mut tx, person.account, Some(person.session)).await?;
        if !ended.is_empty() || told > 0 {
            let why = "other sessions ended by their person";
            let fields = json!({ "person": person.account, "why": why, "browsers_ended": told });
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
        let about = self.about(&person.email, &person.name);
        let (new, is_short) = self.accept_own(person, &new, about).await?;
        if password::normalise(&current).is_some_and(|current| *current == *new) {
            return Err(ChangePasswordError::Refused("The new password is the current one.".to_owned()));
        }
        let seat = self.seat().await?;
        let tried = self.try_password(seat, &EmailKey::of(&person.email), &current, &origin).await?;
        let Tried { account: Some(account), seat, .. } = tried else {
            return Err(ChangePasswordError::WrongCurrent);
        };
        let (_, phc) = seat.hash(&new, &self.0.random).await.map_err(Unavailable::from)?;
        self.exchange(person, &account, (&phc, is_short), &origin).await?.ok_or(ChangePasswordError::SignedOut)
    }

    /// A new password by the rules for this person, and whether it is long enough only beside a second factor (S-01).
    async fn accept_own(
        &self,
        person: &Person,
        new: &SecretString,
        about: About<'_>,
    ) -> Result<(Zeroizing<String>, bool), ChangePasswordError> {
        let mut conn = self.0.database.pages.acquire().await.map_err(Unavailable::from)?;
        let kinds = load_kinds(&mut conn, person.account).await.map_err(Unavailable::from)?;
        let least = if kinds.any() { password::SHORTEST_BESIDE } else { password::SHORTEST };
        let new =
            password::accept_of(new, about, least).map_err(|bad| ChangePasswordError::Refused(bad.to_string()))?;
        let is_short = new.chars().count() < password::SHORTEST;
        Ok((new, is_short))
    }

    async fn exchange(
        &self,
        person: &Person,
        checked: &Account,
        (phc, is_short): (&str, bool),
        origin: &Origin,
    ) -> Result<Option<NewSession>, Unavailable> {
        let now = self.0.clock.now();
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        let Some(account) = lock_unchanged(&mut tx, checked).await? else { return Ok(None) };
        let has_factor = load_kinds(&mut tx, account.id).await?.any();
        if is_short && !has_factor {
            // The last factor went meanwhile; the password would be too short alone.
            return Ok(None);
        }
        let ended = stored::delete_all(&mut tx, account.id, None).await?;
        if account.id != person.account || !ended.iter().any(|session| session.id == person.session) {
            return Ok(None);
        }
        push::end_of(&mut tx, account.id, Some(person.session)).await?;
        clear_tries(&mut tx, &EmailKey::of(&account.email_key).hash()).await?;
        accounts::mark_password(&mut tx, account.id, phc, Some((now, false))).await?;
        if is_short {
            accounts::mark_password_short(&mut tx, account.id).await?;
        }
        let account = Account { must_change_password: false, ..account };
        // The password alone is no fresh proof where there is more.
        let before = person.stepped_up_at.zip(person.proven_by.as_deref());
        let proven = if has_factor { before } else { Some((now, "password")) };
        let factor = person.factor.as_deref().and_then(Factor::from_name);
        let begun = Begun { method: &person.method, factor, proven };
        let new = self.insert_session_with(&mut tx, &account, begun, origin).await?;
        // Whoever knows the old password may have signed in elsewhere, or asked for a link.
        if let Some(device) = &new.device {
            self.forget_other_browsers(&mut tx, account.id, device).await?;
        }
        self.end_links(&mut tx, account.id).await?;
        self.mail_password_changed(&mut tx, &account, origin).await?;
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

    /// Knows the browser of a session that begins, and tells its person if it was not known before.
    pub(super) async fn meet_browser(
        &self,
        conn: &mut PgConnection,
        account: &Account,
        method: &str,
        origin: &Origin,
    ) -> Result<SecretString, Unavailable> {
        let remembered = self.remember_browser(conn, account.id, origin).await?;
        // Whoever has just got an account knows where they are.
        if remembered.is_new && !matches!(method, "setup" | "invite") {
            self.mail_new_browser(conn, account, origin).await?;
        }
        Ok(remembered.cookie)
    }

    /// Ends every session of an account within the caller's transaction, and the links of mails about approvals and the browsers
    /// that are told of them, which stand for their person as sessions do: for good, whatever they are given back (L-04).
    pub(super) async fn end_all(&self, conn: &mut PgConnection, account: &Account) -> Result<Vec<Ended>, Unavailable> {
        mailed_links::delete_of(conn, account.id).await?;
        push::end_of(conn, account.id, None).await?;
        Ok(stored::delete_all(conn, account.id, None).await?)
    }

    fn idle_since(&self, now: Timestamp) -> Timestamp {
        now.checked_sub(self.0.settings.idle).unwrap_or(Timestamp::MIN)
    }
}
