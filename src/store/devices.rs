//! Browsers in which somebody signed in before. Their secrets are known here only by their SHA-256.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgConnection;

use super::accounts::exactly_one;
use super::throttle::Try;
use crate::domain::ids::AccountId;

/// Counts a try in a browser that is known for the account with this e-mail, as [`super::throttle::begin_try`] does for all
/// others. None: no such browser; nothing was counted.
pub async fn begin_try(
    conn: &mut PgConnection,
    hashes: &[Vec<u8>],
    email_key: &str,
    waits: &[i32],
    now: Timestamp,
) -> Result<Option<Try>, sqlx::Error> {
    let counted = sqlx::query_scalar!(
        "update portal.known_device d set failures = d.failures + 1,
            next_try_at = $4::timestamptz
                + ($3::int4[])[least(d.failures + 1, cardinality($3::int4[]))] * interval '1 second'
         from portal.account a
         where a.email_key = $2 and d.account_id = a.id and d.token_hash = any ($1) and d.expires_at > $4
            and (d.next_try_at is null or d.next_try_at <= $4)
         returning d.failures",
        hashes,
        email_key,
        waits,
        now.to_sqlx() as jiff_sqlx::Timestamp
    );
    if let Some(failures) = counted.fetch_optional(&mut *conn).await? {
        return Ok(Some(Try::Heard { failures }));
    }
    let until = sqlx::query_scalar!(
        r#"select coalesce(d.next_try_at, $3) as "until!" from portal.known_device d
         join portal.account a on a.id = d.account_id
         where a.email_key = $2 and d.token_hash = any ($1) and d.expires_at > $3"#,
        hashes,
        email_key,
        now.to_sqlx() as jiff_sqlx::Timestamp
    );
    Ok(until.fetch_optional(conn).await?.map(|until| Try::Waits { until: until.to_jiff() }))
}

/// Forgets a browser of an account by any of its secrets. Some: it was known until now, since this time.
pub async fn delete_known(
    conn: &mut PgConnection,
    account: AccountId,
    hashes: &[Vec<u8>],
    now: Timestamp,
) -> Result<Vec<(Vec<u8>, Option<Timestamp>)>, sqlx::Error> {
    let rows = sqlx::query!(
        "delete from portal.known_device where account_id = $1 and token_hash = any ($2)
         returning token_hash, created_at, expires_at",
        account.0,
        hashes
    );
    let known = rows.fetch_all(conn).await?.into_iter().map(|row| {
        let is_living = row.expires_at.to_jiff() > now;
        (row.token_hash, is_living.then(|| row.created_at.to_jiff()))
    });
    Ok(known.collect())
}

/// Remembers a browser.
pub async fn insert_device(
    conn: &mut PgConnection,
    account: AccountId,
    hash: &[u8; 32],
    (since, now, until): (Timestamp, Timestamp, Timestamp),
) -> Result<(), sqlx::Error> {
    let done = sqlx::query!(
        "insert into portal.known_device (token_hash, account_id, created_at, last_used_at, expires_at)
         values ($1, $2, $3, $4, $5)",
        hash.as_slice(),
        account.0,
        since.to_sqlx() as jiff_sqlx::Timestamp,
        now.to_sqlx() as jiff_sqlx::Timestamp,
        until.to_sqlx() as jiff_sqlx::Timestamp
    );
    exactly_one(done.execute(conn).await?.rows_affected())
}

/// Forgets all browsers of an account but the `most` used last.
pub async fn delete_beyond(conn: &mut PgConnection, account: AccountId, most: i64) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from portal.known_device where token_hash in (
            select token_hash from portal.known_device where account_id = $1
            order by last_used_at desc, created_at desc offset $2)",
        account.0,
        most
    )
    .execute(conn)
    .await
    .map(|_| ())
}

/// Forgets all browsers of an account, but for one that may stay.
pub async fn delete_devices(
    conn: &mut PgConnection,
    account: AccountId,
    but: Option<&[u8; 32]>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from portal.known_device where account_id = $1 and token_hash is distinct from $2",
        account.0,
        but.map(<[u8; 32]>::as_slice) as Option<&[u8]>
    )
    .execute(conn)
    .await
    .map(|_| ())
}

/// Forgets the failures in a browser: the right password was given there.
pub async fn clear_tries(conn: &mut PgConnection, account: AccountId, hashes: &[Vec<u8>]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update portal.known_device set failures = 0, next_try_at = null
         where account_id = $1 and token_hash = any ($2)",
        account.0,
        hashes
    )
    .execute(conn)
    .await
    .map(|_| ())
}

/// Removes what is not known any more.
pub async fn delete_over(conn: &mut PgConnection, now: Timestamp) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from portal.known_device where expires_at <= $1", now.to_sqlx() as jiff_sqlx::Timestamp)
        .execute(conn)
        .await
        .map(|_| ())
}
