//! Single sign-on: sending people to an identity provider, and receiving them back; which identities are linked with one's
//! account. The work is done by `accounts::sso`.

use askama::Template;
use askama_web::WebTemplate;
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::sign_in::after_sign_in;
use super::sign_out::Nothing;
use super::{From, Replaces, again, wait_text};
use crate::accounts::ceremonies::Holder;
use crate::accounts::sso::{Aim, Arrived, Arriving, Became, IdentityView, Leaving, SsoError, Wanted};
use crate::domain::people::Person;
use crate::sso::Back;
use crate::web::csrf::{CsrfForm, CsrfPairs};
use crate::web::error::Failure;
use crate::web::extract::{Beginning, MaybeSignedIn, Segment, SignedIn};
use crate::web::note::Note;
use crate::web::parts::Moment;
use crate::web::returning;
use crate::web::shell::Shell;
use crate::web::state::AppState;
use crate::web::step_up::{self, Stopped};

/// A provider, as something to press.
#[derive(Debug)]
pub struct Button {
    pub name: String,
    pub label: String,
}

/// The buttons of the sign-in page, in the order of the configuration.
pub(super) fn buttons(app: &AppState) -> Vec<Button> {
    let button = |(name, label): (&str, &str)| Button { name: name.to_owned(), label: label.to_owned() };
    app.sso.providers().map(button).collect()
}

/// Those that somebody is linked with.
///
/// # Errors
/// 503 when the database does not answer.
pub async fn linked(app: &AppState, person: &Person) -> Result<Vec<Button>, Failure> {
    let views = app.sso.list_identities(person).await?.into_iter().filter(|view| view.linked.is_some());
    Ok(views.map(|view| Button { name: view.provider, label: view.label }).collect())
}

/// On the way to a provider. A page of its own, because a form may not lead away from the portal, not even by a redirect
/// (`form-action 'self'`, S-41).
#[derive(Template, WebTemplate)]
#[template(path = "session/sso_leave.html")]
struct LeavePage {
    shell: Shell,
    label: String,
    address: String,
}

#[derive(Template, WebTemplate)]
#[template(path = "session/identities.html")]
struct IdentitiesPage {
    shell: Shell,
    rows: Vec<Row>,
}

struct Row {
    name: String,
    label: String,
    /// Since when, and when it was last used.
    linked: Option<(Moment, Option<Moment>)>,
}

/// The form of a provider's button.
#[derive(Deserialize)]
pub struct Fields {
    #[serde(default, rename = "return")]
    return_to: String,
}

/// `POST /sign-in/sso/{provider}`.
///
/// # Errors
/// 404 for a provider that is none, 429, 503 when the provider or the database does not answer.
pub async fn submit(
    State(app): State<AppState>,
    shell: Shell,
    Beginning(holder): Beginning,
    Segment((provider,)): Segment<(String,)>,
    From(origin): From,
    form: CsrfForm<Fields>,
) -> Result<Response, Failure> {
    let return_to = form.read().return_to;
    let leaving = Leaving {
        provider: &provider,
        aim: Aim::SignIn,
        holder,
        account: None,
        wanted: page(&return_to),
        address: origin.address,
    };
    leave(&app, shell, leaving).await
}

/// `POST /me/identities/{provider}/link`.
///
/// # Errors
/// As [`submit`].
pub async fn link(
    State(app): State<AppState>,
    shell: Shell,
    SignedIn(person): SignedIn,
    Segment((provider,)): Segment<(String,)>,
    From(origin): From,
    _form: CsrfForm<Nothing>,
) -> Result<Response, Failure> {
    let leaving = Leaving {
        provider: &provider,
        aim: Aim::Link,
        holder: Holder::session(person.session),
        account: Some(person.account),
        wanted: page("/me/identities"),
        address: origin.address,
    };
    leave(&app, shell, leaving).await
}

/// `POST /step-up/sso/{provider}`.
///
/// # Errors
/// As [`submit`].
pub async fn step_up(
    State(app): State<AppState>,
    shell: Shell,
    SignedIn(person): SignedIn,
    Segment((provider,)): Segment<(String,)>,
    From(origin): From,
    CsrfPairs(pairs): CsrfPairs,
) -> Result<Response, Failure> {
    let Stopped { action, kept, return_to } = step_up::stopped(pairs)?;
    let leaving = Leaving {
        provider: &provider,
        aim: Aim::StepUp,
        holder: Holder::session(person.session),
        account: Some(person.account),
        wanted: Wanted { action, kept, ..page(&return_to) },
        address: origin.address,
    };
    leave(&app, shell, leaving).await
}

fn page(return_to: &str) -> Wanted {
    Wanted { return_to: returning::or_queue(Some(return_to)).to_owned(), ..Wanted::default() }
}

async fn leave(app: &AppState, shell: Shell, leaving: Leaving<'_>) -> Result<Response, Failure> {
    let name = leaving.provider.to_owned();
    let is_signed_in = shell.signed_in.is_some();
    match Box::pin(app.sso.leave(leaving)).await {
        Ok(address) => {
            let label = app.sso.providers().find(|it| it.0 == name).map_or(name.as_str(), |it| it.1).to_owned();
            Ok(LeavePage { shell, label, address: address.into() }.into_response())
        }
        Err(error) => answer(error, is_signed_in),
    }
}

/// `GET /sign-in/sso/{provider}/back`: where providers send people back to. The one GET that begins a session (S-40),
/// because browsers are sent here by a redirect and cannot be sent in any other way. It does so only for the browser whose
/// form asked for it, once, within minutes; without that it changes nothing.
///
/// # Errors
/// 400 for an answer that is not believed (S-19, S-20), 403 for somebody who is not let in.
pub async fn back(
    State(app): State<AppState>,
    shell: Shell,
    MaybeSignedIn(person): MaybeSignedIn,
    Beginning(holder): Beginning,
    Segment((provider,)): Segment<(String,)>,
    (From(origin), Replaces(replaces)): (From, Replaces),
    Parts { method, uri, .. }: Parts,
) -> Result<Response, Failure> {
    // Whoever only looks ahead must not use the answer up.
    if method != Method::GET {
        return Err(Failure::new(StatusCode::BAD_REQUEST));
    }
    let is_signed_in = person.is_some();
    let back = Back::read(uri.query().unwrap_or_default());
    let arriving = Arriving {
        provider: &provider,
        back: &back,
        // A browser that came with no cookie has one since a moment ago: what another asked for stays that one's.
        holder,
        person: person.as_ref(),
        origin,
        replaces,
    };
    match Box::pin(app.sso.arrive(arriving)).await {
        Ok(arrived) => go_on(&app, shell, arrived).await,
        Err(error) => answer(error, is_signed_in),
    }
}

async fn go_on(app: &AppState, shell: Shell, arrived: Arrived) -> Result<Response, Failure> {
    let Wanted { return_to, action, kept } = arrived.wanted;
    match arrived.became {
        Became::SignedIn(session) => Ok(after_sign_in(app, &session, &return_to)),
        Became::NeedsSecond => Ok(Redirect::to("/sign-in/second").into_response()),
        Became::Linked => Ok(Note::IdentityLinked.at(&return_to, app.cookies())),
        Became::Proven(session) => step_up::carry_on(app, shell, &session, Stopped { action, kept, return_to }).await,
    }
}

/// `GET /me/identities`.
///
/// # Errors
/// 503 when the database does not answer.
pub async fn list(State(app): State<AppState>, shell: Shell, SignedIn(person): SignedIn) -> Result<Response, Failure> {
    let now = app.clock.now();
    let row = |view: IdentityView| Row {
        name: view.provider,
        label: view.label,
        linked: view.linked.map(|it| (Moment::new(it.at, now), it.last_used_at.map(|at| Moment::new(at, now)))),
    };
    let rows = app.sso.list_identities(&person).await?.into_iter().map(row).collect();
    Ok(IdentitiesPage { shell, rows }.into_response())
}

/// `POST /me/identities/{provider}/unlink`.
///
/// # Errors
/// 409 when it is their only way in.
pub async fn unlink(
    State(app): State<AppState>,
    SignedIn(person): SignedIn,
    Segment((provider,)): Segment<(String,)>,
    _form: CsrfForm<Nothing>,
) -> Result<Response, Failure> {
    match app.sso.unlink(&person, &provider).await {
        Ok(()) => Ok(Note::IdentityUnlinked.at("/me/identities", app.cookies())),
        Err(error) => answer(error, true),
    }
}

fn answer(error: SsoError, is_signed_in: bool) -> Result<Response, Failure> {
    let status = match &error {
        SsoError::NoSuchProvider => return Err(Failure::not_found()),
        SsoError::TooMany { retry_after } => {
            let failure = Failure::new(StatusCode::TOO_MANY_REQUESTS).saying(wait_text(*retry_after));
            return Ok(again(StatusCode::TOO_MANY_REQUESTS, failure, Some(*retry_after)));
        }
        SsoError::Unreachable { .. } => StatusCode::SERVICE_UNAVAILABLE,
        SsoError::Refused { .. } | SsoError::SentBack { .. } => StatusCode::BAD_REQUEST,
        SsoError::NotLetIn { .. } | SsoError::NotProven { .. } => StatusCode::FORBIDDEN,
        SsoError::Taken { .. } | SsoError::HasAnother { .. } | SsoError::OnlyWayIn { .. } => StatusCode::CONFLICT,
        SsoError::NotLinked { .. } => StatusCode::NOT_FOUND,
        SsoError::SignedOut => StatusCode::UNAUTHORIZED,
        SsoError::Unavailable(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    if let SsoError::Unavailable(cause) = error {
        return Err(cause.into());
    }
    let (label, path) = if is_signed_in { ("My account", "/me") } else { ("Sign in", "/sign-in") };
    Err(Failure::new(status).saying(error.to_string()).with_next(label, path))
}
