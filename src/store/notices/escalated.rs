//! What nobody has decided, for groups that are told of that.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use crate::domain::access::Tags;
use crate::domain::ids::{AccountId, ApprovalId, EscalationId, Gate, GroupId};
use crate::store::Inconsistent;

/// An approval that waits.
#[derive(Debug, Clone)]
pub struct Unanswered {
    pub approval: ApprovalId,
    pub gate: Gate,
    pub opened_at: Timestamp,
    pub expires_at: Timestamp,
    /// As read lately.
    pub tags: Option<Tags>,
    /// Who hears of it already.
    pub escalated: Vec<EscalationId>,
}

/// Every approval that waits at `now`, opened before `opened` or, if that is asked for, half of its time ago; that nobody is
/// deciding. Tags count that were read since `tags_since`.
///
/// # Errors
/// Whatever the database says, also of an impossible row.
pub async fn list_unanswered(
    conn: &mut PgConnection,
    (now, tags_since): (Timestamp, Timestamp),
    (opened, at_half_time): (Option<Timestamp>, bool),
) -> sqlx::Result<Vec<Unanswered>> {
    let rows = sqlx::query!(
        r#"select a.id, a.source, a.pipeline, a.stage, a.action, a.opened_at, a.expires_at,
            g.tags as "tags?: Json<Tags>",
            array(select n.escalation_id from portal.notice n
                where n.approval_id = a.id and n.escalation_id is not null) as "escalated!: Vec<Uuid>"
        from portal.approval a left join portal.pipeline_tags g
            on g.source = a.source and g.pipeline = a.pipeline and g.until_at is null and g.read_at >= $2
        where a.at_aws = 'open' and a.expires_at > $1
            and (a.opened_at <= $3 or ($4 and a.opened_at + (a.expires_at - a.opened_at) / 2 <= $1))
            and not exists (select from portal.decision d where d.approval_id = a.id
                and d.state in ('intent', 'submitting', 'unsure'))"#,
        now.to_sqlx(),
        tags_since.to_sqlx(),
        opened.map(jiff_sqlx::ToSqlx::to_sqlx) as _,
        at_half_time
    );
    let mut found = Vec::new();
    for row in rows.fetch_all(conn).await? {
        let bad = |bad: crate::domain::ids::BadId| Inconsistent {
            table: "portal.approval",
            row: row.id.to_string(),
            problem: bad.to_string(),
        };
        let gate = Gate::parse([row.source, row.pipeline, row.stage, row.action]).map_err(bad)?;
        found.push(Unanswered {
            approval: ApprovalId(row.id),
            gate,
            opened_at: row.opened_at.to_jiff(),
            expires_at: row.expires_at.to_jiff(),
            tags: row.tags.map(|json| json.0),
            escalated: row.escalated.into_iter().map(EscalationId).collect(),
        });
    }
    Ok(found)
}

/// Leaves a notice that nobody decides, for each of these once.
///
/// # Errors
/// Whatever the database says.
pub async fn leave(conn: &mut PgConnection, due: &[(ApprovalId, EscalationId)], now: Timestamp) -> sqlx::Result<()> {
    let approvals: Vec<Uuid> = due.iter().map(|(approval, _)| approval.0).collect();
    let escalations: Vec<Uuid> = due.iter().map(|(_, escalation)| escalation.0).collect();
    sqlx::query!(
        "insert into portal.notice (kind, approval_id, escalation_id, at, due_at)
        select 'escalated', new.approval_id, new.escalation_id, $3, $3
        from unnest($1::uuid[], $2::uuid[]) new (approval_id, escalation_id)
        on conflict (approval_id, escalation_id) where escalation_id is not null do nothing",
        &approvals,
        &escalations,
        now.to_sqlx()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The group that is told by this escalation; none once it has ended.
///
/// # Errors
/// Whatever the database says.
pub async fn find_group(conn: &mut PgConnection, notice: i64) -> sqlx::Result<Option<GroupId>> {
    let group = sqlx::query_scalar!(
        "select e.group_id from portal.notice n join portal.escalation e on e.id = n.escalation_id
        where n.id = $1 and e.until_at is null",
        notice
    );
    Ok(group.fetch_optional(conn).await?.map(GroupId))
}

/// Who was told that nobody decides this approval, and is in a group that hears of that still.
///
/// # Errors
/// Whatever the database says.
pub async fn list_told(conn: &mut PgConnection, approval: ApprovalId) -> sqlx::Result<Vec<AccountId>> {
    let told = sqlx::query_scalar!(
        "select distinct t.account_id from portal.notice n join portal.notice_to t on t.notice_id = n.id
        join portal.escalation e on e.id = n.escalation_id
        join portal.group_member m on m.group_id = e.group_id and m.account_id = t.account_id
        where n.approval_id = $1 and t.told_at is not null and e.until_at is null and m.until_at is null",
        approval.0
    );
    Ok(told.fetch_all(conn).await?.into_iter().map(AccountId).collect())
}
