//! What probers ask. Alive never touches the database: its outage must not restart every replica (P-16).

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::layers::dress::AsIs;

/// `GET /healthz`: the process lives.
pub async fn alive() -> Response {
    plain(StatusCode::OK, "ok\n".to_owned())
}

/// `GET /readyz`.
pub async fn ready() -> Response {
    plain(StatusCode::OK, "ready\n".to_owned())
}

fn plain(status: StatusCode, text: String) -> Response {
    let mut response = (status, text).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.extensions_mut().insert(AsIs);
    response
}
