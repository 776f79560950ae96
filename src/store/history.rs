//! The history: keyset pages of decisions, made here and outside, newest first, straight from the audit table. Read-only
//! by the grants of the serving role; the only writer of records is `audit`. Every page is one walk along an index, however
//! many records there are.

use jiff::Timestamp;
use sqlx::{PgConnection, Postgres, QueryBuilder, Row as _};
use uuid::Uuid;

use crate::domain::decision::State;

/// How many entries a page of the history has at most.
pub const PAGE: usize = 50;

/// Which decisions to list. Names and people are resolved before: see [`find_pipelines`] and [`find_people`].
#[derive(Debug, Clone, Default)]
pub struct Sought {
    pub pipelines: Option<Vec<String>>,
    pub who: Option<Who>,
    pub verdict: Option<String>,
    pub outcome: Option<Outcome>,
    pub from: Option<Timestamp>,
    /// Exclusive.
    pub until: Option<Timestamp>,
    pub position: Position,
}

/// Whose decisions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    Accounts(Vec<Uuid>),
    /// Somebody at AWS, by the whole ARN: decisions made outside.
    Arn(String),
}

/// What became of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// One of our decisions is, or ended, in this state.
    Ours(State),
    /// Made in the console, by the CLI, by another tool.
    Outside,
}

/// Where in the list a page begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Position {
    #[default]
    Newest,
    /// Older than this record.
    Before(i64),
    /// Newer than this record.
    After(i64),
}

/// One line of the history.
#[derive(Debug, Clone)]
pub struct Entry {
    pub seq: i64,
    pub at: Timestamp,
    pub kind: String,
    /// The recorded bytes; absent once erased.
    pub payload: Option<Vec<u8>>,
    /// Where our decision stands now; absent for one made outside.
    pub state: Option<State>,
}

/// A page of the history, newest first.
#[derive(Debug, Clone, Default)]
pub struct Page {
    pub entries: Vec<Entry>,
    pub has_newer: bool,
    pub has_older: bool,
}

/// One page of decisions made here and outside, at most [`PAGE`] of them.
///
/// # Errors
/// The database's.
pub async fn list_history(conn: &mut PgConnection, sought: &Sought) -> Result<Page, sqlx::Error> {
    let floor = match sought.from {
        None => 0,
        Some(from) => match find_first_since(conn, from).await? {
            Some(seq) => seq,
            None => return Ok(Page::default()),
        },
    };
    let ceiling = match sought.until {
        None => i64::MAX,
        Some(until) => find_first_since(conn, until).await?.unwrap_or(i64::MAX),
    };
    let mut query = select_history(sought, floor, ceiling);
    let rows = query.build().fetch_all(conn).await?;
    let has_more = rows.len() > PAGE;
    let mut entries = Vec::with_capacity(rows.len());
    for row in rows.iter().take(PAGE) {
        let state: Option<String> = row.try_get("state")?;
        entries.push(Entry {
            seq: row.try_get("seq")?,
            at: row.try_get::<jiff_sqlx::Timestamp, _>("at")?.to_jiff(),
            kind: row.try_get("kind")?,
            payload: row.try_get("payload")?,
            state: state.as_deref().and_then(State::from_name),
        });
    }
    let (has_newer, has_older) = match sought.position {
        Position::Newest => (false, has_more),
        Position::Before(_) => (true, has_more),
        Position::After(_) => (has_more, true),
    };
    if matches!(sought.position, Position::After(_)) {
        entries.reverse();
    }
    Ok(Page { entries, has_newer, has_older })
}

/// The first record of a time or later. Numbers follow time (a record's time never runs backwards), so a time bound is a
/// number bound and every page is one walk along an index.
async fn find_first_since(conn: &mut PgConnection, at: Timestamp) -> Result<Option<i64>, sqlx::Error> {
    use jiff_sqlx::ToSqlx as _;
    sqlx::query_scalar!("select seq from audit.record where at >= $1 order by at limit 1", at.to_sqlx() as _)
        .fetch_optional(conn)
        .await
}

/// The page's numbers are found and limited first, from the one table whose index leads; only then is the rest joined.
/// Joined before, a rare pipeline among many can make the planner walk every record there is.
fn select_history(sought: &Sought, floor: i64, ceiling: i64) -> QueryBuilder<Postgres> {
    let by_payload = sought.pipelines.is_some() || sought.who.is_some() || sought.verdict.is_some();
    let leading = if by_payload { "audit.payload" } else { "audit.record" };
    let order = if matches!(sought.position, Position::After(_)) { "" } else { " desc" };
    let mut query =
        QueryBuilder::new("select r.seq, r.at, r.kind, p.payload, page.state from (select l.seq, d.state from ");
    query.push(leading).push(" l left join portal.decision d on d.intent_seq = l.seq ");
    if matches!(sought.who, Some(Who::Arn(_))) {
        query.push("join portal.approval a on a.id = l.approval ");
    }
    // In these words, because the partial indexes are made with them.
    query.push("where l.kind in ('decision.intended', 'approval.decided_elsewhere') ");
    push_filters(&mut query, sought);
    query.push("and l.seq >= ").push_bind(floor).push(" and l.seq < ").push_bind(ceiling);
    match sought.position {
        Position::Newest => {}
        Position::Before(seq) => drop(query.push(" and l.seq < ").push_bind(seq)),
        Position::After(seq) => drop(query.push(" and l.seq > ").push_bind(seq)),
    }
    query
        .push(" order by l.seq")
        .push(order)
        .push(" limit ")
        .push_bind(i64::try_from(PAGE).expect("a page is small") + 1);
    query.push(") page join audit.record r on r.seq = page.seq left join audit.payload p on p.seq = page.seq");
    query.push(" order by page.seq").push(order);
    query
}

fn push_filters(query: &mut QueryBuilder<Postgres>, sought: &Sought) {
    match sought.pipelines.as_deref() {
        None => {}
        // A single value lets the index (pipeline, seq) give the order too.
        Some([one]) => drop(query.push("and l.pipeline = ").push_bind(one.clone()).push(" ")),
        Some(many) => drop(query.push("and l.pipeline = any(").push_bind(many.to_vec()).push(") ")),
    }
    match &sought.who {
        None => {}
        Some(Who::Accounts(ids)) if ids.len() == 1 => drop(query.push("and l.person = ").push_bind(ids[0]).push(" ")),
        Some(Who::Accounts(ids)) => drop(query.push("and l.person = any(").push_bind(ids.clone()).push(") ")),
        Some(Who::Arn(arn)) => {
            query
                .push("and l.kind = 'approval.decided_elsewhere' and a.decided = 'elsewhere' and a.decided_by = ")
                .push_bind(arn.clone())
                .push(" ");
        }
    }
    if let Some(verdict) = &sought.verdict {
        query.push("and l.verdict = ").push_bind(verdict.clone()).push(" ");
    }
    match sought.outcome {
        None => {}
        Some(Outcome::Ours(state)) => drop(query.push("and d.state = ").push_bind(state.name()).push(" ")),
        Some(Outcome::Outside) => drop(query.push("and l.kind = 'approval.decided_elsewhere' ")),
    }
}

/// Turns what a person typed into a LIKE pattern that finds it anywhere, wildcards taken literally (U-11).
fn anywhere(typed: &str) -> String {
    let mut pattern = String::from("%");
    for c in typed.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

/// The names of pipelines, also of deleted ones, that contain `typed`; one of exactly that name wins alone.
///
/// # Errors
/// The database's.
pub async fn find_pipelines(conn: &mut PgConnection, typed: &str) -> Result<Vec<String>, sqlx::Error> {
    let names = sqlx::query_scalar!(
        "select distinct name from portal.pipeline where name ilike $1 order by name limit 1000",
        anywhere(typed)
    )
    .fetch_all(conn)
    .await?;
    Ok(if names.iter().any(|name| name == typed) { vec![typed.to_owned()] } else { names })
}

/// The accounts whose name, e-mail or id matches `typed`.
///
/// # Errors
/// The database's.
pub async fn find_people(conn: &mut PgConnection, typed: &str) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "select id from portal.account where name ilike $1 or email ilike $1 or id::text = lower($2) order by id limit 1000",
        anywhere(typed),
        typed
    )
    .fetch_all(conn)
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_that_a_person_types_are_taken_literally() {
        assert_eq!(anywhere("50%_a\\b"), "%50\\%\\_a\\\\b%");
    }
}
