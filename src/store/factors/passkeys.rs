//! Passkeys. The credential is kept as the library that judges it writes it.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use serde_json::Value;
use sqlx::PgConnection;

use crate::domain::ids::{AccountId, PasskeyId};
use crate::store::accounts::exactly_one;

/// A passkey.
#[derive(Debug, Clone)]
pub struct Passkey {
    pub id: PasskeyId,
    pub account: AccountId,
    pub name: String,
    pub credential: Value,
    pub created_at: Timestamp,
    pub last_used_at: Option<Timestamp>,
    /// Since when it is not taken any more, because there may be a copy.
    pub suspect_at: Option<Timestamp>,
}

struct Row {
    id: uuid::Uuid,
    account_id: uuid::Uuid,
    name: String,
    credential: Value,
    created_at: jiff_sqlx::Timestamp,
    last_used_at: Option<jiff_sqlx::Timestamp>,
    suspect_at: Option<jiff_sqlx::Timestamp>,
}

impl From<Row> for Passkey {
    fn from(row: Row) -> Self {
        Self {
            id: PasskeyId(row.id),
            account: AccountId(row.account_id),
            name: row.name,
            credential: row.credential,
            created_at: row.created_at.to_jiff(),
            last_used_at: row.last_used_at.map(jiff_sqlx::Timestamp::to_jiff),
            suspect_at: row.suspect_at.map(jiff_sqlx::Timestamp::to_jiff),
        }
    }
}

/// An account's passkeys, the oldest first.
pub async fn list_passkeys(conn: &mut PgConnection, account: AccountId) -> Result<Vec<Passkey>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        "select id, account_id, name, credential, created_at, last_used_at, suspect_at
         from portal.passkey where account_id = $1 order by created_at, id",
        account.0
    );
    Ok(rows.fetch_all(conn).await?.into_iter().map(Passkey::from).collect())
}

pub async fn find_by_credential(conn: &mut PgConnection, credential_id: &[u8]) -> Result<Option<Passkey>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        "select id, account_id, name, credential, created_at, last_used_at, suspect_at
         from portal.passkey where credential_id = $1",
        credential_id
    );
    Ok(row.fetch_optional(conn).await?.map(Passkey::from))
}

/// Adds a passkey. False: it is somebody's already.
pub async fn insert_passkey(
    conn: &mut PgConnection,
    passkey: &Passkey,
    credential_id: &[u8],
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "insert into portal.passkey (id, account_id, credential_id, name, credential, created_at)
         values ($1, $2, $3, $4, $5, $6) on conflict (credential_id) do nothing",
        passkey.id.0,
        passkey.account.0,
        credential_id,
        passkey.name,
        passkey.credential,
        passkey.created_at.to_sqlx() as jiff_sqlx::Timestamp
    );
    Ok(done.execute(conn).await?.rows_affected() == 1)
}

/// Notes that a passkey was used. False: it was removed, is not taken any more, or was used elsewhere since it was read
/// as `before`, so that what it was judged by no longer holds.
pub async fn mark_used(
    conn: &mut PgConnection,
    id: PasskeyId,
    (before, after): (&Value, &Value),
    now: Timestamp,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update portal.passkey set credential = $3, last_used_at = $4
         where id = $1 and credential = $2 and suspect_at is null",
        id.0,
        before,
        after,
        now.to_sqlx() as jiff_sqlx::Timestamp
    );
    Ok(done.execute(conn).await?.rows_affected() == 1)
}

/// Never takes a passkey again. False: that was so already.
pub async fn mark_suspect(conn: &mut PgConnection, id: PasskeyId, now: Timestamp) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update portal.passkey set suspect_at = $2 where id = $1 and suspect_at is null",
        id.0,
        now.to_sqlx() as jiff_sqlx::Timestamp
    );
    Ok(done.execute(conn).await?.rows_affected() == 1)
}

/// The name it had; none: there is no such passkey of this account.
pub async fn rename_passkey(
    conn: &mut PgConnection,
    account: AccountId,
    id: PasskeyId,
    name: &str,
) -> Result<Option<String>, sqlx::Error> {
    let before =
        sqlx::query_scalar!("select name from portal.passkey where id = $1 and account_id = $2", id.0, account.0);
    let Some(before) = before.fetch_optional(&mut *conn).await? else { return Ok(None) };
    let done = sqlx::query!("update portal.passkey set name = $2 where id = $1", id.0, name);
    exactly_one(done.execute(conn).await?.rows_affected())?;
    Ok(Some(before))
}

/// Removes a passkey of an account. None: there is no such passkey of theirs.
pub async fn delete_passkey(
    conn: &mut PgConnection,
    account: AccountId,
    id: PasskeyId,
) -> Result<Option<Passkey>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        "delete from portal.passkey where id = $1 and account_id = $2
         returning id, account_id, name, credential, created_at, last_used_at, suspect_at",
        id.0,
        account.0
    );
    Ok(row.fetch_optional(conn).await?.map(Passkey::from))
}

/// Removes all passkeys of an account; says how many.
pub async fn delete_passkeys(conn: &mut PgConnection, account: AccountId) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!("delete from portal.passkey where account_id = $1", account.0);
    Ok(done.execute(conn).await?.rows_affected())
}
