//! The guard of each route: where the request comes from (S-37), who is asking, and whether they may. It reads session,
//! account and roles afresh for every request and keeps nothing (S-27).

use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::tz::TimeZone;

use super::api::bearer;
use super::cookie::Cookie;
use super::csrf::Binding;
use super::error::Failure;
use super::layers::Client;
use super::layers::origin;
use super::page_zone;
use super::returning;
use super::routes::{Access, Kind};
use super::state::AppState;
use super::step_up;
use crate::accounts::ceremonies::Holder;
use crate::accounts::tokens::TokenView;
use crate::decisions::Refused;
use crate::domain::people::{Person, Role};

/// What the table says about the route that was hit.
#[derive(Debug, Clone, Copy)]
pub struct Gate {
    pub path: &'static str,
    pub access: Access,
    pub kind: Kind,
    pub stepped_up: bool,
}

/// Who is asking, as the guard found out. In the request for the handler and in the response for the layers outside.
#[derive(Debug, Clone, Default)]
pub struct Visitor {
    pub person: Option<Person>,
    /// What this visitor's form tokens are bound to. Absent where there are no forms.
    pub binding: Option<Binding>,
    /// Who can go on with what this visitor begins.
    pub holder: Option<Holder>,
    /// What a program came with, in place of a session.
    pub token: Option<TokenView>,
}

/// The route's template, for the log: paths hold ids, templates do not.
#[derive(Debug, Clone, Copy)]
pub struct Template(pub &'static str);

/// Lets the request through to its handler, or answers it.
pub async fn check(State((app, gate)): State<(AppState, Gate)>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let admitted = admit(&app, gate, &mut parts).await;
    let visitor = parts.extensions.get::<Visitor>().cloned().unwrap_or_default();
    let request = Request::from_parts(parts, body);
    let zone = visitor.person.as_ref().map_or(TimeZone::UTC, |person| person.zone.clone());
    let answer = async {
        match admitted {
            Ok(None) => match step_up::pass(&app, gate, &visitor, request).await {
                Ok(request) => next.run(request).await,
                Err(answer) => *answer,
            },
            Ok(Some(secret)) => {
                let mut response = next.run(request).await;
                let cookie = app.cookies().set(Cookie::Form, &secret, None);
                response.headers_mut().append(header::SET_COOKIE, cookie);
                response
            }
            Err(answer) => *answer,
        }
    };
    let mut response = page_zone::shown_in(zone, answer).await;
    response.extensions_mut().insert(visitor);
    response.extensions_mut().insert(Template(gate.path));
    response
}

/// Admits the request, leaving the [`Visitor`] in it; `Some` is a new form secret for this browser.
async fn admit(app: &AppState, gate: Gate, request: &mut Parts) -> Result<Option<String>, Box<Response>> {
    if matches!(gate.kind, Kind::Machine | Kind::Hook | Kind::Asset) {
        return Ok(None);
    }
    if let Kind::Api(needs) = gate.kind {
        // No cookie counts there, so it does not matter which page a request was made by.
        return bearer::admit(app, gate, needs, request).await.map(|()| None).map_err(answer);
    }
    if !request.method.is_safe()
        && let Err(foreign) = origin::check(&request.headers, &app.config.public_origin(), gate.kind)
    {
        app.accounts.count_foreign_request();
        return Err(answer(foreign));
    }
    let mut visitor = recognise(app, gate, request).await.map_err(answer)?;
    let mut fresh = None;
    if visitor.person.is_none() && gate.kind != Kind::Stream {
        let (secret, is_fresh) = browser_secret(app, request);
        visitor.binding = secret.as_deref().map(Binding::new);
        visitor.holder = secret.as_deref().map(Holder::browser);
        fresh = secret.filter(|_| is_fresh).map(|secret| URL_SAFE_NO_PAD.encode(secret));
    }
    request.extensions.insert(visitor.clone());
    permit(app, gate, visitor.person.as_ref(), request).await?;
    Ok(fresh)
}

fn answer(failure: Failure) -> Box<Response> {
    Box::new(failure.into_response())
}

async fn recognise(app: &AppState, gate: Gate, request: &Parts) -> Result<Visitor, Failure> {
    let Some(secret) = app.cookies().find(&request.headers, Cookie::Session) else { return Ok(Visitor::default()) };
    let client = Client::of(&request.extensions);
    let found = match gate.kind {
        Kind::Decision => app.accounts.person_deciding(secret, client).await,
        Kind::Stream => app.accounts.person(secret, client, false).await,
        _ => app.accounts.person(secret, client, is_activity(&request.method, &request.headers)).await,
    };
    let found = found.map_err(|error| Failure::from(error).before_anything())?;
    Ok(found.map_or_else(Visitor::default, |(person, csrf)| Visitor {
        holder: Some(Holder::session(person.session)),
        person: Some(person),
        binding: Some(Binding::new(csrf.expose())),
        token: None,
    }))
}

/// Whether a person did this, rather than a page by itself (S-26): script's fetches say `empty` here.
fn is_activity(method: &Method, headers: &HeaderMap) -> bool {
    !method.is_safe() || headers.get("sec-fetch-dest").is_none_or(|dest| dest == "document")
}

async fn permit(app: &AppState, gate: Gate, person: Option<&Person>, request: &Parts) -> Result<(), Box<Response>> {
    match (gate.access, person) {
        (Access::Public, _) | (Access::SignedIn, Some(_)) => Ok(()),
        (Access::SetupOnly, _) => match app.accounts.no_account_exists().await {
            Ok(true) => Ok(()),
            Ok(false) => Err(answer(Failure::not_found())),
            Err(error) => Err(answer(Failure::from(error).before_anything())),
        },
        (Access::AnyOf(roles), Some(person)) if roles.iter().any(|role| person.roles.has(*role)) => Ok(()),
        // Nothing but a password of their own first.
        (Access::AnyOf(_), Some(person))
            if person.must_change_password && request.method.is_safe() && gate.kind != Kind::Stream =>
        {
            Err(Box::new(Redirect::to("/me").into_response()))
        }
        // An admin without a second factor is none, until they have one and have shown it (S-15).
        (Access::AnyOf(roles), Some(person)) if person.lacks_factor && roles.contains(&Role::Admin) => {
            Err(lacking_factor(gate, request))
        }
        (Access::AnyOf(roles), Some(person)) => {
            let names: Vec<_> = roles.iter().map(|role| role.name()).collect();
            let text = format!(
                "Your account may not do this: it needs the role {}. Ask an admin of this portal for it.",
                names.join(" or ")
            );
            if gate.kind == Kind::Decision {
                record_attempt(app, person, request, &text).await;
            }
            Err(answer(Failure::forbidden(text)))
        }
        (Access::SignedIn | Access::AnyOf(_), None) if request.method.is_safe() && gate.kind != Kind::Stream => {
            Err(Box::new(Redirect::to(&returning::sign_in_for(&request.uri)).into_response()))
        }
        (Access::SignedIn | Access::AnyOf(_), None) => {
            let failure = Failure::new(StatusCode::UNAUTHORIZED)
                .saying(match gate.kind {
                    // An earlier click of the same form may have decided before the session ended.
                    Kind::Decision => {
                        "You are not signed in, or your session has ended, so this time nothing was sent. If you \
                         pressed the button before, sign in and look at the approval."
                    }
                    _ => "You are not signed in, or your session has ended. Nothing was done.",
                })
                .with_next("Sign in", "/sign-in");
            Err(answer(failure))
        }
    }
}

fn lacking_factor(gate: Gate, request: &Parts) -> Box<Response> {
    if request.method.is_safe() && gate.kind != Kind::Stream {
        return Box::new(Redirect::to("/me/factors").into_response());
    }
    let failure = Failure::forbidden("Admins need a second factor, and this session has shown none. Nothing was done.");
    answer(failure.with_next("My second factors", "/me/factors"))
}

/// Somebody who may not decide has tried to: that belongs in the record like any other attempt.
async fn record_attempt(app: &AppState, person: &Person, request: &Parts, reason: &str) {
    let asked_for = request.uri.path().split('/').nth(2).and_then(|id| id.parse().ok());
    if let Some(approval) = asked_for {
        app.decisions.record_forbidden(person, &Refused { approval, reason: reason.to_owned() }).await;
    }
}

/// Before sign-in there is no session to bind form tokens to; a cookie of their own binds them to the browser. Its secret,
/// and whether it was made just now.
fn browser_secret(app: &AppState, request: &Parts) -> (Option<Vec<u8>>, bool) {
    let known = app.cookies().find(&request.headers, Cookie::Form).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
    match known.filter(|secret| secret.len() == 32) {
        Some(secret) => (Some(secret), false),
        None if request.method.is_safe() => (Some(app.random.bytes::<32>().to_vec()), true),
        None => (None, false),
    }
}
