//! Accounts for emergencies: where local sign-in is off, they alone may still use their password.

use sqlx::{Connection as _, PgConnection};

use super::admin::AdminError;
use super::identity::EmailKey;
use super::records::account_told;
use super::{Accounts, By, Unavailable};
use crate::audit::Kind;
use crate::domain::ids::AccountId;
use crate::store::identities;

impl Accounts {
    /// Whether a password for this e-mail is looked at at all. The same work for whoever it is (S-10).
    pub(super) async fn takes_password_of(
        &self,
        conn: &mut PgConnection,
        email: &EmailKey,
    ) -> Result<bool, Unavailable> {
        if self.0.settings.local_sign_in {
            return Ok(true);
        }
        Ok(identities::is_break_glass(conn, email.as_str()).await?)
    }

    /// Whether this account has a password that is of any use.
    ///
    /// # Errors
    /// The database did not answer.
    pub async fn has_password(&self, id: AccountId) -> Result<bool, Unavailable> {
        let mut conn = self.0.database.pages.acquire().await?;
        Ok(self.has_password_within(&mut conn, id).await?)
    }

    pub(super) async fn has_password_within(
        &self,
        conn: &mut PgConnection,
        id: AccountId,
    ) -> Result<bool, sqlx::Error> {
        let ways = identities::load_ways_in(conn, id).await?;
        Ok(ways.has_password && (self.0.settings.local_sign_in || ways.break_glass))
    }

    /// Whether somebody may sign in here rather than at a provider: with a password, or a passkey in its place.
    pub(super) async fn signs_in_locally(&self, conn: &mut PgConnection, id: AccountId) -> Result<bool, sqlx::Error> {
        Ok(self.0.settings.local_sign_in || identities::load_ways_in(conn, id).await?.break_glass)
    }

    /// Whether nobody could get in if every identity provider failed.
    pub async fn nobody_could_break_in(&self) -> Result<bool, Unavailable> {
        if self.0.settings.local_sign_in {
            return Ok(false);
        }
        let mut conn = self.0.database.pages.acquire().await?;
        Ok(!identities::any_break_glass(&mut conn).await?)
    }

    /// Marks an account as one for emergencies, or as that no longer. False: it was so already.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn set_break_glass(&self, by: &By, id: AccountId, is_it: bool) -> Result<bool, AdminError> {
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        let (account, _) = super::admin::lock_target(&mut tx, by, id).await?;
        if !identities::mark_break_glass(&mut tx, id, is_it).await? {
            return Ok(false);
        }
        let mut fields = account_told(&account);
        fields["break_glass"] = is_it.into();
        self.record(&mut tx, Kind::AccountChanged, by, fields).await?;
        tx.commit().await?;
        Ok(true)
    }
}

/// The first account is the operator's: it must open the portal also when nothing else does.
pub(super) async fn mark_first(conn: &mut PgConnection, id: AccountId) -> Result<(), sqlx::Error> {
    identities::mark_break_glass(conn, id, true).await.map(|_| ())
}
