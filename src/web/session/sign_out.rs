//! Signing out: the session ends here and now, and the browser is told to forget what it kept (S-28).

use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use crate::web::cookie::Cookie;
use crate::web::csrf::CsrfForm;
use crate::web::error::Failure;
use crate::web::extract::SignedIn;
use crate::web::state::AppState;

/// A form with nothing but its token.
#[derive(Deserialize)]
pub struct Nothing {}

/// `POST /sign-out`.
///
/// # Errors
/// 503 when the session could not be ended: the person is told, and is still signed in.
pub async fn submit(
    State(app): State<AppState>,
    SignedIn(person): SignedIn,
    _form: CsrfForm<Nothing>,
) -> Result<Response, Failure> {
    app.accounts.sign_out(&person).await?;
    Ok(goodbye(&app))
}

/// Back to the sign-in page, without anything of the session.
pub(super) fn goodbye(app: &AppState) -> Response {
    let mut response = Redirect::to("/sign-in?after=sign-out").into_response();
    let headers = response.headers_mut();
    headers.append(header::SET_COOKIE, app.cookies().clear(Cookie::Session));
    let forget = HeaderValue::from_static("\"cache\", \"cookies\", \"storage\"");
    headers.insert(HeaderName::from_static("clear-site-data"), forget);
    response
}
