//! The browsers.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::ids::{AccountId, PushBrowserId, SessionId};

/// A browser in which it is turned on.
#[derive(Debug)]
pub struct NewBrowser<'a> {
    pub id: PushBrowserId,
    pub account: AccountId,
    pub session: Uuid,
    pub address_hash: [u8; 32],
    pub sealed: &'a [u8],
    pub host: &'a str,
    pub public_key: &'a [u8],
    pub name: &'a str,
    pub since: Timestamp,
}

/// # Errors
/// Whatever the database says.
pub async fn insert(conn: &mut PgConnection, new: &NewBrowser<'_>) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into portal.push_browser
            (id, account_id, session_id, address_hash, sealed, host, public_key, name, since)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        new.id.0,
        new.account.0,
        new.session,
        new.address_hash.as_slice(),
        new.sealed,
        new.host,
        new.public_key,
        new.name,
        new.since.to_sqlx()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A browser that was ended.
#[derive(Debug, Clone)]
pub struct Ended {
    pub id: PushBrowserId,
    pub account: AccountId,
    pub name: String,
    pub host: String,
}

struct EndedRow {
    id: Uuid,
    account_id: Uuid,
    name: String,
    host: String,
}

impl From<EndedRow> for Ended {
    fn from(row: EndedRow) -> Self {
        Self { id: PushBrowserId(row.id), account: AccountId(row.account_id), name: row.name, host: row.host }
    }
}

/// A browser whose push service may give it another address.
#[derive(Debug, Clone)]
pub struct Found {
    pub id: PushBrowserId,
    pub account: AccountId,
    pub name: String,
    pub host: String,
    pub sealed: Vec<u8>,
    pub since: Timestamp,
}

/// The one that is reached at this address, locked until the transaction ends.
///
/// # Errors
/// Whatever the database says.
pub async fn lock_at(conn: &mut PgConnection, address_hash: &[u8; 32]) -> sqlx::Result<Option<Found>> {
    let row = sqlx::query!(
        "select id, account_id, name, host, sealed, since from portal.push_browser where address_hash = $1 for update",
        address_hash.as_slice()
    );
    Ok(row.fetch_optional(conn).await?.map(|row| Found {
        id: PushBrowserId(row.id),
        account: AccountId(row.account_id),
        name: row.name,
        host: row.host,
        sealed: row.sealed,
        since: row.since.to_jiff(),
    }))
}

/// Where a browser is reached from now on.
#[derive(Debug)]
pub struct Moved<'a> {
    pub address_hash: [u8; 32],
    pub sealed: &'a [u8],
    pub host: &'a str,
    pub public_key: &'a [u8],
    pub at: Timestamp,
}

/// It is reached elsewhere, and stays the same browser: whoever ends it meanwhile ends it where it is reached by then.
///
/// # Errors
/// Whatever the database says.
pub async fn move_to(conn: &mut PgConnection, id: PushBrowserId, new: &Moved<'_>) -> sqlx::Result<()> {
    sqlx::query!(
        "update portal.push_browser set address_hash = $2, sealed = $3, host = $4, public_key = $5, since = $6,
            failures = 0, held_until = null
        where id = $1",
        id.0,
        new.address_hash.as_slice(),
        new.sealed,
        new.host,
        new.public_key,
        new.at.to_sqlx()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Ends the one that is reached at this address, whosever it is.
///
/// # Errors
/// Whatever the database says.
pub async fn end_at(conn: &mut PgConnection, address_hash: &[u8; 32]) -> sqlx::Result<Option<Ended>> {
    let row = sqlx::query_as!(
        EndedRow,
        "delete from portal.push_browser where address_hash = $1 returning id, account_id, name, host",
        address_hash.as_slice()
    );
    Ok(row.fetch_optional(conn).await?.map(Ended::from))
}

/// Ends one, of this account if one is given.
///
/// # Errors
/// Whatever the database says.
pub async fn end(
    conn: &mut PgConnection,
    id: PushBrowserId,
    account: Option<AccountId>,
) -> sqlx::Result<Option<Ended>> {
    let row = sqlx::query_as!(
        EndedRow,
        "delete from portal.push_browser where id = $1 and ($2::uuid is null or account_id = $2)
        returning id, account_id, name, host",
        id.0,
        account.map(|account| account.0)
    );
    Ok(row.fetch_optional(conn).await?.map(Ended::from))
}

/// Ends one that its push service does not know any more where we asked, unless it is reached elsewhere by now.
///
/// # Errors
/// Whatever the database says.
pub async fn end_gone(conn: &mut PgConnection, id: PushBrowserId, sealed: &[u8]) -> sqlx::Result<Option<Ended>> {
    let row = sqlx::query_as!(
        EndedRow,
        "delete from portal.push_browser where id = $1 and sealed = $2 returning id, account_id, name, host",
        id.0,
        sealed
    );
    Ok(row.fetch_optional(conn).await?.map(Ended::from))
}

/// Ends those of an account, but for what was turned on in the one session that stays. Says how many those were.
///
/// # Errors
/// Whatever the database says.
pub async fn end_of(conn: &mut PgConnection, account: AccountId, but: Option<SessionId>) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "delete from portal.push_browser where account_id = $1 and session_id is distinct from $2",
        account.0,
        but.map(|session| session.0)
    );
    Ok(done.execute(conn).await?.rows_affected())
}

/// Ends those that were turned on in these sessions.
///
/// # Errors
/// Whatever the database says.
pub async fn end_in(conn: &mut PgConnection, sessions: impl IntoIterator<Item = SessionId>) -> sqlx::Result<()> {
    let sessions: Vec<Uuid> = sessions.into_iter().map(|session| session.0).collect();
    sqlx::query!("delete from portal.push_browser where session_id = any ($1)", &sessions).execute(conn).await?;
    Ok(())
}

/// Ends those that know us by another key than this one: their push services take nothing from us any more.
///
/// # Errors
/// Whatever the database says.
pub async fn end_of_other_keys(conn: &mut PgConnection, public_key: &[u8]) -> sqlx::Result<u64> {
    let done = sqlx::query!("delete from portal.push_browser where public_key <> $1", public_key);
    Ok(done.execute(conn).await?.rows_affected())
}

/// One as its person sees it.
#[derive(Debug, Clone)]
pub struct Browser {
    pub id: PushBrowserId,
    pub name: String,
    pub host: String,
    pub address_hash: Vec<u8>,
    pub since: Timestamp,
    pub told_at: Option<Timestamp>,
    pub failures: i32,
}

/// Somebody's, the newest first.
///
/// # Errors
/// Whatever the database says.
pub async fn list(conn: &mut PgConnection, account: AccountId) -> sqlx::Result<Vec<Browser>> {
    let rows = sqlx::query!(
        "select id, name, host, address_hash, since, told_at, failures from portal.push_browser
        where account_id = $1 order by since desc, id",
        account.0
    );
    let found = rows.fetch_all(conn).await?.into_iter().map(|row| Browser {
        id: PushBrowserId(row.id),
        name: row.name,
        host: row.host,
        address_hash: row.address_hash,
        since: row.since.to_jiff(),
        told_at: row.told_at.map(jiff_sqlx::Timestamp::to_jiff),
        failures: row.failures,
    });
    Ok(found.collect())
}

/// Their ids.
///
/// # Errors
/// Whatever the database says.
pub async fn list_ids(conn: &mut PgConnection, account: AccountId) -> sqlx::Result<Vec<PushBrowserId>> {
    let ids = sqlx::query_scalar!("select id from portal.push_browser where account_id = $1 order by id", account.0);
    Ok(ids.fetch_all(conn).await?.into_iter().map(PushBrowserId).collect())
}

/// It took a message.
///
/// # Errors
/// Whatever the database says.
pub async fn mark_well(conn: &mut PgConnection, id: PushBrowserId, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query!(
        "update portal.push_browser set told_at = $2, failures = 0, held_until = null where id = $1",
        id.0,
        now.to_sqlx()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// It took none: it is left alone until `until`.
///
/// # Errors
/// Whatever the database says.
pub async fn mark_ill(conn: &mut PgConnection, id: PushBrowserId, until: Timestamp) -> sqlx::Result<()> {
    sqlx::query!(
        "update portal.push_browser set failures = failures + 1, held_until = $2 where id = $1",
        id.0,
        until.to_sqlx()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A message can be tried at once.
///
/// # Errors
/// Whatever the database says.
pub async fn let_go(conn: &mut PgConnection, id: PushBrowserId) -> sqlx::Result<()> {
    sqlx::query!("update portal.push_browser set held_until = null where id = $1", id.0).execute(conn).await?;
    Ok(())
}
