//! Groups of people, and who is in them since when.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::ids::{AccountId, GroupId};

/// A group that was not removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    pub id: GroupId,
    pub name: String,
    pub note: String,
    pub created_at: Timestamp,
    pub version: i64,
}

struct Row {
    id: Uuid,
    name: String,
    note: String,
    created_at: jiff_sqlx::Timestamp,
    version: i64,
}

impl From<Row> for Group {
    fn from(row: Row) -> Self {
        let Row { id, name, note, created_at, version } = row;
        Self { id: GroupId(id), name, note, created_at: created_at.to_jiff(), version }
    }
}

/// A group with what it holds.
#[derive(Debug, Clone)]
pub struct Listed {
    pub group: Group,
    pub members: i64,
    pub grants: i64,
}

/// Somebody who is in a group now.
#[derive(Debug, Clone)]
pub struct Member {
    pub id: Uuid,
    pub account: AccountId,
    pub name: String,
    pub email: String,
    pub roles: Vec<String>,
    pub disabled: bool,
    /// `admin`, or `sso:<provider>`.
    pub given_by: String,
    pub from: Timestamp,
}

/// Adds a group. False: there is one of this name.
///
/// # Errors
/// Whatever the database says.
pub async fn insert(conn: &mut PgConnection, group: &Group, name_key: &str) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "insert into portal.people_group (id, name, name_key, note, created_at) values ($1, $2, $3, $4, $5)
        on conflict (name_key) where removed_at is null do nothing",
        group.id.0,
        group.name,
        name_key,
        group.note,
        group.created_at.to_sqlx()
    );
    Ok(done.execute(conn).await?.rows_affected() == 1)
}

/// Every group, by name.
///
/// # Errors
/// Whatever the database says.
pub async fn list(conn: &mut PgConnection) -> sqlx::Result<Vec<Listed>> {
    let rows = sqlx::query!(
        r#"select g.id, g.name, g.note, g.created_at, g.version,
            (select count(distinct m.account_id) from portal.group_member m
                where m.group_id = g.id and m.until_at is null) as "members!",
            (select count(*) from portal.access_grant a where a.group_id = g.id and a.until_at is null) as "grants!"
        from portal.people_group g where g.removed_at is null order by g.name_key"#
    );
    let listed = rows.fetch_all(conn).await?.into_iter().map(|row| Listed {
        group: Group {
            id: GroupId(row.id),
            name: row.name,
            note: row.note,
            created_at: row.created_at.to_jiff(),
            version: row.version,
        },
        members: row.members,
        grants: row.grants,
    });
    Ok(listed.collect())
}

/// # Errors
/// Whatever the database says.
pub async fn find(conn: &mut PgConnection, id: GroupId) -> sqlx::Result<Option<Group>> {
    let row = sqlx::query_as!(
        Row,
        "select id, name, note, created_at, version from portal.people_group where id = $1 and removed_at is null",
        id.0
    );
    Ok(row.fetch_optional(conn).await?.map(Group::from))
}

/// The group of this name, however it is typed.
///
/// # Errors
/// Whatever the database says.
pub async fn find_by_key(conn: &mut PgConnection, name_key: &str) -> sqlx::Result<Option<GroupId>> {
    let row =
        sqlx::query_scalar!("select id from portal.people_group where name_key = $1 and removed_at is null", name_key);
    Ok(row.fetch_optional(conn).await?.map(GroupId))
}

/// Reads a group and keeps everybody else from changing it until the transaction ends.
///
/// # Errors
/// Whatever the database says.
pub async fn lock(conn: &mut PgConnection, id: GroupId) -> sqlx::Result<Option<Group>> {
    let row = sqlx::query_as!(
        Row,
        "select id, name, note, created_at, version from portal.people_group
        where id = $1 and removed_at is null for update",
        id.0
    );
    Ok(row.fetch_optional(conn).await?.map(Group::from))
}

/// Gives a group another name and note. False: another group has this name.
///
/// # Errors
/// Whatever the database says.
pub async fn mark_changed(
    conn: &mut PgConnection,
    id: GroupId,
    (name, name_key): (&str, &str),
    note: &str,
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "update portal.people_group set name = $2, name_key = $3, note = $4, version = version + 1
        where id = $1 and removed_at is null and not exists (select from portal.people_group o
            where o.name_key = $3 and o.removed_at is null and o.id <> $1)",
        id.0,
        name,
        name_key,
        note
    );
    Ok(done.execute(conn).await?.rows_affected() == 1)
}

/// Removes a group: its name is free again. Its members and grants must be ended by the same transaction.
///
/// # Errors
/// Whatever the database says.
pub async fn mark_removed(conn: &mut PgConnection, id: GroupId, at: Timestamp) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "update portal.people_group set removed_at = $2, version = version + 1 where id = $1 and removed_at is null",
        id.0,
        at.to_sqlx()
    );
    Ok(done.execute(conn).await?.rows_affected() == 1)
}

/// Who is in a group, by name.
///
/// # Errors
/// Whatever the database says.
pub async fn list_members(conn: &mut PgConnection, id: GroupId) -> sqlx::Result<Vec<Member>> {
    let rows = sqlx::query!(
        r#"select m.id, m.account_id, a.name, a.email, a.roles, a.disabled_at is not null as "disabled!", m.given_by,
            m.from_at
        from portal.group_member m join portal.account a on a.id = m.account_id
        where m.group_id = $1 and m.until_at is null order by a.name, a.id, m.given_by"#,
        id.0
    );
    let members = rows.fetch_all(conn).await?.into_iter().map(|row| Member {
        id: row.id,
        account: AccountId(row.account_id),
        name: row.name,
        email: row.email,
        roles: row.roles,
        disabled: row.disabled,
        given_by: row.given_by,
        from: row.from_at.to_jiff(),
    });
    Ok(members.collect())
}

/// Whether somebody is in a group now, whoever put them there.
///
/// # Errors
/// Whatever the database says.
pub async fn is_member(conn: &mut PgConnection, id: GroupId, account: AccountId) -> sqlx::Result<bool> {
    let found = sqlx::query_scalar!(
        r#"select exists (select from portal.group_member
            where group_id = $1 and account_id = $2 and until_at is null) as "is!""#,
        id.0,
        account.0
    );
    found.fetch_one(conn).await
}

/// Puts somebody into a group. False: they are in it by the same hand already.
///
/// # Errors
/// Whatever the database says.
pub async fn insert_member(
    conn: &mut PgConnection,
    id: Uuid,
    (group, account): (GroupId, AccountId),
    given_by: &str,
    at: Timestamp,
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "insert into portal.group_member (id, group_id, account_id, given_by, from_at) values ($1, $2, $3, $4, $5)
        on conflict (group_id, account_id, given_by) where until_at is null do nothing",
        id,
        group.0,
        account.0,
        given_by,
        at.to_sqlx()
    );
    Ok(done.execute(conn).await?.rows_affected() == 1)
}

/// Takes somebody out of a group, whoever put them there. False: they were not in it.
///
/// # Errors
/// Whatever the database says.
pub async fn end_member(
    conn: &mut PgConnection,
    (group, account): (GroupId, AccountId),
    at: Timestamp,
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "update portal.group_member set until_at = greatest(from_at, $3)
        where group_id = $1 and account_id = $2 and until_at is null",
        group.0,
        account.0,
        at.to_sqlx()
    );
    Ok(done.execute(conn).await?.rows_affected() > 0)
}

/// Takes somebody out of a group, as far as one hand put them there.
///
/// # Errors
/// Whatever the database says.
pub async fn end_given(
    conn: &mut PgConnection,
    (group, account): (GroupId, AccountId),
    given_by: &str,
    at: Timestamp,
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "update portal.group_member set until_at = greatest(from_at, $4)
        where group_id = $1 and account_id = $2 and given_by = $3 and until_at is null",
        group.0,
        account.0,
        given_by,
        at.to_sqlx()
    );
    Ok(done.execute(conn).await?.rows_affected() == 1)
}

/// A group that a claim names, or once named.
#[derive(Debug)]
pub struct Claimed {
    pub group: Group,
    pub named: bool,
    /// Whether the account is in it by this hand.
    pub given: bool,
}

/// The groups of these names, and those that one hand has put an account into, locked in one order against being changed or
/// removed.
///
/// # Errors
/// Whatever the database says.
pub async fn lock_claimed(
    conn: &mut PgConnection,
    (account, given_by): (AccountId, &str),
    name_keys: &[String],
) -> sqlx::Result<Vec<Claimed>> {
    let rows = sqlx::query!(
        r#"select g.id, g.name, g.note, g.created_at, g.version, g.name_key = any ($3) as "named!",
            g.id in (select group_id from portal.group_member
                where account_id = $1 and given_by = $2 and until_at is null) as "given!"
        from portal.people_group g
        where g.removed_at is null and (g.name_key = any ($3) or g.id in (select group_id from portal.group_member
            where account_id = $1 and given_by = $2 and until_at is null))
        order by g.id for update of g"#,
        account.0,
        given_by,
        name_keys
    );
    let claimed = rows.fetch_all(conn).await?.into_iter().map(|row| Claimed {
        named: row.named,
        given: row.given,
        group: Group {
            id: GroupId(row.id),
            name: row.name,
            note: row.note,
            created_at: row.created_at.to_jiff(),
            version: row.version,
        },
    });
    Ok(claimed.collect())
}

/// Takes everybody out of a group.
///
/// # Errors
/// Whatever the database says.
pub async fn end_all_members(conn: &mut PgConnection, group: GroupId, at: Timestamp) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "update portal.group_member set until_at = greatest(from_at, $2) where group_id = $1 and until_at is null",
        group.0,
        at.to_sqlx()
    );
    Ok(done.execute(conn).await?.rows_affected())
}
