//! One line per request: number, method, route, status, time, who, from where. Never a path (ids are in paths), a query,
//! a header or anything of a body (S-48).

use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument as _;

use super::address::{Client, Peer};
use crate::web::guard::{Template, Visitor};
use crate::web::state::AppState;

/// The number of a request: what an error page shows and the log can be searched for. Always ours, never the client's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestId(pub String);

/// The layer.
pub async fn line(State(app): State<AppState>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = RequestId(hex::encode(app.random.bytes::<8>()));
    let peer = request.extensions().get::<Peer>().map(|peer| peer.0);
    let client = peer.map(|peer| Client::find(peer, request.headers(), &app.config.trusted_proxies));
    if let Some(client) = client {
        request.extensions_mut().insert(client);
    }
    request.extensions_mut().insert(id.clone());
    let method = request.method().clone();
    let span = tracing::info_span!("request", id = %id.0);
    let mut response = next.run(request).instrument(span).await;
    let route = response.extensions().get::<Template>().map_or("-", |template| template.0);
    let person = response.extensions().get::<Visitor>().and_then(|visitor| visitor.person.as_ref());
    let account = person.map_or_else(|| "-".to_owned(), |person| person.account.to_string());
    tracing::info!(
        target: "countersign::access",
        request = %id.0,
        // A method may be any word; only those we know are repeated.
        method = if crate::web::routes::is_known(&method) { method.as_str() } else { "other" },
        route,
        status = response.status().as_u16(),
        ms = started.elapsed().as_millis(),
        account,
        client = %client.map_or_else(|| "-".to_owned(), |client| client.0.to_string()),
        "request"
    );
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        response.headers_mut().insert("x-request-id", value);
    }
    response
}
