//! One's own second factors: what one has, adding and taking away. Every change asks for fresh proof first (the route
//! table); an admin without a second factor is sent here and told why.

pub mod passkeys;
mod qr;
pub mod totp;
mod view;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};

use super::csrf::CsrfForm;
use super::error::Failure;
use super::extract::SignedIn;
use super::note::Note;
use super::session::begin;
use super::session::sign_out::Nothing;
use super::shell::Shell;
use super::state::AppState;
use super::step_up;
use crate::accounts::factors::{Added, FactorError};
use crate::domain::ids::PasskeyId;
use crate::domain::people::Person;
pub use view::CodesPage;
use view::FactorsPage;

/// `GET /me/factors`.
///
/// # Errors
/// 503 when the database does not answer.
pub async fn show(State(app): State<AppState>, shell: Shell, SignedIn(person): SignedIn) -> Result<Response, Failure> {
    Ok(FactorsPage::load(&app, shell, &person).await?.into_response())
}

/// `POST /me/factors/recovery`: new codes in place of all before them.
///
/// # Errors
/// 503 when the database does not answer.
pub async fn renew_codes(
    State(app): State<AppState>,
    shell: Shell,
    SignedIn(person): SignedIn,
    _form: CsrfForm<Nothing>,
) -> Result<Response, Failure> {
    match app.accounts.renew_codes(&person).await {
        Ok(codes) => Ok(CodesPage::new(shell, &codes, None).into_response()),
        Err(error) => refused(&app, (shell, &person), error).await,
    }
}

/// After a factor was added: the recovery codes that came with the first one, or back to the list.
fn added(app: &AppState, shell: Shell, added: &Added, note: Note) -> Response {
    let response = match &added.codes {
        Some(codes) => CodesPage::new(shell, codes, Some(added.ended.len())).into_response(),
        None => note.at("/me/factors", app.cookies()),
    };
    match &added.session {
        Some(session) => begin(response, app, session),
        None => response,
    }
}

/// A name that was typed for a passkey: of a new one, or of one that there is.
struct Typed {
    passkey: Option<PasskeyId>,
    name: String,
}

/// Why nothing changed, on the page it came from.
async fn refused(app: &AppState, whose: (Shell, &Person), error: FactorError) -> Result<Response, Failure> {
    refused_name(app, whose, (error, None)).await
}

/// The same with the name kept that was typed.
async fn refused_name(
    app: &AppState,
    (shell, person): (Shell, &Person),
    (error, typed): (FactorError, Option<Typed>),
) -> Result<Response, Failure> {
    let status = match &error {
        FactorError::ProveFirst => return Ok(Redirect::to(&step_up::first("/me/factors")).into_response()),
        FactorError::NoSuchPasskey => return Err(Failure::not_found()),
        FactorError::SignedOut => {
            return Err(Failure::new(StatusCode::UNAUTHORIZED).with_next("Sign in", "/sign-in"));
        }
        FactorError::LastOfAdmin | FactorError::PasswordShort | FactorError::OnlyWayIn => StatusCode::CONFLICT,
        FactorError::Wrong(_) | FactorError::Over | FactorError::BadName(_) | FactorError::NoHostName => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        FactorError::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    if let FactorError::Unavailable(cause) = error {
        return Err(cause.into());
    }
    let mut page = FactorsPage::load(app, shell, person).await?;
    match typed {
        Some(typed) => page.refuse_name(&error, &typed),
        None => page.refuse(&error),
    }
    Ok((status, page).into_response())
}
