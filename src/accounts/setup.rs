//! The first account, made with a secret that only whoever reads the operator's log can know (S-07). There is no default
//! account and no default password, at no time.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use sqlx::Connection as _;
use zeroize::Zeroizing;

use super::break_glass::mark_first;
use super::hasher::Busy;
use super::identity::{self, Email};
use super::password;
use super::records::account_told;
use super::sessions::hash_of;
use super::sign_in::SignInError;
use super::strangers::Deed;
use super::{Accounts, By, NewSession, Origin, Unavailable};
use crate::audit::Kind;
use crate::domain::ids::sha256;
use crate::domain::people::Role;
use crate::store::accounts::{self, Account};

/// How long a set-up secret serves.
const SERVES: SignedDuration = SignedDuration::from_hours(1);

/// What the first person gives.
#[derive(Debug)]
pub struct Setup {
    pub secret: SecretString,
    pub email: String,
    pub name: String,
    pub password: SecretString,
    pub origin: Origin,
}

/// Why the first account was not made.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// An account exists: `/setup` is 404.
    #[error("Countersign is already set up.")]
    AlreadySetUp,
    /// Wrong, used, or older than an hour.
    #[error("This set-up secret is wrong or too old. Restart Countersign to get a new one in its log.")]
    WrongSecret,
    /// The text says which rule the field breaks; `field` is `email`, `name` or `password`.
    #[error("{problem}")]
    BadField { field: &'static str, problem: String },
    #[error("Too many tries.")]
    TooMany { retry_after: Duration },
    #[error("Too many people are signing in.")]
    Busy { retry_after: Duration },
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl From<Busy> for SetupError {
    fn from(busy: Busy) -> Self {
        Self::Busy { retry_after: busy.retry_after }
    }
}

impl From<SignInError> for SetupError {
    fn from(error: SignInError) -> Self {
        match error {
            SignInError::Wrong => Self::WrongSecret,
            SignInError::TooMany { retry_after } => Self::TooMany { retry_after },
            SignInError::Busy { retry_after } => Self::Busy { retry_after },
            SignInError::Unavailable(cause) => Self::Unavailable(cause),
        }
    }
}

impl Accounts {
    /// Whether `/setup` is open.
    pub async fn no_account_exists(&self) -> Result<bool, Unavailable> {
        let mut conn = self.0.database.pages.acquire().await?;
        Ok(!accounts::any_account(&mut conn).await?)
    }

    /// Makes a new set-up secret, valid for an hour, for `serve` to print; any earlier one is dead. None once an account
    /// exists.
    pub async fn issue_secret(&self) -> Result<Option<SecretString>, Unavailable> {
        let now = self.0.clock.now();
        let expires_at = now.checked_add(SERVES).unwrap_or(Timestamp::MAX);
        let secret: Zeroizing<[u8; 32]> = Zeroizing::new(self.0.random.bytes());
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        if accounts::any_account(&mut tx).await? {
            return Ok(None);
        }
        accounts::replace_setup_secret(&mut tx, &sha256(secret.as_slice()), now, expires_at).await?;
        self.record(&mut tx, Kind::SetupSecretIssued, &By::System, json!({ "expires_at": expires_at })).await?;
        tx.commit().await?;
        Ok(Some(SecretString::from(URL_SAFE_NO_PAD.encode(secret.as_slice()))))
    }

    /// Makes the first account, with every role and a grant for every gate, and signs it in. Of two concurrent calls one
    /// wins.
    ///
    /// # Errors
    /// [`SetupError`]. A refused field does not use the secret up.
    pub async fn complete_setup(&self, setup: Setup) -> Result<NewSession, SetupError> {
        self.pass_address(setup.origin.address).await?;
        let hash = hash_of(setup.secret.expose_secret().trim()).unwrap_or_default();
        self.check_secret(&hash).await?;
        let bad = |field| move |problem: String| SetupError::BadField { field, problem };
        let email = Email::parse(&setup.email).map_err(bad("email"))?;
        let name = identity::parse_name(&setup.name).map_err(bad("name"))?;
        let about = self.about(email.as_str(), &name);
        let password =
            password::accept(&setup.password, about).map_err(|problem| bad("password")(problem.to_string()))?;
        let (_, phc) = self.seat().await?.hash(&password, &self.0.random).await.map_err(Unavailable::from)?;
        let account = self.account(&email, name, Role::ALL.into_iter().collect(), Some(phc.into()));
        match self.begin_first(&account, &hash, &setup.origin).await? {
            Some(new) => Ok(new),
            None => Err(self.refuse_setup().await?),
        }
    }

    async fn check_secret(&self, hash: &[u8; 32]) -> Result<(), SetupError> {
        let now = self.0.clock.now();
        let mut conn = self.0.database.pages.acquire().await.map_err(Unavailable::from)?;
        let open = !accounts::any_account(&mut conn).await.map_err(Unavailable::from)?;
        let known = accounts::is_setup_secret(&mut conn, hash, now).await.map_err(Unavailable::from)?;
        drop(conn);
        if open && known { Ok(()) } else { Err(self.refuse_setup().await?) }
    }

    async fn refuse_setup(&self) -> Result<SetupError, Unavailable> {
        self.0.strangers.count(Deed::SetupRefused);
        Ok(if self.no_account_exists().await? { SetupError::WrongSecret } else { SetupError::AlreadySetUp })
    }

    async fn begin_first(
        &self,
        account: &Account,
        secret_hash: &[u8; 32],
        origin: &Origin,
    ) -> Result<Option<NewSession>, Unavailable> {
        let now = self.0.clock.now();
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        // Two callers meet at this row: the second finds it gone.
        let mine = accounts::delete_setup_secret(&mut tx, secret_hash, now).await?;
        if !mine || accounts::any_account(&mut tx).await? || !accounts::insert_account(&mut tx, account).await? {
            return Ok(None);
        }
        mark_first(&mut tx, account.id).await?;
        let new = self.insert_session(&mut tx, account, "setup", origin).await?;
        let by = By::person(&new.person);
        let grant = self.grant_first(&mut tx, &By::System, account).await?;
        self.record(&mut tx, Kind::AccountCreated, &by, account_told(account)).await?;
        if let Some(grant) = grant {
            self.record(&mut tx, Kind::GrantGiven, &By::System, grant).await?;
        }
        self.record(&mut tx, Kind::SetupCompleted, &by, json!({ "person": account.id })).await?;
        self.record_started(&mut tx, &new.person, origin).await?;
        tx.commit().await?;
        Ok(Some(new))
    }
}
