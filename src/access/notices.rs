//! An admin who gives themselves something is seen by all the others: a banner until each has put it away.

use sqlx::{Connection as _, PgConnection};

use super::{Access, AccessError, NOT_ADMIN, Parts};
use crate::accounts::By;
use crate::accounts::notices::tell_admins;
use crate::domain::ids::{AccountId, NoticeId};
use crate::domain::people::{Person, Role};
use crate::store::access::notices::{self, Notice};

/// How many are shown at a time.
const AT_MOST: i64 = 5;

impl Access {
    /// What this admin has not put away yet. Nothing for who is none.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn list_notices(&self, person: &Person) -> sqlx::Result<Vec<Notice>> {
        if !person.roles.has(Role::Admin) {
            return Ok(Vec::new());
        }
        let mut conn = self.0.database.pages.acquire().await?;
        notices::list_unseen(&mut conn, person.account, AT_MOST).await
    }

    /// An admin has seen a notice. Twice is once.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn put_away(&self, by: &By, id: NoticeId) -> Result<(), AccessError> {
        let admin = by.account().ok_or(NOT_ADMIN)?;
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        if !notices::mark_seen(&mut tx, id, admin, self.0.clock.now()).await? {
            return Err(AccessError::Gone("There is no such notice."));
        }
        tx.commit().await?;
        Ok(())
    }

    /// Tells every other admin what one of them gave themselves, in the transaction that gives it.
    pub(super) async fn tell_admins(&self, conn: &mut PgConnection, who: AccountId, text: String) -> sqlx::Result<()> {
        let Parts { clock, random, outbox, .. } = &*self.0;
        tell_admins(conn, (random, outbox.as_ref()), who, (clock.now(), &text)).await
    }
}
