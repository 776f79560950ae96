//! One's own name and time zone, each a form of its own on `/me`, so that saving one never puts the other back to what it was
//! when the page was opened.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::me::MePage;
use crate::accounts::oneself::OwnError;
use crate::web::note::Note;
use crate::web::{AppState, CsrfForm, Failure, Shell, SignedIn};

/// The form of the name.
#[derive(Deserialize)]
pub struct TypedName {
    name: String,
}

/// `POST /me/name`.
///
/// # Errors
/// 401 when the session ended meanwhile; 503 when the database does not answer.
pub async fn change_name(
    State(app): State<AppState>,
    shell: Shell,
    SignedIn(person): SignedIn,
    form: CsrfForm<TypedName>,
) -> Result<Response, Failure> {
    let typed = form.read().name;
    let problem = match app.accounts.change_own_name(&person, &typed).await {
        Ok(is_new) => return Ok(note(is_new, Note::NameChanged).at("/me", app.cookies())),
        Err(error) => problem(error)?,
    };
    let page = MePage::load(&app, shell, &person).await?.with_name(&typed, problem);
    Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
}

/// The form of the time zone.
#[derive(Deserialize)]
pub struct TypedZone {
    time_zone: String,
}

/// `POST /me/time-zone`.
///
/// # Errors
/// 401 when the session ended meanwhile; 503 when the database does not answer.
pub async fn change_time_zone(
    State(app): State<AppState>,
    shell: Shell,
    SignedIn(person): SignedIn,
    form: CsrfForm<TypedZone>,
) -> Result<Response, Failure> {
    let problem = match app.accounts.change_time_zone(&person, &form.read().time_zone).await {
        Ok(is_new) => return Ok(note(is_new, Note::TimeZoneChanged).at("/me", app.cookies())),
        Err(error) => problem(error)?,
    };
    let page = MePage::load(&app, shell, &person).await?.with_zone(problem);
    Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
}

fn note(is_new: bool, changed: Note) -> Note {
    if is_new { changed } else { Note::AsItWas }
}

/// The sentence for the form's only field.
fn problem(error: OwnError) -> Result<String, Failure> {
    match error {
        OwnError::BadField(problem) => Ok(problem),
        OwnError::PasswordFirst => Err(Failure::forbidden(OwnError::PasswordFirst.to_string())),
        OwnError::SignedOut => Err(Failure::new(StatusCode::UNAUTHORIZED).with_next("Sign in", "/sign-in")),
        OwnError::Unavailable(cause) => Err(cause.into()),
    }
}
