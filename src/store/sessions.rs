//! Sessions. Secrets are known here only by their SHA-256.

use std::collections::HashSet;
use std::net::IpAddr;

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::PgConnection;

use super::accounts::{exactly_one, roles};
use crate::domain::ids::{AccountId, SessionId};
use crate::domain::people::Person;
use crate::domain::zone;

/// A session to be kept.
#[derive(Debug)]
pub struct NewRow<'a> {
    pub id: SessionId,
    pub token_hash: &'a [u8; 32],
    pub csrf_secret: &'a [u8; 32],
    pub account: AccountId,
    pub method: &'a str,
    pub factor: Option<&'a str>,
    pub stepped_up_at: Option<Timestamp>,
    pub proven_by: Option<&'a str>,
    pub address: &'a str,
    pub user_agent: &'a str,
    pub started_at: Timestamp,
    pub expires_at: Timestamp,
}

/// A session found by its secret, with its person as they are at this moment.
#[derive(Debug)]
pub struct Found {
    pub person: Person,
    pub csrf_secret: [u8; 32],
    pub last_seen_at: Timestamp,
}

/// A session as its person sees it.
#[derive(Debug)]
pub struct Listed {
    pub id: SessionId,
    pub method: String,
    pub address: String,
    /// Where it was last seen, if that was elsewhere than where it began.
    pub last_address: Option<String>,
    pub user_agent: String,
    pub started_at: Timestamp,
    pub last_seen_at: Timestamp,
    pub expires_at: Timestamp,
}

/// A session that was ended.
#[derive(Debug, Clone)]
pub struct Ended {
    pub id: SessionId,
    pub account: AccountId,
    pub token_hash: Vec<u8>,
    pub last_seen_at: Timestamp,
}

struct EndedRow {
    id: uuid::Uuid,
    account_id: uuid::Uuid,
    token_hash: Vec<u8>,
    last_seen_at: jiff_sqlx::Timestamp,
}

impl From<EndedRow> for Ended {
    fn from(row: EndedRow) -> Self {
        Self {
            id: SessionId(row.id),
            account: AccountId(row.account_id),
            token_hash: row.token_hash,
            last_seen_at: row.last_seen_at.to_jiff(),
        }
    }
}

/// What records call a session: the first 16 hexadecimal digits of its secret's hash.
#[must_use]
pub fn mark_of(token_hash: &[u8]) -> String {
    hex::encode(token_hash.get(..8).unwrap_or(token_hash))
}

pub async fn insert_session(conn: &mut PgConnection, new: &NewRow<'_>) -> Result<(), sqlx::Error> {
    let done = sqlx::query!(
        "insert into portal.session (id, token_hash, csrf_secret, account_id, method, address, user_agent, started_at,
            last_seen_at, expires_at, factor, stepped_up_at, proven_by)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9, $10, $11, $12)",
        new.id.0,
        new.token_hash.as_slice(),
        new.csrf_secret.as_slice(),
        new.account.0,
        new.method,
        new.address,
        new.user_agent,
        new.started_at.to_sqlx() as jiff_sqlx::Timestamp,
        new.expires_at.to_sqlx() as jiff_sqlx::Timestamp,
        new.factor as Option<&str>,
        new.stepped_up_at.map(ToSqlx::to_sqlx) as Option<jiff_sqlx::Timestamp>,
        new.proven_by as Option<&str>
    );
    exactly_one(done.execute(conn).await?.rows_affected())
}

/// Finds a living session of an enabled account: begun less than its absolute time ago, and seen after `seen_since`.
pub async fn find_session(
    conn: &mut PgConnection,
    token_hash: &[u8; 32],
    address: IpAddr,
    now: Timestamp,
    seen_since: Timestamp,
) -> Result<Option<Found>, sqlx::Error> {
    let row = sqlx::query!(
        "select s.id, s.csrf_secret, s.method, s.factor, s.stepped_up_at, s.proven_by, s.started_at, s.last_seen_at,
            a.id as account, a.email, a.name, a.roles, a.must_change_password, a.time_zone
         from portal.session s join portal.account a on a.id = s.account_id
         where s.token_hash = $1 and a.disabled_at is null and s.expires_at > $2 and s.last_seen_at > $3",
        token_hash.as_slice(),
        now.to_sqlx() as jiff_sqlx::Timestamp,
        seen_since.to_sqlx() as jiff_sqlx::Timestamp
    );
    let Some(row) = row.fetch_optional(conn).await? else { return Ok(None) };
    let rights = roles(&row.account.to_string(), &row.roles)?;
    let lacks_factor = rights.admin && row.factor.is_none();
    let person = Person {
        account: AccountId(row.account),
        email: row.email,
        name: row.name,
        roles: Person::rights(rights, row.must_change_password, lacks_factor),
        must_change_password: row.must_change_password,
        session: SessionId(row.id),
        method: row.method,
        signed_in_at: row.started_at.to_jiff(),
        factor: row.factor,
        lacks_factor,
        stepped_up_at: row.stepped_up_at.map(jiff_sqlx::Timestamp::to_jiff),
        proven_by: row.proven_by,
        address,
        zone: zone::find_or_utc(&row.time_zone),
        session_mark: mark_of(token_hash),
    };
    let csrf_secret = row.csrf_secret.try_into().map_err(|_| super::Inconsistent {
        table: "portal.session",
        row: row.id.to_string(),
        problem: "has a form secret of another length".to_owned(),
    })?;
    Ok(Some(Found { person, csrf_secret, last_seen_at: row.last_seen_at.to_jiff() }))
}

/// Those of these sessions that live, with an account that is enabled and may look at something.
pub async fn list_living(
    conn: &mut PgConnection,
    asked: &[SessionId],
    now: Timestamp,
    seen_since: Timestamp,
) -> Result<HashSet<SessionId>, sqlx::Error> {
    let asked: Vec<uuid::Uuid> = asked.iter().map(|session| session.0).collect();
    let living = sqlx::query_scalar!(
        "select s.id from portal.session s join portal.account a on a.id = s.account_id
         where s.id = any ($1) and s.expires_at > $2 and s.last_seen_at > $3
            and a.disabled_at is null and a.roles <> '{}' and not a.must_change_password",
        &asked,
        now.to_sqlx() as jiff_sqlx::Timestamp,
        seen_since.to_sqlx() as jiff_sqlx::Timestamp
    );
    Ok(living.fetch_all(conn).await?.into_iter().map(SessionId).collect())
}

/// Keeps a session alive. Whoever holds one of the rows just now is not waited for: a page is worth more than the minute
/// it was last seen in. Where from is kept when it is another address than the session began at.
pub async fn mark_seen(
    conn: &mut PgConnection,
    (session, address): (SessionId, &str),
    now: Timestamp,
    before: Timestamp,
) -> Result<(), sqlx::Error> {
    let seen = sqlx::query!(
        "with s as (
            select id, account_id from portal.session where id = $1 and last_seen_at <= $3
            for no key update skip locked),
         a as (
            select account.id from portal.account account join s on s.account_id = account.id
            for no key update of account skip locked),
         touched as (update portal.session t set last_seen_at = $2, last_address = nullif($4, t.address)
            from s where t.id = s.id)
         update portal.account t set last_seen_at = $2 from a where t.id = a.id",
        session.0,
        now.to_sqlx() as jiff_sqlx::Timestamp,
        before.to_sqlx() as jiff_sqlx::Timestamp,
        address
    );
    seen.execute(conn).await.map(|_| ())
}

/// The account's living sessions, the newest first.
pub async fn list_sessions(
    conn: &mut PgConnection,
    account: AccountId,
    now: Timestamp,
    seen_since: Timestamp,
) -> Result<Vec<Listed>, sqlx::Error> {
    let rows = sqlx::query!(
        "select id, method, address, last_address, user_agent, started_at, last_seen_at, expires_at from portal.session
         where account_id = $1 and expires_at > $2 and last_seen_at > $3 order by started_at desc, id desc",
        account.0,
        now.to_sqlx() as jiff_sqlx::Timestamp,
        seen_since.to_sqlx() as jiff_sqlx::Timestamp
    );
    let listed = rows.fetch_all(conn).await?.into_iter().map(|row| Listed {
        id: SessionId(row.id),
        method: row.method,
        address: row.address,
        last_address: row.last_address,
        user_agent: row.user_agent,
        started_at: row.started_at.to_jiff(),
        last_seen_at: row.last_seen_at.to_jiff(),
        expires_at: row.expires_at.to_jiff(),
    });
    Ok(listed.collect())
}

/// Gives a session another secret, and notes what was proven when and with which factor. The absolute end of the session;
/// none: it has ended.
pub async fn replace_secret(
    conn: &mut PgConnection,
    (account, session): (AccountId, SessionId),
    token_hash: &[u8; 32],
    (factor, proven_by, proven_at): (Option<&str>, &str, Timestamp),
    now: Timestamp,
) -> Result<Option<Timestamp>, sqlx::Error> {
    let expires = sqlx::query_scalar!(
        "update portal.session set token_hash = $3, factor = coalesce($4, factor), stepped_up_at = $6,
            proven_by = $7
         where id = $2 and account_id = $1 and expires_at > $5 returning expires_at",
        account.0,
        session.0,
        token_hash.as_slice(),
        factor,
        now.to_sqlx() as jiff_sqlx::Timestamp,
        proven_at.to_sqlx() as jiff_sqlx::Timestamp,
        proven_by
    );
    Ok(expires.fetch_optional(conn).await?.map(jiff_sqlx::Timestamp::to_jiff))
}

/// Keeps a session from being ended until the transaction is: what somebody does within it happens before it ends, or not
/// at all. False: it has ended. It may be seen meanwhile.
pub async fn hold_session(
    conn: &mut PgConnection,
    account: AccountId,
    session: SessionId,
) -> Result<bool, sqlx::Error> {
    let held = sqlx::query_scalar!(
        "select id from portal.session where id = $1 and account_id = $2 for key share",
        session.0,
        account.0
    );
    Ok(held.fetch_optional(conn).await?.is_some())
}

/// Ends one session of an account.
pub async fn delete_session(
    conn: &mut PgConnection,
    account: AccountId,
    session: SessionId,
) -> Result<Option<Ended>, sqlx::Error> {
    let row = sqlx::query_as!(
        EndedRow,
        "delete from portal.session where id = $1 and account_id = $2
         returning id, account_id, token_hash, last_seen_at",
        session.0,
        account.0
    );
    Ok(row.fetch_optional(conn).await?.map(Ended::from))
}

/// Ends the session with this secret, whoever it belongs to.
pub async fn delete_by_secret(conn: &mut PgConnection, token_hash: &[u8; 32]) -> Result<Option<Ended>, sqlx::Error> {
    let row = sqlx::query_as!(
        EndedRow,
        "delete from portal.session where token_hash = $1 returning id, account_id, token_hash, last_seen_at",
        token_hash.as_slice()
    );
    Ok(row.fetch_optional(conn).await?.map(Ended::from))
}

/// Ends all sessions of an account, but for one that may stay.
pub async fn delete_all(
    conn: &mut PgConnection,
    account: AccountId,
    but: Option<SessionId>,
) -> Result<Vec<Ended>, sqlx::Error> {
    let rows = sqlx::query_as!(
        EndedRow,
        "delete from portal.session where account_id = $1 and id is distinct from $2
         returning id, account_id, token_hash, last_seen_at",
        account.0,
        but.map(|session| session.0)
    );
    Ok(rows.fetch_all(conn).await?.into_iter().map(Ended::from).collect())
}

/// Ends those sessions of an account that were begun in one way, but for one that may stay.
pub async fn delete_begun_by(
    conn: &mut PgConnection,
    account: AccountId,
    method: &str,
    but: SessionId,
) -> Result<Vec<Ended>, sqlx::Error> {
    let rows = sqlx::query_as!(
        EndedRow,
        "delete from portal.session where account_id = $1 and method = $2 and id <> $3
         returning id, account_id, token_hash, last_seen_at",
        account.0,
        method,
        but.0
    );
    Ok(rows.fetch_all(conn).await?.into_iter().map(Ended::from).collect())
}

/// Ends up to `most` sessions whose time is over.
pub async fn delete_over(
    conn: &mut PgConnection,
    now: Timestamp,
    seen_since: Timestamp,
    most: i64,
) -> Result<Vec<Ended>, sqlx::Error> {
    let rows = sqlx::query_as!(
        EndedRow,
        "delete from portal.session where id in (
            select id from portal.session where expires_at <= $1 or last_seen_at <= $2
            order by expires_at limit $3 for update skip locked)
         returning id, account_id, token_hash, last_seen_at",
        now.to_sqlx() as jiff_sqlx::Timestamp,
        seen_since.to_sqlx() as jiff_sqlx::Timestamp,
        most
    );
    Ok(rows.fetch_all(conn).await?.into_iter().map(Ended::from).collect())
}
