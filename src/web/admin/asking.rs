//! Who could decide this gate, and what could this person decide, at any time that is known about; as pages and as files.

use askama::Template;
use askama_web::WebTemplate;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Deserialize;

use super::asking_view::{
    DeciderLine, GateLine, at_field, find_person, gate_choice, gate_key, last_use, person_field, read_at, state_then,
    way,
};
use super::overview::{in_words, lets};
use crate::access::picture::{Besides, Decider, Picture};
use crate::access::review::Line;
use crate::domain::text::visible;
use crate::web::parts::{Choice, Field};
use crate::web::{AppState, Failure, Query, Shell, csv, moment_field};

/// Which gate, and when.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct AboutGate {
    gate: String,
    at: String,
}

/// Which person, and when.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct AboutPerson {
    email: String,
    at: String,
}

/// When.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct AboutTime {
    at: String,
}

/// What both pages begin with.
#[derive(Debug, Clone)]
struct Asked {
    /// `on Sat 21 Nov 2026, 10:00 UTC`, or `now`.
    when: String,
    /// Nothing is known about that time, and since when it is.
    unknown: Option<String>,
    /// The same answer as a file.
    csv: String,
}

impl Asked {
    fn of(picture: &Picture, is_now: bool, csv: &str, query: &[(&str, &str)]) -> Self {
        let words = |at: Timestamp| moment_field::words(at, &TimeZone::UTC);
        let unknown = picture.is_before_everything().then(|| match picture.beginning {
            Some(beginning) => format!(
                "Nothing is known about this time: who may decide what is written down since {}.",
                words(beginning)
            ),
            None => "Nothing is known about this time: there is no account yet.".to_owned(),
        });
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
        let when = if is_now { "now".to_owned() } else { format!("on {}", words(picture.at)) };
        Self { when, unknown, csv: format!("{csv}?{query}") }
    }
}

/// The answer about a gate.
#[derive(Debug, Template, WebTemplate)]
#[template(path = "admin/gate.html")]
pub struct GatePage {
    shell: Shell,
    gate: Choice,
    at: Field,
    asked: Option<Asked>,
    deciders: Vec<DeciderLine>,
    besides: Besides,
}

/// The answer about a person.
#[derive(Debug, Template, WebTemplate)]
#[template(path = "admin/person.html")]
pub struct PersonPage {
    shell: Shell,
    person: Field,
    at: Field,
    asked: Option<Asked>,
    name: String,
    /// What they were then; absent when they had no account yet.
    state: Option<String>,
    grants: Vec<String>,
    gates: Vec<GateLine>,
}

/// `GET /admin/access/gate`.
///
/// # Errors
/// 503 when the database does not answer.
pub async fn gate(
    State(app): State<AppState>,
    Query(about): Query<AboutGate>,
    shell: Shell,
) -> Result<Response, Failure> {
    let at = read_at(&about.at, app.clock.now());
    let picture = app.access.picture(at.clone().ok().flatten()).await?;
    let found = picture.gates.iter().find(|gate| gate_key(gate) == about.gate);
    let mistake = match found {
        None if !about.gate.is_empty() => Some("There was no such gate at that time.".to_owned()),
        _ => None,
    };
    let is_wrong = mistake.is_some() || at.is_err();
    let query = [("gate", about.gate.as_str()), ("at", about.at.as_str())];
    let is_now = matches!(at, Ok(None));
    let page = GatePage {
        shell,
        gate: gate_choice(&picture.gates, &about.gate).error(mistake),
        at: at_field(&about.at, at.err()),
        asked: found.filter(|_| !is_wrong).map(|_| Asked::of(&picture, is_now, "/admin/access/gate.csv", &query)),
        besides: found.map(|gate| picture.besides(gate)).unwrap_or_default(),
        deciders: found.map(|gate| picture.deciders(gate).iter().map(DeciderLine::of).collect()).unwrap_or_default(),
    };
    let status = if is_wrong { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    Ok((status, page).into_response())
}

/// `GET /admin/access/gate.csv`.
///
/// # Errors
/// 422 where the page has its mistakes.
pub async fn gate_csv(State(app): State<AppState>, Query(about): Query<AboutGate>) -> Result<Response, Failure> {
    let picture = picture_at(&app, &about.at).await?;
    let gate = picture.gates.iter().find(|gate| gate_key(gate) == about.gate);
    let gate = gate.ok_or_else(|| unprocessable("There was no such gate at that time."))?;
    let besides = picture.besides(gate);
    let row = |person: [String; 5]| {
        let mut row = vec![picture.at.to_string(), gate.source.to_string(), gate.pipeline.to_string()];
        row.extend([gate.stage.to_string(), gate.action.to_string()]);
        row.extend(person);
        row.extend([besides.mail, besides.unattended].map(|it| it.map(|it| it.to_string()).unwrap_or_default()));
        row
    };
    let mut rows = Vec::new();
    for Decider { person, by } in picture.deciders(gate) {
        rows.extend(by.iter().map(|via| {
            let lender = via.stand_in.map(|it| it.for_name.clone()).unwrap_or_default();
            let (by, grant) = (way(via, &TimeZone::UTC), via.grant.id.to_string());
            row([person.name.clone(), person.email.clone(), by, grant, lender])
        }));
    }
    // What holds of the gate is told also where nobody could decide it.
    if rows.is_empty() && besides != Besides::default() {
        rows.push(row(Default::default()));
    }
    let head = [
        "at",
        "source",
        "pipeline",
        "stage",
        "action",
        "person",
        "email",
        "by",
        "grant",
        "in_place_of",
        "mail_decides_minutes",
        "rejected_after_minutes",
    ];
    csv::download("who-could-decide.csv", &head, rows)
}

/// `GET /admin/access/person`.
///
/// # Errors
/// 503 when the database does not answer.
pub async fn person(
    State(app): State<AppState>,
    Query(about): Query<AboutPerson>,
    shell: Shell,
) -> Result<Response, Failure> {
    let now = app.clock.now();
    let at = read_at(&about.at, now);
    let picture = app.access.picture(at.clone().ok().flatten()).await?;
    let account = app.accounts.find_by_email(&about.email).await?;
    let mistake = match account {
        None if !about.email.trim().is_empty() => Some("There is no account with this e-mail address.".to_owned()),
        _ => None,
    };
    let is_wrong = mistake.is_some() || at.is_err();
    let query = [("email", about.email.trim()), ("at", about.at.as_str())];
    let is_now = matches!(at, Ok(None));
    let found = find_person(&picture, account);
    let uses = match found {
        Some(person) => app.access.list_uses(person.account, picture.at).await?,
        None => Vec::new(),
    };
    let grant = |grant: &crate::store::access::grants::Grant| {
        let group = matches!(grant.to, crate::store::access::grants::To::Group(_));
        let by = if group { format!(" (group {})", visible(&grant.to_name)) } else { String::new() };
        format!("{} {}{by}", lets(grant.capability), in_words(&grant.gates))
    };
    let page = PersonPage {
        shell,
        person: person_field(&about.email).error(mistake),
        at: at_field(&about.at, at.err()),
        asked: account.filter(|_| !is_wrong).map(|_| Asked::of(&picture, is_now, "/admin/access/person.csv", &query)),
        name: found.map(|person| visible(&person.name)).unwrap_or_default(),
        state: found.map(state_then),
        grants: found.map(|person| picture.held_by(person.account).map(grant).collect()).unwrap_or_default(),
        gates: found.map(|person| GateLine::list(&picture.gates_of(person), &uses, now)).unwrap_or_default(),
    };
    let status = if is_wrong { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    Ok((status, page).into_response())
}

/// `GET /admin/access/person.csv`.
///
/// # Errors
/// 422 where the page has its mistakes.
pub async fn person_csv(State(app): State<AppState>, Query(about): Query<AboutPerson>) -> Result<Response, Failure> {
    let picture = picture_at(&app, &about.at).await?;
    let account = app.accounts.find_by_email(&about.email).await?;
    let account = account.ok_or_else(|| unprocessable("There is no account with this e-mail address."))?;
    let uses = app.access.list_uses(account, picture.at).await?;
    let person = find_person(&picture, Some(account));
    let gates = person.map(|person| picture.gates_of(person)).unwrap_or_default();
    let rows = gates.into_iter().map(|(gate, ways)| {
        let (last, times) = last_use(&uses, gate);
        let (name, email) = person.map(|it| (it.name.clone(), it.email.clone())).unwrap_or_default();
        let ways: Vec<String> = ways.iter().map(|via| way(via, &TimeZone::UTC)).collect();
        let last = last.map(|at| at.to_string()).unwrap_or_default();
        let mut row = vec![picture.at.to_string(), name, email];
        row.extend([gate.source.to_string(), gate.pipeline.to_string()]);
        row.extend([gate.stage.to_string(), gate.action.to_string()]);
        row.extend([ways.join("; "), last, times.to_string()]);
        row
    });
    let head =
        ["at", "person", "email", "source", "pipeline", "stage", "action", "by", "last_decided", "times_decided"];
    csv::download("what-could-they-decide.csv", &head, rows)
}

/// `GET /admin/access/review.csv`: everybody × every grant, with when it was last used.
///
/// # Errors
/// 422 for a time that is none.
pub async fn review_csv(State(app): State<AppState>, Query(about): Query<AboutTime>) -> Result<Response, Failure> {
    let at = read_at(&about.at, app.clock.now()).map_err(|why| unprocessable(&why))?;
    let (picture, lines) = app.access.review(at).await?;
    let at = picture.at.to_string();
    let head = [
        "at",
        "person",
        "email",
        "roles",
        "enabled",
        "grant",
        "lets",
        "group",
        "gates",
        "source",
        "pipeline",
        "stage",
        "action",
        "tag",
        "tag_value",
        "fits_gates",
        "given_at",
        "given_by",
        "note",
        "last_used",
        "times_used",
        "mail_decides_gates",
        "rejects_unattended_gates",
    ];
    csv::download("access-review.csv", &head, lines.iter().map(|line| review_row(&at, line)))
}

fn review_row(at: &str, line: &Line) -> Vec<String> {
    let person = &line.person;
    let enabled = if person.enabled { "yes" } else { "no" };
    let mut row =
        vec![at.to_owned(), person.name.clone(), person.email.clone(), person.roles.join(" "), enabled.to_owned()];
    let Some(grant) = &line.grant else {
        row.resize(23, String::new());
        return row;
    };
    let fields = grant.gates.fields();
    row.extend([grant.id.to_string(), grant.capability.name().to_owned(), line.group.clone().unwrap_or_default()]);
    row.extend([grant.gates.to_string(), fields.source, fields.pipeline, fields.stage, fields.action]);
    row.extend([fields.tag_key, fields.tag_value, line.gates.to_string(), grant.from.to_string()]);
    row.extend([grant.given_by.clone().unwrap_or_else(|| "operator".to_owned()), grant.note.clone()]);
    row.extend([line.last_used.map(|at| at.to_string()).unwrap_or_default(), line.times_used.to_string()]);
    row.extend([line.mailed.to_string(), line.unattended.to_string()]);
    row
}

async fn picture_at(app: &AppState, typed: &str) -> Result<Picture, Failure> {
    let at = read_at(typed, app.clock.now()).map_err(|why| unprocessable(&why))?;
    let picture = app.access.picture(at).await?;
    if picture.is_before_everything() {
        return Err(unprocessable("Nothing is known about this time: it is before anything was written down."));
    }
    Ok(picture)
}

fn unprocessable(why: &str) -> Failure {
    Failure::new(StatusCode::UNPROCESSABLE_ENTITY).saying(why)
}
