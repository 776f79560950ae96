//! The first account, made with a secret that only whoever reads the operator's log can know (S-07).

use std::time::Duration;

use secrecy::SecretString;

use super::{Accounts, NewSession, Origin, Unavailable};

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
    /// The text says which rule the field breaks.
    #[error("{problem}")]
    BadField { field: &'static str, problem: String },
    #[error("Too many tries.")]
    TooMany { retry_after: Duration },
    #[error("Too many people are signing in.")]
    Busy { retry_after: Duration },
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl Accounts {
    /// Whether `/setup` is open.
    pub async fn no_account_exists(&self) -> Result<bool, Unavailable> {
        Err(sqlx::Error::PoolClosed.into())
    }

    /// Makes a new set-up secret, valid for an hour, for `serve` to print. None once an account exists.
    pub async fn issue_secret(&self) -> Result<Option<SecretString>, Unavailable> {
        Err(sqlx::Error::PoolClosed.into())
    }

    /// Makes the first account, with every role, and signs it in. Of two concurrent calls one wins.
    pub async fn complete_setup(&self, setup: Setup) -> Result<NewSession, SetupError> {
        let _ = setup;
        Err(Unavailable::from(sqlx::Error::PoolClosed).into())
    }
}
