//! Getting in and out: sign-in, sign-out, the first account, one's own account. The work is done by `accounts`; these
//! handlers turn its answers into pages and cookies.

pub mod me;
pub mod setup;
pub mod sign_in;
pub mod sign_out;

use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use secrecy::ExposeSecret as _;

use super::cookie::Cookie;
use super::error::Failure;
use super::layers::Client;
use super::state::AppState;
use crate::accounts::{NewSession, Origin};

/// Where the request came from, as records keep it.
pub struct From(pub Origin);

impl<S: Send + Sync> FromRequestParts<S> for From {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let agent = parts.headers.get(header::USER_AGENT).map(|agent| String::from_utf8_lossy(agent.as_bytes()));
        let user_agent = agent.map(|agent| agent.chars().take(300).collect()).unwrap_or_default();
        Ok(Self(Origin { address: Client::of(&parts.extensions), user_agent }))
    }
}

/// Puts a new session's cookie on a response and takes away the form cookie it replaces.
fn begin(mut response: Response, app: &AppState, session: &NewSession) -> Response {
    let left = session.expires_at.duration_since(app.clock.now()).as_secs();
    let seconds = u32::try_from(left.max(0)).unwrap_or(u32::MAX);
    let cookies = app.cookies();
    let headers = response.headers_mut();
    let secret = session.cookie_secret.expose_secret();
    headers.append(header::SET_COOKIE, cookies.set(Cookie::Session, secret, Some(seconds)));
    headers.append(header::SET_COOKIE, cookies.clear(Cookie::Form));
    response
}

/// A form shown again with what is wrong; `wait` becomes `Retry-After`.
fn again(status: StatusCode, page: impl IntoResponse, wait: Option<Duration>) -> Response {
    let mut response = (status, page).into_response();
    if let Some(wait) = wait {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
    response
}

/// "Wait 30 s", in words.
fn wait_text(wait: Duration) -> String {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    match seconds {
        0 | 1 => "Too many tries. Wait a second, then try again.".to_owned(),
        2..120 => format!("Too many tries. Wait {seconds} seconds, then try again."),
        _ => format!("Too many tries. Wait {} minutes, then try again.", seconds.div_ceil(60)),
    }
}

const BUSY: &str = "Many people are signing in at this moment. Nothing was checked; try again in a few seconds.";
