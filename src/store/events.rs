//! What announcements leave behind: the deadlines they told, and when each pipeline was last looked at because of one.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgConnection;

use crate::domain::ids::{PipelineName, SourceName};

/// So many deadlines are kept of a source at most: whoever may write to its queue must not fill the database.
const MOST_DEADLINES: i64 = 2_000;

/// Keeps the deadline of the request with a token of this hash. What was told first stays.
///
/// # Errors
/// Whatever the database says.
pub async fn insert_deadline(
    conn: &mut PgConnection,
    source: &SourceName,
    token_hash: &[u8; 32],
    (expires_at, told_at): (Timestamp, Timestamp),
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into portal.deadline (source, token_hash, expires_at, told_at) select $1, $2, $3, $4
        where (select count(*) from portal.deadline where source = $1) < $5
        on conflict (source, token_hash) do nothing",
        source.as_str(),
        token_hash,
        expires_at.to_sqlx(),
        told_at.to_sqlx(),
        MOST_DEADLINES
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// # Errors
/// Whatever the database says.
pub async fn find_deadline(
    conn: &mut PgConnection,
    source: &SourceName,
    token_hash: &[u8; 32],
) -> sqlx::Result<Option<Timestamp>> {
    let found = sqlx::query_scalar!(
        "select expires_at from portal.deadline where source = $1 and token_hash = $2",
        source.as_str(),
        token_hash
    );
    Ok(found.fetch_optional(conn).await?.map(jiff_sqlx::Timestamp::to_jiff))
}

/// Begins a look at a pipeline, unless one began after `since`. A look from the future is no reason to wait: a clock was put
/// right.
///
/// # Errors
/// Whatever the database says.
pub async fn claim_look(
    conn: &mut PgConnection,
    source: &SourceName,
    pipeline: &PipelineName,
    (now, since): (Timestamp, Timestamp),
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "insert into portal.look (source, pipeline, began_at) values ($1, $2, $3)
        on conflict (source, pipeline) do update set began_at = excluded.began_at
        where portal.look.began_at <= $4 or portal.look.began_at > $3",
        source.as_str(),
        pipeline.as_str(),
        now.to_sqlx(),
        since.to_sqlx()
    );
    Ok(done.execute(conn).await?.rows_affected() == 1)
}

/// Forgets what began or ended before `at`, and deadlines told before `told_before` of requests that nobody has seen.
///
/// # Errors
/// Whatever the database says.
pub async fn delete_before(conn: &mut PgConnection, at: Timestamp, told_before: Timestamp) -> sqlx::Result<()> {
    sqlx::query!(
        "delete from portal.deadline d where d.expires_at < $1 or (d.told_at < $2 and not exists (
            select from portal.approval a
            where a.source = d.source and a.token_hash = d.token_hash and a.at_aws = 'open'))",
        at.to_sqlx(),
        told_before.to_sqlx()
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!("delete from portal.look where began_at < $1", at.to_sqlx()).execute(conn).await?;
    Ok(())
}
