//! The messages: waiting, taken to be sent, told, given up.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::ids::{AccountId, ApprovalId, PushBrowserId, PushMessageId};

/// A message to be sent.
#[derive(Debug)]
pub struct NewMessage<'a> {
    pub id: PushMessageId,
    pub browser: PushBrowserId,
    pub tells: &'a str,
    pub topic: &'a str,
    pub approval: Option<ApprovalId>,
    pub asks: bool,
    pub urgency: &'a str,
    pub sealed: &'a [u8],
    pub made_at: Timestamp,
    pub due_at: Timestamp,
    pub useless_at: Timestamp,
}

/// Takes it, in place of what of its topic is still to be sent there.
///
/// # Errors
/// Whatever the database says.
pub async fn insert(conn: &mut PgConnection, new: &NewMessage<'_>) -> sqlx::Result<()> {
    sqlx::query!(
        "update portal.push_message set over_at = case when asks then coalesce(over_at, $3) end,
            given_up_at = case when due_at is null then given_up_at else $3 end,
            last_error = case when due_at is null then last_error else 'a newer one took its place' end,
            due_at = null, sealed = null
        where browser_id = $1 and topic = $2 and (due_at is not null or (asks and over_at is null))",
        new.browser.0,
        new.topic,
        new.made_at.to_sqlx()
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "insert into portal.push_message (id, browser_id, tells, topic, approval_id, asks, over_at, urgency, sealed, made_at,
            due_at, useless_at)
        values ($1, $2, $3, $4, $5::uuid, $6, case when $6 and $5::uuid is null then $9::timestamptz end, $7, $8, $9, $10, $11)",
        new.id.0,
        new.browser.0,
        new.tells,
        new.topic,
        new.approval.map(|approval| approval.0),
        new.asks,
        new.urgency,
        new.sealed,
        new.made_at.to_sqlx(),
        new.due_at.to_sqlx(),
        new.useless_at.to_sqlx()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Whether the newest there of this topic says already how it ended.
///
/// # Errors
/// Whatever the database says.
pub async fn is_told_over(conn: &mut PgConnection, browser: PushBrowserId, topic: &str) -> sqlx::Result<bool> {
    let over = sqlx::query_scalar!(
        r#"select coalesce(max(made_at) filter (where not asks)
            >= coalesce(max(made_at) filter (where asks), '-infinity'), false) as "over!"
        from portal.push_message where browser_id = $1 and topic = $2"#,
        browser.0,
        topic
    );
    over.fetch_one(conn).await
}

/// A message that asks for what is over.
#[derive(Debug, Clone, Copy)]
pub struct Over {
    pub browser: PushBrowserId,
    pub account: AccountId,
    pub approval: ApprovalId,
    /// It may be on the screen.
    pub is_shown: bool,
}

/// Takes a few messages that ask for what is over, each of them once; those that were never sent are given up. They are locked
/// until the transaction ends.
///
/// # Errors
/// Whatever the database says.
pub async fn take_over(conn: &mut PgConnection, now: Timestamp, most: i64) -> sqlx::Result<Vec<Over>> {
    let rows = sqlx::query!(
        r#"with over as (
            select m.id, m.attempts > 0 or m.told_at is not null as is_shown
            from portal.push_message m join portal.approval a on a.id = m.approval_id
            where m.asks and m.over_at is null and a.at_aws <> 'open'
            order by m.id limit $2 for update of m skip locked)
        update portal.push_message m set over_at = $1, sealed = null, due_at = null,
            given_up_at = case when m.due_at is null then m.given_up_at else $1 end
        from over, portal.push_browser b
        where m.id = over.id and b.id = m.browser_id
        returning m.browser_id, b.account_id, m.approval_id as "approval_id!", over.is_shown as "is_shown!""#,
        now.to_sqlx(),
        most
    );
    let over = rows.fetch_all(conn).await?.into_iter().map(|row| Over {
        browser: PushBrowserId(row.browser_id),
        account: AccountId(row.account_id),
        approval: ApprovalId(row.approval_id),
        is_shown: row.is_shown,
    });
    Ok(over.collect())
}

/// A message that was taken to be sent.
#[derive(Debug, Clone)]
pub struct Taken {
    pub id: PushMessageId,
    pub browser: PushBrowserId,
    pub topic: String,
    pub urgency: String,
    pub sealed: Option<Vec<u8>>,
    pub useless_at: Timestamp,
    /// The so-manieth time, this one included.
    pub attempt: i32,
    /// Where it goes, sealed.
    pub sealed_browser: Vec<u8>,
    /// How often in a row its browser could not be told.
    pub failures: i32,
}

/// Who holds which message, for which attempt. Whoever comes late changes nothing.
#[derive(Debug, Clone, Copy)]
pub struct Held {
    pub id: PushMessageId,
    pub holder: Uuid,
    pub attempt: i32,
}

/// Takes messages that are due, at most one of each browser and none of one that is being told just now, is left alone, or whose
/// person is out; for `holder` until the second time. Nothing is put off for long by a clock that was wrong.
///
/// # Errors
/// Whatever the database says.
pub async fn take_due(
    conn: &mut PgConnection,
    holder: Uuid,
    (now, until): (Timestamp, Timestamp),
    most: i64,
) -> sqlx::Result<Vec<Taken>> {
    let rows = sqlx::query!(
        "with free as (
            select b.id, b.sealed, b.failures, next.id as next_id
            from portal.push_browser b
            join portal.account a on a.id = b.account_id and a.disabled_at is null and a.roles <> '{}'
            cross join lateral (
                select m.id from portal.push_message m
                where m.browser_id = b.id and m.due_at <= $2 and m.useless_at > $2
                order by m.attempts, m.due_at, m.id limit 1) next
            where (b.held_until is null or b.held_until <= $2 or b.held_until > $3::timestamptz + interval '73 hours')
                and not exists (select from portal.push_message h where h.browser_id = b.id
                    and h.lease_until > $2 and h.lease_until <= $3::timestamptz + interval '1 hour')
            order by b.held_until nulls first, next.id limit $4 for no key update of b skip locked)
        update portal.push_message m set lease_holder = $1, lease_until = $3, attempts = attempts + 1
        from free where m.id = free.next_id and m.due_at <= $2
            and (m.lease_until is null or m.lease_until <= $2 or m.lease_until > $3::timestamptz + interval '1 hour')
        returning m.id, m.browser_id, m.topic, m.urgency, m.sealed, m.useless_at, m.attempts, free.sealed as sealed_browser,
            free.failures",
        holder,
        now.to_sqlx(),
        until.to_sqlx(),
        most
    );
    let taken = rows.fetch_all(conn).await?.into_iter().map(|row| Taken {
        id: PushMessageId(row.id),
        browser: PushBrowserId(row.browser_id),
        topic: row.topic,
        urgency: row.urgency,
        sealed: row.sealed,
        useless_at: row.useless_at.to_jiff(),
        attempt: row.attempts,
        sealed_browser: row.sealed_browser,
        failures: row.failures,
    });
    Ok(taken.collect())
}

/// It was told, also where a newer one took its place meanwhile. False: somebody else holds it by now.
///
/// # Errors
/// Whatever the database says.
pub async fn mark_told(conn: &mut PgConnection, held: Held, now: Timestamp, status: u16) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "update portal.push_message set told_at = $4, given_up_at = null, due_at = null, sealed = null, lease_holder = null,
            lease_until = null, status = $5, last_error = null
        where id = $1 and lease_holder = $2 and attempts = $3",
        held.id.0,
        held.holder,
        held.attempt,
        now.to_sqlx(),
        i16::try_from(status).ok()
    );
    Ok(done.execute(conn).await?.rows_affected() == 1)
}

/// It was not told: it is due again at `next`, or, without one, given up. False: somebody else holds it by now.
///
/// # Errors
/// Whatever the database says.
pub async fn mark_failed(
    conn: &mut PgConnection,
    held: Held,
    (now, next): (Timestamp, Option<Timestamp>),
    (status, why): (Option<u16>, &str),
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "update portal.push_message set lease_holder = null, lease_until = null, status = $6, last_error = $7,
            due_at = case when due_at is not null then $5::timestamptz end,
            sealed = case when due_at is not null and $5::timestamptz is not null then sealed end,
            given_up_at = case when due_at is null then given_up_at
                when $5::timestamptz is null then $4::timestamptz end
        where id = $1 and lease_holder = $2 and attempts = $3",
        held.id.0,
        held.holder,
        held.attempt,
        now.to_sqlx(),
        next.map(jiff_sqlx::ToSqlx::to_sqlx) as _,
        status.and_then(|status| i16::try_from(status).ok()),
        why
    );
    Ok(done.execute(conn).await?.rows_affected() == 1)
}

/// Gives up what is of no use any more and nobody holds. Says how many those were.
///
/// # Errors
/// Whatever the database says.
pub async fn give_up_useless(conn: &mut PgConnection, now: Timestamp) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "update portal.push_message set due_at = null, sealed = null, given_up_at = $1, lease_holder = null, lease_until = null,
            last_error = coalesce(last_error, 'its time was over')
        where due_at is not null and useless_at <= $1 and (lease_until is null or lease_until <= $1)",
        now.to_sqlx()
    );
    Ok(done.execute(conn).await?.rows_affected())
}

/// How telling browsers is going, at a glance.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overview {
    pub browsers: i64,
    pub waiting: i64,
    /// Of those, what was tried already.
    pub tried: i64,
    /// Since when the oldest waits.
    pub oldest: Option<Timestamp>,
    /// In the last 30 days.
    pub told: i64,
    pub given_up: i64,
}

/// # Errors
/// Whatever the database says.
pub async fn count(conn: &mut PgConnection, since: Timestamp) -> sqlx::Result<Overview> {
    let row = sqlx::query!(
        r#"select (select count(*) from portal.push_browser) as "browsers!",
            count(*) filter (where due_at is not null) as "waiting!",
            count(*) filter (where due_at is not null and attempts > 0) as "tried!",
            min(made_at) filter (where due_at is not null) as oldest,
            count(*) filter (where told_at >= $1) as "told!",
            count(*) filter (where given_up_at >= $1 and attempts > 0) as "given_up!"
        from portal.push_message where made_at >= $1 or due_at is not null"#,
        since.to_sqlx()
    );
    let row = row.fetch_one(conn).await?;
    Ok(Overview {
        browsers: row.browsers,
        waiting: row.waiting,
        tried: row.tried,
        oldest: row.oldest.map(jiff_sqlx::Timestamp::to_jiff),
        told: row.told,
        given_up: row.given_up,
    })
}

/// What went wrong last at a push service.
#[derive(Debug, Clone)]
pub struct Trouble {
    pub host: String,
    pub tells: String,
    pub made_at: Timestamp,
    pub attempts: i32,
    /// When it is tried next; absent where it was given up.
    pub due_at: Option<Timestamp>,
    pub why: String,
}

/// The newest of them.
///
/// # Errors
/// Whatever the database says.
pub async fn list_troubled(conn: &mut PgConnection, most: i64) -> sqlx::Result<Vec<Trouble>> {
    let rows = sqlx::query!(
        r#"select b.host, m.tells, m.made_at, m.attempts, m.due_at, m.last_error as "last_error!"
        from portal.push_message m join portal.push_browser b on b.id = m.browser_id
        where m.told_at is null and m.attempts > 0 and m.last_error is not null
        order by m.made_at desc, m.id limit $1"#,
        most
    );
    let troubled = rows.fetch_all(conn).await?.into_iter().map(|row| Trouble {
        host: row.host,
        tells: row.tells,
        made_at: row.made_at.to_jiff(),
        attempts: row.attempts,
        due_at: row.due_at.map(jiff_sqlx::Timestamp::to_jiff),
        why: row.last_error,
    });
    Ok(troubled.collect())
}

/// Forgets messages made before `before` that were dealt with.
///
/// # Errors
/// Whatever the database says.
pub async fn delete_before(conn: &mut PgConnection, before: Timestamp) -> sqlx::Result<()> {
    sqlx::query!("delete from portal.push_message where due_at is null and made_at < $1", before.to_sqlx())
        .execute(conn)
        .await?;
    Ok(())
}
