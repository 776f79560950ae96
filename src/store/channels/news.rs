//! What channels are still to be told.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use crate::domain::access::Tags;
use crate::domain::approval::AtAws;
use crate::domain::ids::{ApprovalId, BadId, ChannelId, Gate, SourceName};
use crate::domain::notices::Kind;
use crate::store::Inconsistent;

/// Something that happened, with how it stands by now.
#[derive(Debug, Clone)]
pub struct News {
    pub notice: i64,
    pub kind: Kind,
    pub at: Timestamp,
    pub due: Timestamp,
    pub about: About,
}

#[derive(Debug, Clone)]
pub enum About {
    Approval {
        id: ApprovalId,
        gate: Gate,
        at_aws: AtAws,
        expires_at: Timestamp,
        /// Somebody has decided it here, and what becomes of that is not known yet.
        is_being_decided: bool,
        /// As last read, and when.
        tags: Option<(Tags, Timestamp)>,
    },
    Source {
        name: SourceName,
        /// Since when it cannot be read, where it is configured still.
        blind_since: Option<Timestamp>,
        /// The channel was told that it could not be read since then.
        is_told_blind: bool,
    },
}

impl News {
    /// Until when it can be decided, where it asks for a decision.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        match &self.about {
            About::Approval { expires_at, .. } if self.kind.asks() => Some(*expires_at),
            _ => None,
        }
    }
}

impl About {
    #[must_use]
    pub fn approval(&self) -> Option<ApprovalId> {
        match self {
            Self::Approval { id, .. } => Some(*id),
            Self::Source { .. } => None,
        }
    }
}

struct Row {
    id: i64,
    kind: String,
    at: jiff_sqlx::Timestamp,
    due_at: jiff_sqlx::Timestamp,
    approval_id: Option<Uuid>,
    source: Option<String>,
    gate_source: Option<String>,
    pipeline: Option<String>,
    stage: Option<String>,
    action: Option<String>,
    at_aws: Option<String>,
    expires_at: Option<jiff_sqlx::Timestamp>,
    deciding: bool,
    tags: Option<Json<Tags>>,
    tags_at: Option<jiff_sqlx::Timestamp>,
    blind_since: Option<jiff_sqlx::Timestamp>,
    told_blind: bool,
}

impl TryFrom<Row> for News {
    type Error = Inconsistent;

    fn try_from(row: Row) -> Result<Self, Inconsistent> {
        let bad = |problem: String| Inconsistent { table: "portal.notice", row: row.id.to_string(), problem };
        let name = |error: BadId| bad(error.to_string());
        let at_aws = row.at_aws.as_deref().and_then(AtAws::from_name);
        let gate = row.gate_source.zip(row.pipeline).zip(row.stage.zip(row.action));
        let about = match (row.approval_id, row.source, gate, at_aws.zip(row.expires_at)) {
            (Some(id), None, Some(((source, pipeline), (stage, action))), Some((at_aws, expires_at))) => {
                About::Approval {
                    id: ApprovalId(id),
                    gate: Gate::parse([source, pipeline, stage, action]).map_err(name)?,
                    at_aws,
                    expires_at: expires_at.to_jiff(),
                    is_being_decided: row.deciding,
                    tags: row.tags.map(|json| json.0).zip(row.tags_at.map(jiff_sqlx::Timestamp::to_jiff)),
                }
            }
            (None, Some(source), _, _) => About::Source {
                name: SourceName::parse(source).map_err(name)?,
                blind_since: row.blind_since.map(jiff_sqlx::Timestamp::to_jiff),
                is_told_blind: row.told_blind,
            },
            _ => return Err(bad("is about nothing, or two things".to_owned())),
        };
        let kind = Kind::from_name(&row.kind).ok_or_else(|| bad(format!("kind {}", row.kind)))?;
        Ok(Self { notice: row.id, kind, at: row.at.to_jiff(), due: row.due_at.to_jiff(), about })
    }
}

/// Takes notices that are due and that no channel was given yet, until the transaction ends; the oldest first.
///
/// # Errors
/// Whatever the database says, also of an impossible row.
pub async fn take_due(conn: &mut PgConnection, now: Timestamp, most: i64) -> sqlx::Result<Vec<News>> {
    // A newer release beside this one may leave others.
    let known: Vec<String> = Kind::ALL.iter().map(|kind| kind.name().to_owned()).collect();
    let rows = sqlx::query_as!(
        Row,
        r#"select n.id, n.kind, n.at, n.due_at, n.approval_id, n.source,
            a.source as "gate_source?", a.pipeline as "pipeline?", a.stage as "stage?", a.action as "action?",
            a.at_aws as "at_aws?", a.expires_at as "expires_at?", false as "deciding!",
            null::jsonb as "tags?: Json<Tags>", null::timestamptz as "tags_at?", null::timestamptz as blind_since,
            false as "told_blind!"
        from portal.notice n left join portal.approval a on a.id = n.approval_id
        where n.channels_at is null and n.due_at <= $1 and n.kind = any ($3)
        order by n.due_at, n.id limit $2 for update of n skip locked"#,
        now.to_sqlx(),
        most,
        &known
    );
    rows.fetch_all(conn).await?.into_iter().map(|row| News::try_from(row).map_err(Into::into)).collect()
}

/// Every channel that these concern has been given them.
///
/// # Errors
/// Whatever the database says.
pub async fn mark_given(conn: &mut PgConnection, notices: &[i64], now: Timestamp) -> sqlx::Result<()> {
    sqlx::query!("update portal.notice set channels_at = $2 where id = any ($1)", notices, now.to_sqlx())
        .execute(conn)
        .await?;
    Ok(())
}

/// There is no channel: what is due is none's. Says how many those were.
///
/// # Errors
/// Whatever the database says.
pub async fn pass_over_due(conn: &mut PgConnection, now: Timestamp) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "update portal.notice set channels_at = $1 where id in (
            select id from portal.notice where channels_at is null and due_at <= $1 limit 1000 for update skip locked)",
        now.to_sqlx()
    );
    Ok(done.execute(conn).await?.rows_affected())
}

/// Something for a channel, and when it is to be told.
#[derive(Debug, Clone, Copy)]
pub struct ForChannel {
    pub channel: ChannelId,
    pub notice: i64,
    pub due: Timestamp,
}

/// # Errors
/// Whatever the database says.
pub async fn insert(conn: &mut PgConnection, new: &[ForChannel], now: Timestamp) -> sqlx::Result<()> {
    let channels: Vec<Uuid> = new.iter().map(|one| one.channel.0).collect();
    let notices: Vec<i64> = new.iter().map(|one| one.notice).collect();
    let dues: Vec<jiff_sqlx::Timestamp> = new.iter().map(|one| one.due.to_sqlx()).collect();
    sqlx::query!(
        "insert into portal.channel_news (channel_id, notice_id, came_at, due_at)
        select n.channel_id, n.notice_id, $4, n.due_at
        from unnest($1::uuid[], $2::bigint[], $3::timestamptz[]) n (channel_id, notice_id, due_at)
        join portal.channel c on c.id = n.channel_id and c.until_at is null
        on conflict (channel_id, notice_id) do nothing",
        &channels,
        &notices,
        &dues as _,
        now.to_sqlx()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Channels that something is due for, and that have fewer messages waiting than the kind of channel allows.
///
/// # Errors
/// Whatever the database says.
pub async fn list_due(
    conn: &mut PgConnection,
    now: Timestamp,
    (of_chats, of_webhooks): (i64, i64),
) -> sqlx::Result<Vec<ChannelId>> {
    let due = sqlx::query_scalar!(
        "select c.id from portal.channel c
        where c.until_at is null
            and exists (select from portal.channel_news n where n.channel_id = c.id and n.due_at <= $1)
            and (select count(*) from portal.channel_delivery d where d.channel_id = c.id and d.due_at is not null)
                < case c.kind when 'webhook' then $3::bigint else $2::bigint end
        order by c.id",
        now.to_sqlx(),
        of_chats,
        of_webhooks
    );
    Ok(due.fetch_all(conn).await?.into_iter().map(ChannelId).collect())
}

/// What this channel is to be told, due or not; first what is due first.
///
/// # Errors
/// Whatever the database says, also of an impossible row.
pub async fn list(conn: &mut PgConnection, channel: ChannelId, most: i64) -> sqlx::Result<Vec<News>> {
    let rows = sqlx::query_as!(
        Row,
        r#"select n.id, n.kind, n.at, n.due_at, n.approval_id, n.source,
            a.source as "gate_source?", a.pipeline as "pipeline?", a.stage as "stage?", a.action as "action?",
            a.at_aws as "at_aws?", a.expires_at as "expires_at?",
            exists (select from portal.decision d where d.approval_id = a.id
                and d.state in ('intent', 'submitting', 'unsure')) as "deciding!",
            g.tags as "tags?: Json<Tags>", g.read_at as "tags_at?",
            case when s.configured then s.blind_since end as blind_since,
            exists (select from portal.channel_news b join portal.notice p on p.id = b.notice_id
                where b.channel_id = w.channel_id and b.due_at is null and p.kind = 'blind'
                    and p.source = n.source and p.at = n.at) as "told_blind!"
        from portal.channel_news w join portal.notice n on n.id = w.notice_id
        left join portal.approval a on a.id = n.approval_id
        left join portal.pipeline_tags g on g.source = a.source and g.pipeline = a.pipeline and g.until_at is null
        left join portal.source s on s.name = n.source
        where w.channel_id = $1 and w.due_at is not null order by w.due_at, n.id limit $2"#,
        channel.0,
        most
    );
    rows.fetch_all(conn).await?.into_iter().map(|row| News::try_from(row).map_err(Into::into)).collect()
}

/// It is in a message now, which says that a source cannot be read: that is remembered.
///
/// # Errors
/// Whatever the database says.
pub async fn mark_told_blind(conn: &mut PgConnection, channel: ChannelId, notices: &[i64]) -> sqlx::Result<()> {
    sqlx::query!(
        "update portal.channel_news set due_at = null where channel_id = $1 and notice_id = any ($2)",
        channel.0,
        notices
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// It is in a message now, or need not be told any more.
///
/// # Errors
/// Whatever the database says.
pub async fn delete(conn: &mut PgConnection, channel: ChannelId, notices: &[i64]) -> sqlx::Result<()> {
    sqlx::query!("delete from portal.channel_news where channel_id = $1 and notice_id = any ($2)", channel.0, notices)
        .execute(conn)
        .await?;
    Ok(())
}

/// It is to be told later.
///
/// # Errors
/// Whatever the database says.
pub async fn put_off(
    conn: &mut PgConnection,
    channel: ChannelId,
    notices: &[i64],
    until: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update portal.channel_news set due_at = $3 where channel_id = $1 and notice_id = any ($2)",
        channel.0,
        notices,
        until.to_sqlx()
    )
    .execute(conn)
    .await?;
    Ok(())
}
