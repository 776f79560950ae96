//! Passwords that others may know (S-02). Whoever marks one neither sees nor sets it: its person chooses another.

use secrecy::ExposeSecret as _;
use sqlx::Connection as _;
use zeroize::Zeroizing;

use super::admin::{AdminError, lock_target};
use super::hasher::Seat;
use super::records::{account_told, with_ended};
use super::{Accounts, By, Unavailable};
use crate::audit::Kind;
use crate::domain::ids::AccountId;
use crate::store::accounts::{self, Account};

impl Accounts {
    /// Says that others may know somebody's password. Every session of theirs ends at once, and at the next sign-in they
    /// choose another before anything else. False: it must be changed already.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn mark_compromised(&self, by: &By, id: AccountId) -> Result<bool, AdminError> {
        // One's own is changed rather than marked.
        if by.account() == Some(id) {
            return Err(AdminError::Oneself);
        }
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        let (account, _) = lock_target(&mut tx, by, id).await?;
        if account.is_deleted() {
            return Err(AdminError::NoSuchAccount);
        }
        if account.password_phc.is_none() {
            return Err(AdminError::NoPassword);
        }
        if !accounts::mark_compromised(&mut tx, id, self.0.clock.now()).await? {
            return Ok(false);
        }
        // A browser in which others used it is not to be trusted either.
        self.forget_browsers(&mut tx, id).await?;
        let ended = self.end_all(&mut tx, &account).await?;
        self.mail_password_compromised(&mut tx, by, &account).await?;
        let fields = account_told(&Account { must_change_password: true, ..account });
        self.record(&mut tx, Kind::AccountPasswordCompromised, by, with_ended(fields, &ended)).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Whether this is the very password that others may know. Hashes only where there is one.
    pub(super) async fn is_the_compromised(
        &self,
        seat: Seat,
        id: AccountId,
        password: &Zeroizing<String>,
    ) -> Result<(Seat, bool), Unavailable> {
        let mut conn = self.0.database.pages.acquire().await?;
        let account = accounts::lock_account(&mut conn, id).await?.filter(Account::is_compromised);
        drop(conn);
        let Some(phc) = account.and_then(|account| account.password_phc) else { return Ok((seat, false)) };
        let (seat, checked) = seat.check(password, Some(phc.expose_secret())).await?;
        Ok((seat, checked.matches))
    }
}
