//! Links that are used once, and requests for them. Their secrets are known here only by their SHA-256.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgConnection;
use uuid::Uuid;

use super::accounts::{exactly_one, roles};
use crate::domain::ids::AccountId;
use crate::domain::people::Roles;

/// A link to be kept.
#[derive(Debug)]
pub struct NewLink<'a> {
    pub secret_hash: &'a [u8; 32],
    pub purpose: &'a str,
    pub account: AccountId,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    /// Who had it made, if that was a person.
    pub created_by: Option<AccountId>,
}

/// A link that works, and whose account it is for.
#[derive(Debug)]
pub struct Found {
    pub account: AccountId,
    pub email: String,
    pub name: String,
    pub roles: Roles,
    /// The name of whoever had it made, if that was a person.
    pub made_by: Option<String>,
    pub expires_at: Timestamp,
}

/// Keeps a link, in place of any other of its account and purpose.
pub async fn replace_link(conn: &mut PgConnection, new: &NewLink<'_>) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from portal.one_time_link where account_id = $1 and purpose = $2", new.account.0, new.purpose)
        .execute(&mut *conn)
        .await?;
    let done = sqlx::query!(
        "insert into portal.one_time_link (secret_hash, purpose, account_id, created_at, expires_at, created_by)
         values ($1, $2, $3, $4, $5, $6)",
        new.secret_hash.as_slice(),
        new.purpose,
        new.account.0,
        new.created_at.to_sqlx() as jiff_sqlx::Timestamp,
        new.expires_at.to_sqlx() as jiff_sqlx::Timestamp,
        new.created_by.map(|account| account.0)
    );
    exactly_one(done.execute(conn).await?.rows_affected())
}

/// Finds a living link of an enabled account. Looking does not use it up.
pub async fn find_link(
    conn: &mut PgConnection,
    secret_hash: &[u8; 32],
    purpose: &str,
    now: Timestamp,
) -> Result<Option<Found>, sqlx::Error> {
    let row = sqlx::query!(
        r#"select l.account_id, l.expires_at, a.email, a.name, a.roles, b.name as "made_by?"
         from portal.one_time_link l
         join portal.account a on a.id = l.account_id
         left join portal.account b on b.id = l.created_by
         where l.secret_hash = $1 and l.purpose = $2 and l.expires_at > $3 and a.disabled_at is null"#,
        secret_hash.as_slice(),
        purpose,
        now.to_sqlx() as jiff_sqlx::Timestamp
    );
    let Some(row) = row.fetch_optional(conn).await? else { return Ok(None) };
    Ok(Some(Found {
        account: AccountId(row.account_id),
        email: row.email,
        name: row.name,
        roles: roles(&row.account_id.to_string(), &row.roles)?,
        made_by: row.made_by,
        expires_at: row.expires_at.to_jiff(),
    }))
}

/// Uses a living link up. False: it is none any more. Of two transactions one gets true.
pub async fn delete_link(
    conn: &mut PgConnection,
    secret_hash: &[u8; 32],
    purpose: &str,
    now: Timestamp,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "delete from portal.one_time_link where secret_hash = $1 and purpose = $2 and expires_at > $3",
        secret_hash.as_slice(),
        purpose,
        now.to_sqlx() as jiff_sqlx::Timestamp
    );
    Ok(done.execute(conn).await?.rows_affected() == 1)
}

/// Ends every link of an account. Invitations leave their row behind: it tells that they were not accepted.
pub async fn end_links(conn: &mut PgConnection, account: AccountId, now: Timestamp) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from portal.one_time_link where account_id = $1 and purpose <> 'invite'", account.0)
        .execute(&mut *conn)
        .await?;
    sqlx::query!(
        "update portal.one_time_link set expires_at = $2 where account_id = $1 and expires_at > $2",
        account.0,
        now.to_sqlx() as jiff_sqlx::Timestamp
    )
    .execute(conn)
    .await
    .map(|_| ())
}

/// Removes every link of an account: it has a way of its own to sign in now, or is gone.
pub async fn delete_links(conn: &mut PgConnection, account: AccountId) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from portal.one_time_link where account_id = $1", account.0).execute(conn).await.map(|_| ())
}

/// Whether somebody was invited and has not accepted.
pub async fn is_invited(conn: &mut PgConnection, account: AccountId) -> Result<bool, sqlx::Error> {
    let any = sqlx::query_scalar!(
        r#"select exists (select from portal.one_time_link where account_id = $1 and purpose = 'invite') as "any!""#,
        account.0
    );
    any.fetch_one(conn).await
}

/// Whether an account has a link that was made after `since`.
pub async fn has_link_since(
    conn: &mut PgConnection,
    account: AccountId,
    purpose: &str,
    since: Timestamp,
) -> Result<bool, sqlx::Error> {
    let any = sqlx::query_scalar!(
        r#"select exists (select from portal.one_time_link
            where account_id = $1 and purpose = $2 and created_at > $3) as "any!""#,
        account.0,
        purpose,
        since.to_sqlx() as jiff_sqlx::Timestamp
    );
    any.fetch_one(conn).await
}

/// Removes resets whose time is over.
pub async fn delete_over(conn: &mut PgConnection, now: Timestamp) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from portal.one_time_link where purpose <> 'invite' and expires_at <= $1",
        now.to_sqlx() as jiff_sqlx::Timestamp
    )
    .execute(conn)
    .await
    .map(|_| ())
}

/// That somebody asked for a new password.
#[derive(Debug)]
pub struct Request {
    pub id: Uuid,
    pub sealed: Vec<u8>,
    pub address: String,
    pub asked_at: Timestamp,
}

pub async fn insert_request(conn: &mut PgConnection, new: &Request) -> Result<(), sqlx::Error> {
    let done = sqlx::query!(
        "insert into portal.reset_request (id, sealed, address, asked_at) values ($1, $2, $3, $4)",
        new.id,
        new.sealed,
        new.address,
        new.asked_at.to_sqlx() as jiff_sqlx::Timestamp
    );
    exactly_one(done.execute(conn).await?.rows_affected())
}

/// Takes the oldest request that nobody else is looking at out of the queue.
pub async fn take_request(conn: &mut PgConnection) -> Result<Option<Request>, sqlx::Error> {
    let row = sqlx::query!(
        "delete from portal.reset_request where id = (
            select id from portal.reset_request order by asked_at limit 1 for update skip locked)
         returning id, sealed, address, asked_at"
    );
    Ok(row.fetch_optional(conn).await?.map(|row| Request {
        id: row.id,
        sealed: row.sealed,
        address: row.address,
        asked_at: row.asked_at.to_jiff(),
    }))
}
