//! What waits and nobody is deciding, for the rule that rejects it then; and since when the rule counts anew because something
//! was decided that came to nothing.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgConnection;
use sqlx::types::Json;

use crate::domain::access::Tags;
use crate::domain::ids::{ApprovalId, Gate};
use crate::store::access;

/// When decisions ended that left the approval waiting.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ended {
    /// The last, whosever it was.
    pub last: Option<Timestamp>,
    /// The last that was made under a rule.
    pub by_rule: Option<Timestamp>,
}

/// An approval that waits, and that nobody is deciding.
#[derive(Debug, Clone)]
pub struct Unattended {
    pub approval: ApprovalId,
    pub gate: Gate,
    pub opened_at: Timestamp,
    pub found_at: Timestamp,
    pub ended: Ended,
    /// What its pipeline is tagged with, as read lately.
    pub tags: Option<Tags>,
}

/// Everything that opened and was found before `opened`, was last seen to wait, is nobody's to settle, and can be read: not of a source that
/// is blind or no longer configured, nor of a pipeline that cannot be read. Tags count that were read since `tags_since`.
///
/// # Errors
/// Whatever the database says, also of an impossible row.
pub async fn list(conn: &mut PgConnection, opened: Timestamp, tags_since: Timestamp) -> sqlx::Result<Vec<Unattended>> {
    let rows = sqlx::query!(
        r#"select a.id, a.source, a.pipeline, a.stage, a.action, a.opened_at, a.found_at, g.tags as "tags?: Json<Tags>",
            e.last as "last?", e.by_rule as "by_rule?"
        from portal.approval a
        join portal.source s on s.name = a.source and s.configured and s.blind_since is null
        join portal.pipeline p on p.source = a.source and p.name = a.pipeline and p.unreadable_since is null
        left join portal.pipeline_tags g
            on g.source = a.source and g.pipeline = a.pipeline and g.until_at is null and g.read_at >= $2
        cross join lateral (
            select max(d.settled_at) as last, max(d.settled_at) filter (where d.channel = 'rule') as by_rule
            from portal.decision d where d.approval_id = a.id) e
        where a.at_aws = 'open' and greatest(a.opened_at, a.found_at) <= $1
            and not exists (select from portal.decision d where d.approval_id = a.id
                and d.state in ('intent', 'submitting', 'unsure', 'accepted'))
        order by a.opened_at, a.id"#,
        opened.to_sqlx(),
        tags_since.to_sqlx()
    );
    let mut found = Vec::new();
    for row in rows.fetch_all(conn).await? {
        found.push(Unattended {
            approval: ApprovalId(row.id),
            gate: access::gate("portal.approval", (row.source, row.pipeline), (row.stage, row.action))?,
            opened_at: row.opened_at.to_jiff(),
            found_at: row.found_at.to_jiff(),
            ended: Ended {
                last: row.last.map(jiff_sqlx::Timestamp::to_jiff),
                by_rule: row.by_rule.map(jiff_sqlx::Timestamp::to_jiff),
            },
            tags: row.tags.map(|json| json.0),
        });
    }
    Ok(found)
}

/// # Errors
/// Whatever the database says.
pub async fn find_ended(conn: &mut PgConnection, approval: ApprovalId) -> sqlx::Result<Ended> {
    let row = sqlx::query!(
        r#"select max(settled_at) as "last?", max(settled_at) filter (where channel = 'rule') as "by_rule?"
        from portal.decision where approval_id = $1"#,
        approval.0
    );
    let row = row.fetch_one(conn).await?;
    Ok(Ended {
        last: row.last.map(jiff_sqlx::Timestamp::to_jiff),
        by_rule: row.by_rule.map(jiff_sqlx::Timestamp::to_jiff),
    })
}
