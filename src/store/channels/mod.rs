//! Channels, the gates they are told of, what they are still to be told, and the messages to them. Addresses and secrets are sealed
//! before they come here, and are gone once a channel has ended.

pub mod deliveries;
pub mod gates;
pub mod news;

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgConnection;

use crate::domain::channels::{Kind, Tells};
use crate::domain::ids::{AccountId, ChannelId};
use crate::store::Inconsistent;

/// A channel that is told what happens.
#[derive(Debug, Clone)]
pub struct Channel {
    pub id: ChannelId,
    pub kind: Kind,
    pub name: String,
    pub host: String,
    pub tells: Tells,
    pub from: Timestamp,
    /// Who made it; absent for the operator.
    pub given_by: Option<String>,
    /// How often in a row it could not be told.
    pub failures: i32,
    pub held_until: Option<Timestamp>,
    /// Messages that wait to be sent.
    pub waiting: i64,
    /// Messages that were given up, as far as they are remembered.
    pub given_up: i64,
}

/// A channel to be made.
#[derive(Debug)]
pub struct NewChannel<'a> {
    pub id: ChannelId,
    pub kind: Kind,
    pub name: &'a str,
    pub host: &'a str,
    pub sealed_address: &'a [u8],
    pub sealed_secret: Option<&'a [u8]>,
    pub tells: Tells,
    pub at: Timestamp,
    pub given_by: Option<AccountId>,
}

/// False: another has that name.
///
/// # Errors
/// Whatever the database says.
pub async fn insert(conn: &mut PgConnection, new: &NewChannel<'_>) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "insert into portal.channel (id, kind, name, host, sealed_address, sealed_secret, tells_waiting, tells_reminders,
            tells_ends, tells_blind, from_at, given_by)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
        on conflict (lower(name)) where until_at is null do nothing",
        new.id.0,
        new.kind.name(),
        new.name,
        new.host,
        new.sealed_address,
        new.sealed_secret,
        new.tells.waiting,
        new.tells.reminders,
        new.tells.ends,
        new.tells.blind,
        new.at.to_sqlx(),
        new.given_by.map(|by| by.0),
    );
    Ok(done.execute(conn).await?.rows_affected() == 1)
}

/// Every channel that has not ended, by name; or of them this one.
///
/// # Errors
/// Whatever the database says, also of an impossible row.
pub async fn list_live(conn: &mut PgConnection, only: Option<ChannelId>) -> sqlx::Result<Vec<Channel>> {
    let rows = sqlx::query!(
        r#"select c.id, c.kind, c.name, c.host, c.tells_waiting, c.tells_reminders, c.tells_ends, c.tells_blind, c.from_at,
            c.failures, c.held_until, b.name as "given_by?",
            (select count(*) from portal.channel_delivery d
                where d.channel_id = c.id and d.due_at is not null) as "waiting!",
            (select count(*) from portal.channel_delivery d
                where d.channel_id = c.id and d.given_up_at is not null) as "given_up!"
        from portal.channel c left join portal.account b on b.id = c.given_by
        where c.until_at is null and ($1::uuid is null or c.id = $1) order by lower(c.name)"#,
        only.map(|id| id.0)
    );
    let mut found = Vec::new();
    for row in rows.fetch_all(conn).await? {
        found.push(Channel {
            id: ChannelId(row.id),
            kind: read_kind(&row.kind, row.id)?,
            name: row.name,
            host: row.host,
            tells: Tells {
                waiting: row.tells_waiting,
                reminders: row.tells_reminders,
                ends: row.tells_ends,
                blind: row.tells_blind,
            },
            from: row.from_at.to_jiff(),
            given_by: row.given_by,
            failures: row.failures,
            held_until: row.held_until.map(jiff_sqlx::Timestamp::to_jiff),
            waiting: row.waiting,
            given_up: row.given_up,
        });
    }
    Ok(found)
}

fn read_kind(name: &str, id: uuid::Uuid) -> Result<Kind, Inconsistent> {
    let bad = || Inconsistent { table: "portal.channel", row: id.to_string(), problem: format!("kind {name}") };
    Kind::from_name(name).ok_or_else(bad)
}

/// Locks a channel until the transaction ends. False: there is none, or it has ended.
///
/// # Errors
/// Whatever the database says.
pub async fn lock(conn: &mut PgConnection, id: ChannelId) -> sqlx::Result<bool> {
    let found = sqlx::query_scalar!(
        r#"select 1 as "one!" from portal.channel where id = $1 and until_at is null for no key update"#,
        id.0
    );
    Ok(found.fetch_optional(conn).await?.is_some())
}

/// The same, unless somebody else holds it just now.
///
/// # Errors
/// Whatever the database says.
pub async fn lock_if_free(conn: &mut PgConnection, id: ChannelId) -> sqlx::Result<bool> {
    let found = sqlx::query_scalar!(
        r#"select 1 as "one!" from portal.channel where id = $1 and until_at is null for no key update skip locked"#,
        id.0
    );
    Ok(found.fetch_optional(conn).await?.is_some())
}

/// It is called so, and told this, from now on. False: another has that name.
///
/// # Errors
/// Whatever the database says.
pub async fn change(conn: &mut PgConnection, id: ChannelId, name: &str, tells: Tells) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "update portal.channel c set name = $2, tells_waiting = $3, tells_reminders = $4, tells_ends = $5, tells_blind = $6
        where id = $1 and until_at is null and not exists (
            select from portal.channel o where o.id <> $1 and lower(o.name) = lower($2) and o.until_at is null)",
        id.0,
        name,
        tells.waiting,
        tells.reminders,
        tells.ends,
        tells.blind
    );
    Ok(done.execute(conn).await?.rows_affected() == 1)
}

/// It leads elsewhere from now on, and what waits is tried at once.
///
/// # Errors
/// Whatever the database says.
pub async fn move_to(
    conn: &mut PgConnection,
    id: ChannelId,
    (host, sealed): (&str, &[u8]),
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update portal.channel set host = $2, sealed_address = $3, failures = 0, held_until = null
        where id = $1 and until_at is null",
        id.0,
        host,
        sealed
    )
    .execute(&mut *conn)
    .await?;
    deliveries::bring_forward(conn, id, now).await
}

/// What its messages are signed with from now on.
///
/// # Errors
/// Whatever the database says.
pub async fn sign_with(conn: &mut PgConnection, id: ChannelId, sealed: &[u8]) -> sqlx::Result<()> {
    sqlx::query!("update portal.channel set sealed_secret = $2 where id = $1 and until_at is null", id.0, sealed)
        .execute(conn)
        .await?;
    Ok(())
}

/// Ends a channel: it is told nothing more, and where it led is forgotten. False: it had ended already, or there is none.
///
/// # Errors
/// Whatever the database says.
pub async fn mark_ended(
    conn: &mut PgConnection,
    id: ChannelId,
    at: Timestamp,
    by: Option<AccountId>,
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "update portal.channel set until_at = greatest(from_at, $2), ended_by = $3, sealed_address = null,
            sealed_secret = null where id = $1 and until_at is null",
        id.0,
        at.to_sqlx(),
        by.map(|by| by.0)
    );
    if done.execute(&mut *conn).await?.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query!("delete from portal.channel_news where channel_id = $1", id.0).execute(&mut *conn).await?;
    sqlx::query!(
        "update portal.channel_delivery set due_at = null, given_up_at = $2, lease_holder = null, lease_until = null,
            last_error = coalesce(last_error, 'the channel was ended')
        where channel_id = $1 and due_at is not null",
        id.0,
        at.to_sqlx()
    )
    .execute(conn)
    .await?;
    Ok(true)
}

/// It was told something: nothing is held up any more.
///
/// # Errors
/// Whatever the database says.
pub async fn mark_well(conn: &mut PgConnection, id: ChannelId) -> sqlx::Result<()> {
    sqlx::query!(
        "update portal.channel set failures = 0, held_until = null where id = $1 and (failures > 0 or held_until is not null)",
        id.0
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// It could not be told: it is left alone until then. Of several that fail at once, one counts.
///
/// # Errors
/// Whatever the database says.
pub async fn mark_ill(conn: &mut PgConnection, id: ChannelId, failures: i32, until: Timestamp) -> sqlx::Result<()> {
    sqlx::query!(
        "update portal.channel set failures = failures + 1, held_until = $3 where id = $1 and failures = $2",
        id.0,
        failures,
        until.to_sqlx()
    )
    .execute(conn)
    .await?;
    Ok(())
}
