//! Step-up: proving afresh, within a session, who one is (S-18, S-35). By a factor where there is one, else by the password;
//! the session gets another id (S-25).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::json;
use sqlx::{Connection as _, PgConnection};
use zeroize::Zeroizing;

use super::proving::{Checked, Showing, passkey_told};
use super::{Asked, Proof, ProofError, holder, stored};
use crate::accounts::ceremonies::Purpose;
use crate::accounts::identity::EmailKey;
use crate::accounts::sign_in::SignInError;
use crate::accounts::strangers::Deed;
use crate::accounts::{Accounts, By, NewSession, Origin, Unavailable, until};
use crate::audit::Kind;
use crate::domain::ids::sha256;
use crate::domain::people::{Factor, Person};
use crate::store::accounts::{self, Account};
use crate::store::sessions::{self, mark_of};
use crate::store::throttle::{self, Bucket, clear_tries};

/// Tries of one account to prove afresh who its person is.
const PROVING: Bucket = Bucket { interval: Duration::from_secs(6), burst: 10 };

/// What a signed-in person shows.
#[derive(Debug)]
pub enum StepUpProof {
    Factor(Proof),
    /// Counts only for who has no factor.
    Password(SecretString),
}

/// What a signed-in person can show.
#[derive(Debug, Clone, Copy)]
pub struct Proofs {
    pub passkey: bool,
    pub totp: bool,
    pub recovery: bool,
    pub password: bool,
}

impl Proofs {
    #[must_use]
    pub fn any(&self) -> bool {
        self.passkey || self.totp || self.recovery || self.password
    }
}

impl From<SignInError> for ProofError {
    fn from(error: SignInError) -> Self {
        match error {
            SignInError::Wrong => Self::Wrong("The password is wrong."),
            SignInError::TooMany { retry_after } => Self::TooMany { retry_after },
            SignInError::Busy { retry_after } => Self::Busy { retry_after },
            SignInError::Unavailable(cause) => Self::Unavailable(cause),
        }
    }
}

impl From<ProofError> for SignInError {
    fn from(error: ProofError) -> Self {
        match error {
            ProofError::TooMany { retry_after } => Self::TooMany { retry_after },
            ProofError::Busy { retry_after } => Self::Busy { retry_after },
            ProofError::Unavailable(cause) => Self::Unavailable(cause),
            ProofError::Wrong(_) | ProofError::Over | ProofError::SignedOut => Self::Wrong,
        }
    }
}

impl Accounts {
    /// What this person can show.
    ///
    /// # Errors
    /// The database did not answer.
    pub async fn proofs(&self, person: &Person) -> Result<Proofs, Unavailable> {
        let mut conn = self.0.database.pages.acquire().await?;
        let kinds = stored::load_kinds(&mut conn, person.account).await?;
        Ok(Proofs {
            passkey: kinds.usable_passkeys > 0 && self.takes_passkeys(),
            totp: kinds.totp,
            recovery: kinds.recovery > 0,
            password: !kinds.any() && self.has_password_within(&mut conn, person.account).await?,
        })
    }

    /// Asks for a passkey of this person. None: they have none.
    ///
    /// # Errors
    /// The database did not answer.
    pub async fn ask_step_up(&self, person: &Person) -> Result<Option<Asked>, Unavailable> {
        let mut conn = self.0.database.pages.acquire().await?;
        self.ask_passkey(&mut conn, (Purpose::StepUp, holder(person)), Some(person.account)).await
    }

    /// Proves afresh who a signed-in person is. The session goes on under another id.
    ///
    /// # Errors
    /// [`ProofError`].
    pub async fn step_up(
        &self,
        person: &Person,
        proof: StepUpProof,
        origin: &Origin,
    ) -> Result<NewSession, ProofError> {
        self.pass_prover(person).await?;
        let by = By::person(person);
        let about = (Purpose::StepUp, holder(person));
        let showing = Showing { account: person.account, about, by: &by, origin, at: "step-up" };
        let checked = match &proof {
            StepUpProof::Factor(proof) => Some(self.check_proof(showing, proof).await?),
            StepUpProof::Password(password) => {
                self.check_own_password(person, password, origin).await?;
                None
            }
        };
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        let account = accounts::lock_account(&mut tx, person.account).await?;
        let account = account.filter(|account| account.disabled_at.is_none()).ok_or(ProofError::SignedOut)?;
        if !self.use_proof(&mut tx, &account, checked.as_ref(), origin).await? {
            return Err(ProofError::Over);
        }
        let factor = checked.as_ref().map(Checked::factor);
        let proven = (self.0.clock.now(), factor.map_or("password", |factor| factor.name()));
        let renewed = self.renew_session(&mut tx, (person, &account), factor, proven).await?;
        let new = renewed.ok_or(ProofError::SignedOut)?;
        let mut fields = stepped_up(person, &new.person, origin);
        if let Some(passkey) = checked.as_ref().and_then(passkey_told) {
            fields["passkey"] = passkey;
        }
        self.record(&mut tx, Kind::SteppedUp, &By::person(&new.person), fields).await?;
        tx.commit().await?;
        Ok(new)
    }

    /// Lets a limited number of tries of one account through: each that fails is a record.
    async fn pass_prover(&self, person: &Person) -> Result<(), ProofError> {
        let now = self.0.clock.now();
        let mut conn = self.0.database.pages.acquire().await?;
        let wait = throttle::take_token(&mut conn, &format!("step-up {}", person.account), PROVING, now).await?;
        let Some(then) = wait else { return Ok(()) };
        self.0.strangers.count(Deed::AccountThrottled);
        Err(ProofError::TooMany { retry_after: until(then, now) })
    }

    /// A wrong password counts like a failed sign-in: a stolen session is no way around the limits.
    async fn check_own_password(
        &self,
        person: &Person,
        password: &SecretString,
        origin: &Origin,
    ) -> Result<(), ProofError> {
        let seat = self.seat().await.map_err(SignInError::from)?;
        let tried = self.try_password(seat, &EmailKey::of(&person.email), password, origin).await?;
        match tried.account {
            Some(account) if account.id == person.account => Ok(()),
            _ => Err(SignInError::Wrong.into()),
        }
    }

    async fn use_proof(
        &self,
        conn: &mut PgConnection,
        account: &Account,
        checked: Option<&Checked>,
        origin: &Origin,
    ) -> Result<bool, Unavailable> {
        match checked {
            Some(checked) => self.use_up(conn, account.id, checked).await,
            None => {
                // The try was counted in this browser, where it is known, and by e-mail where not.
                self.forgive_browser(conn, account.id, origin).await?;
                clear_tries(conn, &EmailKey::of(&account.email_key).hash()).await?;
                // A factor that was added meanwhile is what counts now.
                Ok(!stored::load_kinds(conn, account.id).await?.any())
            }
        }
    }

    /// Gives a session another id, as proven then. None: it has ended. Recording it is the caller's.
    pub(in crate::accounts) async fn renew_session(
        &self,
        conn: &mut PgConnection,
        (person, account): (&Person, &Account),
        factor: Option<Factor>,
        (proven_at, proven_by): (Timestamp, &str),
    ) -> Result<Option<NewSession>, Unavailable> {
        let now = self.0.clock.now();
        let secret: Zeroizing<[u8; 32]> = Zeroizing::new(self.0.random.bytes());
        let token_hash = sha256(secret.as_slice());
        let whose = (account.id, person.session);
        let proven = (factor.map(Factor::name), proven_by, proven_at);
        let renewed = sessions::replace_secret(conn, whose, &token_hash, proven, now).await?;
        let Some(expires_at) = renewed else { return Ok(None) };
        let factor = factor.map(|factor| factor.name().to_owned()).or_else(|| person.factor.clone());
        let lacks_factor = account.roles.admin && factor.is_none();
        let person = Person {
            roles: Person::rights(account.roles, account.must_change_password, lacks_factor),
            factor,
            lacks_factor,
            stepped_up_at: Some(proven_at),
            proven_by: Some(proven_by.to_owned()),
            session_mark: mark_of(&token_hash),
            ..person.clone()
        };
        let cookie_secret = SecretString::from(URL_SAFE_NO_PAD.encode(secret.as_slice()));
        Ok(Some(NewSession { cookie_secret, person, expires_at, device: None }))
    }

    pub(super) async fn record_stepped_up(
        &self,
        conn: &mut PgConnection,
        (before, after): (&Person, &Person),
        origin: &Origin,
    ) -> Result<(), Unavailable> {
        self.record(conn, Kind::SteppedUp, &By::person(after), stepped_up(before, after, origin)).await
    }
}

fn stepped_up(before: &Person, after: &Person, origin: &Origin) -> serde_json::Value {
    json!({
        "person": after.account, "factor": after.proven_by, "session": after.session_mark,
        "session_before": before.session_mark, "address": origin.address, "user_agent": origin.agent(),
    })
}
