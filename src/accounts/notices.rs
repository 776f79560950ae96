//! What every admin must get to see, because one of them did it to somebody's rights or sign-in: on their pages until each
//! has put it away, and by mail. Put down in the transaction of what it tells of.

use jiff::Timestamp;
use sqlx::PgConnection;

use super::{Accounts, By};
use crate::domain::ids::{AccountId, NoticeId};
use crate::mail::{Letter, Outbox};
use crate::random::Random;
use crate::store::access::notices::{self, Notice};

/// Tells every admin but `about`, whom it is about or who did it.
pub(crate) async fn tell_admins(
    conn: &mut PgConnection,
    (random, outbox): (&Random, Option<&Outbox>),
    about: AccountId,
    (at, text): (Timestamp, &str),
) -> sqlx::Result<()> {
    let text: String = text.chars().take(1000).collect();
    let notice = Notice { id: NoticeId(random.uuid_v7(at)), text, at };
    notices::insert(conn, &notice, about).await?;
    let Some(outbox) = outbox else { return Ok(()) };
    for (admin, address) in notices::list_readers(conn, about).await? {
        let letter = Letter::new("admin-notice", "For every admin of Countersign")
            .saying(&notice.text)
            .moment("When", at)
            .fact("Portal", &outbox.address_of("/"))
            .saying("Every admin is told, so that nobody does this unseen. It is in the record too.");
        outbox.put(conn, (admin, &address), &letter).await?;
    }
    Ok(())
}

impl Accounts {
    /// Tells the other admins what an admin did. What the operator does is not told: they see it in the record.
    pub(super) async fn tell_other_admins(&self, conn: &mut PgConnection, by: &By, what: &str) -> sqlx::Result<()> {
        let By::Person(who) = by else { return Ok(()) };
        let text = format!("{} {what}", who.name);
        let (means, told) = ((&self.0.random, Some(&self.0.outbox)), (self.0.clock.now(), text.as_str()));
        tell_admins(conn, means, who.account, told).await
    }
}
