//! What came to the ends where other services deliver, so that each message is taken once.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgConnection;

/// What came of claiming a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    Ours,
    /// Somebody is at it.
    InHand,
    /// Something came of it before.
    Done,
}

/// Claims a message, unless something came of it since `since`, or somebody took it in hand since `in_hand`.
///
/// # Errors
/// Whatever the database says.
pub async fn claim_message(
    conn: &mut PgConnection,
    message_id: &str,
    now: Timestamp,
    (since, in_hand): (Timestamp, Timestamp),
) -> sqlx::Result<Claim> {
    let done = sqlx::query!(
        "insert into portal.hook_message as kept (message_id, taken_at) values ($1, $2)
        on conflict (message_id) do update set taken_at = excluded.taken_at, done_at = null
            where kept.taken_at <= $3 or (kept.done_at is null and kept.taken_at <= $4)",
        message_id,
        now.to_sqlx(),
        since.to_sqlx(),
        in_hand.to_sqlx()
    );
    if done.execute(&mut *conn).await?.rows_affected() == 1 {
        return Ok(Claim::Ours);
    }
    let is_done = sqlx::query_scalar!(
        r#"select done_at is not null as "is_done!" from portal.hook_message where message_id = $1"#,
        message_id
    );
    // Gone again: whoever had it in hand let it go.
    let is_done = is_done.fetch_optional(conn).await?.unwrap_or(false);
    Ok(if is_done { Claim::Done } else { Claim::InHand })
}

/// Something came of a message: it is not taken again.
///
/// # Errors
/// Whatever the database says.
pub async fn mark_message_done(conn: &mut PgConnection, message_id: &str, now: Timestamp) -> sqlx::Result<()> {
    let done =
        sqlx::query!("update portal.hook_message set done_at = $2 where message_id = $1", message_id, now.to_sqlx());
    done.execute(conn).await.map(drop)
}

/// Lets a message be taken again: nothing came of it.
///
/// # Errors
/// Whatever the database says.
pub async fn release_message(conn: &mut PgConnection, message_id: &str) -> sqlx::Result<()> {
    sqlx::query!("delete from portal.hook_message where message_id = $1", message_id).execute(conn).await?;
    Ok(())
}

/// Forgets what was taken before `at`.
///
/// # Errors
/// Whatever the database says.
pub async fn delete_messages_before(conn: &mut PgConnection, at: Timestamp) -> sqlx::Result<()> {
    sqlx::query!("delete from portal.hook_message where taken_at < $1", at.to_sqlx()).execute(conn).await?;
    Ok(())
}
