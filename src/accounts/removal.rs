//! Deleting an account: whatever lets anybody in and whatever says who it was is taken from it, at once and for good. The
//! records of what its person did stay as they are; the account's id goes on standing for them there.

use serde_json::json;
use sqlx::{Connection as _, PgConnection};

use super::admin::{AdminError, lock_target};
use super::identity::EmailKey;
use super::records::with_ended;
use super::{Accounts, By};
use crate::audit::Kind;
use crate::domain::ids::AccountId;
use crate::domain::people::Roles;
use crate::store::accounts::{self, Account};
use crate::store::directory::{self, EndedStandIn};
use crate::store::throttle::clear_tries;
use crate::store::{links, tokens};

/// What a deleted account is called.
pub const NAME: &str = "Deleted person";

impl Accounts {
    /// Deletes an account. False: it was deleted already. The last enabled admin cannot go, and nobody deletes themselves:
    /// somebody else must see them out.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn delete(&self, by: &By, id: AccountId) -> Result<bool, AdminError> {
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        let (account, admins) = lock_target(&mut tx, by, id).await?;
        if account.is_deleted() {
            return Ok(false);
        }
        if self.is_last_admin(&mut tx, &admins, id).await? {
            return Err(AdminError::LastAdmin);
        }
        if by.account() == Some(id) {
            return Err(AdminError::Oneself);
        }
        let ended = self.end_all(&mut tx, &account).await?;
        links::delete_links(&mut tx, id).await?;
        let revoked = tokens::revoke_all(&mut tx, id, self.0.clock.now()).await?;
        clear_tries(&mut tx, &EmailKey::of(&account.email_key).hash()).await?;
        let now = self.0.clock.now();
        accounts::mark_roles(&mut tx, id, Roles::default(), now).await?;
        if account.disabled_at.is_none() {
            accounts::mark_disabled(&mut tx, id, true, now).await?;
        }
        let rights = directory::end_rights(&mut tx, id, by.account(), now).await?;
        for stand_in in &rights.stand_ins {
            self.tell_stand_in_ended(&mut tx, &account, stand_in).await?;
        }
        let email = format!("deleted-{id}@deleted.invalid");
        directory::pseudonymise(&mut tx, id, (&email, NAME), now).await?;
        // Not who it was: that is what was asked to be forgotten. Earlier records tell it for as long as they may.
        let fields = json!({
            "person": id, "roles_before": account.roles.names(), "groups_left": rights.groups,
            "grants_ended": rights.grants,
            "tokens_revoked": revoked,
            "stand_ins_ended": rights.stand_ins.iter().map(|one| one.id).collect::<Vec<_>>(),
        });
        self.record(&mut tx, Kind::AccountDeleted, by, with_ended(fields, &ended)).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Tells the other of the two whom a stand-in was between.
    async fn tell_stand_in_ended(
        &self,
        conn: &mut PgConnection,
        deleted: &Account,
        ended: &EndedStandIn,
    ) -> Result<(), sqlx::Error> {
        let lends = ended.for_account == deleted.id;
        let other = if lends { ended.by_account } else { ended.for_account };
        let Some(address) = accounts::find_address(conn, other).await? else { return Ok(()) };
        let what = match lends {
            true => format!("You stand in for {} no longer: their account was deleted.", deleted.name),
            false => format!("{} stands in for you no longer: their account was deleted.", deleted.name),
        };
        self.mail_stand_in_ended(conn, (other, &address), &what).await?;
        Ok(())
    }
}
