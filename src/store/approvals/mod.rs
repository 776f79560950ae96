//! The approval table: every waiting or once waiting request at a gate, by gate and token. A request that was answered,
//! stopped or ran out never opens again; only one that was taken for gone may turn out to be there after all.

mod changes;

use jiff::Timestamp;
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::Inconsistent;
use crate::domain::approval::{AtAws, Decided};
use crate::domain::details::Details;
use crate::domain::ids::{ApprovalId, ApprovalToken, BadId, ExecutionId, Gate, PipelineName, SourceName};
use crate::domain::mode::Mode;
use crate::domain::shown::{Fingerprint, Shown};
use crate::domain::summary::Marker;

pub use changes::{insert, mark_all_seen_open, mark_closed, mark_described, mark_found_again, mark_seen_open};

/// An approval as it was last seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    pub id: ApprovalId,
    pub gate: Gate,
    pub execution: ExecutionId,
    pub action_execution: Option<String>,
    pub token: ApprovalToken,
    pub mode: Mode,
    pub pipeline_version: Option<i32>,
    pub opened_at: Timestamp,
    /// True when AWS did not say itself when it began to wait.
    pub opened_about: bool,
    pub expires_at: Timestamp,
    /// True when the deadline is worked out from a default that an account may have changed.
    pub expires_about: bool,
    pub found_at: Timestamp,
    /// When the last read that saw it open began.
    pub seen_open_at: Timestamp,
    pub at_aws: AtAws,
    pub closed_at: Option<Timestamp>,
    pub closed_why: Option<String>,
    pub decided: Option<Decided>,
    pub decided_by: Option<String>,
    pub decided_summary: Option<String>,
    pub shown: Shown,
    /// `shown` byte for byte as fingerprinted.
    pub shown_json: String,
    pub fingerprint: Fingerprint,
    pub details: Details,
}

/// How an approval ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closing {
    pub at_aws: AtAws,
    pub closed_at: Timestamp,
    pub closed_why: Option<String>,
    pub decided: Option<Decided>,
    pub decided_by: Option<String>,
    pub decided_summary: Option<String>,
}

struct Row {
    id: Uuid,
    source: String,
    pipeline: String,
    stage: String,
    action: String,
    execution_id: String,
    action_execution_id: Option<String>,
    token: String,
    execution_mode: String,
    pipeline_version: Option<i32>,
    opened_at: jiff_sqlx::Timestamp,
    opened_about: bool,
    expires_at: jiff_sqlx::Timestamp,
    expires_about: bool,
    found_at: jiff_sqlx::Timestamp,
    seen_open_at: jiff_sqlx::Timestamp,
    at_aws: String,
    closed_at: Option<jiff_sqlx::Timestamp>,
    closed_why: Option<String>,
    decided: Option<String>,
    decided_by: Option<String>,
    decided_summary: Option<String>,
    shown: String,
    fingerprint: Vec<u8>,
    details: Json<Details>,
}

impl TryFrom<Row> for Approval {
    type Error = Inconsistent;

    fn try_from(row: Row) -> Result<Self, Inconsistent> {
        let id = row.id;
        let bad = |problem: String| Inconsistent { table: "portal.approval", row: id.to_string(), problem };
        let name = |bad_id: BadId| bad(bad_id.to_string());
        let decided =
            row.decided.as_deref().map(|it| Decided::from_name(it).ok_or_else(|| bad(format!("decided {it}"))));
        let fingerprint =
            row.fingerprint.as_slice().try_into().map_err(|_| bad("fingerprint is not 32 bytes".into()))?;
        Ok(Self {
            id: ApprovalId(row.id),
            gate: Gate::parse([row.source, row.pipeline, row.stage, row.action]).map_err(name)?,
            execution: ExecutionId::parse(row.execution_id).map_err(name)?,
            action_execution: row.action_execution_id,
            token: ApprovalToken::new(row.token),
            mode: Mode::from_name(&row.execution_mode),
            pipeline_version: row.pipeline_version,
            opened_at: row.opened_at.to_jiff(),
            opened_about: row.opened_about,
            expires_at: row.expires_at.to_jiff(),
            expires_about: row.expires_about,
            found_at: row.found_at.to_jiff(),
            seen_open_at: row.seen_open_at.to_jiff(),
            at_aws: AtAws::from_name(&row.at_aws).ok_or_else(|| bad(format!("at_aws {}", row.at_aws)))?,
            closed_at: row.closed_at.map(jiff_sqlx::Timestamp::to_jiff),
            closed_why: row.closed_why,
            decided: decided.transpose()?,
            decided_by: row.decided_by,
            decided_summary: row.decided_summary,
            shown: serde_json::from_str(&row.shown).map_err(|error| bad(format!("shown: {error}")))?,
            shown_json: row.shown,
            fingerprint: Fingerprint(fingerprint),
            details: row.details.0,
        })
    }
}

macro_rules! approvals {
    ($where:literal $(, $arg:expr)*) => {
        sqlx::query_as!(
            Row,
            "select id, source, pipeline, stage, action, execution_id, action_execution_id, token, execution_mode, \
             pipeline_version, opened_at, opened_about, expires_at, expires_about, found_at, seen_open_at, at_aws, \
             closed_at, closed_why, decided, decided_by, decided_summary, shown, fingerprint, \
             details as \"details: Json<Details>\" from portal.approval " + $where
            $(, $arg)*
        )
    };
}

/// The approval, if there is one of this id.
///
/// # Errors
/// Whatever the database says, also of an impossible row.
pub async fn find(conn: &mut PgConnection, id: ApprovalId) -> sqlx::Result<Option<Approval>> {
    let row = approvals!("where id = $1", id.0).fetch_optional(conn).await?;
    Ok(row.map(Approval::try_from).transpose()?)
}

/// The approvals of these ids, as many as there are.
///
/// # Errors
/// Whatever the database says, also of an impossible row.
pub async fn list_of_ids(conn: &mut PgConnection, ids: &[ApprovalId]) -> sqlx::Result<Vec<Approval>> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let rows = approvals!("where id = any ($1) order by id", &ids).fetch_all(conn);
    rows.await?.into_iter().map(|row| Approval::try_from(row).map_err(Into::into)).collect()
}

/// The approval, locked until the transaction ends.
///
/// # Errors
/// Whatever the database says, also of an impossible row.
pub async fn find_for_update(conn: &mut PgConnection, id: ApprovalId) -> sqlx::Result<Option<Approval>> {
    let row = approvals!("where id = $1 for update", id.0).fetch_optional(conn).await?;
    Ok(row.map(Approval::try_from).transpose()?)
}

/// The approval at this gate with this token, open or not.
///
/// # Errors
/// Whatever the database says, also of an impossible row.
pub async fn find_by_token(
    conn: &mut PgConnection,
    gate: &Gate,
    token: &ApprovalToken,
) -> sqlx::Result<Option<Approval>> {
    let row = approvals!(
        "where source = $1 and pipeline = $2 and stage = $3 and action = $4 and token_hash = $5",
        gate.source.as_str(),
        gate.pipeline.as_str(),
        gate.stage.as_str(),
        gate.action.as_str(),
        &token.hash()
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(Approval::try_from).transpose()?)
}

/// Every approval of a source that was last seen open.
///
/// # Errors
/// Whatever the database says, also of an impossible row.
pub async fn list_open(conn: &mut PgConnection, source: &SourceName) -> sqlx::Result<Vec<Approval>> {
    let rows = approvals!("where source = $1 and at_aws = 'open' order by pipeline, opened_at, id", source.as_str())
        .fetch_all(conn);
    rows.await?.into_iter().map(|row| Approval::try_from(row).map_err(Into::into)).collect()
}

/// Every approval of a pipeline that was last seen open.
///
/// # Errors
/// Whatever the database says, also of an impossible row.
pub async fn list_open_of_pipeline(
    conn: &mut PgConnection,
    source: &SourceName,
    pipeline: &PipelineName,
) -> sqlx::Result<Vec<Approval>> {
    let rows = approvals!(
        "where source = $1 and pipeline = $2 and at_aws = 'open' order by opened_at, id",
        source.as_str(),
        pipeline.as_str()
    );
    rows.fetch_all(conn).await?.into_iter().map(|row| Approval::try_from(row).map_err(Into::into)).collect()
}

/// What a page showed that carried this fingerprint. `None`: this approval was never shown like that.
///
/// # Errors
/// Whatever the database says, also of an impossible row.
pub async fn find_shown(
    conn: &mut PgConnection,
    id: ApprovalId,
    fingerprint: Fingerprint,
) -> sqlx::Result<Option<Shown>> {
    let json = sqlx::query_scalar!(
        "select shown from portal.shown where fingerprint = $1 and approval_id = $2",
        &fingerprint.0,
        id.0
    )
    .fetch_optional(conn)
    .await?;
    json.map(|json| serde_json::from_str(&json).map_err(|error| sqlx::Error::Decode(error.into()))).transpose()
}

/// Whether something that was decided here may have reached AWS and is not settled: how this approval ended is then the
/// settler's to say.
///
/// # Errors
/// Whatever the database says.
pub async fn awaits_settling(conn: &mut PgConnection, id: ApprovalId) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select from portal.decision
            where approval_id = $1 and attempt > 0 and state in ('intent', 'submitting', 'unsure')) as "awaits!""#,
        id.0
    )
    .fetch_one(conn)
    .await
}

/// Whether the marker is that of a decision made here on this approval.
///
/// # Errors
/// Whatever the database says.
pub async fn is_own_marker(conn: &mut PgConnection, id: ApprovalId, marker: &Marker) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select from portal.decision where approval_id = $1 and intent_seq = $2
            and left(encode(intent_hash, 'hex'), 16) = $3) as "own!""#,
        id.0,
        marker.seq,
        marker.hash
    )
    .fetch_one(conn)
    .await
}
