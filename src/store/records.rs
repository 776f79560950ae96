//! Single records as the record page reads them, with the others of the same story, and the last decisions at a gate.
//! Read-only by the grants of the serving role; the only writer of records is `audit`.

use jiff::Timestamp;
use sqlx::PgConnection;
use uuid::Uuid;

use super::Inconsistent;
use crate::domain::ids::{ApprovalId, Gate};

/// How many records of one story are listed.
const MOST_RELATED: i64 = 200;

/// A record as it is stored.
#[derive(Debug, Clone)]
pub struct Record {
    pub seq: i64,
    pub at: Timestamp,
    pub prev: Vec<u8>,
    pub kind: String,
    pub actor: String,
    pub payload_hash: Vec<u8>,
    pub hash: Vec<u8>,
    /// Absent once erased.
    pub payload: Option<Vec<u8>>,
    pub approval: Option<Uuid>,
    pub decision: Option<Uuid>,
    /// The hash of the record before; absent for the first.
    pub before: Option<Vec<u8>>,
    /// The name of the account that acted, as it is now.
    pub actor_name: Option<String>,
}

/// The record of this number.
///
/// # Errors
/// The database's.
pub async fn find_record(conn: &mut PgConnection, seq: i64) -> Result<Option<Record>, sqlx::Error> {
    let row = sqlx::query!(
        r#"select r.seq as "seq!", r.at as "at!", r.prev as "prev!", r.kind as "kind!", r.actor as "actor!",
            r.payload_hash as "payload_hash!", r.hash as "hash!", p.payload as "payload?", p.approval as "approval?",
            p.decision as "decision?", b.hash as "before?", c.name as "actor_name?"
        from audit.record r
        left join audit.payload p on p.seq = r.seq
        left join audit.record b on b.seq = r.seq - 1
        left join portal.account c on r.actor = 'account:' || c.id::text
        where r.seq = $1"#,
        seq
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| Record {
        seq: row.seq,
        at: row.at.to_jiff(),
        prev: row.prev,
        kind: row.kind,
        actor: row.actor,
        payload_hash: row.payload_hash,
        hash: row.hash,
        payload: row.payload,
        approval: row.approval,
        decision: row.decision,
        before: row.before,
        actor_name: row.actor_name,
    }))
}

/// A record in the story of another.
#[derive(Debug, Clone)]
pub struct Related {
    pub seq: i64,
    pub at: Timestamp,
    pub kind: String,
    pub outcome: Option<String>,
    pub decision: Option<Uuid>,
}

/// The records about the same approval or decision, oldest first.
///
/// # Errors
/// The database's.
pub async fn list_related(
    conn: &mut PgConnection,
    approval: Option<Uuid>,
    decision: Option<Uuid>,
) -> Result<Vec<Related>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select p.seq as "seq!", r.at as "at!", r.kind as "kind!", p.outcome as "outcome?", p.decision as "decision?"
        from audit.payload p join audit.record r on r.seq = p.seq
        where p.approval = $1 or p.decision = $2 order by p.seq limit $3"#,
        approval,
        decision,
        MOST_RELATED
    )
    .fetch_all(conn)
    .await?;
    let related = rows.into_iter().map(|row| Related {
        seq: row.seq,
        at: row.at.to_jiff(),
        kind: row.kind,
        outcome: row.outcome,
        decision: row.decision,
    });
    Ok(related.collect())
}

/// How an earlier approval at a gate ended.
#[derive(Debug, Clone)]
pub struct Earlier {
    pub approval: ApprovalId,
    pub execution: String,
    /// `approved` or `rejected`.
    pub verdict: String,
    pub at: Timestamp,
    /// The account's name when decided here, else the ARN that AWS names.
    pub by: String,
    pub is_here: bool,
    pub summary: String,
    pub seq: Option<i64>,
}

/// The last five decided approvals at a gate, newest first, without `except`.
///
/// # Errors
/// The database's, or a row the program could not have written.
pub async fn list_earlier(
    conn: &mut PgConnection,
    gate: &Gate,
    except: ApprovalId,
) -> Result<Vec<Earlier>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select a.id as "id!", a.execution_id as "execution_id!", a.at_aws as "at_aws!", a.closed_at as "closed_at?",
            a.decided as "decided!", a.decided_by as "decided_by?", a.decided_summary as "decided_summary?",
            d.summary as "summary?", d.signed_as as "name?",
            coalesce(d.intent_seq, (select min(p.seq) from audit.payload p
                where p.approval = a.id and p.kind = 'approval.decided_elsewhere')) as "seq?"
        from portal.approval a
        left join portal.decision d on d.approval_id = a.id and d.state = 'accepted'
        where a.source = $1 and a.pipeline = $2 and a.stage = $3 and a.action = $4 and a.id <> $5
            and a.at_aws in ('approved', 'rejected')
        order by a.opened_at desc, a.id
        limit 5"#,
        gate.source.as_str(),
        gate.pipeline.as_str(),
        gate.stage.as_str(),
        gate.action.as_str(),
        except.0
    )
    .fetch_all(conn)
    .await?;
    let earlier = rows.into_iter().map(|row| {
        let closed_at = row.closed_at.ok_or_else(|| Inconsistent {
            table: "approval",
            row: row.id.to_string(),
            problem: "decided but not closed".to_owned(),
        })?;
        let is_here = row.decided == "here" && row.name.is_some();
        Ok(Earlier {
            approval: ApprovalId(row.id),
            execution: row.execution_id,
            verdict: row.at_aws,
            at: closed_at.to_jiff(),
            by: row.name.filter(|_| is_here).or(row.decided_by).unwrap_or_default(),
            is_here,
            summary: row.summary.filter(|_| is_here).or(row.decided_summary).unwrap_or_default(),
            seq: row.seq,
        })
    });
    earlier.collect()
}
