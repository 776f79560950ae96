//! What surrounds every request, from the outside in. The order is the design:
//!
//! ```text
//! log       a number for the request, the caller's address, one line when it is over
//! headers   what every answer tells a browser, errors too
//! compress  see below
//! dress     makes error pages, takes away one-time messages
//! limits    host, lengths; reads the body whole, within its limits, before anything acts on it
//! detach    the handler runs in a task of its own, which a client that hangs up cannot cancel
//! guard     per route: origin, session, role (`web::guard`)
//! ```
//!
//! Pages are compressed although they hold secrets and echo searches (the BREACH attack): form tokens and one-use keys
//! differ in every answer, the session secret is in none, and cookies are `SameSite=Lax`, so that other sites cannot
//! make a browser fetch our pages signed in. What remains is a large page on a slow phone.

mod address;
pub mod detach;
pub mod dress;
pub mod headers;
pub mod limits;
pub mod log;
pub mod origin;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use tokio_util::task::TaskTracker;
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;

pub use address::{Client, Peer};

use super::state::AppState;

/// Surrounds the routes with all layers. `requests` tracks the handlers' tasks, so that a stop can wait for them.
pub fn around(router: Router, app: &AppState, requests: TaskTracker) -> Router {
    let (supervisor, pulse) = (app.supervisor.clone(), app.database.pulse.clone());
    let tasks = detach::Tasks { requests, supervisor, patience: detach::PATIENCE, pulse };
    router
        .layer(from_fn_with_state(tasks, detach::run))
        .layer(from_fn_with_state(app.clone(), limits::check))
        .layer(from_fn_with_state(app.clone(), dress::finish))
        // The quickest level: the next one takes several times as long and saves a tenth (P-06).
        .layer(CompressionLayer::new().quality(CompressionLevel::Fastest))
        .layer(from_fn_with_state(app.clone(), headers::add))
        .layer(from_fn_with_state(app.clone(), log::line))
        .layer(from_fn(address::never_missing))
}
