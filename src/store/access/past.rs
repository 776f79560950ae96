//! Who was what at any moment that is known about: people with their roles, members of groups, gates, and when somebody
//! last used what they might.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgConnection;

use crate::domain::ids::{AccountId, Gate, GroupId};

/// Somebody as they were then, under their present name.
#[derive(Debug, Clone)]
pub struct PersonThen {
    pub account: AccountId,
    pub name: String,
    pub email: String,
    pub roles: Vec<String>,
    pub enabled: bool,
}

/// Since when it is known who may do what.
///
/// # Errors
/// Whatever the database says.
pub async fn find_beginning(conn: &mut PgConnection) -> sqlx::Result<Option<Timestamp>> {
    let first = sqlx::query_scalar!("select min(from_at) from portal.account_span");
    Ok(first.fetch_one(conn).await?.map(jiff_sqlx::Timestamp::to_jiff))
}

/// Everybody who had an account at a moment, by name.
///
/// # Errors
/// Whatever the database says.
pub async fn list_people(conn: &mut PgConnection, at: Timestamp) -> sqlx::Result<Vec<PersonThen>> {
    let rows = sqlx::query!(
        "select a.id, a.name, a.email, s.roles, s.enabled
        from portal.account_span s join portal.account a on a.id = s.account_id
        where s.from_at <= $1 and (s.until_at is null or s.until_at > $1) order by a.name, a.id",
        at.to_sqlx()
    );
    let people = rows.fetch_all(conn).await?.into_iter().map(|row| PersonThen {
        account: AccountId(row.id),
        name: row.name,
        email: row.email,
        roles: row.roles,
        enabled: row.enabled,
    });
    Ok(people.collect())
}

/// Who was in which group at a moment.
///
/// # Errors
/// Whatever the database says.
pub async fn list_memberships(conn: &mut PgConnection, at: Timestamp) -> sqlx::Result<Vec<(GroupId, AccountId)>> {
    let rows = sqlx::query!(
        "select distinct group_id, account_id from portal.group_member
        where from_at <= $1 and (until_at is null or until_at > $1)",
        at.to_sqlx()
    );
    let rows = rows.fetch_all(conn).await?;
    Ok(rows.into_iter().map(|row| (GroupId(row.group_id), AccountId(row.account_id))).collect())
}

/// Every gate that existed at a moment or was not known to have been removed by then, in order.
///
/// # Errors
/// Whatever the database says, also of an impossible row.
pub async fn list_gates(conn: &mut PgConnection, at: Timestamp) -> sqlx::Result<Vec<Gate>> {
    let rows = sqlx::query!(
        "select g.source, g.pipeline, g.stage, g.action from portal.gate g
        join portal.pipeline p on p.source = g.source and p.name = g.pipeline
        where (g.removed_at is null or g.removed_at > $1) and (p.gone_at is null or p.gone_at > $1)
        order by g.source, g.pipeline, g.stage, g.action",
        at.to_sqlx()
    );
    let gate = |(place, action)| Ok(super::gate("portal.gate", place, action)?);
    let rows = rows.fetch_all(conn).await?;
    rows.into_iter().map(|row| gate(((row.source, row.pipeline), (row.stage, row.action)))).collect()
}

/// When one person last decided, gate by gate.
#[derive(Debug, Clone)]
pub struct Use {
    pub gate: Gate,
    /// For whom, where they stood in.
    pub for_account: Option<AccountId>,
    pub last: Timestamp,
    pub times: i64,
}

/// What one person decided until a moment, gate by gate.
///
/// # Errors
/// Whatever the database says, also of an impossible row.
pub async fn list_uses(conn: &mut PgConnection, account: AccountId, until: Timestamp) -> sqlx::Result<Vec<Use>> {
    let rows = sqlx::query!(
        r#"select a.source, a.pipeline, a.stage, a.action, d.for_account, max(d.created_at) as "last!",
            count(*) as "times!"
        from portal.decision d join portal.approval a on a.id = d.approval_id
        where d.account_id = $1 and d.created_at <= $2
        group by a.source, a.pipeline, a.stage, a.action, d.for_account"#,
        account.0,
        until.to_sqlx()
    );
    let mut uses = Vec::new();
    for row in rows.fetch_all(conn).await? {
        uses.push(Use {
            gate: super::gate("portal.approval", (row.source, row.pipeline), (row.stage, row.action))?,
            for_account: row.for_account.map(AccountId),
            last: row.last.to_jiff(),
            times: row.times,
        });
    }
    Ok(uses)
}
