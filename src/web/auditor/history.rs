//! `GET /history`: every decision, made here or outside, newest first, by pages that never shift.

use askama::Template;
use askama_web::WebTemplate;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde_json::Value;
use sqlx::PgConnection;

use super::filter::{Asked, Checked, OUTCOMES};
use crate::domain::decision::Verdict;
use crate::domain::text::{Clipped, visible};
use crate::store::history::{self, Entry, Page, Position, Sought, Who};
use crate::web::display::{Caller, Said, short_id, verdict_chip};
use crate::web::parts::{Chip, Field, Moment, Tone};
use crate::web::{AppState, Failure, Query, Shell};

/// The page.
#[derive(Debug, Template, WebTemplate)]
#[template(path = "auditor/history.html")]
pub struct HistoryPage {
    shell: Shell,
    fields: Vec<Field>,
    verdict: String,
    outcome: String,
    is_filtered: bool,
    is_wrong: bool,
    lines: Vec<Line>,
    newer: Option<String>,
    older: Option<String>,
}

impl HistoryPage {
    fn outcomes(&self) -> &'static [(&'static str, &'static str)] {
        OUTCOMES
    }
}

/// One decision.
#[derive(Debug, Clone)]
pub struct Line {
    pub seq: i64,
    pub at: Moment,
    pub verdict: Option<Chip>,
    pub by: Option<Caller>,
    pub email: Option<String>,
    /// In whose place.
    pub in_place_of: Option<String>,
    pub gate: String,
    pub pipeline: String,
    pub source: String,
    pub run: String,
    pub outcome: Chip,
    pub summary: Option<Said>,
    /// Its payload was erased; what is left is that there was a decision.
    pub is_erased: bool,
}

/// Shows the history.
///
/// # Errors
/// 400 for parameters the page's form cannot make; 503 when the database does not answer.
pub async fn show(State(app): State<AppState>, Query(asked): Query<Asked>, shell: Shell) -> Result<Response, Failure> {
    let (checked, mistakes) = asked.check()?;
    let is_wrong = mistakes != super::filter::Mistakes::default();
    let page = if is_wrong {
        Page::default()
    } else {
        let mut conn = app.database.pages.acquire().await?;
        let sought = resolve(&mut conn, &asked, checked).await?;
        history::list_history(&mut conn, &sought).await?
    };
    let now = app.clock.now();
    let ends = page.entries.first().zip(page.entries.last());
    let shown = HistoryPage {
        shell,
        fields: asked.fields(&mistakes),
        is_filtered: asked.is_filtered(),
        is_wrong,
        newer: ends.filter(|_| page.has_newer).map(|(first, _)| asked.address(Position::After(first.seq))),
        older: ends.filter(|_| page.has_older).map(|(_, last)| asked.address(Position::Before(last.seq))),
        lines: page.entries.iter().map(|entry| Line::of(entry, now)).collect(),
        verdict: asked.verdict,
        outcome: asked.outcome,
    };
    let status = if is_wrong { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    Ok((status, shown).into_response())
}

/// Turns typed names into what the records are indexed by.
async fn resolve(conn: &mut PgConnection, asked: &Asked, checked: Checked) -> sqlx::Result<Sought> {
    let pipelines = match asked.pipeline.trim() {
        "" => None,
        typed => Some(history::find_pipelines(conn, typed).await?),
    };
    let who = match asked.person.trim() {
        "" => None,
        arn if arn.starts_with("arn:") => Some(Who::Arn(arn.to_owned())),
        typed => Some(Who::Accounts(history::find_people(conn, typed).await?)),
    };
    Ok(Sought {
        pipelines,
        who,
        verdict: checked.verdict.map(|verdict| verdict.name().to_owned()),
        outcome: checked.outcome,
        from: checked.from,
        until: checked.until,
        position: checked.position,
    })
}

impl Line {
    fn of(entry: &Entry, now: Timestamp) -> Self {
        let payload = entry.payload.as_deref().and_then(|bytes| serde_json::from_slice::<Value>(bytes).ok());
        let is_erased = payload.is_none();
        let payload = payload.unwrap_or_default();
        let text = |name: &str| payload.get(name).and_then(Value::as_str).unwrap_or_default();
        let is_ours = entry.kind == "decision.intended";
        let by = if is_ours { text("name") } else { text("by") };
        let summary = Clipped { text: text("summary").to_owned(), whole: None };
        Self {
            seq: entry.seq,
            at: Moment::in_record(entry.at, now),
            verdict: Verdict::from_name(text("verdict")).map(verdict_chip),
            by: (!by.is_empty()).then(|| Caller::read(by)),
            email: Some(visible(text("email"))).filter(|email| !email.is_empty()),
            in_place_of: payload.pointer("/rule/stand_in/for_name").and_then(Value::as_str).map(visible),
            pipeline: visible(text("pipeline")),
            gate: visible(&format!("{} › {}", text("stage"), text("action"))),
            source: visible(text("source")),
            run: short_id(text("execution")),
            outcome: outcome_chip(entry, is_ours),
            summary: (!summary.text.trim().is_empty()).then(|| Said::beginning(&summary, 4, 300)),
            is_erased,
        }
    }
}

fn outcome_chip(entry: &Entry, is_ours: bool) -> Chip {
    match entry.state {
        Some(state) => Chip::of_state(state),
        None if is_ours => Chip::new(Tone::Over, "Not known here"),
        None => Chip::new(Tone::Over, "Outside Countersign"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::decision::State;
    use crate::web::auditor::filter::Mistakes;
    use crate::web::display::assert_inert;

    const HOSTILE: &str = "<img src=x onerror=alert(1)>\"\u{202e}<script>";

    fn now() -> Timestamp {
        "2026-11-21T10:00:00Z".parse().unwrap()
    }

    fn entry(kind: &str, payload: Option<Value>, state: Option<State>) -> Entry {
        let payload = payload.map(|value| serde_json::to_vec(&value).unwrap());
        Entry { seq: 42, at: now(), kind: kind.into(), payload, state }
    }

    fn page(lines: Vec<Line>, asked: &Asked) -> String {
        let page = HistoryPage {
            shell: Shell::bare("/history"),
            fields: asked.fields(&Mistakes { from: Some("not a day".into()), to: None }),
            verdict: String::new(),
            outcome: "accepted".into(),
            is_filtered: asked.is_filtered(),
            is_wrong: false,
            lines,
            newer: Some(asked.address(Position::After(1))),
            older: None,
        };
        page.render().unwrap()
    }

    #[test]
    fn no_line_lets_recorded_text_become_markup() {
        let payload = serde_json::json!({
            "name": HOSTILE, "email": HOSTILE, "by": HOSTILE, "pipeline": HOSTILE, "stage": HOSTILE, "action": HOSTILE,
            "execution": HOSTILE, "summary": HOSTILE.repeat(40), "verdict": "approved", "source": HOSTILE,
        });
        let ours = Line::of(&entry("decision.intended", Some(payload.clone()), Some(State::Accepted)), now());
        let outside = Line::of(&entry("approval.decided_elsewhere", Some(payload), None), now());
        let asked =
            Asked { pipeline: HOSTILE.into(), person: HOSTILE.into(), from: HOSTILE.into(), ..Asked::default() };
        assert_inert("history", &page(vec![ours.clone(), outside], &asked));
        assert_inert("full page", &page(vec![ours; history::PAGE], &asked));
    }

    #[test]
    fn an_erased_decision_still_has_its_line() {
        let line = Line::of(&entry("decision.intended", None, Some(State::Accepted)), now());
        assert!(line.is_erased && line.by.is_none());
        assert!(page(vec![line], &Asked::default()).contains("erased"));
    }

    #[test]
    fn an_empty_history_says_whether_the_filter_is_why() {
        assert!(page(vec![], &Asked::default()).contains("No decision has been made yet"));
        let asked = Asked { pipeline: "shop".into(), ..Asked::default() };
        assert!(page(vec![], &asked).contains("No decision matches"));
    }
}
