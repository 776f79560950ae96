//! Reads the whole table in one snapshot and lets the chain judge it, streaming: the size of the log does not matter. It
//! trusts no constraint, index or trigger, since whoever changed a record may have removed those too.

use futures::{Stream, StreamExt, TryStreamExt};
use sqlx::{Connection, Executor, PgConnection};

use super::chain::{Broken, Chain, Head, Intact, Row, Verdict, Why};
use super::stored::{EVERY_ROW, read};

/// Rows judged together while the next ones are read. Of the longest payloads, two such chunks are 32 MiB.
const CHUNK: usize = 1_000;

/// Verifies the live table over `conn`, which needs to read it and nothing more. After a fault, close `conn`.
pub async fn verify(conn: &mut PgConnection) -> Result<Verdict, sqlx::Error> {
    let mut snapshot = conn.begin_with("begin isolation level repeatable read read only").await?;
    // The order comes from the two indexes; nothing is sorted or hashed, of which ten million rows would need a disk full.
    snapshot
        .execute(
            "set local statement_timeout = 0; set local jit = off; set local enable_hashjoin = off;
            set local enable_nestloop = off; set local enable_sort = off",
        )
        .await?;
    let head = find_head(&mut snapshot).await?;
    let messages = snapshot.copy_out_raw(EVERY_ROW).await?;
    let verdict = match judge(messages, head).await? {
        Verdict::Intact(intact) => find_orphan(&mut snapshot, intact).await?,
        // The rest of the rows is still on its way; the caller hangs up instead of reading them.
        broken => return Ok(broken),
    };
    snapshot.rollback().await?;
    Ok(verdict)
}

/// A payload that belongs to no record is never met on the way along the records.
async fn find_orphan(conn: &mut PgConnection, intact: Intact) -> Result<Verdict, sqlx::Error> {
    let payloads =
        sqlx::query_scalar!(r#"select count(*) as "payloads!" from audit.payload"#).fetch_one(&mut *conn).await?;
    let erased = i64::try_from(intact.redacted.len()).unwrap_or(i64::MAX);
    if payloads == intact.rows - erased {
        return Ok(Verdict::Intact(intact));
    }
    let seq = sqlx::query_scalar!(
        r#"select coalesce(min(p.seq), 0) as "seq!" from audit.payload p
           where not exists (select from audit.record r where r.seq = p.seq)"#
    )
    .fetch_one(conn)
    .await?;
    Ok(Verdict::Broken(Broken { seq, why: Why::OrphanPayload }))
}

/// Judges rows as they are read. Judging and reading go on at the same time; a row is taken apart by who judges it.
async fn judge<B>(messages: impl Stream<Item = sqlx::Result<B>>, head: Head) -> sqlx::Result<Verdict>
where
    B: AsRef<[u8]> + Send + 'static,
{
    let mut chunks = std::pin::pin!(messages.try_chunks(CHUNK));
    let mut chain = Chain::default();
    let mut next = chunks.next().await;
    while let Some(chunk) = next {
        let chunk = chunk.map_err(|error| error.1)?;
        let judging = tokio::task::spawn_blocking(move || {
            let found = check(&mut chain, &chunk);
            found.map(|found| found.map(|()| chain))
        });
        let (judged, following) = tokio::join!(judging, chunks.next());
        match judged.expect("checking a chain does not panic")? {
            Ok(continued) => chain = continued,
            Err(broken) => return Ok(Verdict::Broken(broken)),
        }
        next = following;
    }
    Ok(chain.finish(Some(&head)))
}

fn check<B: AsRef<[u8]>>(chain: &mut Chain, messages: &[B]) -> sqlx::Result<Result<(), Broken>> {
    for message in messages {
        let Some(row) = read(message.as_ref())? else { continue };
        if let Err(broken) = chain.check(&row) {
            return Ok(Err(broken));
        }
    }
    Ok(Ok(()))
}

async fn find_head(conn: &mut PgConnection) -> Result<Head, sqlx::Error> {
    let row = sqlx::query!(
        r#"select seq, hash, case when at between '0001-01-01' and '9999-12-31' then at end as "at: jiff_sqlx::Timestamp"
           from audit.head"#
    )
    .fetch_optional(conn)
    .await?;
    let gone = || Head { seq: -1, at: None, hash: Vec::new() };
    Ok(row.map_or_else(gone, |row| Head {
        seq: row.seq,
        at: row.at.map(jiff_sqlx::Timestamp::to_jiff),
        hash: row.hash,
    }))
}

/// Every record with its payload, in order of numbers, each as the bytes that [`read_row`] takes apart.
///
/// # Errors
/// The database's.
pub async fn stream_rows(
    conn: &mut PgConnection,
) -> sqlx::Result<impl Stream<Item = sqlx::Result<impl AsRef<[u8]>>> + '_> {
    conn.copy_out_raw(EVERY_ROW).await
}

/// The row in one message of [`stream_rows`]; none in the last.
///
/// # Errors
/// Bytes that are no row.
pub fn read_row(message: &[u8]) -> sqlx::Result<Option<Row<'_>>> {
    Ok(read(message)?)
}
