//! Signing in. Whatever was wrong, the answer looks the same and keeps the e-mail that was typed (S-10).

use askama::Template;
use askama_web::WebTemplate;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use secrecy::SecretString;
use serde::Deserialize;

use super::sso::{Button, buttons};
use super::{BUSY, From, Replaces, again, begin, wait_text};
use crate::accounts::sign_in::{SignIn, SignInError, SignedIn};
use crate::accounts::{Accounts, NewSession};
use crate::web::csrf::CsrfForm;
use crate::web::error::Failure;
use crate::web::extract::{Beginning, Query};
use crate::web::note::Note;
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
    takes_passkeys: bool,
    providers: Vec<Button>,
    /// Whether everybody may sign in with a password.
    local: bool,
}

impl SignInPage {
    fn new(app: &AppState, shell: Shell, email: &str, return_to: &str) -> Self {
        let local = app.sso.takes_passwords();
        Self {
            shell,
            email: Field::email("email", "Email")
                .value(email)
                .autocomplete("username")
                .focused(local && email.is_empty()),
            password: Field::password("password", "Password", "current-password").focused(!email.is_empty()),
            return_to: returning::or_queue(Some(return_to)).to_owned(),
            error: None,
            notice: None,
            not_set_up: false,
            takes_passkeys: app.accounts.takes_passkeys(),
            providers: buttons(app),
            local,
        }
    }
}

/// The same whoever it is, and whatever was wrong (S-10).
fn wrong(local: bool) -> &'static str {
    match local {
        true => "Email or password is wrong.",
        false => {
            "Email or password is wrong. Only accounts for emergencies have a password here: sign in as shown above."
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
    let mut page = SignInPage::new(&app, shell, "", &arrival.return_to);
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
    Beginning(holder): Beginning,
    Replaces(replaces): Replaces,
    form: CsrfForm<Fields>,
) -> Result<Response, Failure> {
    let Fields { email, password, return_to } = form.read();
    let mut page = SignInPage::new(&app, shell, &email, &return_to);
    let ask = SignIn { email, password, origin, replaces, holder, return_to: page.return_to.clone() };
    let (status, error, wait) = match app.accounts.sign_in(ask).await {
        Ok(SignedIn::Session(session)) => return Ok(after_sign_in(&app, &session, &page.return_to)),
        Ok(SignedIn::NeedsSecond) => return Ok(Redirect::to("/sign-in/second").into_response()),
        Err(SignInError::Wrong) => (StatusCode::UNAUTHORIZED, wrong(page.local).to_owned(), None),
        Err(SignInError::TooMany { retry_after }) => {
            (StatusCode::TOO_MANY_REQUESTS, wait_text(retry_after), Some(retry_after))
        }
        Err(SignInError::Busy { retry_after }) => (StatusCode::SERVICE_UNAVAILABLE, BUSY.to_owned(), Some(retry_after)),
        Err(SignInError::Unavailable(cause)) => return Err(cause.into()),
    };
    page.error = Some(error);
    Ok(again(status, page, wait))
}

/// Where a session that has just begun goes on: an admin without a second factor to where they get one.
pub(super) fn after_sign_in(app: &AppState, session: &NewSession, return_to: &str) -> Response {
    let wanted = returning::or_queue(Some(return_to));
    let to = if session.person.lacks_factor { "/me/factors" } else { wanted };
    let response = match Accounts::used_recovery(session) {
        true => Note::RecoveryCodeUsed.at(to, app.cookies()),
        false => Redirect::to(to).into_response(),
    };
    begin(response, app, session)
}

/// The sign-in page, saying why what was begun came to nothing.
pub(super) fn start_again(app: &AppState, shell: Shell, status: StatusCode, why: impl Into<String>) -> Response {
    let mut page = SignInPage::new(app, shell, "", "");
    page.error = Some(why.into());
    again(status, page, None)
}
