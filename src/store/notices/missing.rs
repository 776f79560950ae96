//! Notices that a trigger could not leave: found by what they would be about, counted for admins, and left after all.

use jiff::{SignedDuration, Timestamp};
use jiff_sqlx::ToSqlx as _;
use sqlx::PgConnection;
use uuid::Uuid;

/// How long it is of use to hear what became of something.
const OF_USE: SignedDuration = SignedDuration::from_hours(24);

/// How many there are, and since when the oldest.
///
/// # Errors
/// Whatever the database says.
pub async fn count(conn: &mut PgConnection, now: Timestamp) -> sqlx::Result<(i64, Option<Timestamp>)> {
    let row = sqlx::query!(
        r#"select count(*) as "missing!", min(at) as oldest from portal.notice_missing
        where kind = 'waiting' or at > $1"#,
        since(now).to_sqlx()
    );
    let row = row.fetch_one(conn).await?;
    Ok((row.missing, row.oldest.map(jiff_sqlx::Timestamp::to_jiff)))
}

/// Leaves them, and puts reminders right that do not go by the deadline. Says how many it left. Where two do it at once, one
/// does it.
///
/// # Errors
/// Whatever the database says: what is the matter with notices, if anything is.
pub async fn leave(conn: &mut PgConnection, now: Timestamp) -> sqlx::Result<usize> {
    let left: Vec<Uuid> = sqlx::query_scalar!(
        r#"insert into portal.notice (kind, approval_id, at, due_at)
        select kind, approval_id, at, least(at, $1) from portal.notice_missing
        where (kind = 'waiting' or at > $2) and pg_try_advisory_xact_lock($3)
        returning approval_id as "approval_id!""#,
        now.to_sqlx(),
        since(now).to_sqlx(),
        LEAVING
    )
    .fetch_all(&mut *conn)
    .await?;
    sqlx::query!(
        "select portal.plan_reminders(a) from portal.approval a
        where a.at_aws = 'open' and (a.id = any ($1) or exists (
            select from portal.notice n where n.approval_id = a.id and n.kind = 'last_hour' and n.done_at is null
                and n.due_at <> a.expires_at - interval '1 hour'))",
        &left
    )
    .fetch_all(conn)
    .await?;
    Ok(left.len())
}

fn since(now: Timestamp) -> Timestamp {
    now.checked_sub(OF_USE).unwrap_or(now)
}

/// The number of the lock that keeps two from leaving the same notices.
const LEAVING: i64 = 0x0063_6f75_6e74_6e6d;
