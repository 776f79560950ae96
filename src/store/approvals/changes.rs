//! What changes in the approval table. Every change says whether it took place: a row that has ended stays as it is.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::{Approval, Closing};
use crate::domain::approval::Decided;
use crate::domain::ids::ApprovalId;

/// Inserts an approval that was found open. False: it is known already, open or not, and stays as it is.
///
/// # Errors
/// Whatever the database says.
pub async fn insert(conn: &mut PgConnection, new: &Approval) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "insert into portal.approval (id, source, pipeline, stage, action, execution_id, action_execution_id, token,
            token_hash, execution_mode, pipeline_version, opened_at, opened_about, expires_at, expires_about, found_at,
            seen_open_at, shown, fingerprint, details)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)
        on conflict on constraint approval_once do nothing",
        new.id.0,
        new.gate.source.as_str(),
        new.gate.pipeline.as_str(),
        new.gate.stage.as_str(),
        new.gate.action.as_str(),
        new.execution.as_str(),
        new.action_execution,
        new.token.expose(),
        &new.token.hash(),
        new.mode.name(),
        new.pipeline_version,
        new.opened_at.to_sqlx(),
        new.opened_about,
        new.expires_at.to_sqlx(),
        new.expires_about,
        new.found_at.to_sqlx(),
        new.seen_open_at.to_sqlx(),
        new.shown_json,
        &new.fingerprint.0,
        Json(&new.details) as _,
    )
    .execute(&mut *conn)
    .await?;
    let inserted = done.rows_affected() == 1;
    if inserted {
        keep_shown(conn, new, new.found_at).await?;
    }
    Ok(inserted)
}

/// Writes down what is shown and told about an open approval, as it was read now. False: it is no longer open.
///
/// # Errors
/// Whatever the database says.
pub async fn mark_described(conn: &mut PgConnection, now: &Approval) -> sqlx::Result<bool> {
    let changed = sqlx::query_scalar!(
        r#"with described as (
            update portal.approval set action_execution_id = $2, pipeline_version = $3, opened_at = $4, opened_about = $5,
                expires_at = $6, expires_about = $7, seen_open_at = greatest(seen_open_at, $8), shown = $9,
                fingerprint = $10, details = $11
            where id = $1 and at_aws = 'open' returning id),
        kept as (
            insert into portal.shown (fingerprint, approval_id, shown, seen_at) select $10, id, $9, $8 from described
            on conflict (fingerprint) do nothing)
        select exists (select from described) as "changed!""#,
        now.id.0,
        now.action_execution,
        now.pipeline_version,
        now.opened_at.to_sqlx(),
        now.opened_about,
        now.expires_at.to_sqlx(),
        now.expires_about,
        now.seen_open_at.to_sqlx(),
        now.shown_json,
        &now.fingerprint.0,
        Json(&now.details) as _,
    )
    .fetch_one(&mut *conn)
    .await?;
    Ok(changed)
}

/// Keeps a version of what was shown, so that a decision on an older one can be told what has changed since.
async fn keep_shown(conn: &mut PgConnection, version: &Approval, at: Timestamp) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into portal.shown (fingerprint, approval_id, shown, seen_at) values ($1, $2, $3, $4)
        on conflict (fingerprint) do nothing",
        &version.fingerprint.0,
        version.id.0,
        version.shown_json,
        at.to_sqlx()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A read that began at `at` saw it open. False: it is no longer open.
///
/// # Errors
/// Whatever the database says.
pub async fn mark_seen_open(conn: &mut PgConnection, id: ApprovalId, at: Timestamp) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "update portal.approval set seen_open_at = greatest(seen_open_at, $2) where id = $1 and at_aws = 'open'",
        id.0,
        at.to_sqlx()
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Reads that began at the given times saw these approvals open. Rows are locked in the order of their ids: two replicas
/// that sweep one source must wait for each other, not for ever (H-02).
///
/// # Errors
/// Whatever the database says.
pub async fn mark_all_seen_open(conn: &mut PgConnection, seen: &[(ApprovalId, Timestamp)]) -> sqlx::Result<()> {
    let ids: Vec<Uuid> = seen.iter().map(|(id, _)| id.0).collect();
    let times: Vec<jiff_sqlx::Timestamp> = seen.iter().map(|(_, at)| at.to_sqlx()).collect();
    sqlx::query!(
        "with locked as materialized (
            select a.id, seen.at from portal.approval a
            join unnest($1::uuid[], $2::timestamptz[]) seen (id, at) on a.id = seen.id
            where a.at_aws = 'open' order by a.id for no key update of a)
        update portal.approval a set seen_open_at = greatest(a.seen_open_at, locked.at)
        from locked where a.id = locked.id and a.at_aws = 'open'",
        &ids,
        &times as _,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Ends an open approval. False: it had ended already.
///
/// # Errors
/// Whatever the database says.
pub async fn mark_closed(conn: &mut PgConnection, id: ApprovalId, closing: &Closing) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "update portal.approval set at_aws = $2, closed_at = $3, closed_why = $4, decided = $5, decided_by = $6,
            decided_summary = $7
        where id = $1 and at_aws = 'open'",
        id.0,
        closing.at_aws.name(),
        closing.closed_at.to_sqlx(),
        closing.closed_why,
        closing.decided.map(Decided::name),
        closing.decided_by,
        closing.decided_summary,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Opens a request again that was taken for gone and is there after all. False: it ended in another way, or is open.
///
/// # Errors
/// Whatever the database says.
pub async fn mark_found_again(conn: &mut PgConnection, id: ApprovalId, at: Timestamp) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "update portal.approval set at_aws = 'open', closed_at = null, closed_why = null,
            seen_open_at = greatest(seen_open_at, $2)
        where id = $1 and at_aws = 'gone'",
        id.0,
        at.to_sqlx()
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}
