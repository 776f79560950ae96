//! The portal over HTTP, running: routes, layers, connections, and how it stops. `serve`, the demo and the tests all
//! start it here.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use super::layers;
use super::listen::Listening;
use super::routes;
use super::state::AppState;

/// Starts portals.
#[derive(Debug)]
pub struct App;

impl App {
    /// Serves the portal on `listener`. Nothing else is started: what the portal does by itself (watching, settling,
    /// tidying) is `duties`.
    ///
    /// # Errors
    /// The listener has no address.
    pub fn start(state: AppState, listener: TcpListener) -> std::io::Result<Running> {
        let requests = TaskTracker::new();
        let router = layers::around(routes::router(&state), &state, requests.clone());
        let trusted = state.config.trusted_proxies.clone();
        let listening = Listening::start(listener, router, trusted, &state.readiness)?;
        Ok(Running { address: listening.address, state, listening, requests })
    }
}

/// A running portal.
pub struct Running {
    pub address: SocketAddr,
    pub state: AppState,
    listening: Listening,
    requests: TaskTracker,
}

impl Running {
    /// Tells probers that no more requests are wanted, and open pages to come back elsewhere; goes on serving (P-20).
    pub fn leave(&self) {
        self.state.readiness.leave();
        self.state.streams.leave();
    }

    /// Stops: no new connections, and at most `patience` for the requests that run. Their work, which nobody can cancel,
    /// is waited for within the same time.
    pub async fn stop(self, patience: Duration) {
        self.leave();
        self.state.readiness.stop();
        self.state.streams.leave();
        let deadline = tokio::time::Instant::now() + patience;
        self.listening.stop(patience).await;
        self.requests.close();
        if tokio::time::timeout_at(deadline, self.requests.wait()).await.is_err() {
            tracing::warn!(left = self.requests.len(), "requests were still at work at the end of their time");
        }
    }
}
