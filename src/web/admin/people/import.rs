//! `/admin/accounts/import`: many people from a CSV file. The file is looked at first, line by line; one line that is wrong
//! and nobody is invited.

use askama::Template;
use askama_web::WebTemplate;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use secrecy::ExposeSecret as _;

use super::{admin, refusal};
use crate::accounts::import::{Imported, Line, MOST, Mistake, Plan};
use crate::accounts::invitations::Invited;
use crate::domain::text::visible;
use crate::web::csrf::CsrfForm;
use crate::web::display::count;
use crate::web::extract::SignedIn;
use crate::web::{AppState, Failure, Shell};

#[derive(Debug, Template, WebTemplate)]
#[template(path = "admin/import.html")]
struct ImportPage {
    shell: Shell,
    /// As typed or chosen.
    text: String,
    /// What it would do, once it was looked at.
    plan: Option<PlanView>,
    error: Option<String>,
}

impl ImportPage {
    fn most(&self) -> usize {
        MOST
    }
}

#[derive(Debug)]
struct PlanView {
    new_people: String,
    is_good: bool,
    lines: Vec<LineView>,
    mistakes: Vec<MistakeView>,
}

#[derive(Debug)]
struct LineView {
    number: u64,
    email: String,
    name: String,
    roles: String,
    is_known: bool,
}

#[derive(Debug)]
struct MistakeView {
    /// `Line 7`, or the whole file.
    place: String,
    problem: String,
}

impl PlanView {
    fn of(plan: Plan) -> Self {
        let line = |line: Line| LineView {
            number: line.number,
            email: visible(&line.email),
            name: visible(&line.name),
            roles: line.roles.names().join(", "),
            is_known: line.is_known,
        };
        let mistake = |mistake: Mistake| MistakeView {
            place: if mistake.number == 0 { "The file".to_owned() } else { format!("Line {}", mistake.number) },
            problem: mistake.problem,
        };
        Self {
            new_people: count(plan.new_people() as u64, "person", "people"),
            is_good: plan.mistakes.is_empty() && plan.new_people() > 0,
            lines: plan.lines.into_iter().map(line).collect(),
            mistakes: plan.mistakes.into_iter().map(mistake).collect(),
        }
    }
}

#[derive(Template, WebTemplate)]
#[template(path = "admin/imported.html")]
struct ImportedPage {
    shell: Shell,
    tally: String,
    mailed: bool,
    people: Vec<(String, String)>,
}

/// Shows the form.
///
/// # Errors
/// None today.
pub async fn show(shell: Shell) -> Result<Response, Failure> {
    Ok(ImportPage { shell, text: String::new(), plan: None, error: None }.into_response())
}

/// The form: the whole file.
#[derive(serde::Deserialize)]
pub struct Fields {
    people: String,
}

/// `POST /admin/accounts/import/preview`: what the file would do. Nothing is done.
///
/// # Errors
/// 503 when the database does not answer.
pub async fn preview(State(app): State<AppState>, shell: Shell, form: CsrfForm<Fields>) -> Result<Response, Failure> {
    let text = form.read().people;
    let plan = app.accounts.plan_import(&text).await?;
    let status = if plan.mistakes.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    Ok((status, ImportPage { shell, text, plan: Some(PlanView::of(plan)), error: None }).into_response())
}

/// `POST /admin/accounts/import`: invites everybody in the file who has no account, or nobody.
///
/// # Errors
/// 503 when the database does not answer.
pub async fn apply(
    State(app): State<AppState>,
    SignedIn(person): SignedIn,
    shell: Shell,
    form: CsrfForm<Fields>,
) -> Result<Response, Failure> {
    let text = form.read().people;
    match Box::pin(app.accounts.import(&admin(&person)?, &text)).await {
        Ok(Imported::Done(invited)) => Ok(done(shell, &invited)),
        Ok(Imported::Refused(plan)) => {
            let page = ImportPage { shell, text, plan: Some(PlanView::of(plan)), error: None };
            Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
        }
        Err(error) => {
            let refused = refusal(error)?;
            Ok((refused.status, ImportPage { shell, text, plan: None, error: Some(refused.text) }).into_response())
        }
    }
}

fn done(shell: Shell, invited: &[(Line, Invited)]) -> Response {
    let person = |(line, made): &(Line, Invited)| (visible(&line.email), made.link.expose_secret().to_owned());
    let page = ImportedPage {
        shell,
        tally: count(invited.len() as u64, "person is", "people are"),
        mailed: invited.iter().all(|(_, made)| made.mailed),
        people: invited.iter().map(person).collect(),
    };
    page.into_response()
}
