//! What holds of some gates and not of others. Given and ended, never changed.

use std::sync::Once;

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgConnection;
use uuid::Uuid;

use super::columns;
use crate::domain::access::{GatePattern, OptionKind};
use crate::domain::ids::{AccountId, GateOptionId};

/// An option as it is stored.
#[derive(Debug, Clone)]
pub struct GateOption {
    pub id: GateOptionId,
    pub kind: OptionKind,
    pub gates: GatePattern,
    pub minutes: i32,
    pub note: String,
    pub from: Timestamp,
    /// Absent for the operator.
    pub given_by: Option<String>,
}

/// An option to be given.
#[derive(Debug)]
pub struct NewOption<'a> {
    pub id: GateOptionId,
    pub kind: OptionKind,
    pub gates: &'a GatePattern,
    pub minutes: i32,
    pub note: &'a str,
    pub at: Timestamp,
    pub given_by: Option<AccountId>,
}

struct Row {
    id: Uuid,
    kind: String,
    source: String,
    pipeline: String,
    stage: String,
    action: String,
    tag_key: Option<String>,
    tag_value: Option<String>,
    minutes: i32,
    note: String,
    from_at: jiff_sqlx::Timestamp,
    given_by: Option<String>,
}

macro_rules! options {
    ($where:literal $(, $arg:expr)*) => {
        sqlx::query_as!(
            Row,
            r#"select o.id, o.kind, o.source, o.pipeline, o.stage, o.action, o.tag_key, o.tag_value, o.minutes, o.note,
                o.from_at, b.name as "given_by?"
            from portal.gate_option o left join portal.account b on b.id = o.given_by "# + $where
            $(, $arg)*
        )
    };
}

/// # Errors
/// Whatever the database says.
pub async fn insert(conn: &mut PgConnection, new: &NewOption<'_>) -> sqlx::Result<()> {
    let fields = new.gates.fields();
    let tag = new.gates.tag.as_ref();
    sqlx::query!(
        "insert into portal.gate_option
            (id, kind, source, pipeline, stage, action, tag_key, tag_value, minutes, note, from_at, given_by)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        new.id.0,
        new.kind.name(),
        fields.source,
        fields.pipeline,
        fields.stage,
        fields.action,
        tag.map(|tag| tag.key.as_str()),
        tag.map(|tag| tag.value.as_str()),
        new.minutes,
        new.note,
        new.at.to_sqlx(),
        new.given_by.map(|by| by.0),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// An option of a kind that this release does not know: a newer one, beside this or before it, gave it.
#[derive(Debug, Clone)]
pub struct UnknownOption {
    pub kind: String,
    pub gates: GatePattern,
    pub from: Timestamp,
}

/// Every option that holds and is of a kind that this release knows, newest first. Others hold where a newer release runs.
///
/// # Errors
/// Whatever the database says, also of an impossible row.
pub async fn list_live(conn: &mut PgConnection) -> sqlx::Result<Vec<GateOption>> {
    all(options!("where o.until_at is null order by o.from_at desc, o.id desc").fetch_all(conn).await?)
}

/// Every option that held at a moment and is of a kind that this release knows, newest first.
///
/// # Errors
/// Whatever the database says, also of an impossible row.
pub async fn list_at(conn: &mut PgConnection, at: Timestamp) -> sqlx::Result<Vec<GateOption>> {
    let rows = options!(
        "where o.from_at <= $1 and (o.until_at is null or o.until_at > $1) order by o.from_at desc, o.id desc",
        at.to_sqlx() as jiff_sqlx::Timestamp
    );
    all(rows.fetch_all(conn).await?)
}

fn all(rows: Vec<Row>) -> sqlx::Result<Vec<GateOption>> {
    let mut options = Vec::new();
    for row in rows {
        let Some(kind) = OptionKind::from_name(&row.kind) else {
            say_once(&row.kind);
            continue;
        };
        options.push(GateOption {
            id: GateOptionId(row.id),
            kind,
            gates: columns!(row).pattern("portal.gate_option", row.id)?,
            minutes: row.minutes,
            note: row.note,
            from: row.from_at.to_jiff(),
            given_by: row.given_by,
        });
    }
    Ok(options)
}

/// It is read again and again, and told once.
fn say_once(kind: &str) {
    static SAID: Once = Once::new();
    SAID.call_once(|| {
        tracing::warn!(kind, "an option of gates is of a kind that this release does not know, and is left out; is a newer one running too?");
    });
}

/// Every option that holds and is of a kind that this release does not know, newest first.
///
/// # Errors
/// Whatever the database says, also of an impossible row.
pub async fn list_unknown(conn: &mut PgConnection) -> sqlx::Result<Vec<UnknownOption>> {
    let known: Vec<String> = OptionKind::ALL.iter().map(|kind| kind.name().to_owned()).collect();
    let rows = sqlx::query!(
        "select id, kind, source, pipeline, stage, action, tag_key, tag_value, from_at from portal.gate_option
        where until_at is null and kind <> all ($1) order by from_at desc, id desc",
        &known
    );
    let mut unknown = Vec::new();
    for row in rows.fetch_all(conn).await? {
        let from = row.from_at.to_jiff();
        unknown.push(UnknownOption {
            kind: row.kind,
            gates: columns!(row).pattern("portal.gate_option", row.id)?,
            from,
        });
    }
    Ok(unknown)
}

/// Gates about which an option held until lately.
#[derive(Debug, Clone)]
pub struct EndedOption {
    pub gates: GatePattern,
    pub until: Timestamp,
}

/// The options of this kind that ended since then.
///
/// # Errors
/// Whatever the database says, also of an impossible row.
pub async fn list_ended_since(
    conn: &mut PgConnection,
    kind: OptionKind,
    since: Timestamp,
) -> sqlx::Result<Vec<EndedOption>> {
    let rows = sqlx::query!(
        r#"select id, source, pipeline, stage, action, tag_key, tag_value, until_at as "until_at!"
        from portal.gate_option where kind = $1 and until_at > $2"#,
        kind.name(),
        since.to_sqlx()
    );
    let mut ended = Vec::new();
    for row in rows.fetch_all(conn).await? {
        let until = row.until_at.to_jiff();
        ended.push(EndedOption { gates: columns!(row).pattern("portal.gate_option", row.id)?, until });
    }
    Ok(ended)
}

/// Ends an option. False: it had ended already, or there is none.
///
/// # Errors
/// Whatever the database says.
pub async fn mark_ended(
    conn: &mut PgConnection,
    id: GateOptionId,
    at: Timestamp,
    by: Option<AccountId>,
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "update portal.gate_option set until_at = greatest(from_at, $2), ended_by = $3
        where id = $1 and until_at is null",
        id.0,
        at.to_sqlx(),
        by.map(|by| by.0)
    );
    Ok(done.execute(conn).await?.rows_affected() == 1)
}
