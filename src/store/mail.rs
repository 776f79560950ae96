//! The outbox. What a mail says is sealed before it comes here, and erased once it is delivered or given up.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgConnection;
use uuid::Uuid;

use super::accounts::exactly_one;
use crate::domain::ids::{AccountId, MailId};

/// A mail to be delivered.
#[derive(Debug)]
pub struct NewMail<'a> {
    pub id: MailId,
    pub kind: &'a str,
    /// 0 goes first.
    pub rank: i16,
    pub account: AccountId,
    pub address: &'a str,
    pub sealed: &'a [u8],
    pub created_at: Timestamp,
    pub useless_at: Timestamp,
}

/// A mail that was taken to be delivered.
#[derive(Debug)]
pub struct Taken {
    pub id: MailId,
    pub kind: String,
    pub address: String,
    pub sealed: Option<Vec<u8>>,
    pub created_at: Timestamp,
    pub useless_at: Timestamp,
    /// The so-manieth time, this one included.
    pub attempt: i32,
}

/// Who holds which mail, for which attempt. Whoever comes late changes nothing.
#[derive(Debug, Clone, Copy)]
pub struct Held {
    pub id: MailId,
    pub holder: Uuid,
    pub attempt: i32,
}

pub async fn insert_mail(conn: &mut PgConnection, new: &NewMail<'_>) -> Result<(), sqlx::Error> {
    let done = sqlx::query!(
        "insert into portal.mail (id, kind, account_id, to_address, sealed, created_at, due_at, useless_at, rank)
         values ($1, $2, $3, $4, $5, $6, $6, $7, $8)",
        new.id.0,
        new.kind,
        new.account.0,
        new.address,
        new.sealed,
        new.created_at.to_sqlx() as jiff_sqlx::Timestamp,
        new.useless_at.to_sqlx() as jiff_sqlx::Timestamp,
        new.rank
    );
    exactly_one(done.execute(conn).await?.rows_affected())
}

/// Takes up to `most` mails that are due and that nobody holds, for `holder` until the second time: by rank, but for one,
/// which has waited longest, so that no rank waits for ever.
pub async fn take_due(
    conn: &mut PgConnection,
    holder: Uuid,
    (now, until): (Timestamp, Timestamp),
    most: i64,
) -> Result<Vec<Taken>, sqlx::Error> {
    let rows = sqlx::query!(
        "update portal.mail set lease_holder = $1, lease_until = $3, attempts = attempts + 1
         where id in (
            with oldest as materialized (
                select id from portal.mail
                where due_at <= $2 and (lease_until is null or lease_until <= $2)
                order by due_at limit least(1, $4::bigint - 1) for update skip locked),
            ranked as materialized (
                select id from portal.mail
                where due_at <= $2 and (lease_until is null or lease_until <= $2)
                    and id not in (select id from oldest)
                order by rank, due_at limit $4::bigint - (select count(*) from oldest) for update skip locked)
            select id from oldest union all select id from ranked)
         returning id, kind, to_address, sealed, created_at, useless_at, attempts",
        holder,
        now.to_sqlx() as jiff_sqlx::Timestamp,
        until.to_sqlx() as jiff_sqlx::Timestamp,
        most
    );
    let taken = rows.fetch_all(conn).await?.into_iter().map(|row| Taken {
        id: MailId(row.id),
        kind: row.kind,
        address: row.to_address,
        sealed: row.sealed,
        created_at: row.created_at.to_jiff(),
        useless_at: row.useless_at.to_jiff(),
        attempt: row.attempts,
    });
    Ok(taken.collect())
}

/// Delivered: what it said is erased. False: somebody else holds it by now.
pub async fn mark_sent(conn: &mut PgConnection, held: Held, now: Timestamp) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update portal.mail set sent_at = $4, sealed = null, due_at = null, lease_holder = null, lease_until = null,
            last_error = null
         where id = $1 and lease_holder = $2 and attempts = $3 and due_at is not null",
        held.id.0,
        held.holder,
        held.attempt,
        now.to_sqlx() as jiff_sqlx::Timestamp
    );
    Ok(done.execute(conn).await?.rows_affected() == 1)
}

/// Not delivered: it is due again at `next`. False: somebody else holds it by now.
pub async fn mark_waiting(
    conn: &mut PgConnection,
    held: Held,
    next: Timestamp,
    why: &str,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update portal.mail set due_at = $4, lease_holder = null, lease_until = null, last_error = $5
         where id = $1 and lease_holder = $2 and attempts = $3 and due_at is not null",
        held.id.0,
        held.holder,
        held.attempt,
        next.to_sqlx() as jiff_sqlx::Timestamp,
        why
    );
    Ok(done.execute(conn).await?.rows_affected() == 1)
}

/// Not delivered, and never will be: what it said is erased, unless it is a notice, which may be sent again. False: somebody
/// else holds it by now.
pub async fn give_up(conn: &mut PgConnection, held: Held, now: Timestamp, why: &str) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update portal.mail set given_up_at = $4, sealed = case when rank > 0 then sealed end, due_at = null,
            lease_holder = null, lease_until = null, last_error = $5
         where id = $1 and lease_holder = $2 and attempts = $3 and due_at is not null",
        held.id.0,
        held.holder,
        held.attempt,
        now.to_sqlx() as jiff_sqlx::Timestamp,
        why
    );
    Ok(done.execute(conn).await?.rows_affected() == 1)
}

/// Gives up what is of no use any more and nobody holds, and notices to whoever was disabled, has no role any more or another
/// address since (S-27); says which, and of what kind they were.
pub async fn give_up_useless(conn: &mut PgConnection, now: Timestamp) -> Result<Vec<(MailId, String)>, sqlx::Error> {
    let rows = sqlx::query!(
        "update portal.mail m set given_up_at = $1, sealed = null, due_at = null, lease_holder = null, lease_until = null,
            last_error = coalesce(last_error, case when useless_at <= $1 then 'nobody needs it any more'
                else 'its reader is out, or has another address' end)
         where due_at is not null and (lease_until is null or lease_until <= $1)
            and (useless_at <= $1 or (rank > 0 and due_at <= $1 and exists (
                select from portal.account a where a.id = m.account_id
                    and (a.disabled_at is not null or a.roles = '{}' or a.email <> m.to_address))))
         returning id, kind",
        now.to_sqlx() as jiff_sqlx::Timestamp
    );
    Ok(rows.fetch_all(conn).await?.into_iter().map(|row| (MailId(row.id), row.kind)).collect())
}

/// Forgets mails made before `before` that were dealt with.
pub async fn delete_before(conn: &mut PgConnection, before: Timestamp) -> Result<(), sqlx::Error> {
    let done = sqlx::query!(
        "delete from portal.mail where due_at is null and created_at < $1",
        before.to_sqlx() as jiff_sqlx::Timestamp
    );
    done.execute(conn).await.map(|_| ())
}

/// How the outbox is, at a glance.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overview {
    pub waiting: i64,
    /// Of those, what was tried already.
    pub tried: i64,
    /// Since when the oldest waits.
    pub oldest: Option<Timestamp>,
    /// Given up, as far as it is remembered.
    pub given_up: i64,
    pub sent: i64,
}

pub async fn count(conn: &mut PgConnection) -> Result<Overview, sqlx::Error> {
    let row = sqlx::query!(
        r#"select count(*) filter (where due_at is not null) as "waiting!",
            count(*) filter (where due_at is not null and attempts > 0) as "tried!",
            min(created_at) filter (where due_at is not null) as oldest,
            count(*) filter (where given_up_at is not null) as "given_up!",
            count(*) filter (where sent_at is not null) as "sent!"
        from portal.mail"#
    );
    let row = row.fetch_one(conn).await?;
    Ok(Overview {
        waiting: row.waiting,
        tried: row.tried,
        oldest: row.oldest.map(jiff_sqlx::Timestamp::to_jiff),
        given_up: row.given_up,
        sent: row.sent,
    })
}

/// A mail that waits after a failure, or was given up.
#[derive(Debug, Clone)]
pub struct Troubled {
    pub id: MailId,
    pub kind: String,
    pub address: String,
    pub created_at: Timestamp,
    pub attempts: i32,
    /// When it is tried next; absent where it was given up.
    pub due_at: Option<Timestamp>,
    pub last_error: Option<String>,
    /// Whether what it says is still there, and its reader is who it was written to.
    pub can_go: bool,
}

/// The newest of them.
pub async fn list_troubled(conn: &mut PgConnection, at_most: i64) -> Result<Vec<Troubled>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select m.id, m.kind, m.to_address, m.created_at, m.attempts, m.due_at, m.last_error,
            m.sealed is not null and (a.id is null or (a.disabled_at is null
                and (m.rank = 0 or (a.roles <> '{}' and a.email = m.to_address)))) as "can_go!"
        from portal.mail m left join portal.account a on a.id = m.account_id
        where m.given_up_at is not null or (m.due_at is not null and m.last_error is not null)
        order by m.created_at desc, m.id limit $1"#,
        at_most
    );
    let troubled = rows.fetch_all(conn).await?.into_iter().map(|row| Troubled {
        id: MailId(row.id),
        kind: row.kind,
        address: row.to_address,
        created_at: row.created_at.to_jiff(),
        attempts: row.attempts,
        due_at: row.due_at.map(jiff_sqlx::Timestamp::to_jiff),
        last_error: row.last_error,
        can_go: row.can_go,
    });
    Ok(troubled.collect())
}

/// A mail that was not delivered is due now, and of use until the second time at least. Its kind and reader; None: there is
/// none of this id, it is being delivered just now, or what it said is gone.
pub async fn send_again(
    conn: &mut PgConnection,
    id: MailId,
    (now, until): (Timestamp, Timestamp),
) -> Result<Option<(String, Option<AccountId>)>, sqlx::Error> {
    let row = sqlx::query!(
        "update portal.mail m set due_at = $2, given_up_at = null, useless_at = greatest(useless_at, $3)
        where id = $1 and sent_at is null and sealed is not null and (lease_until is null or lease_until <= $2)
            and not exists (select from portal.account a where a.id = m.account_id and (a.disabled_at is not null
                or (m.rank > 0 and (a.roles = '{}' or a.email <> m.to_address))))
        returning kind, account_id",
        id.0,
        now.to_sqlx() as jiff_sqlx::Timestamp,
        until.to_sqlx() as jiff_sqlx::Timestamp
    );
    Ok(row.fetch_optional(conn).await?.map(|row| (row.kind, row.account_id.map(AccountId))))
}
