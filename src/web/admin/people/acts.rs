//! One button, one act: disable, enable, delete, end sessions, revoke a token, invite again, start a reset, mark a password as
//! known to others, take second factors away.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::account::{AccountPage, address};
use super::links::{self, Opens};
use super::{Refusal, admin, refusal};
use crate::accounts::admin::AdminError;
use crate::accounts::identity::EmailKey;
use crate::domain::ids::{AccountId, SessionId, TokenId};
use crate::domain::people::Person;
use crate::web::csrf::CsrfForm;
use crate::web::extract::{Segment, SignedIn};
use crate::web::note::Note;
use crate::web::session::Nothing;
use crate::web::{AppState, Failure, Shell};

type Target = Segment<(AccountId,)>;

/// Back to the account with a note, or the account's page with the reason.
async fn answered<T>(
    app: &AppState,
    (shell, person, id): (Shell, &Person, AccountId),
    done: Result<T, AdminError>,
    note: Note,
) -> Result<Response, Failure> {
    match done {
        Ok(_) => Ok(note.at(&address(id), app.cookies())),
        Err(error) => AccountPage::refusing(app, shell, person, id, refusal(error)?).await,
    }
}

/// The same for one thing of theirs that ends; 404 where they have no such thing.
async fn ended(
    app: &AppState,
    target: (Shell, &Person, AccountId),
    done: Result<bool, AdminError>,
    note: Note,
) -> Result<Response, Failure> {
    match done {
        Ok(false) => Err(Failure::not_found()),
        done => answered(app, target, done, note).await,
    }
}

/// `POST /admin/accounts/{id}/disable`.
///
/// # Errors
/// 404 where there is no such account.
pub async fn disable(
    State(app): State<AppState>,
    SignedIn(person): SignedIn,
    Segment((id,)): Target,
    shell: Shell,
    _form: CsrfForm<Nothing>,
) -> Result<Response, Failure> {
    let done = app.accounts.disable(&admin(&person)?, id).await;
    answered(&app, (shell, &person, id), done, Note::AccountDisabled).await
}

/// `POST /admin/accounts/{id}/enable`.
///
/// # Errors
/// 404 where there is no such account.
pub async fn enable(
    State(app): State<AppState>,
    SignedIn(person): SignedIn,
    Segment((id,)): Target,
    shell: Shell,
    _form: CsrfForm<Nothing>,
) -> Result<Response, Failure> {
    let done = app.accounts.enable(&admin(&person)?, id).await;
    answered(&app, (shell, &person, id), done, Note::AccountEnabled).await
}

/// The form of deleting.
#[derive(serde::Deserialize)]
pub struct Confirmation {
    confirm: String,
}

/// `POST /admin/accounts/{id}/delete`: for good, so the e-mail has to be typed.
///
/// # Errors
/// 404 where there is no such account.
pub async fn delete(
    State(app): State<AppState>,
    SignedIn(person): SignedIn,
    Segment((id,)): Target,
    shell: Shell,
    form: CsrfForm<Confirmation>,
) -> Result<Response, Failure> {
    let by = admin(&person)?;
    let account = app.accounts.find_listed(id).await?.ok_or_else(Failure::not_found)?;
    if EmailKey::of(&form.read().confirm).as_str() != account.email_key {
        let refusal = Refusal {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            field: Some("confirm"),
            text: "This is not the account's e-mail address. Nothing was deleted.".to_owned(),
        };
        return AccountPage::refusing(&app, shell, &person, id, refusal).await;
    }
    let done = app.accounts.delete(&by, id).await;
    answered(&app, (shell, &person, id), done, Note::AccountDeleted).await
}

/// `POST /admin/accounts/{id}/sessions/end`.
///
/// # Errors
/// 404 where there is no such account.
pub async fn end_sessions(
    State(app): State<AppState>,
    SignedIn(person): SignedIn,
    Segment((id,)): Target,
    shell: Shell,
    _form: CsrfForm<Nothing>,
) -> Result<Response, Failure> {
    let done = app.accounts.end_sessions_of(&admin(&person)?, id).await;
    answered(&app, (shell, &person, id), done, Note::TheirSessionsEnded).await
}

/// `POST /admin/accounts/{id}/factors/reset`: takes every second factor away, for somebody who has lost them all.
///
/// # Errors
/// 404 where there is no such account.
pub async fn reset_factors(
    State(app): State<AppState>,
    SignedIn(person): SignedIn,
    Segment((id,)): Target,
    shell: Shell,
    _form: CsrfForm<Nothing>,
) -> Result<Response, Failure> {
    let done = app.accounts.reset_factors(&admin(&person)?, id).await;
    if matches!(done, Ok(false)) {
        let refusal = Refusal {
            status: StatusCode::CONFLICT,
            field: None,
            text: "They have no second factor. Nothing was taken away.".to_owned(),
        };
        return AccountPage::refusing(&app, shell, &person, id, refusal).await;
    }
    answered(&app, (shell, &person, id), done, Note::FactorsReset).await
}

/// `POST /admin/accounts/{id}/compromised`: others may know the password, so its person must choose another (S-02).
///
/// # Errors
/// 404 where there is no such account.
pub async fn mark_compromised(
    State(app): State<AppState>,
    SignedIn(person): SignedIn,
    Segment((id,)): Target,
    shell: Shell,
    _form: CsrfForm<Nothing>,
) -> Result<Response, Failure> {
    let done = app.accounts.mark_compromised(&admin(&person)?, id).await;
    let note = if matches!(done, Ok(false)) { Note::AccountAsItWas } else { Note::PasswordCompromised };
    answered(&app, (shell, &person, id), done, note).await
}

/// `POST /admin/accounts/{id}/sessions/{session}/end`.
///
/// # Errors
/// 404 where there is no such session of theirs.
pub async fn end_session(
    State(app): State<AppState>,
    SignedIn(person): SignedIn,
    Segment((id, session)): Segment<(AccountId, SessionId)>,
    shell: Shell,
    _form: CsrfForm<Nothing>,
) -> Result<Response, Failure> {
    let done = app.accounts.end_session_of(&admin(&person)?, id, session).await;
    ended(&app, (shell, &person, id), done, Note::SessionEnded).await
}

/// `POST /admin/accounts/{id}/tokens/{token}/revoke`.
///
/// # Errors
/// 404 where there is no such token of theirs.
pub async fn revoke_token(
    State(app): State<AppState>,
    SignedIn(person): SignedIn,
    Segment((id, token)): Segment<(AccountId, TokenId)>,
    shell: Shell,
    _form: CsrfForm<Nothing>,
) -> Result<Response, Failure> {
    let done = app.accounts.revoke_token_of(&admin(&person)?, id, token).await;
    ended(&app, (shell, &person, id), done, Note::TokenRevoked).await
}

/// `POST /admin/accounts/{id}/invite`: a new link in place of the one before.
///
/// # Errors
/// 404 where there is no such account.
pub async fn invite_again(
    State(app): State<AppState>,
    SignedIn(person): SignedIn,
    Segment((id,)): Target,
    shell: Shell,
    _form: CsrfForm<Nothing>,
) -> Result<Response, Failure> {
    match app.accounts.invite_again(&admin(&person)?, id).await {
        Ok(made) => {
            let account = app.accounts.find_listed(id).await?.ok_or_else(Failure::not_found)?;
            let link = (Some(&made.link), made.expires_at, made.mailed);
            Ok(links::show(shell, Opens::Invitation, (&account.email, address(id)), link, app.clock.now()))
        }
        Err(error) => AccountPage::refusing(&app, shell, &person, id, refusal(error)?).await,
    }
}

/// `POST /admin/accounts/{id}/reset`: a link by which they choose a new password themselves.
///
/// # Errors
/// 404 where there is no such account.
pub async fn start_reset(
    State(app): State<AppState>,
    SignedIn(person): SignedIn,
    Segment((id,)): Target,
    shell: Shell,
    _form: CsrfForm<Nothing>,
) -> Result<Response, Failure> {
    match app.accounts.start_reset(&admin(&person)?, id).await {
        Ok(made) => {
            let account = app.accounts.find_listed(id).await?.ok_or_else(Failure::not_found)?;
            let link = (made.link.as_ref(), made.expires_at, made.link.is_none());
            Ok(links::show(shell, Opens::Reset, (&account.email, address(id)), link, app.clock.now()))
        }
        Err(error) => AccountPage::refusing(&app, shell, &person, id, refusal(error)?).await,
    }
}
