//! Setting an authenticator app up: the secret as a QR code and as text, confirmed by a first code.

use askama::Template;
use askama_web::WebTemplate;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::qr::Qr;
use super::{added, refused};
use crate::accounts::factors::{Enrolment, FactorError};
use crate::web::csrf::CsrfForm;
use crate::web::error::Failure;
use crate::web::extract::SignedIn;
use crate::web::note::Note;
use crate::web::parts::Field;
use crate::web::session::From;
use crate::web::session::sign_out::Nothing;
use crate::web::shell::Shell;
use crate::web::state::AppState;

#[derive(Template, WebTemplate)]
#[template(path = "session/factors_totp.html")]
struct TotpPage {
    shell: Shell,
    qr: Option<Qr>,
    secret: String,
    code: Field,
}

impl TotpPage {
    fn new(shell: Shell, enrolment: &Enrolment, error: Option<String>) -> Self {
        Self {
            shell,
            qr: Qr::of(enrolment.url.expose_secret()),
            secret: enrolment.text.expose_secret().to_owned(),
            code: Field::text("code", "Code")
                .autocomplete("one-time-code")
                .hint("The six digits that the app shows now.")
                .focused(true)
                .error(error),
        }
    }
}

/// `POST /me/factors/totp`: begins, with a new secret.
///
/// # Errors
/// 503 when the database does not answer.
pub async fn begin(
    State(app): State<AppState>,
    shell: Shell,
    SignedIn(person): SignedIn,
    _form: CsrfForm<Nothing>,
) -> Result<Response, Failure> {
    match app.accounts.begin_totp(&person).await {
        Ok(()) => Ok(Redirect::to("/me/factors/totp").into_response()),
        Err(error) => refused(&app, (shell, &person), error).await,
    }
}

/// `GET /me/factors/totp`.
///
/// # Errors
/// 503 when the database does not answer.
pub async fn show(State(app): State<AppState>, shell: Shell, SignedIn(person): SignedIn) -> Result<Response, Failure> {
    match app.accounts.find_enrolment(&person).await? {
        Some(enrolment) => Ok(TotpPage::new(shell, &enrolment, None).into_response()),
        None => Ok(Redirect::to("/me/factors").into_response()),
    }
}

/// The form.
#[derive(Deserialize)]
pub struct Fields {
    code: SecretString,
}

/// `POST /me/factors/totp/confirm`.
///
/// # Errors
/// 503 when the database does not answer.
pub async fn confirm(
    State(app): State<AppState>,
    shell: Shell,
    SignedIn(person): SignedIn,
    From(origin): From,
    form: CsrfForm<Fields>,
) -> Result<Response, Failure> {
    let Fields { code } = form.read();
    let error = match app.accounts.confirm_totp(&person, &code, &origin).await {
        Ok(new) => return Ok(added(&app, shell, &new, Note::TotpReplaced)),
        Err(error) => error,
    };
    let enrolment = app.accounts.find_enrolment(&person).await?;
    match (enrolment, &error) {
        (Some(enrolment), FactorError::Wrong(text)) => {
            let page = TotpPage::new(shell, &enrolment, Some((*text).to_owned()));
            Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
        }
        _ => refused(&app, (shell, &person), error).await,
    }
}

/// `POST /me/factors/totp/remove`.
///
/// # Errors
/// 503 when the database does not answer.
pub async fn remove(
    State(app): State<AppState>,
    shell: Shell,
    SignedIn(person): SignedIn,
    _form: CsrfForm<Nothing>,
) -> Result<Response, Failure> {
    match app.accounts.remove_totp(&person).await {
        Ok(()) => Ok(Note::TotpRemoved.at("/me/factors", app.cookies())),
        Err(error) => refused(&app, (shell, &person), error).await,
    }
}
