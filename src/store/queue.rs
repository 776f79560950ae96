//! What the queue page reads: every live approval with its live decision in one query, and how well each source can be
//! read in another. Read-only; the tables belong to the watcher and to decisions.

use jiff::Timestamp;
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::Inconsistent;
use super::decisions::unattended::Ended;
use crate::domain::access::Tags;
use crate::domain::approval::{AtAws, Standing};
use crate::domain::decision::{State, Verdict};
use crate::domain::details::{SourceSeen, TriggerSeen};
use crate::domain::ids::{ApprovalId, DecisionId, PipelineName, SourceName};
use crate::domain::shown::Shown;

/// More live approvals than this are not looked through at once; the page says so. Ten times what the portal is built for.
pub const MOST: i64 = 2_000;

/// A part of what waits, soonest expiry first.
#[derive(Debug, Clone)]
pub struct Listed {
    pub waiting: Vec<Waiting>,
    /// How many come before.
    pub skipped: u64,
    /// How many there are in all.
    pub all: u64,
}

/// One live approval: it waits, or its decision is not settled.
#[derive(Debug, Clone)]
pub struct Waiting {
    pub id: ApprovalId,
    pub shown: Shown,
    pub opened_at: Timestamp,
    pub opened_about: bool,
    pub found_at: Timestamp,
    pub expires_at: Timestamp,
    pub expires_about: bool,
    /// The last read that saw it open.
    pub seen_open_at: Timestamp,
    pub at_aws: AtAws,
    /// Since when its pipeline, or its whole source, cannot be read.
    pub unread_since: Option<Timestamp>,
    pub trigger: Option<TriggerSeen>,
    /// Where each source revision comes from.
    pub sources: Vec<SourceSeen>,
    /// How many newer runs wait behind it.
    pub newer: u64,
    pub live: Option<Live>,
    /// When decisions ended that left it waiting.
    pub ended: Ended,
    /// What its pipeline is tagged with, and when that was read.
    pub tags: Option<(Tags, Timestamp)>,
}

/// The decision that is on its way.
#[derive(Debug, Clone)]
pub struct Live {
    pub id: DecisionId,
    pub state: State,
    pub verdict: Verdict,
    pub by: String,
}

impl Waiting {
    #[must_use]
    pub fn standing(&self) -> Standing {
        Standing::derive(self.at_aws, self.live.as_ref().map(|live| live.state))
    }
}

fn bad(table: &'static str, row: Uuid, problem: &impl ToString) -> sqlx::Error {
    Inconsistent { table, row: row.to_string(), problem: problem.to_string() }.into()
}

/// Live approvals, soonest expiry first: `at_most` of them after `skipping` so many, or the last such part when there are
/// fewer. What a page does not show is not read.
///
/// # Errors
/// The database's, or a row the program could not have written.
pub async fn list_waiting(conn: &mut PgConnection, skipping: i64, at_most: i64) -> Result<Listed, sqlx::Error> {
    let rows = sqlx::query!(
        r#"with live as (
            select id, expires_at from portal.approval where at_aws = 'open'
            union
            select a.id, a.expires_at from portal.decision d join portal.approval a on a.id = d.approval_id
            where d.state in ('intent', 'submitting', 'unsure')),
        part as (
            select id from live order by expires_at, id limit $1
            offset (select least($2, (greatest(count(*), 1) - 1) / $1 * $1) from live))
        select a.id as "id!", a.shown as "shown!", a.opened_at as "opened_at!", a.opened_about as "opened_about!",
            a.found_at as "found_at!", a.expires_at as "expires_at!", a.expires_about as "expires_about!", a.seen_open_at as "seen_open_at!",
            a.at_aws as "at_aws!", coalesce(s.blind_since, p.unreadable_since) as "unread_since?",
            a.details -> 'trigger' as "trigger?: Json<Option<TriggerSeen>>",
            a.details -> 'sources' as "sources?: Json<Vec<SourceSeen>>",
            coalesce(jsonb_array_length(a.details -> 'newer'), 0) + coalesce((a.details -> 'more_newer')::bigint, 0)
                as "newer!",
            d.id as "decision?", d.state as "state?", d.verdict as "verdict?", d.signed_as as "by?",
            t.tags as "tags?: Json<Tags>", t.read_at as "tags_at?",
            e.last as "ended?", e.by_rule as "ended_by_rule?",
            (select count(*) from live) as "all!"
        from part
        join portal.approval a on a.id = part.id
        join portal.source s on s.name = a.source
        join portal.pipeline p on p.source = a.source and p.name = a.pipeline
        left join portal.decision d on d.approval_id = a.id and d.state in ('intent', 'submitting', 'unsure')
        left join portal.pipeline_tags t on t.source = a.source and t.pipeline = a.pipeline and t.until_at is null
        cross join lateral (
            select max(f.settled_at) as last, max(f.settled_at) filter (where f.channel = 'rule') as by_rule
            from portal.decision f where f.approval_id = a.id) e
        order by a.expires_at, a.id"#,
        at_most,
        skipping
    )
    .fetch_all(conn)
    .await?;
    let all = rows.first().map_or(0, |row| row.all);
    let skipped = skipping.min((all.max(1) - 1) / at_most * at_most);
    let mut waiting = Vec::with_capacity(rows.len());
    for row in rows {
        let live = match (row.decision, row.state, row.verdict, row.by) {
            (Some(id), Some(state), Some(verdict), Some(by)) => Some(Live {
                id: DecisionId(id),
                state: State::from_name(&state).ok_or_else(|| bad("decision", id, &state))?,
                verdict: Verdict::from_name(&verdict).ok_or_else(|| bad("decision", id, &verdict))?,
                by,
            }),
            _ => None,
        };
        waiting.push(Waiting {
            id: ApprovalId(row.id),
            shown: serde_json::from_str(&row.shown).map_err(|problem| bad("approval", row.id, &problem))?,
            opened_at: row.opened_at.to_jiff(),
            opened_about: row.opened_about,
            found_at: row.found_at.to_jiff(),
            expires_at: row.expires_at.to_jiff(),
            expires_about: row.expires_about,
            seen_open_at: row.seen_open_at.to_jiff(),
            at_aws: AtAws::from_name(&row.at_aws).ok_or_else(|| bad("approval", row.id, &row.at_aws))?,
            unread_since: row.unread_since.map(jiff_sqlx::Timestamp::to_jiff),
            trigger: row.trigger.and_then(|json| json.0),
            sources: row.sources.map(|json| json.0).unwrap_or_default(),
            newer: u64::try_from(row.newer).unwrap_or(0),
            live,
            ended: Ended {
                last: row.ended.map(jiff_sqlx::Timestamp::to_jiff),
                by_rule: row.ended_by_rule.map(jiff_sqlx::Timestamp::to_jiff),
            },
            tags: row.tags.map(|json| json.0).zip(row.tags_at.map(jiff_sqlx::Timestamp::to_jiff)),
        });
    }
    let count = |n: i64| u64::try_from(n).expect("a count is not negative");
    Ok(Listed { waiting, skipped: count(skipped), all: count(all) })
}

/// How well a source can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceSight {
    pub name: String,
    pub account: Option<String>,
    pub region: Option<String>,
    /// False once the operator has taken it out of the configuration.
    pub configured: bool,
    pub swept_at: Option<Timestamp>,
    /// Since when, and why, nothing of it can be read.
    pub blind: Option<(Timestamp, String)>,
    /// Since when, and why, what AWS announces of it is not relied on although it has a queue. Of no matter for one pipeline.
    pub deaf: Option<(Timestamp, String)>,
    /// Since when, why, how many and which of its pipelines cannot be read.
    pub unreadable: Option<Unreadable>,
}

/// Pipelines of a source that cannot be read while others can.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    pub count: u64,
    pub since: Timestamp,
    pub why: String,
    /// The first few, longest unreadable first.
    pub names: Vec<String>,
}

/// The decision that keeps this approval to itself: on its way, or accepted.
///
/// # Errors
/// The database's, or a row the program could not have written.
pub async fn find_holding(conn: &mut PgConnection, approval: ApprovalId) -> Result<Option<Live>, sqlx::Error> {
    let held = super::decisions::find_holding(conn, approval).await?;
    Ok(held.map(|held| Live { id: held.id, state: held.state, verdict: held.verdict(), by: held.signed_as }))
}

/// How well one pipeline can be read: its source's sight, with nothing about other pipelines.
///
/// # Errors
/// The database's.
pub async fn find_sight(
    conn: &mut PgConnection,
    source: &SourceName,
    pipeline: &PipelineName,
) -> Result<SourceSight, sqlx::Error> {
    let row = sqlx::query!(
        "select s.name, s.account, s.region, s.configured, s.swept_at, s.blind_since, s.blind_why,
            p.unreadable_since, p.unreadable_why
        from portal.source s join portal.pipeline p on p.source = s.name
        where s.name = $1 and p.name = $2",
        source.as_str(),
        pipeline.as_str()
    )
    .fetch_one(conn)
    .await?;
    let unreadable = row.unreadable_since.map(jiff_sqlx::Timestamp::to_jiff).zip(row.unreadable_why);
    Ok(SourceSight {
        name: row.name,
        account: row.account,
        region: row.region,
        configured: row.configured,
        swept_at: row.swept_at.map(jiff_sqlx::Timestamp::to_jiff),
        blind: row.blind_since.map(jiff_sqlx::Timestamp::to_jiff).zip(row.blind_why),
        deaf: None,
        unreadable: unreadable.map(|(since, why)| Unreadable {
            count: 1,
            since,
            why,
            names: vec![pipeline.as_str().to_owned()],
        }),
    })
}

/// Every source that is configured or still holds a live approval, by name.
///
/// # Errors
/// The database's.
pub async fn list_sight(conn: &mut PgConnection) -> Result<Vec<SourceSight>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select s.name as "name!", s.account as "account?", s.region as "region?", s.configured as "configured!",
            s.swept_at as "swept_at?", s.blind_since as "blind_since?", s.blind_why as "blind_why?",
            s.deaf_since as "deaf_since?", s.deaf_why as "deaf_why?",
            u.count as "count!", u.since as "since?", u.why as "why?", u.names as "names?"
        from portal.source s
        cross join lateral (
            select count(*) as count, min(p.unreadable_since) as since,
                (array_agg(p.unreadable_why order by p.unreadable_since, p.name))[1] as why,
                (array_agg(p.name order by p.unreadable_since, p.name))[1:5] as names
            from portal.pipeline p
            where p.source = s.name and p.unreadable_since is not null and p.gone_at is null) u
        where s.configured
            or exists (select from portal.approval a where a.source = s.name and a.at_aws = 'open')
        order by s.name"#
    )
    .fetch_all(conn)
    .await?;
    let sight = rows.into_iter().map(|row| SourceSight {
        name: row.name,
        account: row.account,
        region: row.region,
        configured: row.configured,
        swept_at: row.swept_at.map(jiff_sqlx::Timestamp::to_jiff),
        blind: row.blind_since.map(jiff_sqlx::Timestamp::to_jiff).zip(row.blind_why),
        deaf: row.deaf_since.map(jiff_sqlx::Timestamp::to_jiff).zip(row.deaf_why),
        unreadable: row.since.map(jiff_sqlx::Timestamp::to_jiff).zip(row.why).map(|(since, why)| Unreadable {
            count: u64::try_from(row.count).unwrap_or(0),
            since,
            why,
            names: row.names.unwrap_or_default(),
        }),
    });
    Ok(sight.collect())
}
