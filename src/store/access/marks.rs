//! Gates whose decision asks for fresh proof of who decides (S-18). Marked and lifted, never changed.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgConnection;

use super::columns;
use crate::domain::access::GatePattern;
use crate::domain::ids::{AccountId, StepUpGateId};

/// A mark as it is stored.
#[derive(Debug, Clone)]
pub struct Mark {
    pub id: StepUpGateId,
    pub gates: GatePattern,
    pub note: String,
    pub from: Timestamp,
    /// Absent for the operator.
    pub given_by: Option<String>,
}

/// A mark to be made.
#[derive(Debug)]
pub struct NewMark<'a> {
    pub id: StepUpGateId,
    pub gates: &'a GatePattern,
    pub note: &'a str,
    pub at: Timestamp,
    pub given_by: Option<AccountId>,
}

/// # Errors
/// Whatever the database says.
pub async fn insert(conn: &mut PgConnection, new: &NewMark<'_>) -> sqlx::Result<()> {
    let fields = new.gates.fields();
    let tag = new.gates.tag.as_ref();
    sqlx::query!(
        "insert into portal.step_up_gate (id, source, pipeline, stage, action, tag_key, tag_value, note, from_at, given_by)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        new.id.0,
        fields.source,
        fields.pipeline,
        fields.stage,
        fields.action,
        tag.map(|tag| tag.key.as_str()),
        tag.map(|tag| tag.value.as_str()),
        new.note,
        new.at.to_sqlx(),
        new.given_by.map(|by| by.0),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The number of the lock that stands for all marks together: there is no row to lock for a mark that is not made yet.
const ALL: i64 = 0x0063_6f75_6e74_6d6b;

/// Lets nobody make a mark until the transaction ends. Any number of decisions hold it at once.
///
/// # Errors
/// Whatever the database says.
pub async fn lock_shared(conn: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!("select pg_advisory_xact_lock_shared($1)", ALL).execute(conn).await.map(|_| ())
}

/// Waits for every decision that looked at the marks before, and keeps others waiting until the transaction ends.
///
/// # Errors
/// Whatever the database says.
pub async fn lock_alone(conn: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!("select pg_advisory_xact_lock($1)", ALL).execute(conn).await.map(|_| ())
}

/// The gates that were marked at a moment.
///
/// # Errors
/// Whatever the database says, also of an impossible row.
pub async fn list_gates_at(conn: &mut PgConnection, at: Timestamp) -> sqlx::Result<Vec<GatePattern>> {
    let rows = sqlx::query!(
        "select id, source, pipeline, stage, action, tag_key, tag_value from portal.step_up_gate
        where from_at <= $1 and (until_at is null or until_at > $1)",
        at.to_sqlx()
    );
    let rows = rows.fetch_all(conn).await?;
    rows.into_iter().map(|row| Ok(columns!(row).pattern("portal.step_up_gate", row.id)?)).collect()
}

/// Every mark that was not lifted, newest first.
///
/// # Errors
/// Whatever the database says, also of an impossible row.
pub async fn list_live(conn: &mut PgConnection) -> sqlx::Result<Vec<Mark>> {
    let rows = sqlx::query!(
        r#"select m.id, m.source, m.pipeline, m.stage, m.action, m.tag_key, m.tag_value, m.note, m.from_at,
            b.name as "given_by?"
        from portal.step_up_gate m left join portal.account b on b.id = m.given_by
        where m.until_at is null order by m.from_at desc, m.id desc"#
    );
    let mut marks = Vec::new();
    for row in rows.fetch_all(conn).await? {
        marks.push(Mark {
            id: StepUpGateId(row.id),
            gates: columns!(row).pattern("portal.step_up_gate", row.id)?,
            note: row.note,
            from: row.from_at.to_jiff(),
            given_by: row.given_by,
        });
    }
    Ok(marks)
}

/// Lifts a mark. False: it was lifted already, or there is none.
///
/// # Errors
/// Whatever the database says.
pub async fn mark_ended(
    conn: &mut PgConnection,
    id: StepUpGateId,
    at: Timestamp,
    by: Option<AccountId>,
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "update portal.step_up_gate set until_at = greatest(from_at, $2), ended_by = $3
        where id = $1 and until_at is null",
        id.0,
        at.to_sqlx(),
        by.map(|by| by.0)
    );
    Ok(done.execute(conn).await?.rows_affected() == 1)
}
