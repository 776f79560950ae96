//! Reads the whole table in one snapshot and lets the chain judge it, streaming: the size of the log does not matter. It
//! trusts no constraint, index or trigger, since whoever changed a record may have removed those too.

use futures::{Stream, StreamExt, TryStreamExt};
use sqlx::{Connection, Executor, PgConnection};

use super::chain::{Broken, Chain, Head, Intact, Row, StoredPayload, Verdict, Why};

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
    let verdict = match judge(stream_rows(&mut snapshot), Some(head)).await? {
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

/// Judges any stream of records, in order of their numbers. `head`: how the log itself names its newest record, if it does.
/// Judging and reading go on at the same time.
pub async fn judge<E>(rows: impl Stream<Item = Result<Row, E>>, head: Option<Head>) -> Result<Verdict, E> {
    let mut chunks = std::pin::pin!(rows.try_chunks(CHUNK));
    let mut chain = Chain::default();
    let mut next = chunks.next().await;
    while let Some(chunk) = next {
        let chunk = chunk.map_err(|error| error.1)?;
        let judging = tokio::task::spawn_blocking(move || {
            let found = chunk.iter().try_for_each(|row| chain.check(row));
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
    Ok(row.map_or_else(gone, |row| Head {
        seq: row.seq,
        at: row.at.map(jiff_sqlx::Timestamp::to_jiff),
        hash: row.hash,
    }))
}

/// Every record with its payload, in order of numbers.
// `coalesce` of one column changes nothing but keeps the recorded nullability of the query from following the plan.
pub fn stream_rows(conn: &mut PgConnection) -> impl Stream<Item = Result<Row, sqlx::Error>> + '_ {
    sqlx::query_as!(
        Joined,
        r#"select r.seq, r.hash, r.prev, r.kind, r.actor, r.payload_hash,
               case when r.at between '0001-01-01' and '9999-12-31' then r.at end as "at: jiff_sqlx::Timestamp",
               coalesce(p.payload) as payload, coalesce(p.kind) as payload_kind, p.source, p.pipeline, p.stage, p.action, p.execution,
               p.approval, p.decision, p.person, p.verdict, p.outcome
           from audit.record r left join audit.payload p on p.seq = r.seq
           order by r.seq"#
    )
    .fetch(conn)
    .map_ok(Row::from)
}

/// One row of the join of both tables.
struct Joined {
    seq: i64,
    hash: Vec<u8>,
    prev: Vec<u8>,
    kind: String,
    actor: String,
    payload_hash: Vec<u8>,
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

impl From<Joined> for Row {
    fn from(row: Joined) -> Self {
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
        Self {
            seq: row.seq,
            at: row.at.map(jiff_sqlx::Timestamp::to_jiff),
            prev: row.prev,
            kind: row.kind,
            actor: row.actor,
            payload_hash: row.payload_hash,
            hash: row.hash,
            payload,
        }
    }
}
