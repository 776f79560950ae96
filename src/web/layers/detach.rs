//! Runs each handler in a task of its own (P-01). A client that hangs up, or a request that takes too long, ends the
//! waiting, never the work: a transaction is not torn apart between its statement and its commit. It also contains
//! panics.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use crate::web::error::Failure;

/// How long a person is kept waiting.
const PATIENCE: Duration = Duration::from_secs(30);

/// The layer.
pub async fn run(State(requests): State<TaskTracker>, request: Request, next: Next) -> Response {
    let task = requests.spawn(next.run(request).instrument(tracing::Span::current()));
    match tokio::time::timeout(PATIENCE, task).await {
        Ok(Ok(response)) => response,
        // The panic itself was logged by the panic hook, once, with this request's number.
        Ok(Err(_)) => Failure::new(StatusCode::INTERNAL_SERVER_ERROR).into_response(),
        Err(_) => Failure::unavailable(Duration::from_secs(5))
            .saying(
                "This takes longer than it should. If you were deciding something, it may still be done: look at the \
                 approval before you try again.",
            )
            .into_response(),
    }
}
