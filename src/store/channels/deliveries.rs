//! The messages to channels: waiting, taken to be sent, told, given up.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::read_kind;
use crate::domain::access::Tags;
use crate::domain::channels::Kind;
use crate::domain::ids::{ApprovalId, BadId, ChannelId, DeliveryId, Gate};
use crate::store::Inconsistent;

/// A message to be sent.
#[derive(Debug)]
pub struct NewDelivery<'a> {
    pub id: DeliveryId,
    pub channel: ChannelId,
    pub tells: &'a str,
    pub body: &'a str,
    /// The approvals that it tells of.
    pub about: &'a [ApprovalId],
    /// It is a chat's, and does nothing but ask for decisions about them.
    pub asks: bool,
    pub made_at: Timestamp,
    pub useless_at: Timestamp,
}

/// # Errors
/// Whatever the database says.
pub async fn insert(conn: &mut PgConnection, new: &NewDelivery<'_>) -> sqlx::Result<()> {
    let about: Vec<Uuid> = new.about.iter().map(|approval| approval.0).collect();
    sqlx::query!(
        "insert into portal.channel_delivery (id, channel_id, tells, body, made_at, useless_at, due_at, about, asks)
        values ($1, $2, $3, $4, $5, $6, $5, $7, $8)",
        new.id.0,
        new.channel.0,
        new.tells,
        new.body,
        new.made_at.to_sqlx(),
        new.useless_at.to_sqlx(),
        &about,
        new.asks
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A message that was taken to be sent.
#[derive(Debug, Clone)]
pub struct Taken {
    pub id: DeliveryId,
    pub channel: ChannelId,
    pub kind: Kind,
    pub tells: String,
    pub body: String,
    pub useless_at: Timestamp,
    /// The so-manieth time, this one included.
    pub attempt: i32,
    pub sealed_address: Option<Vec<u8>>,
    pub sealed_secret: Option<Vec<u8>>,
    /// How often in a row its channel could not be told.
    pub failures: i32,
}

/// Who holds which message, for which attempt. Whoever comes late changes nothing.
#[derive(Debug, Clone, Copy)]
pub struct Held {
    pub id: DeliveryId,
    pub holder: Uuid,
    pub attempt: i32,
}

/// Takes messages that are due, at most one of each channel and none of one that is being told just now or is left alone, for
/// `holder` until the second time. Of a channel's, what was tried less goes first, so that one that it will not take holds
/// up no other. Nothing is put off for more than an hour by a clock that was wrong.
///
/// # Errors
/// Whatever the database says, also of an impossible row.
pub async fn take_due(
    conn: &mut PgConnection,
    holder: Uuid,
    (now, until): (Timestamp, Timestamp),
    most: i64,
) -> sqlx::Result<Vec<Taken>> {
    let rows = sqlx::query!(
        r#"with free as (
            select c.id, c.kind, c.sealed_address, c.sealed_secret, c.failures, next.id as next_id
            from portal.channel c cross join lateral (
                select d.id from portal.channel_delivery d
                where d.channel_id = c.id and d.due_at <= $2
                order by d.attempts, d.due_at, d.id limit 1) next
            where c.until_at is null
                and (c.held_until is null or c.held_until <= $2 or c.held_until > $3::timestamptz + interval '2 hours')
                and not exists (select from portal.channel_delivery h where h.channel_id = c.id and h.due_at is not null
                    and h.lease_until > $2 and h.lease_until <= $3::timestamptz + interval '1 hour')
            order by c.held_until nulls first, next.id limit $4 for no key update of c skip locked)
        update portal.channel_delivery d set lease_holder = $1, lease_until = $3, attempts = attempts + 1
        from free where d.id = free.next_id and d.due_at <= $2
            and (d.lease_until is null or d.lease_until <= $2 or d.lease_until > $3::timestamptz + interval '1 hour')
        returning d.id, d.channel_id, free.kind, d.tells, d.body, d.useless_at, d.attempts, free.sealed_address, free.sealed_secret,
            free.failures"#,
        holder,
        now.to_sqlx(),
        until.to_sqlx(),
        most
    );
    let mut taken = Vec::new();
    for row in rows.fetch_all(conn).await? {
        taken.push(Taken {
            id: DeliveryId(row.id),
            channel: ChannelId(row.channel_id),
            kind: read_kind(&row.kind, row.channel_id)?,
            tells: row.tells,
            body: row.body,
            useless_at: row.useless_at.to_jiff(),
            attempt: row.attempts,
            sealed_address: row.sealed_address,
            sealed_secret: row.sealed_secret,
            failures: row.failures,
        });
    }
    Ok(taken)
}

/// It was told. False: somebody else holds it by now.
///
/// # Errors
/// Whatever the database says.
pub async fn mark_told(conn: &mut PgConnection, held: Held, now: Timestamp, status: u16) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "update portal.channel_delivery set told_at = $4, due_at = null, lease_holder = null, lease_until = null,
            status = $5, last_error = null
        where id = $1 and lease_holder = $2 and attempts = $3 and due_at is not null",
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
        "update portal.channel_delivery set due_at = $5, lease_holder = null, lease_until = null, status = $6, last_error = $7,
            given_up_at = case when $5::timestamptz is null then $4::timestamptz end
        where id = $1 and lease_holder = $2 and attempts = $3 and due_at is not null",
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

/// Gives up what is of no use any more and nobody holds: its time is over, or it failed before and all that it asks about is over
/// by now. Says how many those were.
///
/// # Errors
/// Whatever the database says.
pub async fn give_up_useless(conn: &mut PgConnection, now: Timestamp) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "update portal.channel_delivery set due_at = null, given_up_at = $1, lease_holder = null, lease_until = null,
            last_error = case when useless_at <= $1 then coalesce(last_error, 'its time was over')
                else 'what it asks about is over' end
        where due_at is not null and (lease_until is null or lease_until <= $1)
            and (useless_at <= $1 or (attempts > 0 and asks and not exists (
                select from portal.approval a where a.id = any (about) and a.at_aws = 'open')))",
        now.to_sqlx()
    );
    Ok(done.execute(conn).await?.rows_affected())
}

/// Everything that waits for a channel is due at once, but for what is being sent.
///
/// # Errors
/// Whatever the database says.
pub async fn bring_forward(conn: &mut PgConnection, channel: ChannelId, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query!(
        "update portal.channel_delivery set due_at = $2
        where channel_id = $1 and due_at > $2 and (lease_until is null or lease_until <= $2)",
        channel.0,
        now.to_sqlx()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// What a message that waits tells of: an approval's gate, and what its pipeline is tagged with, as last read.
#[derive(Debug, Clone)]
pub struct Waiting {
    pub id: DeliveryId,
    pub gate: Gate,
    pub tags: Option<Tags>,
}

/// What the messages tell of that wait for this channel and nobody is sending; of each as many as it tells of.
///
/// # Errors
/// Whatever the database says, also of an impossible row.
pub async fn list_waiting(conn: &mut PgConnection, channel: ChannelId, now: Timestamp) -> sqlx::Result<Vec<Waiting>> {
    let rows = sqlx::query!(
        r#"select d.id, a.source, a.pipeline, a.stage, a.action, g.tags as "tags?: Json<Tags>"
        from portal.channel_delivery d join portal.approval a on a.id = any (d.about)
        left join portal.pipeline_tags g on g.source = a.source and g.pipeline = a.pipeline and g.until_at is null
        where d.channel_id = $1 and d.due_at is not null and (d.lease_until is null or d.lease_until <= $2)"#,
        channel.0,
        now.to_sqlx()
    );
    let mut found = Vec::new();
    for row in rows.fetch_all(conn).await? {
        let bad = |bad: BadId| Inconsistent {
            table: "portal.approval",
            row: format!("of message {}", row.id),
            problem: bad.to_string(),
        };
        let gate = Gate::parse([row.source, row.pipeline, row.stage, row.action]).map_err(bad)?;
        found.push(Waiting { id: DeliveryId(row.id), gate, tags: row.tags.map(|json| json.0) });
    }
    Ok(found)
}

/// Gives up these messages, as far as they wait and nobody is sending them.
///
/// # Errors
/// Whatever the database says.
pub async fn give_up(conn: &mut PgConnection, ids: &[DeliveryId], (now, why): (Timestamp, &str)) -> sqlx::Result<()> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    sqlx::query!(
        "update portal.channel_delivery set due_at = null, given_up_at = $2, lease_holder = null, lease_until = null,
            last_error = $3
        where id = any ($1) and due_at is not null and (lease_until is null or lease_until <= $2)",
        &ids,
        now.to_sqlx(),
        why
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A message as admins see it: never what it says.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub id: DeliveryId,
    pub tells: String,
    pub made_at: Timestamp,
    pub attempts: i32,
    /// When it is tried next, if it is.
    pub due_at: Option<Timestamp>,
    pub told_at: Option<Timestamp>,
    pub is_being_sent: bool,
    pub status: Option<i16>,
    pub last_error: Option<String>,
}

/// What a channel was not told, and what it was told last; each the newest first.
///
/// # Errors
/// Whatever the database says.
pub async fn list_recent(
    conn: &mut PgConnection,
    channel: ChannelId,
    now: Timestamp,
    most: i64,
) -> sqlx::Result<Vec<Delivery>> {
    let rows = sqlx::query!(
        r#"select id, tells, made_at, attempts, due_at, told_at, status, last_error,
            (due_at is not null and lease_until > $2) as "sending?"
        from portal.channel_delivery where channel_id = $1 order by told_at is not null, made_at desc, id desc limit $3"#,
        channel.0,
        now.to_sqlx(),
        most
    );
    let found = rows.fetch_all(conn).await?.into_iter().map(|row| Delivery {
        id: DeliveryId(row.id),
        tells: row.tells,
        made_at: row.made_at.to_jiff(),
        attempts: row.attempts,
        due_at: row.due_at.map(jiff_sqlx::Timestamp::to_jiff),
        told_at: row.told_at.map(jiff_sqlx::Timestamp::to_jiff),
        is_being_sent: row.sending == Some(true),
        status: row.status,
        last_error: row.last_error,
    });
    Ok(found.collect())
}

/// A message is due now, told before or not, and of use until the second time at least; its channel is tried at once. What it
/// tells; None: there is none, or it is being sent just now.
///
/// # Errors
/// Whatever the database says.
pub async fn send_again(
    conn: &mut PgConnection,
    (channel, id): (ChannelId, DeliveryId),
    (now, until): (Timestamp, Timestamp),
) -> sqlx::Result<Option<String>> {
    let tells = sqlx::query_scalar!(
        "update portal.channel_delivery set due_at = $3, told_at = null, given_up_at = null,
            useless_at = greatest(useless_at, $4), asks = false
        where id = $2 and channel_id = $1 and (lease_until is null or lease_until <= $3)
        returning tells",
        channel.0,
        id.0,
        now.to_sqlx(),
        until.to_sqlx()
    )
    .fetch_optional(&mut *conn)
    .await?;
    if tells.is_some() {
        super::mark_well(conn, channel).await?;
    }
    Ok(tells)
}

/// Forgets messages made before `before` that were dealt with.
///
/// # Errors
/// Whatever the database says.
pub async fn delete_before(conn: &mut PgConnection, before: Timestamp) -> sqlx::Result<()> {
    sqlx::query!("delete from portal.channel_delivery where due_at is null and made_at < $1", before.to_sqlx())
        .execute(conn)
        .await?;
    Ok(())
}
