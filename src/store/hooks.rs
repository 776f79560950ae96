//! What came to the ends where other services deliver, so that each message is taken once.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgConnection;

/// Takes a message, unless it was taken since `since`.
///
/// # Errors
/// Whatever the database says.
pub async fn take_message(
    conn: &mut PgConnection,
    message_id: &str,
    (now, since): (Timestamp, Timestamp),
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "insert into portal.hook_message (message_id, taken_at) values ($1, $2)
        on conflict (message_id) do update set taken_at = excluded.taken_at where portal.hook_message.taken_at <= $3",
        message_id,
        now.to_sqlx(),
        since.to_sqlx()
    );
    Ok(done.execute(conn).await?.rows_affected() == 1)
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
