//! Getting in and out: sign-in, sign-out, the first account, one's own account. The work is done by `accounts`; these
//! handlers turn its answers into pages and cookies.

pub mod forgot;
pub mod invite;
pub mod me;
pub mod my_access;
pub mod notifications;
pub mod oneself;
pub mod passkey;
pub mod push;
pub mod reset;
pub mod second;
pub mod setup;
pub mod sign_in;
pub mod sign_out;
pub mod sso;
pub mod stand_ins;
pub mod tokens;

pub use sign_out::Nothing;

use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use secrecy::{ExposeSecret as _, SecretString};

use super::cookie::Cookie;
use super::error::Failure;
use super::layers::Client;
use super::state::AppState;
use crate::accounts::links::LinkError;
use crate::accounts::{NewSession, Origin, devices};

/// Where the request came from, as records keep it.
pub struct From(pub Origin);

impl FromRequestParts<AppState> for From {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, Failure> {
        let agent = parts.headers.get(header::USER_AGENT).map(|agent| String::from_utf8_lossy(agent.as_bytes()));
        let user_agent = agent.map(|agent| agent.chars().take(300).collect()).unwrap_or_default();
        let device = app.cookies().find(&parts.headers, Cookie::Device).map(SecretString::from);
        Ok(Self(Origin { address: Client::of(&parts.extensions), user_agent, device }))
    }
}

/// The secret of the session that this browser has so far, if any: it ends when another begins here (S-25).
pub struct Replaces(pub Option<SecretString>);

impl FromRequestParts<AppState> for Replaces {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, Failure> {
        Ok(Self(app.cookies().find(&parts.headers, Cookie::Session).map(SecretString::from)))
    }
}

/// Puts a new session's cookie on a response and takes away the form cookie it replaces.
pub(super) fn begin(mut response: Response, app: &AppState, session: &NewSession) -> Response {
    let left = session.expires_at.duration_since(app.clock.now()).as_secs();
    let seconds = u32::try_from(left.max(0)).unwrap_or(u32::MAX);
    let cookies = app.cookies();
    let headers = response.headers_mut();
    let secret = session.cookie_secret.expose_secret();
    headers.append(header::SET_COOKIE, cookies.set(Cookie::Session, secret, Some(seconds)));
    headers.append(header::SET_COOKIE, cookies.clear(Cookie::Form));
    if let Some(device) = &session.device {
        let known_for = u32::try_from(devices::KNOWN_FOR.as_secs()).unwrap_or(u32::MAX);
        headers.append(header::SET_COOKIE, cookies.set(Cookie::Device, device.expose_secret(), Some(known_for)));
    }
    response
}

/// A form shown again with what is wrong; `wait` becomes `Retry-After`.
pub(super) fn again(status: StatusCode, page: impl IntoResponse, wait: Option<Duration>) -> Response {
    let mut response = (status, page).into_response();
    if let Some(wait) = wait {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
    response
}

/// "Wait 30 s", in words.
pub(super) fn wait_text(wait: Duration) -> String {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    match seconds {
        0 | 1 => "Too many tries. Wait a second, then try again.".to_owned(),
        2..120 => format!("Too many tries. Wait {seconds} seconds, then try again."),
        _ => format!("Too many tries. Wait {} minutes, then try again.", seconds.div_ceil(60)),
    }
}

/// A code in the address that leads nowhere, or may not be looked at just now: one page, whatever is the matter with it.
fn refused(error: LinkError) -> Failure {
    match error {
        LinkError::TooMany { retry_after } => Failure::too_many(retry_after),
        LinkError::Busy { retry_after } => Failure::unavailable(retry_after).saying(BUSY),
        LinkError::Unavailable(cause) => cause.into(),
        LinkError::Unknown | LinkError::BadField { .. } => dead_link(
            "This link does not work, or does so no longer: each works once, for a short time, and a newer one replaces it. \
             Ask for a new one.",
        ),
    }
}

/// The answer to every link of one sort that does not work, whatever is the matter with it (L-08).
pub(super) fn dead_link(text: &str) -> Failure {
    Failure::not_found().saying(text).with_next("Go to the sign-in page", "/sign-in")
}

pub(super) const BUSY: &str =
    "Many people are signing in at this moment. Nothing was checked; try again in a few seconds.";
