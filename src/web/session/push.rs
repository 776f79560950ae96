//! Browsers that are told what waits: turning it on and off in them, and trying it. A script asks the browser; the form it fills in
//! comes here.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::Nothing;
use crate::accounts::Unavailable;
use crate::domain::ids::PushBrowserId;
use crate::domain::people::Person;
use crate::domain::text::visible;
use crate::push::{Said, TurnError};
use crate::store::push::browsers::Browser;
use crate::web::note::Note;
use crate::web::parts::Moment;
use crate::web::session::From as CameFrom;
use crate::web::{AppState, CsrfForm, Failure, Segment, SignedIn};

/// Where the service worker is.
pub const WORKER: &str = "/push-worker.js";
const PAGE: &str = "/me/notifications";

/// The part of the page about browsers.
#[derive(Debug, Clone)]
pub struct PushPart {
    /// What browsers are told of the portal; absent where it is off.
    pub(super) key: Option<String>,
    pub(super) worker: &'static str,
    pub(super) browsers: Vec<Line>,
}

/// A browser in which it is on.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) host: String,
    /// What the script finds its own by.
    pub(super) mark: String,
    pub(super) since: Moment,
    pub(super) told: Option<Moment>,
    pub(super) is_ill: bool,
}

impl PushPart {
    /// Whether the operator turned it on.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.key.is_some()
    }

    /// # Errors
    /// [`Unavailable`].
    pub async fn load(app: &AppState, person: &Person) -> Result<Self, Unavailable> {
        let key = app.push.public_key().await?;
        let browsers = if key.is_some() { app.push.list(person).await? } else { Vec::new() };
        let now = app.clock.now();
        let line = |browser: Browser| Line {
            id: browser.id.to_string(),
            name: visible(&browser.name),
            host: visible(&browser.host),
            mark: hex::encode(&browser.address_hash),
            since: Moment::new(browser.since, now),
            told: browser.told_at.map(|at| Moment::new(at, now)),
            is_ill: browser.failures > 0,
        };
        let browsers = browsers.into_iter().map(line).collect();
        Ok(Self { key, worker: WORKER, browsers })
    }
}

/// What the script fills in.
#[derive(Deserialize)]
pub struct Subscribed {
    endpoint: String,
    p256dh: String,
    auth: String,
}

/// `POST /me/notifications/push`.
///
/// # Errors
/// 404 when it is off, 422 when the browser cannot be told anything.
pub async fn turn_on(
    State(app): State<AppState>,
    SignedIn(person): SignedIn,
    CameFrom(origin): CameFrom,
    form: CsrfForm<Subscribed>,
) -> Result<Response, Failure> {
    let form = form.read();
    let said = Said { address: &form.endpoint, key: &form.p256dh, secret: &form.auth };
    app.push.turn_on(&person, said, &origin.user_agent).await.map_err(failure)?;
    Ok(Note::PushOn.at(PAGE, app.cookies()))
}

/// `POST /me/notifications/push/{id}/stop`.
///
/// # Errors
/// 404 when it is none of theirs.
pub async fn turn_off(
    State(app): State<AppState>,
    SignedIn(person): SignedIn,
    Segment((id,)): Segment<(PushBrowserId,)>,
    _form: CsrfForm<Nothing>,
) -> Result<Response, Failure> {
    app.push.turn_off(&person, id).await.map_err(failure)?;
    Ok(Note::PushOff.at(PAGE, app.cookies()))
}

/// `POST /me/notifications/push/{id}/test`.
///
/// # Errors
/// 404 when it is none of theirs.
pub async fn test(
    State(app): State<AppState>,
    SignedIn(person): SignedIn,
    Segment((id,)): Segment<(PushBrowserId,)>,
    _form: CsrfForm<Nothing>,
) -> Result<Response, Failure> {
    app.push.test(&person, id).await.map_err(failure)?;
    Ok(Note::PushTried.at(PAGE, app.cookies()))
}

/// What the service worker says when a push service gave its browser another address.
#[derive(Deserialize)]
pub struct Renewed {
    old_endpoint: String,
    old_p256dh: String,
    old_auth: String,
    endpoint: String,
    p256dh: String,
    auth: String,
}

/// `POST /push/renewed`: by the service worker, which has no page and may have no session. It proves itself by the secret of the
/// address that it had.
///
/// # Errors
/// 404 when it does not, or it is off.
pub async fn renew(State(app): State<AppState>, body: String) -> Result<Response, Failure> {
    let form: Renewed = crate::web::extract::strict(body.as_bytes()).map_err(|_| Failure::not_found())?;
    let old = Said { address: &form.old_endpoint, key: &form.old_p256dh, secret: &form.old_auth };
    let new = Said { address: &form.endpoint, key: &form.p256dh, secret: &form.auth };
    match app.push.renew(old, new).await {
        Ok(true) => Ok(StatusCode::NO_CONTENT.into_response()),
        Ok(false) => {
            app.accounts.count_refused_hook();
            Err(Failure::not_found())
        }
        Err(TurnError::Unavailable(cause)) => Err(cause.into()),
        Err(_) => Err(Failure::not_found()),
    }
}

fn failure(error: TurnError) -> Failure {
    let failure = match error {
        TurnError::Off => Failure::not_found().saying(error.to_string()),
        TurnError::PasswordFirst => Failure::forbidden(error.to_string()),
        TurnError::SignedOut => return Failure::new(StatusCode::UNAUTHORIZED).with_next("Sign in", "/sign-in"),
        TurnError::TooMany => Failure::conflict(error.to_string()),
        TurnError::Bad(_) => Failure::new(StatusCode::UNPROCESSABLE_ENTITY).saying(error.to_string()),
        TurnError::Unknown => Failure::not_found().saying(error.to_string()),
        TurnError::Unavailable(cause) => return cause.into(),
    };
    failure.with_next("Back to notifications", PAGE)
}

/// `GET /push-worker.js`: at the top, because a service worker is for what is below it. Never kept, so that a mended one is used at
/// once.
///
/// # Errors
/// 404 never: the file is part of the program.
pub async fn worker() -> Result<Response, Failure> {
    let script = crate::web::assets::find("push-worker.js").ok_or_else(Failure::not_found)?;
    Ok(([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], script).into_response())
}

#[cfg(test)]
mod tests {
    use askama::Template;

    use super::*;
    use crate::web::Shell;
    use crate::web::display::assert_inert;

    /// As on its page.
    #[derive(Template)]
    #[template(path = "session/push.html")]
    struct Alone {
        shell: Shell,
        push: PushPart,
    }

    #[test]
    fn whatever_a_browser_calls_itself_is_no_markup() {
        let now = "2026-11-22T10:00:00Z".parse().unwrap();
        let hostile = "<img src=x onerror=alert(1)>\"'<script>\u{202e}";
        for many in [0, 1, 20] {
            let line = Line {
                id: "0199aa00-0000-7000-8000-000000000000".into(),
                name: visible(hostile),
                host: visible(hostile),
                mark: "00".repeat(32),
                since: Moment::new(now, now),
                told: Some(Moment::new(now, now)),
                is_ill: true,
            };
            let push = PushPart { key: Some("BPush".into()), worker: WORKER, browsers: vec![line; many] };
            let alone = Alone { shell: Shell::bare("/me/notifications"), push };
            assert_inert("push", &alone.render().unwrap());
        }
    }
}
