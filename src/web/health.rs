//! What probers ask. *Alive* never touches the database: its outage must not restart every replica. *Ready* asks it, at
//! most once a second however many ask (P-16), and names what is missing without versions, names or addresses.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::layers::dress::AsIs;
use super::state::AppState;
use crate::database::migrate::{self, SchemaState};
use crate::database::safety;

/// How long an answer stands.
const STANDS: Duration = Duration::from_secs(1);

/// Whether the portal wants requests. Shared by all who ask and by the shutdown, which turns it off.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    leaving: CancellationToken,
    stopping: CancellationToken,
    last: Mutex<Option<(Instant, Vec<String>)>>,
}

impl Readiness {
    /// From now on the portal is not ready: it is about to stop (P-20).
    pub fn leave(&self) {
        self.0.leaving.cancel();
    }

    /// From now on nothing new is accepted.
    pub fn stop(&self) {
        self.leave();
        self.0.stopping.cancel();
    }

    /// Cancelled while probers are given time to notice that the portal is about to stop. Requests are answered as ever,
    /// each on the last answer of its connection.
    #[must_use]
    pub fn leaving(&self) -> &CancellationToken {
        &self.0.leaving
    }

    /// Cancelled when no more connections are accepted. An answer without an end of its own must end now.
    #[must_use]
    pub fn stopping(&self) -> &CancellationToken {
        &self.0.stopping
    }
}

/// `GET /healthz`: the process lives.
pub async fn alive() -> Response {
    plain(StatusCode::OK, "ok\n".to_owned())
}

/// `GET /readyz`: requests are welcome, or one line for each reason why not.
pub async fn ready(State(app): State<AppState>) -> Response {
    if app.readiness.leaving().is_cancelled() {
        return plain(StatusCode::SERVICE_UNAVAILABLE, "stopping\n".to_owned());
    }
    // Whoever comes while the question is being asked waits for the same answer.
    let mut last = app.readiness.0.last.lock().await;
    let missing = match &*last {
        Some((at, missing)) if at.elapsed() < STANDS => missing.clone(),
        _ => {
            let missing = what_is_missing(&app).await;
            *last = Some((Instant::now(), missing.clone()));
            missing
        }
    };
    drop(last);
    if missing.is_empty() {
        return plain(StatusCode::OK, "ready\n".to_owned());
    }
    let lines: String = missing.iter().map(|line| format!("{line}\n")).collect();
    plain(StatusCode::SERVICE_UNAVAILABLE, lines)
}

/// What stands between the portal and its work. The details go to the log; probers are strangers.
async fn what_is_missing(app: &AppState) -> Vec<String> {
    let again_and_again = |task: &str| format!("a part of the portal fails again and again: {task}");
    let mut missing: Vec<String> = app.supervisor.troubled().into_iter().map(again_and_again).collect();
    let lacks = app.database.pulse.or_silent(async { Ok::<_, sqlx::Error>(what_the_database_lacks(app).await) }).await;
    let lacks = lacks.unwrap_or_else(|_| vec!["the database does not answer"]);
    missing.extend(lacks.into_iter().map(str::to_owned));
    missing
}

async fn what_the_database_lacks(app: &AppState) -> Vec<&'static str> {
    let Ok(mut connection) = app.database.pages.acquire().await else {
        return vec!["the database cannot be reached"];
    };
    let mut missing = Vec::new();
    match migrate::load_state(&mut connection).await {
        // A newer schema is an upgrade under way: this replica goes on until it is replaced.
        Ok(SchemaState::Current | SchemaState::Newer { fits: true, .. }) => {}
        Ok(state) => {
            tracing::warn!(problem = state.problem(), "not ready: migrations");
            missing.push("the database's migrations are not current");
        }
        Err(error) => {
            tracing::warn!(%error, "not ready: migrations");
            return vec!["the database does not answer"];
        }
    }
    match safety::check(&mut connection).await {
        Ok(unsafe_because) => {
            for problem in &unsafe_because {
                tracing::error!(%problem, "not ready: the audit table is not safe");
            }
            if !unsafe_because.is_empty() {
                missing.push("the database is not safe to keep records in");
            }
        }
        Err(error) => {
            tracing::warn!(%error, "not ready: safety check");
            missing.push("the database does not answer");
        }
    }
    missing
}

fn plain(status: StatusCode, text: String) -> Response {
    let mut response = (status, text).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.extensions_mut().insert(AsIs);
    response
}
