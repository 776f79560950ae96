//! Second factors: authenticator apps, recovery codes, passkeys; how each is added, used and taken away. The only writer of
//! those tables (S-15, S-17).
//!
//! Whoever changes factors has just proven who they are, by a factor if they have one. Every change is recorded and told to
//! its person; it ends nothing else. An admin keeps a second factor, and nobody's last one goes while the password alone
//! is too short (S-01).

pub mod decision;
mod inform;
mod invited;
mod passkeys;
mod proving;
mod recovery;
mod relying;
mod second;
mod step_up;
mod totp;

use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

use super::admin::AdminError;
use super::ceremonies::Holder;
use super::{Accounts, By, NewSession, Origin, Unavailable};
use crate::audit::Kind;
use crate::domain::ids::{AccountId, CeremonyId, PasskeyId};
use crate::domain::people::{Factor, Person};
use crate::store::accounts::{self, Account};
use crate::store::factors::{self as stored, Kinds, passkeys as stored_passkeys};
use crate::store::push::browsers;
use crate::store::sessions::{self, Ended};
use inform::News;
pub use invited::InvitedPasskey;
pub use passkeys::{NewPasskey, PasskeySignIn};
pub use proving::{Proof, ProofError};
pub use recovery::FEW;
pub(super) use relying::Made;
pub use relying::RelyingParty;
pub use second::{Second, SecondView};
pub use step_up::{Proofs, StepUpProof};
pub use totp::Enrolment;

/// A question for a passkey: what to hand the browser, and what to hand back with its answer.
#[derive(Debug)]
pub struct Asked {
    pub ceremony: CeremonyId,
    pub options: Value,
}

/// What somebody has, as they may see it.
#[derive(Debug, Clone)]
pub struct FactorsView {
    pub totp: Option<stored::Totp>,
    pub passkeys: Vec<PasskeyView>,
    /// Recovery codes that are left.
    pub recovery: usize,
}

/// A passkey as its person may see it.
#[derive(Debug, Clone)]
pub struct PasskeyView {
    pub id: PasskeyId,
    pub name: String,
    pub created_at: Timestamp,
    pub last_used_at: Option<Timestamp>,
    /// Since when it is not taken any more, because there may be a copy.
    pub suspect_at: Option<Timestamp>,
}

impl FactorsView {
    #[must_use]
    pub fn any(&self) -> bool {
        self.totp.is_some() || !self.passkeys.is_empty()
    }
}

/// A factor that was added.
#[derive(Debug)]
pub struct Added {
    /// With the first factor the session gets another id: it may do more from now on (S-25).
    pub session: Option<NewSession>,
    /// Made with the first factor, and shown this once.
    pub codes: Option<Vec<SecretString>>,
    /// Those of other browsers, ended with the first factor: they were begun by a password alone.
    pub ended: Vec<Ended>,
}

/// Why factors stay as they are.
#[derive(Debug, thiserror::Error)]
pub enum FactorError {
    #[error("Prove first that it is you.")]
    ProveFirst,
    #[error("You are an admin, and admins need a second factor. Add another one before you remove this one.")]
    LastOfAdmin,
    #[error(
        "Your password has fewer than 15 characters, which is enough only beside a second factor. Choose a longer password \
         first, then remove this one."
    )]
    PasswordShort,
    #[error("You have no password, so this is your only way in. Add another passkey before you remove this one.")]
    OnlyWayIn,
    /// What was shown is not right; the text says so.
    #[error("{0}")]
    Wrong(&'static str),
    /// What was begun is too old, or there were too many tries.
    #[error("This took too long, or was tried too often. Begin again.")]
    Over,
    #[error("{0}")]
    BadName(String),
    #[error("There is no such passkey.")]
    NoSuchPasskey,
    /// Browsers know no passkeys for an IP address.
    #[error("Passkeys need a host name, and this portal is reached by an IP address.")]
    NoHostName,
    #[error("You are no longer signed in.")]
    SignedOut,
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl From<sqlx::Error> for FactorError {
    fn from(error: sqlx::Error) -> Self {
        Self::Unavailable(error.into())
    }
}

impl Accounts {
    /// What somebody has.
    pub async fn factors(&self, person: &Person) -> Result<FactorsView, Unavailable> {
        let mut conn = self.0.database.pages.acquire().await?;
        let passkeys = stored_passkeys::list_passkeys(&mut conn, person.account).await?;
        let view = |passkey: stored_passkeys::Passkey| PasskeyView {
            id: passkey.id,
            name: passkey.name,
            created_at: passkey.created_at,
            last_used_at: passkey.last_used_at,
            suspect_at: passkey.suspect_at,
        };
        Ok(FactorsView {
            totp: stored::find_totp(&mut conn, person.account).await?,
            passkeys: passkeys.into_iter().map(view).collect(),
            recovery: usize::try_from(stored::load_kinds(&mut conn, person.account).await?.recovery).unwrap_or(0),
        })
    }

    /// Whether passkeys can be used at this portal's address.
    #[must_use]
    pub fn takes_passkeys(&self) -> bool {
        self.0.relying.is_some()
    }

    fn relying(&self) -> Result<&RelyingParty, FactorError> {
        self.0.relying.as_ref().ok_or(FactorError::NoHostName)
    }

    /// Locks the account whose factors are to be changed, and refuses who has not proven who they are.
    async fn lock_for_change(&self, conn: &mut PgConnection, person: &Person) -> Result<(Account, Kinds), FactorError> {
        let account = accounts::lock_account(conn, person.account).await?;
        let account = account.filter(|account| account.disabled_at.is_none()).ok_or(FactorError::SignedOut)?;
        if !sessions::hold_session(conn, person.account, person.session).await? {
            return Err(FactorError::SignedOut);
        }
        let kinds = stored::load_kinds(conn, person.account).await?;
        self.refuse_unproven(person, kinds)?;
        Ok((account, kinds))
    }

    /// Fresh, and by a factor where there is one: a password alone adds nothing to an account that has more.
    fn refuse_unproven(&self, person: &Person, kinds: Kinds) -> Result<(), FactorError> {
        let proven = person.is_fresh(self.0.clock.now()) && (person.factor.is_some() || !kinds.any());
        if proven { Ok(()) } else { Err(FactorError::ProveFirst) }
    }

    /// Whatever must go with a factor that was just added: with the first, recovery codes, another session id, and an end of
    /// the sessions that had only the password (ASVS 7.4.3). Recording it is [`Accounts::tell_added`]'s.
    async fn welcome(
        &self,
        conn: &mut PgConnection,
        (person, account): (&Person, &Account),
        (kinds, factor): (Kinds, Factor),
    ) -> Result<Added, FactorError> {
        if kinds.any() {
            return Ok(Added { session: None, codes: None, ended: Vec::new() });
        }
        let codes = self.make_codes(conn, account.id).await?;
        let renewed =
            self.renew_session(conn, (person, account), Some(factor), (self.0.clock.now(), factor.name())).await?;
        let session = renewed.ok_or(FactorError::SignedOut)?;
        let ended = sessions::delete_all(conn, account.id, Some(person.session)).await?;
        browsers::end_of(conn, account.id, Some(person.session)).await?;
        Ok(Added { session: Some(session), codes: Some(codes), ended })
    }

    /// The news of a factor that was added, and then the records of it.
    async fn tell_added(
        &self,
        conn: &mut PgConnection,
        whose: (&Person, &Added),
        (origin, fields): (&Origin, Value),
        news: News<'_>,
    ) -> Result<(), Unavailable> {
        self.inform(conn, whose.0.account, news).await?;
        self.record_added(conn, whose, origin, fields).await
    }

    /// Records that a factor was added, with what went with it.
    async fn record_added(
        &self,
        conn: &mut PgConnection,
        (person, added): (&Person, &Added),
        origin: &Origin,
        fields: Value,
    ) -> Result<(), Unavailable> {
        if let Some(session) = &added.session {
            self.record_stepped_up(conn, (person, &session.person), origin).await?;
        }
        let by = By::person(added.session.as_ref().map_or(person, |session| &session.person));
        if let Some(codes) = &added.codes {
            let made = json!({ "person": person.account, "codes": codes.len() });
            self.record(conn, Kind::RecoveryCodesMade, &by, made).await?;
        }
        if !added.ended.is_empty() {
            let ended = json!({ "person": person.account, "why": "a first second factor was added" });
            self.record(conn, Kind::SessionEnded, &by, super::records::with_ended(ended, &added.ended)).await?;
        }
        self.record(conn, Kind::FactorAdded, &by, fields).await
    }

    /// Refuses to leave no factor that can be used where something hangs on one.
    async fn refuse_last(&self, conn: &mut PgConnection, account: &Account, left: i64) -> Result<(), FactorError> {
        if left > 0 {
            return Ok(());
        }
        if account.roles.admin {
            return Err(FactorError::LastOfAdmin);
        }
        if account.password_phc.is_none() && !stored::has_identity(conn, account.id).await? {
            return Err(FactorError::OnlyWayIn);
        }
        if accounts::is_password_short(conn, account.id).await? {
            return Err(FactorError::PasswordShort);
        }
        Ok(())
    }

    /// Recovery codes stand for other factors; without any they go too. Then the record.
    async fn tell_removed(
        &self,
        conn: &mut PgConnection,
        (person, kinds): (&Person, Kinds),
        mut fields: Value,
        news: News<'_>,
    ) -> Result<(), Unavailable> {
        if kinds.is_one() {
            stored::delete_codes(conn, person.account).await?;
            fields["recovery_codes_removed"] = Value::from(kinds.recovery);
        }
        self.inform(conn, person.account, news).await?;
        self.record(conn, Kind::FactorRemoved, &By::person(person), fields).await
    }

    /// Takes every factor of an account away, for somebody who has lost them all, and ends its sessions. False: there were
    /// none.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn reset_factors(&self, by: &By, id: AccountId) -> Result<bool, AdminError> {
        // An admin keeps a second factor; another one vouches for who has lost theirs.
        if by.account() == Some(id) {
            return Err(AdminError::Oneself);
        }
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        let (account, _) = super::admin::lock_target(&mut tx, by, id).await?;
        let kinds = stored::load_kinds(&mut tx, id).await?;
        if !kinds.any() {
            return Ok(false);
        }
        if accounts::is_password_short(&mut tx, id).await? {
            let problem = "Their password has fewer than 15 characters, which is enough only beside a second factor. Give \
                           them a new password first, then take their second factors away.";
            return Err(AdminError::BadField { field: "password", problem: problem.to_owned() });
        }
        stored::delete_totp(&mut tx, id).await?;
        stored_passkeys::delete_passkeys(&mut tx, id).await?;
        stored::delete_codes(&mut tx, id).await?;
        crate::store::ceremonies::delete_ceremonies_of(&mut tx, id).await?;
        let ended = self.end_all(&mut tx, &account).await?;
        self.inform(&mut tx, id, News::AllRemoved).await?;
        let fields = json!({
            "person": id, "factor": "all", "passkeys": kinds.passkeys, "totp": kinds.totp,
            "recovery_codes_removed": kinds.recovery,
        });
        self.record(&mut tx, Kind::FactorRemoved, by, super::records::with_ended(fields, &ended)).await?;
        tx.commit().await?;
        Ok(true)
    }
}

/// Who begins and ends what a signed-in person does.
fn holder(person: &Person) -> Holder {
    Holder::session(person.session)
}

/// Seconds to wait after the n-th wrong code in a row (S-15).
const WAITS: [i32; 12] = [0, 0, 0, 0, 30, 60, 120, 240, 480, 900, 1800, 3600];
/// So many wrong codes in a row switch an app off until its person proves otherwise who they are (NIST SP 800-63B-4, 3.2.2).
const MOST_FAILURES: i32 = 100;

/// How long somebody is told to wait.
fn wait(until: Timestamp, now: Timestamp) -> Duration {
    super::until(until, now)
}
