//! How a session begins: by what was shown, in place of what came with the request, with its record. The one writer of new
//! sessions.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::PgConnection;
use zeroize::Zeroizing;

use super::sessions::hash_of;
use super::{Accounts, By, NewSession, Origin, Unavailable};
use crate::domain::ids::{SessionId, sha256};
use crate::domain::people::{Factor, Person};
use crate::domain::zone;
use crate::store::accounts::Account;
use crate::store::sessions::{self as stored, Ended, NewRow, mark_of};

/// How a session begins, and what was shown for it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Begun<'a> {
    pub method: &'a str,
    /// The second factor that was shown.
    pub factor: Option<Factor>,
    /// When its person last proved who they are, and with what.
    pub proven: Option<(Timestamp, &'a str)>,
}

impl Accounts {
    /// Begins a session within the caller's transaction, by the password or in place of it, for an account without a second
    /// factor. Recording it is the caller's last step.
    pub(super) async fn insert_session(
        &self,
        conn: &mut PgConnection,
        account: &Account,
        method: &str,
        origin: &Origin,
    ) -> Result<NewSession, Unavailable> {
        self.insert_session_with(conn, account, self.begun_now(method, None), origin).await
    }

    /// Proven just now, and here.
    pub(super) fn begun_now<'a>(&self, method: &'a str, factor: Option<Factor>) -> Begun<'a> {
        let by = factor.map_or(method, |factor| factor.name());
        Begun { method, factor, proven: Some((self.0.clock.now(), by)) }
    }

    /// Begins a session within the caller's transaction in place of one that came with the request, and records both
    /// (S-25).
    pub(super) async fn begin_in(
        &self,
        conn: &mut PgConnection,
        account: &Account,
        begun: Begun<'_>,
        (origin, replaces): (&Origin, Option<&SecretString>),
    ) -> Result<NewSession, Unavailable> {
        let (new, replaced) = self.begin_unrecorded(conn, account, begun, (origin, replaces)).await?;
        self.record_begun(conn, (&new, replaced.as_ref()), origin).await?;
        Ok(new)
    }

    /// The same for whoever has more to record: that comes before [`Accounts::record_begun`], after everything else.
    pub(super) async fn begin_unrecorded(
        &self,
        conn: &mut PgConnection,
        account: &Account,
        begun: Begun<'_>,
        (origin, replaces): (&Origin, Option<&SecretString>),
    ) -> Result<(NewSession, Option<Ended>), Unavailable> {
        let replaced = match replaces.and_then(|secret| hash_of(secret.expose_secret())) {
            Some(hash) => stored::delete_by_secret(conn, &hash).await?,
            None => None,
        };
        let new = self.insert_session_with(conn, account, begun, origin).await?;
        Ok((new, replaced))
    }

    pub(super) async fn record_begun(
        &self,
        conn: &mut PgConnection,
        (new, replaced): (&NewSession, Option<&Ended>),
        origin: &Origin,
    ) -> Result<(), Unavailable> {
        if let Some(replaced) = replaced {
            self.record_ended(conn, &By::person(&new.person), replaced, "replaced by a new sign-in").await?;
        }
        self.record_started(conn, &new.person, origin).await
    }

    pub(super) async fn insert_session_with(
        &self,
        conn: &mut PgConnection,
        account: &Account,
        begun: Begun<'_>,
        origin: &Origin,
    ) -> Result<NewSession, Unavailable> {
        let Begun { method, factor, proven } = begun;
        let (stepped_up_at, proven_by) = proven.unzip();
        let factor = factor.map(Factor::name);
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
            factor,
            stepped_up_at,
            proven_by,
            address: &origin.address.to_string(),
            user_agent: &origin.agent(),
            started_at: now,
            expires_at,
        };
        stored::insert_session(conn, &row).await?;
        let device = self.meet_browser(conn, account, method, origin).await?;
        let lacks_factor = account.roles.admin && factor.is_none();
        let person = Person {
            account: account.id,
            email: account.email.clone(),
            name: account.name.clone(),
            roles: Person::rights(account.roles, account.must_change_password, lacks_factor),
            must_change_password: account.must_change_password,
            session: id,
            method: method.to_owned(),
            signed_in_at: now,
            factor: factor.map(str::to_owned),
            lacks_factor,
            stepped_up_at,
            proven_by: proven_by.map(str::to_owned),
            address: origin.address,
            zone: zone::find_or_utc(&account.time_zone),
            session_mark: mark_of(&token_hash),
        };
        let cookie_secret = SecretString::from(URL_SAFE_NO_PAD.encode(secret.as_slice()));
        Ok(NewSession { cookie_secret, person, expires_at, device: Some(device) })
    }
}
