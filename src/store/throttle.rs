//! What limits strangers: token buckets by address, waits by e-mail, and counts of what they tried.

use std::time::Duration;

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgConnection;

use super::accounts::exactly_one;

/// How fast a bucket fills and how much it holds.
#[derive(Debug, Clone, Copy)]
pub struct Bucket {
    /// One more token each.
    pub interval: Duration,
    pub burst: u32,
}

/// Takes a token in one statement (generic cell rate algorithm), so that replicas share the bucket. `Some`: it was empty;
/// the time at which there is a token again. An empty bucket is not written to.
pub async fn take_token(
    conn: &mut PgConnection,
    name: &str,
    bucket: Bucket,
    now: Timestamp,
) -> Result<Option<Timestamp>, sqlx::Error> {
    let slack = bucket.interval * bucket.burst.saturating_sub(1);
    let newest = now.checked_add(slack).unwrap_or(Timestamp::MAX);
    let taken = sqlx::query!(
        "insert into portal.throttle as t (bucket, arrival_at) values ($1, $2::timestamptz + $3::float8 * interval '1 second')
         on conflict (bucket) do update set arrival_at = greatest(t.arrival_at, $2) + $3::float8 * interval '1 second'
         where t.arrival_at <= $4",
        name,
        now.to_sqlx() as jiff_sqlx::Timestamp,
        bucket.interval.as_secs_f64(),
        newest.to_sqlx() as jiff_sqlx::Timestamp
    );
    if taken.execute(&mut *conn).await?.rows_affected() == 1 {
        return Ok(None);
    }
    let arrival = sqlx::query_scalar!("select arrival_at from portal.throttle where bucket = $1", name);
    let arrival = arrival.fetch_optional(conn).await?.map_or(now, jiff_sqlx::Timestamp::to_jiff);
    Ok(Some(arrival.checked_sub(slack).unwrap_or(now)))
}

/// A try at a password, counted as failed before it is heard, so that tries at once cannot share one count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Try {
    /// Heard, as the so-manieth in a row.
    Heard { failures: i32 },
    /// Not heard before this time.
    Waits { until: Timestamp },
}

/// Counts a try. `waits[n - 1]` are the seconds to wait after the n-th in a row; the last holds for all beyond.
pub async fn begin_try(
    conn: &mut PgConnection,
    email_hash: &[u8; 32],
    waits: &[i32],
    now: Timestamp,
) -> Result<Try, sqlx::Error> {
    let counted = sqlx::query_scalar!(
        "insert into portal.sign_in_wait as w (email_hash, failures, tried_at, next_try_at)
         values ($1, 1, $2, $2::timestamptz + ($3::int4[])[1] * interval '1 second')
         on conflict (email_hash) do update set failures = w.failures + 1, tried_at = $2,
            next_try_at = $2::timestamptz + ($3::int4[])[least(w.failures + 1, cardinality($3::int4[]))] * interval '1 second'
         where w.next_try_at <= $2
         returning failures",
        email_hash.as_slice(),
        now.to_sqlx() as jiff_sqlx::Timestamp,
        waits
    );
    if let Some(failures) = counted.fetch_optional(&mut *conn).await? {
        return Ok(Try::Heard { failures });
    }
    let until =
        sqlx::query_scalar!("select next_try_at from portal.sign_in_wait where email_hash = $1", email_hash.as_slice());
    Ok(Try::Waits { until: until.fetch_optional(conn).await?.map_or(now, jiff_sqlx::Timestamp::to_jiff) })
}

/// Forgets the failures of an e-mail: the right password was given, or a new one was set.
pub async fn clear_tries(conn: &mut PgConnection, email_hash: &[u8; 32]) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from portal.sign_in_wait where email_hash = $1", email_hash.as_slice())
        .execute(conn)
        .await
        .map(|_| ())
}

/// Removes what no longer limits anybody: full buckets, and of e-mails without an account all but the `most` tried last.
/// People's own counts stay until they sign in.
pub async fn delete_spent(conn: &mut PgConnection, now: Timestamp, most: i64) -> Result<(), sqlx::Error> {
    let now = now.to_sqlx();
    sqlx::query!("delete from portal.throttle where arrival_at <= $1", now as jiff_sqlx::Timestamp)
        .execute(&mut *conn)
        .await?;
    sqlx::query!(
        "delete from portal.sign_in_wait where email_hash in (
            select w.email_hash from portal.sign_in_wait w
            where not exists (
                select from portal.account a where sha256(convert_to(a.email_key, 'UTF8')) = w.email_hash)
            order by w.tried_at desc offset $1)",
        most
    )
    .execute(conn)
    .await
    .map(|_| ())
}

/// Adds to a count of a minute.
pub async fn add_count(conn: &mut PgConnection, minute: Timestamp, kind: &str, count: i64) -> Result<(), sqlx::Error> {
    let done = sqlx::query!(
        "insert into portal.stranger_count as c (minute, kind, count) values ($1, $2, $3)
         on conflict (minute, kind) do update set count = c.count + excluded.count",
        minute.to_sqlx() as jiff_sqlx::Timestamp,
        kind,
        count
    );
    exactly_one(done.execute(conn).await?.rows_affected())
}

/// Takes one of the minute's `most` places for a record of its own. Such a row is never summed up.
pub async fn take_place(
    conn: &mut PgConnection,
    minute: Timestamp,
    kind: &str,
    most: i64,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "insert into portal.stranger_count as c (minute, kind, count, recorded) values ($1, $2, 1, true)
         on conflict (minute, kind) do update set count = c.count + 1 where c.count < $3",
        minute.to_sqlx() as jiff_sqlx::Timestamp,
        kind,
        most
    );
    Ok(done.execute(conn).await?.rows_affected() == 1)
}

/// One minute's count of one kind.
#[derive(Debug)]
pub struct Counted {
    pub minute: Timestamp,
    pub kind: String,
    pub count: i64,
}

/// Marks all counts before `before` as recorded, and returns those that were not yet. Drops what is older than `old`.
pub async fn mark_counts_recorded(
    conn: &mut PgConnection,
    before: Timestamp,
    old: Timestamp,
) -> Result<Vec<Counted>, sqlx::Error> {
    sqlx::query!(
        "delete from portal.stranger_count where recorded and minute < $1",
        old.to_sqlx() as jiff_sqlx::Timestamp
    )
    .execute(&mut *conn)
    .await?;
    let rows = sqlx::query!(
        "update portal.stranger_count set recorded = true where (minute, kind) in (
            select minute, kind from portal.stranger_count where not recorded and minute < $1
            order by minute, kind for update skip locked)
         returning minute, kind, count",
        before.to_sqlx() as jiff_sqlx::Timestamp
    );
    let mut counted: Vec<Counted> = rows
        .fetch_all(conn)
        .await?
        .into_iter()
        .map(|row| Counted { minute: row.minute.to_jiff(), kind: row.kind, count: row.count })
        .collect();
    counted.sort_by(|a, b| (a.minute, &a.kind).cmp(&(b.minute, &b.kind)));
    Ok(counted)
}
