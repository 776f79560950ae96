//! Notices: that something happened, whom it concerns, when their next letter is due, and what they chose. The rows of
//! [`Taken`] are written by triggers, in the transaction in which it happened.

pub mod choices;
pub mod escalated;
pub mod missing;
pub mod pending;
pub mod people;

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgConnection;
use uuid::Uuid;

use super::Inconsistent;
use crate::domain::ids::{AccountId, ApprovalId, SourceName};
use crate::domain::notices::{Kind, Why};

/// What a notice is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    Approval(ApprovalId),
    Source(SourceName),
}

/// A notice that was taken to work out whom it concerns.
#[derive(Debug, Clone)]
pub struct Taken {
    pub id: i64,
    pub kind: Kind,
    pub about: About,
    pub at: Timestamp,
    pub due: Timestamp,
    /// The so-manieth time, this one included.
    pub attempt: i32,
}

/// Who holds which notice, for which attempt. Whoever comes late changes nothing.
#[derive(Debug, Clone, Copy)]
pub struct Held {
    pub id: i64,
    pub holder: Uuid,
    pub attempt: i32,
}

/// Somebody who is to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reader {
    pub account: AccountId,
    pub why: Why,
    pub due: Timestamp,
}

fn read(id: i64, kind: &str, approval: Option<Uuid>, source: Option<String>) -> Result<(Kind, About), Inconsistent> {
    let bad = |problem: String| Inconsistent { table: "portal.notice", row: id.to_string(), problem };
    let kind = Kind::from_name(kind).ok_or_else(|| bad(format!("kind {kind}")))?;
    let about = match (approval, source) {
        (Some(approval), None) => About::Approval(ApprovalId(approval)),
        (None, Some(source)) => About::Source(SourceName::parse(source).map_err(|error| bad(error.to_string()))?),
        _ => return Err(bad("is about nothing, or two things".to_owned())),
    };
    if kind.is_about_source() == matches!(about, About::Source(_)) {
        Ok((kind, about))
    } else {
        Err(bad(format!("{kind} about {about:?}")))
    }
}

/// Takes up to `most` notices that are due and that nobody holds, for `holder` until the second time. What does not bear
/// waiting comes first. Nothing is put off for more than an hour, so that a clock that was wrong holds up nothing.
///
/// # Errors
/// Whatever the database says, also of an impossible row.
pub async fn take_due(
    conn: &mut PgConnection,
    holder: Uuid,
    (now, until): (Timestamp, Timestamp),
    most: i64,
) -> sqlx::Result<Vec<Taken>> {
    // A newer release beside this one may leave others.
    let known: Vec<String> = Kind::ALL.iter().map(|kind| kind.name().to_owned()).collect();
    let rows = sqlx::query!(
        "update portal.notice set lease_holder = $1, lease_until = $3, attempts = attempts + 1
        where id in (
            select id from portal.notice
            where done_at is null and due_at <= $2 and kind = any ($5)
                and (lease_until is null or lease_until <= $2 or lease_until > $3::timestamptz + interval '1 hour')
            order by kind in ('half_time', 'escalated', 'last_hour', 'blind') desc, due_at, id limit $4 for update skip locked)
        returning id, kind, approval_id, source, at, due_at, attempts",
        holder,
        now.to_sqlx(),
        until.to_sqlx(),
        most,
        &known
    );
    let mut taken = Vec::new();
    for row in rows.fetch_all(conn).await? {
        let (kind, about) = read(row.id, &row.kind, row.approval_id, row.source)?;
        let (at, due) = (row.at.to_jiff(), row.due_at.to_jiff());
        taken.push(Taken { id: row.id, kind, about, at, due, attempt: row.attempts });
    }
    taken.sort_by_key(|one| one.id);
    Ok(taken)
}

/// Nobody can be told: what is due is done with.
///
/// # Errors
/// Whatever the database says.
pub async fn pass_over_due(conn: &mut PgConnection, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query!(
        "update portal.notice set done_at = $1, lease_holder = null, lease_until = null
        where id in (select id from portal.notice where done_at is null and due_at <= $1 for update skip locked)",
        now.to_sqlx()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Whom it concerns is worked out. False: somebody else holds it by now.
///
/// # Errors
/// Whatever the database says.
pub async fn mark_done(conn: &mut PgConnection, held: Held, now: Timestamp) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "update portal.notice set done_at = $4, lease_holder = null, lease_until = null, last_error = null
        where id = $1 and lease_holder = $2 and attempts = $3 and done_at is null",
        held.id,
        held.holder,
        held.attempt,
        now.to_sqlx()
    );
    Ok(done.execute(conn).await?.rows_affected() == 1)
}

/// Whom it concerns is worked out as far as it can be by now; what is left is looked at again at `next`. False: somebody else
/// holds it by now.
///
/// # Errors
/// Whatever the database says.
pub async fn put_off(conn: &mut PgConnection, held: Held, next: Timestamp) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "update portal.notice set lease_holder = null, lease_until = $4, attempts = 0, last_error = null
        where id = $1 and lease_holder = $2 and attempts = $3 and done_at is null",
        held.id,
        held.holder,
        held.attempt,
        next.to_sqlx()
    );
    Ok(done.execute(conn).await?.rows_affected() == 1)
}

/// It could not be worked out: it is due again at `next`, or, without one, given up.
///
/// # Errors
/// Whatever the database says.
pub async fn mark_failed(
    conn: &mut PgConnection,
    held: Held,
    (now, next): (Timestamp, Option<Timestamp>),
    why: &str,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update portal.notice set lease_holder = null, lease_until = $5, last_error = $6,
            done_at = case when $5::timestamptz is null then $4::timestamptz end
        where id = $1 and lease_holder = $2 and attempts = $3 and done_at is null",
        held.id,
        held.holder,
        held.attempt,
        now.to_sqlx(),
        next.map(jiff_sqlx::ToSqlx::to_sqlx) as _,
        why
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// These are to be told of it. Who was told, or is to be told already, stays as they are.
///
/// # Errors
/// Whatever the database says.
pub async fn insert_readers(conn: &mut PgConnection, notice: i64, readers: &[Reader]) -> sqlx::Result<()> {
    let accounts: Vec<Uuid> = readers.iter().map(|one| one.account.0).collect();
    let whys: Vec<String> = readers.iter().map(|one| one.why.name().to_owned()).collect();
    let dues: Vec<jiff_sqlx::Timestamp> = readers.iter().map(|one| one.due.to_sqlx()).collect();
    sqlx::query!(
        "insert into portal.notice_to (notice_id, account_id, why, due_at)
        select $1, * from unnest($2::uuid[], $3::text[], $4::timestamptz[])
        on conflict (notice_id, account_id) do update set due_at = excluded.due_at, why = excluded.why
            where notice_to.told_at is null and notice_to.due_at is null",
        notice,
        &accounts,
        &whys,
        &dues as _
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Who was told that this approval waits, or is about to be told so.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    pub account: AccountId,
    pub is_told: bool,
}

/// # Errors
/// Whatever the database says.
pub async fn list_asked(conn: &mut PgConnection, approval: ApprovalId) -> sqlx::Result<Vec<Asked>> {
    let rows = sqlx::query!(
        r#"select t.account_id, bool_or(t.told_at is not null) as "is_told!"
        from portal.notice n join portal.notice_to t on t.notice_id = n.id
        where n.approval_id = $1 and n.kind in ('waiting', 'half_time', 'last_hour')
            and (t.told_at is not null or t.due_at is not null)
        group by t.account_id"#,
        approval.0
    );
    let asked = rows.fetch_all(conn).await?;
    Ok(asked.into_iter().map(|row| Asked { account: AccountId(row.account_id), is_told: row.is_told }).collect())
}

/// Who was told that this source cannot be read since then.
///
/// # Errors
/// Whatever the database says.
pub async fn list_told_blind(
    conn: &mut PgConnection,
    source: &SourceName,
    since: Timestamp,
) -> sqlx::Result<Vec<AccountId>> {
    let told = sqlx::query_scalar!(
        "select distinct t.account_id from portal.notice n join portal.notice_to t on t.notice_id = n.id
        where n.source = $1 and n.at = $2 and n.kind = 'blind' and t.told_at is not null",
        source.as_str(),
        since.to_sqlx()
    );
    Ok(told.fetch_all(conn).await?.into_iter().map(AccountId).collect())
}

/// Who decided an approval here, so that AWS took it. Nobody, where a rule did.
///
/// # Errors
/// Whatever the database says.
pub async fn find_decider(conn: &mut PgConnection, approval: ApprovalId) -> sqlx::Result<Option<AccountId>> {
    let decided = sqlx::query_scalar!(
        "select account_id from portal.decision where approval_id = $1 and state = 'accepted'",
        approval.0
    );
    Ok(decided.fetch_optional(conn).await?.flatten().map(AccountId))
}

/// Forgets what was done with before `before`, and everybody has been told of who was to be.
///
/// # Errors
/// Whatever the database says.
pub async fn delete_before(conn: &mut PgConnection, before: Timestamp) -> sqlx::Result<()> {
    sqlx::query!(
        "delete from portal.notice n where n.done_at < $1
            and not exists (select from portal.notice_to t where t.notice_id = n.id and t.due_at is not null)
            and not exists (select from portal.approval a where a.id = n.approval_id and a.at_aws = 'open')",
        before.to_sqlx()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// What is still to be told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Notices that are due and not worked out; without those that wait for something.
    pub due: i64,
    /// Since when the oldest of them is due.
    pub oldest: Option<Timestamp>,
    /// Those that could not be worked out and were given up.
    pub given_up: i64,
    /// Those that could not be left when it happened, and still are not there.
    pub missing: i64,
    /// Since when the oldest of them.
    pub missing_since: Option<Timestamp>,
    /// What people are still to be told, counted by person: in a letter that waits for its time.
    pub to_tell: i64,
}

/// # Errors
/// Whatever the database says.
pub async fn count_backlog(conn: &mut PgConnection, now: Timestamp) -> sqlx::Result<Backlog> {
    let (missing, missing_since) = missing::count(conn, now).await?;
    let row = sqlx::query!(
        r#"with due as (select due_at from portal.notice where done_at is null and due_at <= $1
            and (last_error is not null or lease_until is null or lease_until <= $1))
        select (select count(*) from due) as "due!", (select min(due_at) from due) as oldest,
            (select count(*) from portal.notice where done_at is not null and last_error is not null) as "given_up!",
            (select count(*) from portal.notice_to where due_at is not null) as "to_tell!""#,
        now.to_sqlx()
    );
    let row = row.fetch_one(conn).await?;
    let oldest = row.oldest.map(jiff_sqlx::Timestamp::to_jiff);
    Ok(Backlog { due: row.due, oldest, given_up: row.given_up, missing, missing_since, to_tell: row.to_tell })
}
