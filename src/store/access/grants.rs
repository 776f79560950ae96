//! Grants: a group or a person may do something at the gates that fit. Given and ended, never changed.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgConnection;
use uuid::Uuid;

use super::columns;
use crate::domain::access::{Capability, GatePattern};
use crate::domain::ids::{AccountId, GrantId, GroupId};
use crate::store::Inconsistent;

/// To whom a grant is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    Group(GroupId),
    Person(AccountId),
}

/// A grant as it is stored, with the present names of those it is about.
#[derive(Debug, Clone)]
pub struct Grant {
    pub id: GrantId,
    pub capability: Capability,
    pub to: To,
    /// Of the group or the person.
    pub to_name: String,
    /// Of the person.
    pub to_email: Option<String>,
    pub gates: GatePattern,
    pub note: String,
    pub from: Timestamp,
    pub until: Option<Timestamp>,
    /// Absent for the operator and for the portal itself.
    pub given_by: Option<String>,
}

/// A grant to be given.
#[derive(Debug)]
pub struct NewGrant<'a> {
    pub id: GrantId,
    pub capability: Capability,
    pub to: To,
    pub gates: &'a GatePattern,
    pub note: &'a str,
    pub at: Timestamp,
    pub given_by: Option<AccountId>,
}

struct Row {
    id: Uuid,
    capability: String,
    group_id: Option<Uuid>,
    group_name: Option<String>,
    account_id: Option<Uuid>,
    person_name: Option<String>,
    person_email: Option<String>,
    source: String,
    pipeline: String,
    stage: String,
    action: String,
    tag_key: Option<String>,
    tag_value: Option<String>,
    note: String,
    from_at: jiff_sqlx::Timestamp,
    until_at: Option<jiff_sqlx::Timestamp>,
    given_by: Option<String>,
}

impl TryFrom<Row> for Grant {
    type Error = Inconsistent;

    fn try_from(row: Row) -> Result<Self, Inconsistent> {
        let bad = |problem: &str| Inconsistent {
            table: "portal.access_grant",
            row: row.id.to_string(),
            problem: problem.to_owned(),
        };
        let (to, to_name) = match (row.group_id, row.group_name, row.account_id, row.person_name) {
            (Some(id), Some(name), None, _) => (To::Group(GroupId(id)), name),
            (None, _, Some(id), Some(name)) => (To::Person(AccountId(id)), name),
            _ => return Err(bad("is given to nobody, or to two")),
        };
        let capability = Capability::from_name(&row.capability).ok_or_else(|| bad("unknown capability"))?;
        Ok(Self {
            id: GrantId(row.id),
            capability,
            to,
            to_name,
            to_email: row.person_email,
            gates: columns!(row).pattern("portal.access_grant", row.id)?,
            note: row.note,
            from: row.from_at.to_jiff(),
            until: row.until_at.map(jiff_sqlx::Timestamp::to_jiff),
            given_by: row.given_by,
        })
    }
}

macro_rules! grants {
    ($where:literal $(, $arg:expr)*) => {
        sqlx::query_as!(
            Row,
            r#"select g.id, g.capability, g.group_id, p.name as "group_name?", g.account_id, a.name as "person_name?",
                a.email as "person_email?", g.source, g.pipeline, g.stage, g.action, g.tag_key, g.tag_value, g.note,
                g.from_at, g.until_at, b.name as "given_by?"
            from portal.access_grant g
            left join portal.people_group p on p.id = g.group_id
            left join portal.account a on a.id = g.account_id
            left join portal.account b on b.id = g.given_by "# + $where
            $(, $arg)*
        )
    };
}

fn all(rows: Vec<Row>) -> sqlx::Result<Vec<Grant>> {
    rows.into_iter().map(|row| Ok(Grant::try_from(row)?)).collect()
}

/// # Errors
/// Whatever the database says.
pub async fn insert(conn: &mut PgConnection, new: &NewGrant<'_>) -> sqlx::Result<()> {
    let fields = new.gates.fields();
    let (group, person) = match new.to {
        To::Group(group) => (Some(group.0), None),
        To::Person(person) => (None, Some(person.0)),
    };
    let tag = new.gates.tag.as_ref();
    sqlx::query!(
        "insert into portal.access_grant (id, capability, group_id, account_id, source, pipeline, stage, action, tag_key,
            tag_value, note, from_at, given_by)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        new.id.0,
        new.capability.name(),
        group,
        person,
        fields.source,
        fields.pipeline,
        fields.stage,
        fields.action,
        tag.map(|tag| tag.key.as_str()),
        tag.map(|tag| tag.value.as_str()),
        new.note,
        new.at.to_sqlx(),
        new.given_by.map(|by| by.0),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Every grant that has not ended, newest first.
///
/// # Errors
/// Whatever the database says, also of an impossible row.
pub async fn list_live(conn: &mut PgConnection) -> sqlx::Result<Vec<Grant>> {
    all(grants!("where g.until_at is null order by g.from_at desc, g.id desc").fetch_all(conn).await?)
}

/// Every grant that held at a moment.
///
/// # Errors
/// Whatever the database says, also of an impossible row.
pub async fn list_at(conn: &mut PgConnection, at: Timestamp) -> sqlx::Result<Vec<Grant>> {
    let rows = grants!(
        "where g.from_at <= $1 and (g.until_at is null or g.until_at > $1) order by g.from_at desc, g.id desc",
        at.to_sqlx() as jiff_sqlx::Timestamp
    );
    all(rows.fetch_all(conn).await?)
}

/// The grants that a group has now.
///
/// # Errors
/// Whatever the database says, also of an impossible row.
pub async fn list_of_group(conn: &mut PgConnection, group: GroupId) -> sqlx::Result<Vec<Grant>> {
    let rows = grants!("where g.group_id = $1 and g.until_at is null order by g.from_at desc, g.id desc", group.0);
    all(rows.fetch_all(conn).await?)
}

/// One grant, also one that has ended.
///
/// # Errors
/// Whatever the database says, also of an impossible row.
pub async fn find(conn: &mut PgConnection, id: GrantId) -> sqlx::Result<Option<Grant>> {
    let row = grants!("where g.id = $1", id.0).fetch_optional(conn).await?;
    Ok(row.map(Grant::try_from).transpose()?)
}

/// Ends a grant. False: it has ended already, or there is none.
///
/// # Errors
/// Whatever the database says.
pub async fn mark_ended(
    conn: &mut PgConnection,
    id: GrantId,
    at: Timestamp,
    by: Option<AccountId>,
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "update portal.access_grant set until_at = greatest(from_at, $2), ended_by = $3
        where id = $1 and until_at is null",
        id.0,
        at.to_sqlx(),
        by.map(|by| by.0)
    );
    Ok(done.execute(conn).await?.rows_affected() == 1)
}

/// Whether a grant to decide was ever given.
///
/// # Errors
/// Whatever the database says.
pub async fn any_ever(conn: &mut PgConnection) -> sqlx::Result<bool> {
    let any =
        sqlx::query_scalar!(r#"select exists (select from portal.access_grant where capability = 'decide') as "any!""#);
    any.fetch_one(conn).await
}
