//! New passwords for who forgot theirs: by a link that is mailed to them, whoever asked for it (S-06). Asking is answered
//! before anybody looks whether there is such an account (S-10); what comes of it is a duty's work.

use std::net::IpAddr;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

use super::admin::{AdminError, lock_target};
use super::identity::{Email, EmailKey};
use super::links::{Link, LinkError, Purpose, code_hash};
use super::password;
use super::records::with_ended;
use super::sign_in::network_of;
use super::strangers::Deed;
use super::{Accounts, By, Origin, Unavailable, until};
use crate::audit::Kind;
use crate::domain::ids::AccountId;
use crate::sealing;
use crate::store::accounts::{self, Account};
use crate::store::links;
use crate::store::throttle::{self, Bucket, clear_tries};

/// Requests from one address, and links to one account (S-13): 3 an hour.
const ASKING: Bucket = Bucket { interval: Duration::from_secs(20 * 60), burst: 3 };
/// Links that strangers have made, over all accounts: each is a record, and so are 50 failed sign-ins a minute.
const MAKING: Bucket = Bucket { interval: Duration::from_secs(8), burst: 1 };
/// A request that could not be looked at for so long is of no use any more.
const STALE: SignedDuration = SignedDuration::from_hours(1);
/// A link that was mailed is not replaced for so long by who is not signed in.
const NEW_FOR: SignedDuration = SignedDuration::from_mins(10);

/// Why nobody was asked for anything.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// One sentence about the field `email`.
    #[error("{0}")]
    BadEmail(String),
    #[error("Too many tries.")]
    TooMany { retry_after: Duration },
    /// No mail is configured: only an admin or the operator can help.
    #[error("This portal sends no mail.")]
    NoMail,
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl From<sqlx::Error> for AskError {
    fn from(error: sqlx::Error) -> Self {
        Self::Unavailable(error.into())
    }
}

/// A reset that an admin or the operator started.
#[derive(Debug)]
pub struct StartedReset {
    /// Only where no mail is configured. Otherwise the link is the person's alone.
    pub link: Option<SecretString>,
    pub expires_at: Timestamp,
}

/// A reset as whoever holds its link sees it.
#[derive(Debug, Clone)]
pub struct ResetView {
    pub email: String,
    pub expires_at: Timestamp,
}

impl Accounts {
    /// Whether somebody who forgot their password can be helped by mail.
    #[must_use]
    pub fn sends_mail(&self) -> bool {
        self.0.outbox.is_open()
    }

    /// Takes note that somebody forgot a password. The same for everybody: whether anybody has that e-mail is looked at
    /// later, by [`Accounts::answer_request`].
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn ask_for_reset(&self, email: &str, origin: &Origin) -> Result<(), AskError> {
        if !self.sends_mail() {
            return Err(AskError::NoMail);
        }
        let email = Email::parse(email).map_err(AskError::BadEmail)?;
        let now = self.0.clock.now();
        let mut conn = self.0.database.pages.acquire().await?;
        // Not by e-mail: strangers who ask for somebody would keep them from asking.
        let bucket = format!("reset {}", network_of(origin.address));
        if let Some(then) = throttle::take_token(&mut conn, &bucket, ASKING, now).await? {
            self.0.strangers.count(Deed::ResetThrottled);
            return Err(AskError::TooMany { retry_after: until(then, now) });
        }
        let id = self.0.random.uuid_v7(now);
        let sealed = self.0.sealer.seal(sealing::Purpose::Mail, &owner(id), email.key().as_str().as_bytes());
        let request = links::Request { id, sealed, address: origin.address.to_string(), asked_at: now };
        links::insert_request(&mut conn, &request).await?;
        Ok(())
    }

    /// Looks at one request of [`Accounts::ask_for_reset`]. False: there is none, or not now.
    ///
    /// # Errors
    /// The request stays.
    pub async fn answer_request(&self) -> Result<bool, Unavailable> {
        self.0.database.pulse.or_dead(self.answer_one()).await
    }

    async fn answer_one(&self) -> Result<bool, Unavailable> {
        let now = self.0.clock.now();
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        let Some(request) = links::take_request(&mut tx).await? else { return Ok(false) };
        let email = self.0.sealer.open_sealed(sealing::Purpose::Mail, &owner(request.id), &request.sealed).ok();
        let email = email.and_then(|email| String::from_utf8(email.to_vec()).ok());
        let is_stale = now.duration_since(request.asked_at) > STALE;
        let account = match email {
            Some(email) if !is_stale => self.find_resettable(&mut tx, &email).await?,
            _ => None,
        };
        let Some(account) = account else {
            self.0.strangers.count(Deed::ResetUnknown);
            tx.commit().await?;
            return Ok(true);
        };
        if !self.may_have_link(&mut tx, &account).await? {
            self.0.strangers.count(Deed::ResetThrottled);
            tx.commit().await?;
            return Ok(true);
        }
        if throttle::take_token(&mut tx, "reset links", MAKING, now).await?.is_some() {
            // Rolled back: the request is looked at again.
            return Ok(false);
        }
        let told = json!({ "address": request.address });
        self.send_reset(&mut tx, &By::Stranger, &account, told).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Whether somebody is sent another link: not while the last one is new, and may be what they are just opening; and
    /// three an hour, whoever asks (S-13).
    async fn may_have_link(&self, conn: &mut PgConnection, account: &Account) -> Result<bool, sqlx::Error> {
        let now = self.0.clock.now();
        let new_since = now.checked_sub(NEW_FOR).unwrap_or(now);
        if links::has_link_since(conn, account.id, Purpose::Reset.name(), new_since).await? {
            return Ok(false);
        }
        let bucket = format!("reset-email {}", hex::encode(EmailKey::of(&account.email_key).hash()));
        Ok(throttle::take_token(conn, &bucket, ASKING, now).await?.is_none())
    }

    /// Has a link for a new password sent to somebody. Whoever starts it neither sees nor sets the password; the old one
    /// goes on until the link is used. Without mail only the operator starts one: an admin who has the link could become
    /// somebody else.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn start_reset(&self, by: &By, id: AccountId) -> Result<StartedReset, AdminError> {
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        let (account, _) = lock_target(&mut tx, by, id).await?;
        if !self.sends_mail() && !matches!(by, By::Operator) {
            return Err(AdminError::NoMail);
        }
        if account.disabled_at.is_some() {
            return Err(AdminError::Disabled);
        }
        if links::is_invited(&mut tx, id).await? {
            return Err(AdminError::StillInvited);
        }
        if !self.signs_in_locally(&mut tx, id).await? {
            return Err(AdminError::NoLocalSignIn);
        }
        let link = self.send_reset(&mut tx, by, &account, json!({})).await?;
        tx.commit().await?;
        let expires_at = link.expires_at;
        Ok(StartedReset { link: (!self.sends_mail()).then_some(link.address), expires_at })
    }

    async fn send_reset(
        &self,
        conn: &mut PgConnection,
        by: &By,
        account: &Account,
        mut told: Value,
    ) -> Result<Link, Unavailable> {
        let link = self.make_link(conn, Purpose::Reset, account.id, by).await?;
        let mailed = self.mail_reset(conn, by, account, link.address.expose_secret()).await?;
        told["person"] = json!(account.id);
        told["expires_at"] = json!(link.expires_at);
        told["mailed"] = json!(mailed);
        self.record(conn, Kind::AccountResetStarted, by, told).await?;
        Ok(link)
    }

    /// Whose password a link is for. Looking at it changes nothing.
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn find_reset(&self, code: &SecretString, address: IpAddr) -> Result<ResetView, LinkError> {
        let found = self.find_link(Purpose::Reset, code, address).await?;
        Ok(ResetView { email: found.email, expires_at: found.expires_at })
    }

    /// Sets a new password, forgets failures and known browsers, and ends every session. Nobody is signed in by it: a
    /// second factor is still asked for. Of two who use one link, one does.
    ///
    /// # Errors
    /// [`LinkError`]. A refused password does not use the link up.
    pub async fn reset_by_link(
        &self,
        code: &SecretString,
        password: &SecretString,
        origin: &Origin,
    ) -> Result<(), LinkError> {
        let found = self.find_link(Purpose::Reset, code, origin.address).await?;
        let about = self.about(&found.email, &found.name);
        let bad =
            |problem: password::BadPassword| LinkError::BadField { field: "password", problem: problem.to_string() };
        let password = password::accept(password, about).map_err(bad)?;
        let seat = self.seat().await?;
        let (seat, is_known) = self.is_the_compromised(seat, found.account, &password).await?;
        if is_known {
            let problem = "This is the password that others may know. Choose another one.".to_owned();
            return Err(LinkError::BadField { field: "password", problem });
        }
        let (_, phc) = seat.hash(&password, &self.0.random).await.map_err(Unavailable::from)?;
        let done = Box::pin(self.finish_reset(found.account, &code_hash(code), &phc, origin)).await?;
        if done { Ok(()) } else { Err(self.refuse_link()) }
    }

    async fn finish_reset(
        &self,
        id: AccountId,
        hash: &[u8; 32],
        phc: &str,
        origin: &Origin,
    ) -> Result<bool, Unavailable> {
        let now = self.0.clock.now();
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        let account = accounts::lock_account(&mut tx, id).await?.filter(|account| account.disabled_at.is_none());
        let Some(account) = account else { return Ok(false) };
        if !self.signs_in_locally(&mut tx, id).await? {
            return Ok(false);
        }
        // Two callers meet at this row: the second finds it gone.
        if !links::delete_link(&mut tx, hash, Purpose::Reset.name(), now).await? {
            return Ok(false);
        }
        links::delete_links(&mut tx, id).await?;
        accounts::mark_password(&mut tx, id, phc, Some((now, false))).await?;
        clear_tries(&mut tx, &EmailKey::of(&account.email_key).hash()).await?;
        self.forget_browsers(&mut tx, id).await?;
        let ended = self.end_all(&mut tx, &account).await?;
        self.mail_password_reset(&mut tx, &account, Some(origin)).await?;
        let fields = json!({
            "person": id, "by_link": true, "address": origin.address, "user_agent": origin.agent(),
        });
        self.record(&mut tx, Kind::AccountPasswordReset, &By::Stranger, with_ended(fields, &ended)).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// The enabled account with this e-mail, if it has a use for a password; unless its person has yet to accept an
    /// invitation: that one is renewed by whoever gave it.
    async fn find_resettable(&self, conn: &mut PgConnection, email_key: &str) -> Result<Option<Account>, sqlx::Error> {
        let Some(account) = accounts::find_by_email(conn, email_key).await? else { return Ok(None) };
        // Locked, so that a disabling under way comes before or after, not between.
        let Some(account) = accounts::lock_account(conn, account.id).await? else { return Ok(None) };
        let is_open = account.disabled_at.is_none() && account.email_key == email_key;
        let may =
            is_open && !links::is_invited(conn, account.id).await? && self.signs_in_locally(conn, account.id).await?;
        Ok(may.then_some(account))
    }
}

fn owner(request: uuid::Uuid) -> String {
    format!("reset {request}")
}
