//! Reads the whole table in one snapshot and lets the chain judge it, streaming: the size of the log does not matter. It
//! trusts no constraint, index or trigger, since whoever changed a record may have removed those too.

use futures::{Stream, StreamExt, TryStreamExt};
use sqlx::{Connection, Executor, PgConnection};

use super::chain::{Chain, Head, Item, Row, StoredPayload, Verdict};

/// Rows judged together while the next ones are read. Of the longest payloads, two such chunks are 32 MiB.
const CHUNK: usize = 1_000;

/// Verifies the live table over `conn`, which needs to read it and nothing more. After a fault, close `conn`.
pub async fn verify(conn: &mut PgConnection) -> Result<Verdict, sqlx::Error> {
    let mut snapshot = conn.begin_with("begin isolation level repeatable read read only").await?;
    // One statement reads everything; the order comes from the two indexes, not from sorting ten million rows.
    snapshot
        .execute("set local statement_timeout = 0; set local enable_hashjoin = off; set local enable_sort = off")
        .await?;
    let head = find_head(&mut snapshot).await?;
    let verdict = judge(stream_items(&mut snapshot), Some(head)).await?;
    if matches!(verdict, Verdict::Intact(_)) {
        snapshot.rollback().await?;
    }
    // After a fault the rest of the rows is still on its way; the caller hangs up instead of reading them.
    Ok(verdict)
}

/// Judges any stream of items, in order of their numbers. `head`: how the log itself names its newest record, if it does.
/// Judging and reading go on at the same time.
pub async fn judge<E>(items: impl Stream<Item = Result<Item, E>>, head: Option<Head>) -> Result<Verdict, E> {
    let mut chunks = std::pin::pin!(items.try_chunks(CHUNK));
    let mut chain = Chain::default();
    let mut next = chunks.next().await;
    while let Some(chunk) = next {
        let chunk = chunk.map_err(|error| error.1)?;
        let judging = tokio::task::spawn_blocking(move || {
            let found = chunk.iter().try_for_each(|item| chain.check(item));
            found.map(|()| chain)
        });
        let (judged, following) = tokio::join!(judging, chunks.next());
        match judged.expect("checking a chain does not panic") {
            Ok(continued) => chain = continued,
            Err(broken) => return Ok(Verdict::Broken(broken)),
        }
        next = following;
    }
    Ok(chain.finish(head.as_ref()))
}

async fn find_head(conn: &mut PgConnection) -> Result<Head, sqlx::Error> {
    let row = sqlx::query!(
        r#"select seq, hash, case when at between '0001-01-01' and '9999-12-31' then at end as "at: jiff_sqlx::Timestamp"
           from audit.head"#
    )
    .fetch_optional(conn)
    .await?;
    let gone = || Head { seq: -1, at: None, hash: Vec::new() };
    Ok(row.map_or_else(gone, |row| Head { seq: row.seq, at: row.at.map(|at| at.to_jiff()), hash: row.hash }))
}

/// Everything in both tables, in order of numbers: records with their payloads, and payloads without a record.
pub fn stream_items(conn: &mut PgConnection) -> impl Stream<Item = Result<Item, sqlx::Error>> + '_ {
    sqlx::query_as!(
        Joined,
        r#"select seq as "seq!", r.hash as "hash?", r.prev as "prev?", r.kind as "kind?", r.actor as "actor?",
               r.payload_hash as "payload_hash?",
               case when r.at between '0001-01-01' and '9999-12-31' then r.at end as "at: jiff_sqlx::Timestamp",
               p.payload as "payload?", p.kind as "payload_kind?", p.source, p.pipeline, p.stage, p.action, p.execution,
               p.approval, p.decision, p.person, p.verdict, p.outcome
           from audit.record r full join audit.payload p using (seq)
           order by seq"#
    )
    .fetch(conn)
    .map_ok(Item::from)
}

/// One row of the outer join of both tables.
struct Joined {
    seq: i64,
    hash: Option<Vec<u8>>,
    prev: Option<Vec<u8>>,
    kind: Option<String>,
    actor: Option<String>,
    payload_hash: Option<Vec<u8>>,
    at: Option<jiff_sqlx::Timestamp>,
    payload: Option<Vec<u8>>,
    payload_kind: Option<String>,
    source: Option<String>,
    pipeline: Option<String>,
    stage: Option<String>,
    action: Option<String>,
    execution: Option<String>,
    approval: Option<uuid::Uuid>,
    decision: Option<uuid::Uuid>,
    person: Option<uuid::Uuid>,
    verdict: Option<String>,
    outcome: Option<String>,
}

impl From<Joined> for Item {
    fn from(row: Joined) -> Self {
        let Some(hash) = row.hash else { return Self::OrphanPayload(row.seq) };
        let payload = row.payload.map(|bytes| StoredPayload {
            bytes,
            kind: row.payload_kind.unwrap_or_default(),
            source: row.source,
            pipeline: row.pipeline,
            stage: row.stage,
            action: row.action,
            execution: row.execution,
            approval: row.approval,
            decision: row.decision,
            person: row.person,
            verdict: row.verdict,
            outcome: row.outcome,
        });
        Self::Record(Box::new(Row {
            seq: row.seq,
            at: row.at.map(jiff_sqlx::Timestamp::to_jiff),
            prev: row.prev.unwrap_or_default(),
            kind: row.kind.unwrap_or_default(),
            actor: row.actor.unwrap_or_default(),
            payload_hash: row.payload_hash.unwrap_or_default(),
            hash,
            payload,
        }))
    }
}
