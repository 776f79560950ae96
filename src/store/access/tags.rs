//! What pipelines are tagged with at AWS, over time. Read only while a grant, mark or option is about tags.

use std::collections::HashMap;

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgConnection;
use sqlx::types::Json;

use crate::domain::access::Tags;
use crate::domain::ids::{PipelineName, SourceName};

/// A pipeline of a source.
pub type Place = (String, String);

/// Whether any grant, mark, option, escalation or channel that holds is about tags: without one nobody reads them.
///
/// # Errors
/// Whatever the database says.
pub async fn are_used(conn: &mut PgConnection) -> sqlx::Result<bool> {
    let used = sqlx::query_scalar!(
        r#"select exists (select from portal.access_grant where tag_key is not null and until_at is null)
            or exists (select from portal.step_up_gate where tag_key is not null and until_at is null)
            or exists (select from portal.gate_option where tag_key is not null and until_at is null)
            or exists (select from portal.escalation where tag_key is not null and until_at is null)
            or exists (select from portal.channel_gates where tag_key is not null and until_at is null) as "used!""#
    );
    used.fetch_one(conn).await
}

/// Keeps what a read at `at` found.
///
/// # Errors
/// Whatever the database says.
pub async fn keep(
    conn: &mut PgConnection,
    (source, pipeline): (&SourceName, &PipelineName),
    tags: &Tags,
    at: Timestamp,
) -> sqlx::Result<()> {
    // What ends is counted, so that it ends before the new row is written.
    sqlx::query!(
        "with same as (
            update portal.pipeline_tags set read_at = greatest(read_at, $4)
            where source = $1 and pipeline = $2 and until_at is null and tags = $3 returning 1),
        ended as (
            update portal.pipeline_tags set until_at = greatest(from_at, $4)
            where source = $1 and pipeline = $2 and until_at is null and tags <> $3 returning 1)
        insert into portal.pipeline_tags (source, pipeline, tags, from_at, read_at)
        select $1, $2, $3, $4, $4
        where not exists (select from same) and (select count(*) from ended) >= 0
        on conflict (source, pipeline) where until_at is null do nothing",
        source.as_str(),
        pipeline.as_str(),
        Json(tags) as _,
        at.to_sqlx()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// When the tags of each pipeline of a source were last read.
///
/// # Errors
/// Whatever the database says.
pub async fn list_read(conn: &mut PgConnection, source: &SourceName) -> sqlx::Result<HashMap<String, Timestamp>> {
    let rows = sqlx::query!(
        "select pipeline, read_at from portal.pipeline_tags where source = $1 and until_at is null",
        source.as_str()
    );
    Ok(rows.fetch_all(conn).await?.into_iter().map(|row| (row.pipeline, row.read_at.to_jiff())).collect())
}

/// The tags of one pipeline, as last read not before `since`.
///
/// # Errors
/// Whatever the database says.
pub async fn find(
    conn: &mut PgConnection,
    (source, pipeline): (&SourceName, &PipelineName),
    since: Timestamp,
) -> sqlx::Result<Option<Tags>> {
    let row = sqlx::query!(
        r#"select tags as "tags: Json<Tags>" from portal.pipeline_tags
        where source = $1 and pipeline = $2 and until_at is null and read_at >= $3"#,
        source.as_str(),
        pipeline.as_str(),
        since.to_sqlx()
    );
    Ok(row.fetch_optional(conn).await?.map(|row| row.tags.0))
}

/// The tags that every pipeline had at a moment, as far as they were read.
///
/// # Errors
/// Whatever the database says.
pub async fn list_at(conn: &mut PgConnection, at: Timestamp) -> sqlx::Result<HashMap<Place, Tags>> {
    let rows = sqlx::query!(
        r#"select source, pipeline, tags as "tags: Json<Tags>" from portal.pipeline_tags
        where from_at <= $1 and (until_at is null or until_at > $1)"#,
        at.to_sqlx()
    );
    Ok(rows.fetch_all(conn).await?.into_iter().map(|row| ((row.source, row.pipeline), row.tags.0)).collect())
}
