//! The second step of signing in: a code, which needs no script, or a passkey.

use askama::Template;
use askama_web::WebTemplate;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use secrecy::SecretString;
use serde::Deserialize;

use super::sign_in::{after_sign_in, start_again};
use super::sign_out::Nothing;
use super::{From, Replaces, again};
use crate::accounts::factors::{Proof, ProofError, Second, SecondView};
use crate::web::csrf::CsrfForm;
use crate::web::error::Failure;
use crate::web::extract::Beginning;
use crate::web::parts::Field;
use crate::web::shell::Shell;
use crate::web::state::AppState;
use crate::web::step_up::{asked, code_hint, told};

#[derive(Template, WebTemplate)]
#[template(path = "session/second.html")]
struct SecondPage {
    shell: Shell,
    view: SecondView,
    code: Field,
    error: Option<String>,
}

impl SecondPage {
    fn new(shell: Shell, view: SecondView, error: Option<String>) -> Self {
        let label = if view.totp { "Code" } else { "Recovery code" };
        let code = Field::text("code", label).autocomplete("one-time-code").hint(code_hint(view.totp, view.recovery));
        Self { shell, code: code.focused(true), view, error }
    }
}

/// `GET /sign-in/second`.
///
/// # Errors
/// 503 when the database does not answer.
pub async fn show(
    State(app): State<AppState>,
    shell: Shell,
    Beginning(holder): Beginning,
) -> Result<Response, Failure> {
    match app.accounts.second_step(holder).await? {
        Some(view) => Ok(SecondPage::new(shell, view, None).into_response()),
        None => Ok(Redirect::to("/sign-in").into_response()),
    }
}

/// `POST /sign-in/second/challenge`, by the page's script.
///
/// # Errors
/// 404 when nobody is in the middle of signing in, or without a passkey.
pub async fn challenge(
    State(app): State<AppState>,
    Beginning(holder): Beginning,
    _form: CsrfForm<Nothing>,
) -> Result<Response, Failure> {
    asked(app.accounts.ask_second_passkey(holder).await?)
}

/// The form.
#[derive(Deserialize)]
pub struct Fields {
    #[serde(default)]
    code: String,
    #[serde(default)]
    ceremony: String,
    #[serde(default)]
    credential: String,
}

impl Fields {
    fn proof(self) -> Proof {
        match self.ceremony.parse() {
            Ok(ceremony) if !self.credential.is_empty() => Proof::Passkey { ceremony, answer: self.credential },
            _ => Proof::Code(SecretString::from(self.code)),
        }
    }
}

/// `POST /sign-in/second`.
///
/// # Errors
/// 503 when the database does not answer.
pub async fn submit(
    State(app): State<AppState>,
    shell: Shell,
    From(origin): From,
    Beginning(holder): Beginning,
    Replaces(replaces): Replaces,
    form: CsrfForm<Fields>,
) -> Result<Response, Failure> {
    let second = Second { holder, proof: form.read().proof(), origin, replaces };
    let error = match app.accounts.finish_second(second).await {
        Ok((session, return_to)) => return Ok(after_sign_in(&app, &session, &return_to)),
        Err(error) => error,
    };
    let view = app.accounts.second_step(holder).await?;
    let (Some(view), false) = (view, matches!(error, ProofError::Over)) else {
        return Ok(start_again(&app, shell, StatusCode::UNAUTHORIZED, TOO_LATE));
    };
    let (status, text, wait) = told(error)?;
    Ok(again(status, SecondPage::new(shell, view, Some(text)), wait))
}

const TOO_LATE: &str = "Signing in took too long, or was tried too often. Begin again.";
