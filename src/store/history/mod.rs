//! The history: keyset pages of decisions, made here and outside, newest first, straight from the audit table. Read-only
//! by the grants of the serving role; the only writer of records is `audit`. Every page is one walk along the index of the
//! rarest of its filters, whatever the planner thinks of them (`seek`), so that it takes no longer the more records there
//! are.

mod seek;

use jiff::Timestamp;
use sqlx::{PgConnection, QueryBuilder, Row as _};
use uuid::Uuid;

use crate::domain::decision::State;
use seek::{Lead, select_page};

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
    let Some(range) = find_range(conn, sought).await? else { return Ok(Page::default()) };
    if sought.is_contradiction() {
        return Ok(Page::default());
    }
    let lead = choose_lead(conn, sought, &range).await?;
    let rows = select_page(sought, lead, &range).build().fetch_all(conn).await?;
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

/// The numbers a page may have: from `floor` on, below `ceiling`.
struct Range {
    floor: i64,
    ceiling: i64,
}

/// The numbers within the dates that are beyond the page's position; None where there cannot be any. Numbers follow time
/// (a record's time never runs backwards), so a time bound is a number bound.
async fn find_range(conn: &mut PgConnection, sought: &Sought) -> Result<Option<Range>, sqlx::Error> {
    let mut range = Range { floor: 0, ceiling: i64::MAX };
    if let Some(from) = sought.from {
        let Some(floor) = find_first_since(conn, from).await? else { return Ok(None) };
        range.floor = floor;
    }
    if let Some(until) = sought.until {
        range.ceiling = find_first_since(conn, until).await?.unwrap_or(i64::MAX);
    }
    match sought.position {
        Position::Newest => {}
        Position::Before(seq) => range.ceiling = range.ceiling.min(seq),
        Position::After(seq) => range.floor = range.floor.max(seq.saturating_add(1)),
    }
    Ok(Some(range))
}

/// The first record of a time or later.
async fn find_first_since(conn: &mut PgConnection, at: Timestamp) -> Result<Option<i64>, sqlx::Error> {
    use jiff_sqlx::ToSqlx as _;
    sqlx::query_scalar!("select seq from audit.record where at >= $1 order by at limit 1", at.to_sqlx() as _)
        .fetch_optional(conn)
        .await
}

impl Sought {
    /// Whether no record can be like this: what is decided outside names no account, and what is decided here no ARN.
    fn is_contradiction(&self) -> bool {
        matches!(
            (&self.who, self.outcome),
            (Some(Who::Accounts(_)), Some(Outcome::Outside)) | (Some(Who::Arn(_)), Some(Outcome::Ours(_)))
        )
    }
}

/// How many entries of one filter are counted before it counts as common.
const COMMON: i64 = 20_000;

/// The filter with the fewest entries in the range.
async fn choose_lead(conn: &mut PgConnection, sought: &Sought, range: &Range) -> Result<Lead, sqlx::Error> {
    let candidates = Lead::candidates(sought);
    let [first, _, ..] = candidates.as_slice() else { return Ok(candidates.first().copied().unwrap_or(Lead::Nothing)) };
    let (mut best, mut fewest) = (*first, COMMON);
    for lead in candidates {
        let mut query = QueryBuilder::new("select count(*) from (select from ");
        seek::push_led(&mut query, sought, lead);
        seek::push_range(&mut query, lead, range);
        query.push(" limit ").push_bind(fewest).push(") counted");
        let count: i64 = query.build_query_scalar().fetch_one(&mut *conn).await?;
        if count < fewest {
            (best, fewest) = (lead, count);
        }
    }
    Ok(best)
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
