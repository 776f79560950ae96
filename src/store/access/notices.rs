//! What every admin must get to see, each until they have put it away.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgConnection;

use crate::domain::ids::{AccountId, NoticeId};

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    pub id: NoticeId,
    pub text: String,
    pub at: Timestamp,
}

/// Adds a notice about something that `account` did.
///
/// # Errors
/// Whatever the database says.
pub async fn insert(conn: &mut PgConnection, new: &Notice, account: AccountId) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into portal.admin_notice (id, account_id, text, at) values ($1, $2, $3, $4)",
        new.id.0,
        account.0,
        new.text,
        new.at.to_sqlx()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Every enabled admin but `account`, with where their mail goes.
///
/// # Errors
/// Whatever the database says.
pub async fn list_readers(conn: &mut PgConnection, account: AccountId) -> sqlx::Result<Vec<(AccountId, String)>> {
    let rows = sqlx::query!(
        "select id, email from portal.account where 'admin' = any (roles) and disabled_at is null and id <> $1 order by id",
        account.0
    );
    Ok(rows.fetch_all(conn).await?.into_iter().map(|row| (AccountId(row.id), row.email)).collect())
}

/// What this admin has not put away yet, oldest first, of the time since they have an account.
///
/// # Errors
/// Whatever the database says.
pub async fn list_unseen(conn: &mut PgConnection, admin: AccountId, at_most: i64) -> sqlx::Result<Vec<Notice>> {
    let rows = sqlx::query!(
        "select n.id, n.text, n.at from portal.admin_notice n
        where n.at >= (select created_at from portal.account where id = $1)
            and not exists (select from portal.admin_notice_seen s where s.notice_id = n.id and s.account_id = $1)
        order by n.at, n.id limit $2",
        admin.0,
        at_most
    );
    let notices = rows.fetch_all(conn).await?.into_iter().map(|row| Notice {
        id: NoticeId(row.id),
        text: row.text,
        at: row.at.to_jiff(),
    });
    Ok(notices.collect())
}

/// An admin puts a notice away. False: there is none of this id. Twice is once.
///
/// # Errors
/// Whatever the database says.
pub async fn mark_seen(conn: &mut PgConnection, id: NoticeId, admin: AccountId, at: Timestamp) -> sqlx::Result<bool> {
    let known = sqlx::query_scalar!(r#"select exists (select from portal.admin_notice where id = $1) as "is!""#, id.0);
    if !known.fetch_one(&mut *conn).await? {
        return Ok(false);
    }
    sqlx::query!(
        "insert into portal.admin_notice_seen (notice_id, account_id, seen_at) values ($1, $2, $3) on conflict do nothing",
        id.0,
        admin.0,
        at.to_sqlx()
    )
    .execute(conn)
    .await?;
    Ok(true)
}
