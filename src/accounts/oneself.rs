//! What people change about their own accounts beside the ways in: their name and the time zone they read times in. Neither
//! lets them do more or less, so nothing ends and no fresh proof is asked for; both are recorded, because a name stands on
//! decisions that others rely on.

use serde_json::json;
use sqlx::{Connection as _, PgConnection};

use super::identity::parse_name;
use super::records::account_told;
use super::{Accounts, By, Unavailable};
use crate::audit::Kind;
use crate::domain::people::Person;
use crate::domain::zone;
use crate::store::accounts::{self, Account};

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OwnError {
    /// A sentence about the only field.
    #[error("{0}")]
    BadField(String),
    #[error("Choose a password of your own first.")]
    PasswordFirst,
    /// The account was disabled meanwhile.
    #[error("You are no longer signed in.")]
    SignedOut,
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl From<sqlx::Error> for OwnError {
    fn from(error: sqlx::Error) -> Self {
        Self::Unavailable(error.into())
    }
}

impl Accounts {
    /// Gives the person the name they want. False: it was so already.
    ///
    /// # Errors
    /// [`OwnError`].
    pub async fn change_own_name(&self, person: &Person, name: &str) -> Result<bool, OwnError> {
        let name = parse_name(name).map_err(OwnError::BadField)?;
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        let account = lock_own(&mut tx, person).await?;
        if account.name == name {
            return Ok(false);
        }
        accounts::mark_name(&mut tx, account.id, &name).await?;
        let before = json!({ "name": account.name });
        let mut fields = account_told(&Account { name, ..account });
        fields["before"] = before;
        self.record(&mut tx, Kind::AccountChanged, &By::person(person), fields).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Shows the person times in this zone from now on. False: it was so already.
    ///
    /// # Errors
    /// [`OwnError`].
    pub async fn change_time_zone(&self, person: &Person, name: &str) -> Result<bool, OwnError> {
        zone::parse(name).map_err(OwnError::BadField)?;
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        let account = lock_own(&mut tx, person).await?;
        if account.time_zone == name {
            return Ok(false);
        }
        accounts::mark_time_zone(&mut tx, account.id, name).await?;
        let mut fields = account_told(&account);
        fields["time_zone"] = json!(name);
        fields["before"] = json!({ "time_zone": account.time_zone });
        self.record(&mut tx, Kind::AccountChanged, &By::person(person), fields).await?;
        tx.commit().await?;
        Ok(true)
    }
}

/// The person's account, locked against change.
async fn lock_own(conn: &mut PgConnection, person: &Person) -> Result<Account, OwnError> {
    let account = accounts::lock_account(conn, person.account).await?.ok_or(OwnError::SignedOut)?;
    match account {
        Account { disabled_at: Some(_), .. } => Err(OwnError::SignedOut),
        Account { must_change_password: true, .. } => Err(OwnError::PasswordFirst),
        account => Ok(account),
    }
}
