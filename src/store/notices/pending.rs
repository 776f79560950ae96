//! What one person is still to be told.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgConnection;
use sqlx::types::Json;

use super::{About, read};
use crate::domain::access::Tags;
use crate::domain::approval::AtAws;
use crate::domain::ids::{AccountId, Gate};
use crate::domain::notices::{Kind, Why};
use crate::store::Inconsistent;

/// A notice that somebody is to be told, with how it stands by now.
#[derive(Debug, Clone)]
pub struct Pending {
    pub notice: i64,
    pub kind: Kind,
    pub why: Why,
    pub about: About,
    pub at: Timestamp,
    pub due: Timestamp,
    /// Set where it is about an approval.
    pub approval: Option<ApprovalNow>,
    /// The group they are told in, where they are told for being in one and still are.
    pub group: Option<String>,
    /// Since when the source cannot be read, where it is about one that is still configured.
    pub blind_since: Option<Timestamp>,
}

/// As much of an approval as says whether somebody is to be told of it.
#[derive(Debug, Clone)]
pub struct ApprovalNow {
    pub gate: Gate,
    pub at_aws: AtAws,
    pub expires_at: Timestamp,
    /// Somebody has decided it here, and what becomes of that is not known yet.
    pub is_being_decided: bool,
    /// As last read, and when.
    pub tags: Option<(Tags, Timestamp)>,
}

struct Columns {
    source: String,
    pipeline: String,
    stage: String,
    action: String,
}

impl Columns {
    fn gate(self, notice: i64) -> Result<Gate, Inconsistent> {
        let gate = Gate::parse([self.source, self.pipeline, self.stage, self.action]);
        gate.map_err(|bad| Inconsistent { table: "portal.notice", row: notice.to_string(), problem: bad.to_string() })
    }
}

/// What this person is to be told by `now`, at most so much; the longest due first.
///
/// # Errors
/// Whatever the database says, also of an impossible row.
pub async fn list(
    conn: &mut PgConnection,
    account: AccountId,
    now: Timestamp,
    at_most: i64,
) -> sqlx::Result<Vec<Pending>> {
    let rows = sqlx::query!(
        r#"select n.id, n.kind, n.approval_id, n.source, n.at, n.due_at, t.why,
            a.source as "gate_source?", a.pipeline as "pipeline?", a.stage as "stage?", a.action as "action?",
            a.at_aws as "at_aws?", a.expires_at as "expires_at?",
            exists (select from portal.decision d where d.approval_id = a.id
                and d.state in ('intent', 'submitting', 'unsure')) as "deciding!",
            g.tags as "tags?: Json<Tags>", g.read_at as "tags_at?",
            case when s.configured then s.blind_since end as blind_since,
            case when t.why = 'escalated' then (
                select p.name from portal.notice x
                join portal.escalation e on e.id = x.escalation_id and e.until_at is null
                join portal.group_member m on m.group_id = e.group_id and m.account_id = $1 and m.until_at is null
                join portal.people_group p on p.id = e.group_id
                where x.approval_id = n.approval_id and (n.escalation_id is null or x.id = n.id)
                order by x.id limit 1) end as group_name
        from portal.notice_to t join portal.notice n on n.id = t.notice_id
        left join portal.approval a on a.id = n.approval_id
        left join portal.pipeline_tags g on g.source = a.source and g.pipeline = a.pipeline and g.until_at is null
        left join portal.source s on s.name = n.source
        where t.account_id = $1 and t.due_at <= $2
        order by t.due_at, n.id limit $3"#,
        account.0,
        now.to_sqlx(),
        at_most
    );
    let mut pending = Vec::new();
    for row in rows.fetch_all(conn).await? {
        let bad = |problem: String| Inconsistent { table: "portal.notice_to", row: row.id.to_string(), problem };
        let (kind, about) = read(row.id, &row.kind, row.approval_id, row.source)?;
        let approval = match (row.gate_source, row.pipeline, row.stage, row.action, row.at_aws, row.expires_at) {
            (Some(source), Some(pipeline), Some(stage), Some(action), Some(at_aws), Some(expires_at)) => {
                Some(ApprovalNow {
                    gate: Columns { source, pipeline, stage, action }.gate(row.id)?,
                    at_aws: AtAws::from_name(&at_aws).ok_or_else(|| bad(format!("at_aws {at_aws}")))?,
                    expires_at: expires_at.to_jiff(),
                    is_being_decided: row.deciding,
                    tags: row.tags.map(|json| json.0).zip(row.tags_at.map(jiff_sqlx::Timestamp::to_jiff)),
                })
            }
            _ => None,
        };
        pending.push(Pending {
            notice: row.id,
            kind,
            why: Why::from_name(&row.why).ok_or_else(|| bad(format!("why {}", row.why)))?,
            about,
            at: row.at.to_jiff(),
            due: row.due_at.to_jiff(),
            approval,
            group: row.group_name,
            blind_since: row.blind_since.map(jiff_sqlx::Timestamp::to_jiff),
        });
    }
    Ok(pending)
}

/// They are told of these in a letter.
///
/// # Errors
/// Whatever the database says.
pub async fn mark_told(
    conn: &mut PgConnection,
    account: AccountId,
    notices: &[i64],
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update portal.notice_to set told_at = $3, due_at = null where account_id = $1 and notice_id = any ($2)",
        account.0,
        notices,
        now.to_sqlx()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// They need not be told of these any more; without a list, of nothing that they were still to be told.
///
/// # Errors
/// Whatever the database says.
pub async fn mark_dropped(conn: &mut PgConnection, account: AccountId, notices: Option<&[i64]>) -> sqlx::Result<()> {
    sqlx::query!(
        "update portal.notice_to set due_at = null
        where account_id = $1 and due_at is not null and ($2::bigint[] is null or notice_id = any ($2))",
        account.0,
        notices
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// They are to be told of these later.
///
/// # Errors
/// Whatever the database says.
pub async fn put_off(conn: &mut PgConnection, account: AccountId, later: &[(i64, Timestamp)]) -> sqlx::Result<()> {
    let notices: Vec<i64> = later.iter().map(|(notice, _)| *notice).collect();
    let dues: Vec<jiff_sqlx::Timestamp> = later.iter().map(|(_, due)| due.to_sqlx()).collect();
    sqlx::query!(
        "update portal.notice_to t set due_at = l.due_at
        from unnest($2::bigint[], $3::timestamptz[]) l (notice_id, due_at)
        where t.account_id = $1 and t.notice_id = l.notice_id and t.due_at is not null",
        account.0,
        &notices,
        &dues as _
    )
    .execute(conn)
    .await?;
    Ok(())
}
