//! Signing in with a passkey in place of a password. The button is there for who has script; without it, a password and a
//! code do the same.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;

use super::sign_in::{after_sign_in, start_again};
use super::sign_out::Nothing;
use super::{BUSY, From, Replaces, wait_text};
use crate::accounts::factors::PasskeySignIn;
use crate::accounts::sign_in::SignInError;
use crate::web::csrf::CsrfForm;
use crate::web::error::Failure;
use crate::web::extract::Beginning;
use crate::web::shell::Shell;
use crate::web::state::AppState;
use crate::web::step_up::asked;

/// `POST /sign-in/passkey/challenge`, by the page's script.
///
/// # Errors
/// 404 where the portal has no host name; 429 when one address asks too often.
pub async fn challenge(
    State(app): State<AppState>,
    From(origin): From,
    Beginning(holder): Beginning,
    _form: CsrfForm<Nothing>,
) -> Result<Response, Failure> {
    match app.accounts.ask_sign_in(holder, &origin).await {
        Ok(question) => asked(question),
        Err(SignInError::TooMany { retry_after }) => {
            Err(Failure::new(StatusCode::TOO_MANY_REQUESTS).saying(wait_text(retry_after)))
        }
        Err(SignInError::Unavailable(cause)) => Err(cause.into()),
        Err(SignInError::Wrong | SignInError::Busy { .. }) => Err(Failure::not_found()),
    }
}

/// The form.
#[derive(Deserialize)]
pub struct Fields {
    #[serde(default)]
    ceremony: String,
    #[serde(default)]
    credential: String,
    #[serde(default, rename = "return")]
    return_to: String,
}

/// `POST /sign-in/passkey`.
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
    let Fields { ceremony, credential, return_to } = form.read();
    let Ok(ceremony) = ceremony.parse() else {
        return Ok(start_again(&app, shell, StatusCode::UNAUTHORIZED, NOT_GIVEN));
    };
    let ask = PasskeySignIn { ceremony, answer: credential, holder, origin, replaces };
    match app.accounts.sign_in_with_passkey(ask).await {
        Ok(session) => Ok(after_sign_in(&app, &session, &return_to)),
        Err(SignInError::Wrong) => Ok(start_again(&app, shell, StatusCode::UNAUTHORIZED, NOT_ACCEPTED)),
        Err(SignInError::TooMany { retry_after }) => {
            Ok(start_again(&app, shell, StatusCode::TOO_MANY_REQUESTS, wait_text(retry_after)))
        }
        Err(SignInError::Busy { .. }) => Ok(start_again(&app, shell, StatusCode::SERVICE_UNAVAILABLE, BUSY)),
        Err(SignInError::Unavailable(cause)) => Err(cause.into()),
    }
}

const NOT_GIVEN: &str = "Your browser gave no passkey. Sign in with your password, or try again.";
const NOT_ACCEPTED: &str = "That passkey was not accepted. Sign in with your password, or try another one.";
