//! What changed lately in what pages show. The rows are written by triggers, in the transaction that makes the change
//! (migration 0005); here they are only read and thrown away.

use sqlx::PgConnection;

/// One transaction's change of one thing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Change {
    /// The transaction's number.
    pub transaction: i64,
    pub topic: String,
}

/// What one look finds.
#[derive(Debug, Default)]
pub struct Seen {
    /// All transactions below this number have ended: the next look asks from here, and misses none.
    pub horizon: i64,
    pub changes: Vec<Change>,
}

/// The changes by transactions numbered `since` and above that have ended, at most `most`, with the horizon of the same
/// moment.
///
/// # Errors
/// Whatever the database says.
pub async fn list_since(conn: &mut PgConnection, since: i64, most: i64) -> sqlx::Result<Seen> {
    let rows = sqlx::query!(
        r#"select pg_snapshot_xmin(pg_current_snapshot())::text::bigint as "horizon!",
            found.transaction::text::bigint as transaction, found.topic as "topic?"
        from (select) one left join lateral (
            select transaction, topic from portal.change where transaction >= $1::text::xid8
            order by transaction limit $2) found on true"#,
        since.to_string(),
        most
    )
    .fetch_all(conn)
    .await?;
    let mut seen = Seen::default();
    for row in rows {
        seen.horizon = row.horizon;
        if let (Some(transaction), Some(topic)) = (row.transaction, row.topic) {
            seen.changes.push(Change { transaction, topic });
        }
    }
    Ok(seen)
}

/// Forgets what is older than `seconds`, a few at a time. Returns how many.
///
/// # Errors
/// Whatever the database says.
pub async fn delete_older(conn: &mut PgConnection, seconds: f64, most: i64) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "delete from portal.change where (transaction, topic) in (
            select transaction, topic from portal.change
            where changed_at < clock_timestamp() - make_interval(secs => $1)
            order by transaction, topic limit $2)",
        seconds,
        most
    );
    Ok(done.execute(conn).await?.rows_affected())
}
