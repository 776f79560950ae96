//! Forgotten passwords. Whoever asks gets one answer, whether anybody has that e-mail or not (S-10); what comes of it, comes
//! by mail.

use askama::Template;
use askama_web::WebTemplate;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;

use super::{From, again, wait_text};
use crate::accounts::resets::AskError;
use crate::web::csrf::CsrfForm;
use crate::web::error::Failure;
use crate::web::extract::Query;
use crate::web::parts::Field;
use crate::web::shell::Shell;
use crate::web::state::AppState;

#[derive(Template, WebTemplate)]
#[template(path = "session/forgot.html")]
struct ForgotPage {
    shell: Shell,
    email: Field,
    stage: Stage,
    error: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Asking,
    Asked,
    /// No mail is configured.
    NoMail,
}

impl ForgotPage {
    fn new(app: &AppState, shell: Shell, email: &str) -> Self {
        let stage = if app.accounts.sends_mail() { Stage::Asking } else { Stage::NoMail };
        let email = Field::email("email", "Email").value(email).autocomplete("username").focused(true);
        Self { shell, email, stage, error: None }
    }
}

/// What may stand in the address of the page.
#[derive(Deserialize)]
pub struct Arrival {
    #[serde(default)]
    after: String,
}

/// `GET /forgot`.
pub async fn show(State(app): State<AppState>, shell: Shell, Query(arrival): Query<Arrival>) -> Response {
    let mut page = ForgotPage::new(&app, shell, "");
    if page.stage == Stage::Asking && arrival.after == "asking" {
        page.stage = Stage::Asked;
    }
    page.into_response()
}

/// The form.
#[derive(Deserialize)]
pub struct Fields {
    email: String,
}

/// `POST /forgot`.
///
/// # Errors
/// 503 when the database does not answer.
pub async fn submit(
    State(app): State<AppState>,
    shell: Shell,
    From(origin): From,
    form: CsrfForm<Fields>,
) -> Result<Response, Failure> {
    let Fields { email } = form.read();
    let mut page = ForgotPage::new(&app, shell, &email);
    let (status, wait) = match app.accounts.ask_for_reset(&email, &origin).await {
        Ok(()) => return Ok(Redirect::to("/forgot?after=asking").into_response()),
        Err(AskError::BadEmail(problem)) => {
            page.email = page.email.error(Some(problem));
            (StatusCode::UNPROCESSABLE_ENTITY, None)
        }
        Err(AskError::TooMany { retry_after }) => {
            page.error = Some(wait_text(retry_after));
            (StatusCode::TOO_MANY_REQUESTS, Some(retry_after))
        }
        Err(AskError::NoMail) => (StatusCode::OK, None),
        Err(AskError::Unavailable(cause)) => return Err(cause.into()),
    };
    Ok(again(status, page, wait))
}
