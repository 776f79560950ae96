//! Groups that are told of what nobody decides. Made and ended, never changed.

use jiff::{SignedDuration, Timestamp};
use jiff_sqlx::ToSqlx as _;
use sqlx::PgConnection;

use super::columns;
use crate::domain::access::GatePattern;
use crate::domain::ids::{AccountId, EscalationId, GroupId};

/// An escalation as it is stored.
#[derive(Debug, Clone)]
pub struct Escalation {
    pub id: EscalationId,
    pub group: GroupId,
    pub group_name: String,
    pub gates: GatePattern,
    pub after: After,
    pub note: String,
    pub from: Timestamp,
    /// Absent for the operator.
    pub given_by: Option<String>,
}

/// When a group is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// So many minutes after the approval opened.
    Minutes(i32),
    HalfTime,
}

impl After {
    /// When that is for an approval.
    #[must_use]
    pub fn of(self, opened: Timestamp, expires: Timestamp) -> Timestamp {
        let wait = match self {
            Self::Minutes(minutes) => SignedDuration::from_mins(minutes.into()),
            Self::HalfTime => expires.duration_since(opened) / 2,
        };
        opened.checked_add(wait).unwrap_or(Timestamp::MAX)
    }

    fn minutes(self) -> Option<i32> {
        match self {
            Self::Minutes(minutes) => Some(minutes),
            Self::HalfTime => None,
        }
    }
}

/// An escalation to be made.
#[derive(Debug)]
pub struct NewEscalation<'a> {
    pub id: EscalationId,
    pub group: GroupId,
    pub gates: &'a GatePattern,
    pub after: After,
    pub note: &'a str,
    pub at: Timestamp,
    pub given_by: Option<AccountId>,
}

/// # Errors
/// Whatever the database says.
pub async fn insert(conn: &mut PgConnection, new: &NewEscalation<'_>) -> sqlx::Result<()> {
    let fields = new.gates.fields();
    let tag = new.gates.tag.as_ref();
    sqlx::query!(
        "insert into portal.escalation (id, group_id, source, pipeline, stage, action, tag_key, tag_value, after_minutes,
            note, from_at, given_by)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        new.id.0,
        new.group.0,
        fields.source,
        fields.pipeline,
        fields.stage,
        fields.action,
        tag.map(|tag| tag.key.as_str()),
        tag.map(|tag| tag.value.as_str()),
        new.after.minutes(),
        new.note,
        new.at.to_sqlx(),
        new.given_by.map(|by| by.0),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Every escalation that has not ended, newest first.
///
/// # Errors
/// Whatever the database says, also of an impossible row.
pub async fn list_live(conn: &mut PgConnection) -> sqlx::Result<Vec<Escalation>> {
    let rows = sqlx::query!(
        r#"select e.id, e.group_id, g.name as group_name, e.source, e.pipeline, e.stage, e.action, e.tag_key, e.tag_value,
            e.after_minutes, e.note, e.from_at, b.name as "given_by?"
        from portal.escalation e join portal.people_group g on g.id = e.group_id
        left join portal.account b on b.id = e.given_by
        where e.until_at is null order by e.from_at desc, e.id desc"#
    );
    let mut found = Vec::new();
    for row in rows.fetch_all(conn).await? {
        found.push(Escalation {
            id: EscalationId(row.id),
            group: GroupId(row.group_id),
            group_name: row.group_name,
            gates: columns!(row).pattern("portal.escalation", row.id)?,
            after: row.after_minutes.map_or(After::HalfTime, After::Minutes),
            note: row.note,
            from: row.from_at.to_jiff(),
            given_by: row.given_by,
        });
    }
    Ok(found)
}

/// Ends one. False: it has ended already, or there is none.
///
/// # Errors
/// Whatever the database says.
pub async fn mark_ended(
    conn: &mut PgConnection,
    id: EscalationId,
    at: Timestamp,
    by: Option<AccountId>,
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "update portal.escalation set until_at = greatest(from_at, $2), ended_by = $3
        where id = $1 and until_at is null",
        id.0,
        at.to_sqlx(),
        by.map(|by| by.0)
    );
    Ok(done.execute(conn).await?.rows_affected() == 1)
}

/// Ends all of a group that is removed; says which.
///
/// # Errors
/// Whatever the database says.
pub async fn end_all_of_group(
    conn: &mut PgConnection,
    group: GroupId,
    at: Timestamp,
    by: Option<AccountId>,
) -> sqlx::Result<Vec<EscalationId>> {
    let ended = sqlx::query_scalar!(
        "update portal.escalation set until_at = greatest(from_at, $2), ended_by = $3
        where group_id = $1 and until_at is null returning id",
        group.0,
        at.to_sqlx(),
        by.map(|by| by.0)
    );
    Ok(ended.fetch_all(conn).await?.into_iter().map(EscalationId).collect())
}
