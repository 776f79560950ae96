//! What one person may do, and the locks a decision takes on exactly what it relies on (S-32).

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgConnection;
use uuid::Uuid;

use super::columns;
use crate::domain::access::{Capability, GatePattern};
use crate::domain::ids::{AccountId, GrantId, GroupId, StandInId};
use crate::store::Inconsistent;

/// A live grant that a person holds, by themselves or as the member of a group.
#[derive(Debug, Clone)]
pub struct Held {
    pub grant: GrantId,
    pub capability: Capability,
    pub gates: GatePattern,
    pub group: Option<(GroupId, String)>,
    /// The membership by which they hold it.
    pub member: Option<Uuid>,
    /// Set where it is somebody else's: this person stands in for them.
    pub lent: Option<Lender>,
}

/// For whom somebody stands in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lender {
    pub stand_in: StandInId,
    pub account: AccountId,
    pub name: String,
    pub until: Timestamp,
}

/// Every live grant that this person holds at `now`, and those of everybody they stand in for, who must be an enabled
/// approver. One round trip, whatever there is; locks nothing.
///
/// # Errors
/// Whatever the database says, also of an impossible row.
pub async fn list_held(conn: &mut PgConnection, account: AccountId, now: Timestamp) -> sqlx::Result<Vec<Held>> {
    let rows = sqlx::query!(
        r#"select g.id as "id!", g.capability as "capability!", g.group_id as "group_id?", p.name as "group_name?",
            g.member as "member?", g.source as "source!", g.pipeline as "pipeline!", g.stage as "stage!",
            g.action as "action!", g.tag_key as "tag_key?", g.tag_value as "tag_value?",
            w.stand_in as "stand_in?", w.until_at as "until_at?", a.id as "lender!", a.name as "lender_name!"
        from (
            select $1::uuid as account, null::uuid as stand_in, null::timestamptz as until_at
            union all
            select s.for_account, s.id, s.until_at from portal.stand_in s
            where s.by_account = $1 and s.until_at > $2 and s.from_at <= $2 and s.ended_at is null
        ) w
        join portal.account a on a.id = w.account
        cross join lateral (
            select d.id, d.capability, d.group_id, null::uuid as member, d.source, d.pipeline, d.stage, d.action,
                d.tag_key, d.tag_value
            from portal.access_grant d where d.account_id = w.account and d.until_at is null
            union all
            select d.id, d.capability, d.group_id, m.id, d.source, d.pipeline, d.stage, d.action, d.tag_key, d.tag_value
            from portal.group_member m join portal.access_grant d on d.group_id = m.group_id
            where m.account_id = w.account and m.until_at is null and d.until_at is null
        ) g
        left join portal.people_group p on p.id = g.group_id
        where w.stand_in is null
            or (g.capability = 'decide' and a.disabled_at is null and 'approver' = any (a.roles))
        order by w.until_at nulls first, g.tag_key nulls first, g.member nulls first, g.id"#,
        account.0,
        now.to_sqlx()
    );
    let mut held = Vec::new();
    for row in rows.fetch_all(conn).await? {
        let bad = |problem: &str| Inconsistent {
            table: "portal.access_grant",
            row: row.id.to_string(),
            problem: problem.to_owned(),
        };
        let lent = row.stand_in.zip(row.until_at).map(|(id, until)| Lender {
            stand_in: StandInId(id),
            account: AccountId(row.lender),
            name: row.lender_name,
            until: until.to_jiff(),
        });
        held.push(Held {
            grant: GrantId(row.id),
            capability: Capability::from_name(&row.capability).ok_or_else(|| bad("unknown capability"))?,
            gates: columns!(row).pattern("portal.access_grant", row.id)?,
            group: row.group_id.map(GroupId).zip(row.group_name),
            member: row.member,
            lent,
        });
    }
    Ok(held)
}

/// What an account may do, locked against change until the transaction ends.
#[derive(Debug, Clone)]
pub struct Standing {
    pub account: AccountId,
    pub name: String,
    pub email: String,
    pub roles: Vec<String>,
    pub disabled: bool,
    /// Until it is changed, nothing but changing it is allowed.
    pub must_change_password: bool,
}

/// Locks these accounts against change, always in the same order.
///
/// # Errors
/// Whatever the database says.
pub async fn lock_accounts(conn: &mut PgConnection, accounts: &[AccountId]) -> sqlx::Result<Vec<Standing>> {
    let ids: Vec<Uuid> = accounts.iter().map(|account| account.0).collect();
    let rows = sqlx::query!(
        r#"select id, name, email, roles, disabled_at is not null as "disabled!", must_change_password
            from portal.account where id = any ($1) order by id for share"#,
        &ids
    );
    let standing = rows.fetch_all(conn).await?.into_iter().map(|row| Standing {
        account: AccountId(row.id),
        name: row.name,
        email: row.email,
        roles: row.roles,
        disabled: row.disabled,
        must_change_password: row.must_change_password,
    });
    Ok(standing.collect())
}

/// The rows that a right rests on, beside the accounts.
#[derive(Debug, Clone, Default)]
pub struct Grounds {
    pub members: Vec<Uuid>,
    pub grants: Vec<Uuid>,
    pub stand_ins: Vec<Uuid>,
}

/// Locks exactly these rows, where they have not ended, against being ended until the transaction does. False: one of them
/// has ended, or ended while this waited for it.
///
/// # Errors
/// Whatever the database says.
pub async fn lock_grounds(conn: &mut PgConnection, grounds: &Grounds) -> sqlx::Result<bool> {
    let held = sqlx::query_scalar!(
        r#"with m as materialized
            (select id from portal.group_member where id = any ($1) and until_at is null order by id for share),
        g as materialized
            (select id from portal.access_grant where id = any ($2) and until_at is null order by id for share),
        s as materialized
            (select id from portal.stand_in where id = any ($3) and ended_at is null order by id for share)
        select (select count(*) from m) + (select count(*) from g) + (select count(*) from s) as "held!""#,
        &grounds.members,
        &grounds.grants,
        &grounds.stand_ins
    )
    .fetch_one(conn)
    .await?;
    let wanted = grounds.members.len() + grounds.grants.len() + grounds.stand_ins.len();
    Ok(usize::try_from(held).is_ok_and(|held| held == wanted))
}

/// Who may decide, for a page: the names of the first few and how many there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Named {
    pub names: Vec<String>,
    pub all: u64,
}

/// Enabled approvers who hold one of these grants now, by name.
///
/// # Errors
/// Whatever the database says.
pub async fn list_holders(conn: &mut PgConnection, grants: &[GrantId], at_most: i64) -> sqlx::Result<Named> {
    let ids: Vec<Uuid> = grants.iter().map(|grant| grant.0).collect();
    let rows = sqlx::query!(
        r#"select a.name as "name!", count(*) over () as "all!" from portal.account a
        where a.disabled_at is null and 'approver' = any (a.roles) and a.id in (
            select g.account_id from portal.access_grant g where g.id = any ($1) and g.account_id is not null
            union
            select m.account_id from portal.access_grant g
            join portal.group_member m on m.group_id = g.group_id and m.until_at is null
            where g.id = any ($1))
        order by a.name, a.id limit $2"#,
        &ids,
        at_most
    )
    .fetch_all(conn)
    .await?;
    let all = rows.first().map_or(0, |row| row.all.unsigned_abs());
    Ok(Named { names: rows.into_iter().map(|row| row.name).collect(), all })
}

/// Everything that grants let do at the same gates. Many people are let do the same: what is alike comes once.
#[derive(Debug, Clone)]
pub struct Alike {
    pub capability: Capability,
    pub gates: GatePattern,
    pub grants: Vec<GrantId>,
    /// The groups among those they are given to.
    pub groups: Vec<String>,
}

/// Every grant that has not ended, those together that are alike.
///
/// # Errors
/// Whatever the database says, also of an impossible row.
pub async fn list_alike(conn: &mut PgConnection) -> sqlx::Result<Vec<Alike>> {
    let rows = sqlx::query!(
        r#"select g.capability, g.source, g.pipeline, g.stage, g.action, g.tag_key, g.tag_value,
            array_agg(g.id) as "grants!", array_remove(array_agg(distinct p.name), null) as "groups!"
        from portal.access_grant g left join portal.people_group p on p.id = g.group_id
        where g.until_at is null
        group by g.capability, g.source, g.pipeline, g.stage, g.action, g.tag_key, g.tag_value"#
    )
    .fetch_all(conn)
    .await?;
    let alike = rows.into_iter().map(|row| {
        let table = "portal.access_grant";
        let one = row.grants.first().copied().unwrap_or_default();
        let capability = Capability::from_name(&row.capability).ok_or_else(|| Inconsistent {
            table,
            row: one.to_string(),
            problem: "unknown capability".to_owned(),
        })?;
        let grants = row.grants.into_iter().map(GrantId).collect();
        Ok(Alike { capability, gates: columns!(row).pattern(table, one)?, grants, groups: row.groups })
    });
    alike.collect()
}

/// Somebody who decides in another's place now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StandingIn {
    pub by_name: String,
    pub for_name: String,
    pub until: Timestamp,
}

/// Who stands in now, by one of `stand_in`, for somebody who may decide by one of `decide`.
///
/// # Errors
/// Whatever the database says.
pub async fn list_standing_in(
    conn: &mut PgConnection,
    (decide, stand_in): (&[GrantId], &[GrantId]),
    now: Timestamp,
    at_most: i64,
) -> sqlx::Result<Vec<StandingIn>> {
    let ids = |grants: &[GrantId]| grants.iter().map(|grant| grant.0).collect::<Vec<Uuid>>();
    let rows = sqlx::query!(
        r#"with holder as (
            select g.id, g.account_id from portal.access_grant g
            where g.id = any ($1::uuid[] || $2::uuid[]) and g.account_id is not null
            union
            select g.id, m.account_id from portal.access_grant g
            join portal.group_member m on m.group_id = g.group_id and m.until_at is null where g.id = any ($1::uuid[] || $2::uuid[]))
        select b.name as "by_name!", f.name as "for_name!", s.until_at as "until_at!" from portal.stand_in s
        join portal.account b on b.id = s.by_account and b.disabled_at is null and 'approver' = any (b.roles)
        join portal.account f on f.id = s.for_account and f.disabled_at is null and 'approver' = any (f.roles)
        where s.from_at <= $3 and s.until_at > $3 and s.ended_at is null
            and exists (select from holder h where h.account_id = f.id and h.id = any ($1::uuid[]))
            and exists (select from holder h where h.account_id = b.id and h.id = any ($2::uuid[]))
        order by b.name, s.id limit $4"#,
        &ids(decide),
        &ids(stand_in),
        now.to_sqlx(),
        at_most
    );
    let found = rows.fetch_all(conn).await?.into_iter().map(|row| StandingIn {
        by_name: row.by_name,
        for_name: row.for_name,
        until: row.until_at.to_jiff(),
    });
    Ok(found.collect())
}

/// Enabled admins, by name: whom to ask.
///
/// # Errors
/// Whatever the database says.
pub async fn list_admins(conn: &mut PgConnection, at_most: i64) -> sqlx::Result<Named> {
    let rows = sqlx::query!(
        r#"select name, count(*) over () as "all!" from portal.account
        where disabled_at is null and 'admin' = any (roles) order by name, id limit $1"#,
        at_most
    )
    .fetch_all(conn)
    .await?;
    let all = rows.first().map_or(0, |row| row.all.unsigned_abs());
    Ok(Named { names: rows.into_iter().map(|row| row.name).collect(), all })
}
