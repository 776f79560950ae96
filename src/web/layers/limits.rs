//! What a request may be (S-44, U-12), checked before anything acts on it. The body is read here, whole, so that a slow
//! or broken upload never reaches a handler.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use url::Url;

use crate::domain::loopback::is_loopback;
use crate::web::error::Failure;
use crate::web::hooks;
use crate::web::state::AppState;

const BODY: usize = 64 * 1024;
/// Where the fields of another form may come along, so that what one form takes is not lost in the next.
const BODY_WITH_KEPT: usize = BODY + 16 * 1024;
const ADDRESS: usize = 8 * 1024;
const HEADERS: usize = 16 * 1024;
const BODY_TIME: Duration = Duration::from_secs(10);

/// The layer.
pub async fn check(State(app): State<AppState>, request: Request, next: Next) -> Response {
    match checked(&app, request).await {
        Ok(request) => next.run(request).await,
        Err(failure) => {
            let mut response = failure.into_response();
            // The rest of such a request may still be on the wire; it must not be read as the next one.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            response
        }
    }
}

async fn checked(app: &AppState, mut request: Request) -> Result<Request, Failure> {
    if request.uri().path_and_query().is_some_and(|path| path.as_str().len() > ADDRESS) {
        return Err(Failure::new(StatusCode::URI_TOO_LONG));
    }
    let headers = request.headers();
    if headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum::<usize>() > HEADERS {
        return Err(Failure::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE));
    }
    let public = app.config.public_url();
    if !is_addressed_to(&public, request.uri().path(), headers) {
        return Err(Failure::new(StatusCode::MISDIRECTED_REQUEST)
            .saying(format!("The portal's address is {public}"))
            .with_next("Go there", public.as_str()));
    }
    // The server reads such a body by its chunks and drops a Content-Length beside it, so that the two can no longer be
    // compared here (request smuggling). Browsers never send forms in chunks.
    if headers.contains_key(header::TRANSFER_ENCODING) {
        return Err(Failure::bad_request("Bodies are taken with a Content-Length only, not in chunks."));
    }
    let length = headers.get(header::CONTENT_LENGTH).and_then(|text| text.to_str().ok()?.parse::<u64>().ok());
    let most = hooks::admit(app, &mut request)?.unwrap_or_else(|| most_of(request.uri().path()));
    if length.is_some_and(|length| length > most as u64) {
        hooks::count_too_large(app, request.uri().path());
        return Err(Failure::new(StatusCode::PAYLOAD_TOO_LARGE));
    }
    let (parts, body) = request.into_parts();
    let bytes = match tokio::time::timeout(BODY_TIME, to_bytes(body, most)).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(_)) => return Err(Failure::bad_request("The request ended before it was complete.")),
        Err(_) => return Err(Failure::new(StatusCode::REQUEST_TIMEOUT)),
    };
    Ok(Request::from_parts(parts, Body::from(bytes)))
}

/// How long the body of a request to this path may be.
fn most_of(path: &str) -> usize {
    let keeps = path == "/step-up" || path.starts_with("/step-up/");
    if keeps { BODY_WITH_KEPT } else { BODY }
}

/// Whether the request names the portal's own address. Probers may use any name of the machine itself.
fn is_addressed_to(public: &Url, path: &str, headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next().and_then(|host| host.to_str().ok()), hosts.next()) else { return false };
    let Ok(asked) = Url::parse(&format!("{}://{host}", public.scheme())) else { return false };
    if asked.origin() == public.origin() {
        return true;
    }
    // A portal on loopback is the same portal by any name the machine has for itself; an outside name that was made to
    // point here (DNS rebinding) is none of them.
    let same_machine = is_loopback(public) && asked.port_or_known_default() == public.port_or_known_default();
    is_loopback(&asked) && (same_machine || matches!(path, "/healthz" | "/readyz"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addressed(public: &str, path: &str, host: &'static str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static(host));
        is_addressed_to(&Url::parse(public).unwrap(), path, &headers)
    }

    #[test]
    fn only_the_public_name_is_answered() {
        assert!(addressed("https://sign.example", "/", "sign.example"));
        assert!(addressed("https://sign.example", "/", "SIGN.example:443"));
        for host in
            ["evil.example", "sign.example.evil.example", "sign.example:8443", "localhost", "user@sign.example@x"]
        {
            assert!(!addressed("https://sign.example", "/", host), "{host}");
        }
    }

    #[test]
    fn probers_may_call_the_machine_by_its_own_names() {
        for host in ["localhost:8080", "127.0.0.1", "[::1]:8080"] {
            assert!(addressed("https://sign.example", "/readyz", host), "{host}");
        }
        assert!(!addressed("https://sign.example", "/readyz", "10.1.2.3"));
    }

    #[test]
    fn a_portal_on_loopback_is_found_by_every_name_of_the_machine_itself() {
        for host in ["127.0.0.1:8080", "localhost:8080", "[::1]:8080"] {
            assert!(addressed("http://127.0.0.1:8080", "/", host), "{host}");
        }
        for host in ["localhost:9090", "localhost", "rebound.example:8080"] {
            assert!(!addressed("http://127.0.0.1:8080", "/", host), "{host}");
        }
    }

    #[test]
    fn no_host_or_two_hosts_are_refused() {
        let public = Url::parse("http://127.0.0.1:1").unwrap();
        let mut headers = HeaderMap::new();
        assert!(!is_addressed_to(&public, "/", &headers));
        headers.append(header::HOST, HeaderValue::from_static("127.0.0.1:1"));
        headers.append(header::HOST, HeaderValue::from_static("127.0.0.1:1"));
        assert!(!is_addressed_to(&public, "/", &headers));
    }
}
