//! Signing in. Whatever was wrong, the answer looks the same and keeps the e-mail that was typed (S-10).

use askama::Template;
use askama_web::WebTemplate;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use secrecy::SecretString;
use serde::Deserialize;

use super::{BUSY, From, again, begin, wait_text};
use crate::accounts::sign_in::{SignIn, SignInError};
use crate::web::cookie::Cookie;
use crate::web::csrf::CsrfForm;
use crate::web::error::Failure;
use crate::web::extract::Query;
use crate::web::parts::Field;
use crate::web::returning;
use crate::web::shell::Shell;
use crate::web::state::AppState;

#[derive(Template, WebTemplate)]
#[template(path = "session/sign_in.html")]
struct SignInPage {
    shell: Shell,
    email: Field,
    password: Field,
    return_to: String,
    /// What went wrong with the last try.
    error: Option<String>,
    /// What just happened.
    notice: Option<&'static str>,
    not_set_up: bool,
}

impl SignInPage {
    fn new(shell: Shell, email: &str, return_to: &str) -> Self {
        Self {
            shell,
            email: Field::email("email", "Email").value(email).autocomplete("username").focused(email.is_empty()),
            password: Field::password("password", "Password", "current-password").focused(!email.is_empty()),
            return_to: returning::or_queue(Some(return_to)).to_owned(),
            error: None,
            notice: None,
            not_set_up: false,
        }
    }
}

/// What may stand in the address of the sign-in page.
#[derive(Deserialize)]
pub struct Arrival {
    #[serde(default, rename = "return")]
    return_to: String,
    #[serde(default)]
    after: String,
}

/// `GET /sign-in`.
///
/// # Errors
/// 503 when it cannot be known whether the portal is set up.
pub async fn show(
    State(app): State<AppState>,
    shell: Shell,
    Query(arrival): Query<Arrival>,
) -> Result<Response, Failure> {
    if shell.signed_in.is_some() {
        return Ok(Redirect::to(returning::or_queue(Some(&arrival.return_to))).into_response());
    }
    let mut page = SignInPage::new(shell, "", &arrival.return_to);
    page.notice = (arrival.after == "sign-out").then_some("You are signed out.");
    page.not_set_up = app.accounts.no_account_exists().await?;
    Ok(page.into_response())
}

/// The form.
#[derive(Deserialize)]
pub struct Fields {
    email: String,
    password: SecretString,
    #[serde(default, rename = "return")]
    return_to: String,
}

/// `POST /sign-in`.
///
/// # Errors
/// 503 when the database does not answer.
pub async fn submit(
    State(app): State<AppState>,
    shell: Shell,
    From(origin): From,
    headers: HeaderMap,
    form: CsrfForm<Fields>,
) -> Result<Response, Failure> {
    let Fields { email, password, return_to } = form.read();
    let replaces = app.cookies().find(&headers, Cookie::Session).map(SecretString::from);
    let mut page = SignInPage::new(shell, &email, &return_to);
    let (status, error, wait) = match app.accounts.sign_in(SignIn { email, password, origin, replaces }).await {
        Ok(session) => return Ok(begin(Redirect::to(&page.return_to).into_response(), &app, &session)),
        Err(SignInError::Wrong) => (StatusCode::UNAUTHORIZED, "Email or password is wrong.".to_owned(), None),
        Err(SignInError::TooMany { retry_after }) => {
            (StatusCode::TOO_MANY_REQUESTS, wait_text(retry_after), Some(retry_after))
        }
        Err(SignInError::Busy { retry_after }) => (StatusCode::SERVICE_UNAVAILABLE, BUSY.to_owned(), Some(retry_after)),
        Err(SignInError::Unavailable(cause)) => return Err(cause.into()),
    };
    page.error = Some(error);
    Ok(again(status, page, wait))
}
