//! The gates that channels are told of.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgConnection;

use crate::domain::access::GatePattern;
use crate::domain::ids::{ChannelGatesId, ChannelId};
use crate::store::access::columns;

/// Gates that a channel is told of.
#[derive(Debug, Clone)]
pub struct Gates {
    pub id: ChannelGatesId,
    pub channel: ChannelId,
    pub pattern: GatePattern,
}

/// # Errors
/// Whatever the database says.
pub async fn insert(conn: &mut PgConnection, new: &Gates, at: Timestamp) -> sqlx::Result<()> {
    let (fields, tag) = (new.pattern.fields(), new.pattern.tag.as_ref());
    sqlx::query!(
        "insert into portal.channel_gates (id, channel_id, source, pipeline, stage, action, tag_key, tag_value, from_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        new.id.0,
        new.channel.0,
        fields.source,
        fields.pipeline,
        fields.stage,
        fields.action,
        tag.map(|tag| tag.key.as_str()),
        tag.map(|tag| tag.value.as_str()),
        at.to_sqlx()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Those of every channel that has not ended, the oldest first.
///
/// # Errors
/// Whatever the database says, also of an impossible row.
pub async fn list_live(conn: &mut PgConnection) -> sqlx::Result<Vec<Gates>> {
    let rows = sqlx::query!(
        "select g.id, g.channel_id, g.source, g.pipeline, g.stage, g.action, g.tag_key, g.tag_value
        from portal.channel_gates g join portal.channel c on c.id = g.channel_id
        where g.until_at is null and c.until_at is null order by g.from_at, g.id"
    );
    let mut found = Vec::new();
    for row in rows.fetch_all(conn).await? {
        let (id, channel) = (ChannelGatesId(row.id), ChannelId(row.channel_id));
        found.push(Gates { id, channel, pattern: columns!(row).pattern("portal.channel_gates", id.0)? });
    }
    Ok(found)
}

/// The channel is told of these no longer. False: it was not.
///
/// # Errors
/// Whatever the database says.
pub async fn mark_ended(
    conn: &mut PgConnection,
    (channel, id): (ChannelId, ChannelGatesId),
    at: Timestamp,
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "update portal.channel_gates set until_at = greatest(from_at, $3)
        where id = $1 and channel_id = $2 and until_at is null",
        id.0,
        channel.0,
        at.to_sqlx()
    );
    Ok(done.execute(conn).await?.rows_affected() == 1)
}

/// It is told of none any more.
///
/// # Errors
/// Whatever the database says.
pub async fn end_all(conn: &mut PgConnection, channel: ChannelId, at: Timestamp) -> sqlx::Result<()> {
    sqlx::query!(
        "update portal.channel_gates set until_at = greatest(from_at, $2) where channel_id = $1 and until_at is null",
        channel.0,
        at.to_sqlx()
    )
    .execute(conn)
    .await?;
    Ok(())
}
