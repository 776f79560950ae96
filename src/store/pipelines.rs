//! Pipelines and gates as they were last read. Version and time of update are the key under which a definition is kept, so
//! that a restart costs no read; a definition is kept by names and kinds alone, because configurations may hold secrets.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use sqlx::types::Json;

use super::Inconsistent;
use crate::domain::ids::{ActionName, Gate, PipelineName, SourceName, StageName};
use crate::domain::mode::Mode;

/// A pipeline as it was last read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pipeline {
    pub name: PipelineName,
    pub version: i32,
    pub updated_at: Option<Timestamp>,
    pub mode: Mode,
    pub pipeline_type: Option<String>,
    pub stages: Vec<StageShape>,
    pub gate_count: i32,
    pub unreadable: Option<(Timestamp, String)>,
    pub gone_at: Option<Timestamp>,
}

/// A stage of a definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageShape {
    pub name: StageName,
    pub actions: Vec<ActionShape>,
}

/// An action of a definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionShape {
    pub name: ActionName,
    pub category: String,
    pub owner: String,
    pub provider: String,
    pub run_order: i32,
    /// Whether people answer it: `Approval`/`AWS`/`Manual`.
    pub is_gate: bool,
}

/// A gate as configured, variables unresolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateSetting {
    pub gate: Gate,
    pub timeout_minutes: Option<i32>,
    pub comment: Option<String>,
    pub review_url: Option<String>,
}

impl Pipeline {
    /// Whether people answer the action of this name.
    #[must_use]
    pub fn is_gate(&self, stage: &StageName, action: &ActionName) -> bool {
        self.stages
            .iter()
            .any(|it| it.name == *stage && it.actions.iter().any(|found| found.name == *action && found.is_gate))
    }
}

/// Every pipeline of a source that AWS still lists.
///
/// # Errors
/// Whatever the database says, also of an impossible row.
pub async fn list(conn: &mut PgConnection, source: &SourceName) -> sqlx::Result<Vec<Pipeline>> {
    let rows = sqlx::query!(
        r#"select name, version, updated_at, execution_mode, pipeline_type, stages as "stages: Json<Vec<StageShape>>",
            gate_count, unreadable_since, unreadable_why, gone_at
        from portal.pipeline where source = $1 and gone_at is null"#,
        source.as_str()
    );
    let mut found = Vec::new();
    for row in rows.fetch_all(conn).await? {
        let name = PipelineName::parse(row.name).map_err(|bad| Inconsistent {
            table: "portal.pipeline",
            row: source.to_string(),
            problem: bad.to_string(),
        })?;
        found.push(Pipeline {
            name,
            version: row.version,
            updated_at: row.updated_at.map(jiff_sqlx::Timestamp::to_jiff),
            mode: Mode::from_name(&row.execution_mode),
            pipeline_type: row.pipeline_type,
            stages: row.stages.0,
            gate_count: row.gate_count,
            unreadable: row.unreadable_since.map(jiff_sqlx::Timestamp::to_jiff).zip(row.unreadable_why),
            gone_at: row.gone_at.map(jiff_sqlx::Timestamp::to_jiff),
        });
    }
    Ok(found)
}

/// One pipeline, also when AWS no longer lists it.
///
/// # Errors
/// Whatever the database says.
pub async fn find(conn: &mut PgConnection, source: &SourceName, name: &PipelineName) -> sqlx::Result<Option<Pipeline>> {
    let row = sqlx::query!(
        r#"select version, updated_at, execution_mode, pipeline_type, stages as "stages: Json<Vec<StageShape>>",
            gate_count, unreadable_since, unreadable_why, gone_at
        from portal.pipeline where source = $1 and name = $2"#,
        source.as_str(),
        name.as_str()
    );
    Ok(row.fetch_optional(conn).await?.map(|row| Pipeline {
        name: name.clone(),
        version: row.version,
        updated_at: row.updated_at.map(jiff_sqlx::Timestamp::to_jiff),
        mode: Mode::from_name(&row.execution_mode),
        pipeline_type: row.pipeline_type,
        stages: row.stages.0,
        gate_count: row.gate_count,
        unreadable: row.unreadable_since.map(jiff_sqlx::Timestamp::to_jiff).zip(row.unreadable_why),
        gone_at: row.gone_at.map(jiff_sqlx::Timestamp::to_jiff),
    }))
}

/// Keeps a definition that was read at `at`, in place of any earlier one.
///
/// # Errors
/// Whatever the database says.
pub async fn upsert(conn: &mut PgConnection, source: &SourceName, new: &Pipeline, at: Timestamp) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into portal.pipeline (source, name, version, updated_at, execution_mode, pipeline_type, stages,
            gate_count, defined_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        on conflict (source, name) do update set version = excluded.version, updated_at = excluded.updated_at,
            execution_mode = excluded.execution_mode, pipeline_type = excluded.pipeline_type,
            stages = excluded.stages, gate_count = excluded.gate_count, defined_at = excluded.defined_at,
            unreadable_since = null, unreadable_why = null, gone_at = null",
        source.as_str(),
        new.name.as_str(),
        new.version,
        new.updated_at.map(jiff_sqlx::ToSqlx::to_sqlx) as _,
        new.mode.name(),
        new.pipeline_type,
        Json(&new.stages) as _,
        new.gate_count,
        at.to_sqlx(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Keeps the gates of a definition; gates it no longer has are marked as removed.
///
/// # Errors
/// Whatever the database says.
pub async fn replace_gates(
    conn: &mut PgConnection,
    source: &SourceName,
    pipeline: &PipelineName,
    gates: &[GateSetting],
    at: Timestamp,
) -> sqlx::Result<()> {
    for it in gates {
        sqlx::query!(
            "insert into portal.gate (source, pipeline, stage, action, timeout_minutes, comment, review_url)
            values ($1, $2, $3, $4, $5, $6, $7)
            on conflict (source, pipeline, stage, action) do update set timeout_minutes = excluded.timeout_minutes,
                comment = excluded.comment, review_url = excluded.review_url, removed_at = null",
            it.gate.source.as_str(),
            it.gate.pipeline.as_str(),
            it.gate.stage.as_str(),
            it.gate.action.as_str(),
            it.timeout_minutes,
            it.comment,
            it.review_url,
        )
        .execute(&mut *conn)
        .await?;
    }
    let stages: Vec<String> = gates.iter().map(|it| it.gate.stage.to_string()).collect();
    let actions: Vec<String> = gates.iter().map(|it| it.gate.action.to_string()).collect();
    sqlx::query!(
        "update portal.gate set removed_at = $5 where source = $1 and pipeline = $2 and removed_at is null
            and (stage, action) not in (select * from unnest($3::text[], $4::text[]))",
        source.as_str(),
        pipeline.as_str(),
        &stages,
        &actions,
        at.to_sqlx()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Makes sure that a gate is known: a run of an older definition can wait at one that the present definition has not.
///
/// # Errors
/// Whatever the database says.
pub async fn insert_past_gate(conn: &mut PgConnection, gate: &Gate, at: Timestamp) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into portal.gate (source, pipeline, stage, action, removed_at) values ($1, $2, $3, $4, $5)
        on conflict (source, pipeline, stage, action) do nothing",
        gate.source.as_str(),
        gate.pipeline.as_str(),
        gate.stage.as_str(),
        gate.action.as_str(),
        at.to_sqlx()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A gate's settings, also when an edit has removed it.
///
/// # Errors
/// Whatever the database says.
pub async fn find_gate(conn: &mut PgConnection, gate: &Gate) -> sqlx::Result<Option<GateSetting>> {
    let row = sqlx::query!(
        "select timeout_minutes, comment, review_url from portal.gate
        where source = $1 and pipeline = $2 and stage = $3 and action = $4",
        gate.source.as_str(),
        gate.pipeline.as_str(),
        gate.stage.as_str(),
        gate.action.as_str()
    );
    Ok(row.fetch_optional(conn).await?.map(|row| GateSetting {
        gate: gate.clone(),
        timeout_minutes: row.timeout_minutes,
        comment: row.comment,
        review_url: row.review_url,
    }))
}

/// These pipelines were read through; the times are when each read began.
///
/// # Errors
/// Whatever the database says.
pub async fn mark_read(
    conn: &mut PgConnection,
    source: &SourceName,
    read: &[(PipelineName, Timestamp)],
) -> sqlx::Result<()> {
    let names: Vec<String> = read.iter().map(|(name, _)| name.to_string()).collect();
    let times: Vec<jiff_sqlx::Timestamp> = read.iter().map(|(_, at)| at.to_sqlx()).collect();
    sqlx::query!(
        "with locked as materialized (
            select p.name, r.at from portal.pipeline p
            join unnest($2::text[], $3::timestamptz[]) r (name, at) on p.name = r.name
            where p.source = $1 order by p.name for no key update of p)
        update portal.pipeline p set read_at = greatest(p.read_at, locked.at), unreadable_since = null,
            unreadable_why = null
        from locked where p.source = $1 and p.name = locked.name",
        source.as_str(),
        &names,
        &times as _,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A pipeline cannot be read. It stays known with everything it held.
///
/// # Errors
/// Whatever the database says.
pub async fn mark_unreadable(
    conn: &mut PgConnection,
    source: &SourceName,
    name: &PipelineName,
    at: Timestamp,
    why: &str,
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into portal.pipeline (source, name, version, execution_mode, stages, gate_count, defined_at,
            unreadable_since, unreadable_why)
        values ($1, $2, -1, '', '[]', 0, $3, $3, $4)
        on conflict (source, name) do update set unreadable_why = excluded.unreadable_why,
            unreadable_since = coalesce(portal.pipeline.unreadable_since, excluded.unreadable_since)",
        source.as_str(),
        name.as_str(),
        at.to_sqlx(),
        why
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// AWS no longer lists these pipelines.
///
/// # Errors
/// Whatever the database says.
pub async fn mark_gone(
    conn: &mut PgConnection,
    source: &SourceName,
    names: &[String],
    at: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update portal.pipeline set gone_at = $3 where source = $1 and name = any ($2) and gone_at is null",
        source.as_str(),
        names,
        at.to_sqlx()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Forgets which versions are known, so that every definition is read again: the account behind the source has changed.
///
/// # Errors
/// Whatever the database says.
pub async fn forget_versions(conn: &mut PgConnection, source: &SourceName) -> sqlx::Result<()> {
    sqlx::query!("update portal.pipeline set version = -1, updated_at = null where source = $1", source.as_str())
        .execute(conn)
        .await?;
    Ok(())
}
