//! Turns every error without a body of its own into a page (or, below `/api/`, into `application/problem+json`) that
//! says what was wrong, what to do, and the request's number, and nothing else (S-45). Also takes away a one-time
//! message that has been shown.

use askama::Template;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};

use super::log::RequestId;
use crate::web::cookie::Cookie;
use crate::web::error::Said;
use crate::web::guard::Visitor;
use crate::web::note::Note;
use crate::web::shell::Shell;
use crate::web::state::AppState;

/// On a response whose body is meant as it is, whatever its status.
#[derive(Debug, Clone, Copy)]
pub struct AsIs;

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    shell: Shell,
    heading: &'static str,
    text: String,
    next: (String, String),
    request_id: String,
}

/// The layer.
pub async fn finish(State(app): State<AppState>, request: Request, next: Next) -> Response {
    let (path, is_safe) = (request.uri().path().to_owned(), request.method().is_safe());
    let id = request.extensions().get::<RequestId>().cloned().unwrap_or_default();
    let had_note = Note::find(request.headers(), app.cookies()).is_some();
    let mut response = next.run(request).await;
    if is_bare_error(&response) {
        if response.status() == StatusCode::SERVICE_UNAVAILABLE && !is_safe {
            admit_doubt(&mut response);
        }
        response = dressed(&app, &path, &id, &response);
    }
    if had_note && is_page(&response) {
        response.headers_mut().append(header::SET_COOKIE, app.cookies().clear(Cookie::Note));
    }
    response
}

fn is_bare_error(response: &Response) -> bool {
    let is_error = response.status().is_client_error() || response.status().is_server_error();
    is_error && response.extensions().get::<AsIs>().is_none() && !is_page(response)
}

/// A database that stops answering may do so between doing and saying so: nothing is claimed that nobody knows. Whoever
/// does know has said it.
fn admit_doubt(response: &mut Response) {
    let said = response.extensions_mut().get_or_insert_default::<Said>();
    said.text.get_or_insert_with(|| {
        "The portal's database does not answer just now. Whether what you asked for was done is not known: look before \
         you do it again."
            .to_owned()
    });
}

fn is_page(response: &Response) -> bool {
    response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"))
}

fn dressed(app: &AppState, path: &str, id: &RequestId, bare: &Response) -> Response {
    let status = bare.status();
    let said = bare.extensions().get::<Said>().cloned().unwrap_or_default();
    let mut clothed =
        if path.starts_with("/api/") { problem(status, &said, id) } else { page(app, path, &said, id, bare) };
    *clothed.status_mut() = status;
    for name in [header::RETRY_AFTER, header::ALLOW, header::CONNECTION, header::WWW_AUTHENTICATE] {
        if let Some(value) = bare.headers().get(&name) {
            clothed.headers_mut().insert(name, value.clone());
        }
    }
    for cookie in bare.headers().get_all(header::SET_COOKIE) {
        clothed.headers_mut().append(header::SET_COOKIE, cookie.clone());
    }
    *clothed.extensions_mut() = bare.extensions().clone();
    clothed
}

fn page(app: &AppState, path: &str, said: &Said, id: &RequestId, bare: &Response) -> Response {
    let visitor = bare.extensions().get::<Visitor>().cloned().unwrap_or_default();
    let csrf = visitor.binding.as_ref().map(|binding| binding.token(&app.random)).unwrap_or_default();
    let (heading, general) = words(bare.status());
    let page = ErrorPage {
        shell: Shell::of(visitor.person.as_ref(), csrf, path),
        heading,
        text: said.text.clone().unwrap_or_else(|| general.to_owned()),
        next: said.next.clone().unwrap_or_else(|| ("Go to the queue".to_owned(), "/".to_owned())),
        request_id: id.0.clone(),
    };
    match page.render() {
        Ok(html) => Html(html).into_response(),
        Err(error) => {
            tracing::error!(%error, "the error page could not be made");
            general.into_response()
        }
    }
}

fn problem(status: StatusCode, said: &Said, id: &RequestId) -> Response {
    let mut body = serde_json::json!({
        "type": "about:blank",
        // What `about:blank` asks for (RFC 9457): the words on pages are for people.
        "title": status.canonical_reason().unwrap_or("Error"),
        "status": status.as_u16(),
        "request_id": id.0,
    });
    if let (true, Some(text)) = (status.is_client_error(), &said.text) {
        body["detail"] = text.clone().into();
    }
    let kind = HeaderValue::from_static("application/problem+json");
    ([(header::CONTENT_TYPE, kind)], body.to_string()).into_response()
}

/// Heading and general explanation of a status.
fn words(status: StatusCode) -> (&'static str, &'static str) {
    match status.as_u16() {
        400 => ("This request cannot be understood", "Nothing was done. Go back, reload the page and try again."),
        401 => ("You are not signed in", "Sign in and try again. Nothing was done."),
        403 => ("You may not do this", "Nothing was done."),
        404 => ("There is no such page", "It may have been removed, or the address may be mistyped."),
        405 => ("This cannot be done here", "The page exists, but not for this kind of request."),
        408 => ("The request came too slowly", "Nothing was done. Try again on a better connection."),
        409 => ("Things have changed meanwhile", "Nothing was done. Look at the page again."),
        413 => ("This is too much text", "A form may hold 64 KiB. Nothing was done."),
        414 => ("The address is too long", "Go to the page by its links."),
        415 => ("This kind of content is not taken", "Nothing was done."),
        421 => ("This is not the portal's address", "Use the address that your operator gave you."),
        422 => ("Something is not right with what was entered", "Nothing was done. Go back and correct it."),
        429 => ("Too many tries", "Wait a little before you try again."),
        431 => ("The request's headers are too long", "Clear the cookies of this site and try again."),
        503 => ("The portal cannot answer just now", "Its database does not answer. Try again in a moment."),
        _ if status.is_client_error() => ("This did not work", "Nothing was done."),
        _ => (
            "Something went wrong inside the portal",
            "It has been noted. Try again; if it happens again, tell your operator the number below.",
        ),
    }
}
