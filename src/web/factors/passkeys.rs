//! Adding, naming and removing passkeys. Adding one needs script; everything else does not.

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;

use super::{Typed, added, refused, refused_name};
use crate::accounts::factors::{FactorError, NewPasskey};
use crate::domain::ids::PasskeyId;
use crate::web::csrf::CsrfForm;
use crate::web::error::Failure;
use crate::web::extract::{Segment, SignedIn};
use crate::web::note::Note;
use crate::web::session::From;
use crate::web::session::sign_out::Nothing;
use crate::web::shell::Shell;
use crate::web::state::AppState;
use crate::web::step_up::asked;

/// `POST /me/factors/passkeys/challenge`, by the page's script.
///
/// # Errors
/// 403 without fresh proof, 404 where the portal has no host name.
pub async fn challenge(
    State(app): State<AppState>,
    SignedIn(person): SignedIn,
    _form: CsrfForm<Nothing>,
) -> Result<Response, Failure> {
    match app.accounts.ask_new_passkey(&person).await {
        Ok(question) => asked(Some(question)),
        Err(FactorError::Unavailable(cause)) => Err(cause.into()),
        Err(FactorError::NoHostName) => Err(Failure::not_found()),
        Err(error) => Err(Failure::forbidden(error.to_string())),
    }
}

/// The form.
#[derive(Deserialize)]
pub struct Fields {
    #[serde(default)]
    name: String,
    #[serde(default)]
    ceremony: String,
    #[serde(default)]
    credential: String,
}

/// `POST /me/factors/passkeys`.
///
/// # Errors
/// 503 when the database does not answer.
pub async fn add(
    State(app): State<AppState>,
    shell: Shell,
    SignedIn(person): SignedIn,
    From(origin): From,
    form: CsrfForm<Fields>,
) -> Result<Response, Failure> {
    let Fields { name, ceremony, credential } = form.read();
    let typed = Some(Typed { passkey: None, name: name.clone() });
    let Ok(ceremony) = ceremony.parse() else {
        let error =
            FactorError::Wrong("Your browser made no passkey. It needs script, and a device that can keep one.");
        return refused_name(&app, (shell, &person), (error, typed)).await;
    };
    match app.accounts.add_passkey(&person, NewPasskey { ceremony, answer: credential, name, origin }).await {
        Ok(new) => Ok(added(&app, shell, &new, Note::PasskeyAdded)),
        Err(error) => refused_name(&app, (shell, &person), (error, typed)).await,
    }
}

/// The form of a new name.
#[derive(Deserialize)]
pub struct Name {
    name: String,
}

/// `POST /me/factors/passkeys/{id}/rename`.
///
/// # Errors
/// 404 for a passkey that is not one's own (S-31); 503 when the database does not answer.
pub async fn rename(
    State(app): State<AppState>,
    Segment((id,)): Segment<(PasskeyId,)>,
    shell: Shell,
    SignedIn(person): SignedIn,
    form: CsrfForm<Name>,
) -> Result<Response, Failure> {
    let name = form.read().name;
    match app.accounts.rename_passkey(&person, id, &name).await {
        Ok(()) => Ok(Note::PasskeyRenamed.at("/me/factors", app.cookies())),
        Err(error) => {
            let typed = Some(Typed { passkey: Some(id), name });
            refused_name(&app, (shell, &person), (error, typed)).await
        }
    }
}

/// `POST /me/factors/passkeys/{id}/remove`.
///
/// # Errors
/// 404 for a passkey that is not one's own (S-31); 503 when the database does not answer.
pub async fn remove(
    State(app): State<AppState>,
    Segment((id,)): Segment<(PasskeyId,)>,
    shell: Shell,
    SignedIn(person): SignedIn,
    _form: CsrfForm<Nothing>,
) -> Result<Response, Failure> {
    match app.accounts.remove_passkey(&person, id).await {
        Ok(()) => Ok(Note::PasskeyRemoved.at("/me/factors", app.cookies())),
        Err(error) => refused(&app, (shell, &person), error).await,
    }
}
