//! Runs each handler in a task of its own (P-01). A client that hangs up, or a request that takes too long, ends the
//! waiting, never the work: a transaction is not torn apart between its statement and its commit. Reading requests too,
//! because they may note that a session was used. It also contains panics.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::task::JoinError;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use crate::database::Pulse;
use crate::supervise::Supervisor;
use crate::web::error::Failure;

/// How long a person is kept waiting.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What the panics of handlers are counted as.
pub const REQUEST: &str = "answering a request";

/// How long a request is heard while the database is silent.
const GRACE: Duration = Duration::from_millis(250);

/// Where the handlers' tasks are kept track of, and how long they are waited for.
#[derive(Debug, Clone)]
pub struct Tasks {
    pub requests: TaskTracker,
    /// Counts the panics.
    pub supervisor: Supervisor,
    pub patience: Duration,
    pub pulse: Pulse,
}

/// The layer.
pub async fn run(State(tasks): State<Tasks>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let work = until_dead(next.run(request), tasks.pulse.clone(), began);
    let mut task = tasks.requests.spawn(work.instrument(tracing::Span::current()));
    let answer = |done: Result<Option<Response>, JoinError>| match done {
        Ok(done) => done.unwrap_or_else(overdue),
        Err(_) => {
            // The panic itself was logged by the panic hook, once, with this request's number.
            tasks.supervisor.count_panic(REQUEST);
            Failure::new(StatusCode::INTERNAL_SERVER_ERROR).into_response()
        }
    };
    tokio::select! {
        biased;
        done = &mut task => return answer(done),
        () = tasks.pulse.silent(began) => {
            // What needs no database is answered all the same.
            if let Ok(done) = tokio::time::timeout(GRACE, &mut task).await {
                return answer(done);
            }
        }
        () = tokio::time::sleep(tasks.patience) => {}
    }
    overdue()
}

const OVERDUE: &str = "This takes longer than it should. If you were deciding or changing something, it may still be done: \
                       look at it before you try again.";

/// Nobody waits for the task any more; it goes on by itself.
fn overdue() -> Response {
    Failure::unavailable(Duration::from_secs(5)).saying(OVERDUE).into_response()
}

/// Works, unless it hangs on a database that is no longer there. The task looks to that itself, because whoever waited for
/// it may have hung up long before, and each one that hung would keep a connection from everybody.
async fn until_dead(work: impl Future<Output = Response>, pulse: Pulse, began: Instant) -> Option<Response> {
    tokio::select! {
        biased;
        done = work => Some(done),
        () = pulse.dead(began) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use axum::Router;
    use axum::body::Body;
    use axum::middleware::from_fn_with_state;
    use axum::routing::get;
    use tokio::sync::Notify;
    use tower::ServiceExt as _;

    fn around(router: Router, patience: Duration) -> (Router, TaskTracker) {
        counted(router, patience, Supervisor::default())
    }

    fn counted(router: Router, patience: Duration, supervisor: Supervisor) -> (Router, TaskTracker) {
        let requests = TaskTracker::new();
        let tasks = Tasks { requests: requests.clone(), supervisor, patience, pulse: Pulse::default() };
        (router.layer(from_fn_with_state(tasks, run)), requests)
    }

    fn request() -> Request {
        Request::builder().uri("/").body(Body::empty()).unwrap()
    }

    #[tokio::test]
    async fn a_panic_is_answered_with_500_and_counted_and_nothing_else_ends() {
        // P-21
        let panicking = get(async || -> &'static str { panic!("a secret of the inside") });
        let (routes, supervisor) = (Router::new().route("/", panicking), Supervisor::default());
        let (router, _) = counted(routes.route("/fine", get(async || "fine")), PATIENCE, supervisor.clone());
        for _ in 0..9 {
            let answer = router.clone().oneshot(request()).await.unwrap();
            assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
        }
        assert_eq!(supervisor.panics(), [(REQUEST, 9)]);
        assert!(supervisor.troubled().is_empty(), "nobody can make the portal unready by asking");
        let fine = Request::builder().uri("/fine").body(Body::empty()).unwrap();
        assert_eq!(router.oneshot(fine).await.unwrap().status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn work_goes_on_when_nobody_waits_for_it_any_more() {
        let (begun, go_on, done) = (Arc::new(Notify::new()), Arc::new(Notify::new()), Arc::new(Notify::new()));
        let signals = (begun.clone(), go_on.clone(), done.clone());
        let working = get(move || async move {
            let (begun, go_on, done) = signals;
            begun.notify_one();
            go_on.notified().await;
            done.notify_one();
        });
        let (router, requests) = around(Router::new().route("/", working), PATIENCE);
        let waiting = tokio::spawn(router.oneshot(request()));
        begun.notified().await;
        waiting.abort();
        assert!(waiting.await.unwrap_err().is_cancelled());
        go_on.notify_one();
        done.notified().await;
        requests.close();
        requests.wait().await;
    }

    #[tokio::test]
    async fn what_hangs_on_a_dead_database_ends_also_when_its_client_hung_up_before() {
        let pulse = Pulse::default();
        let requests = TaskTracker::new();
        let tasks = Tasks {
            requests: requests.clone(),
            supervisor: Supervisor::default(),
            patience: PATIENCE,
            pulse: pulse.clone(),
        };
        let hanging = Router::new().route("/", get(std::future::pending::<()>));
        let router = hanging.layer(from_fn_with_state(tasks, run));
        let waiting = tokio::spawn(router.oneshot(request()));
        while requests.is_empty() {
            tokio::task::yield_now().await;
        }
        waiting.abort();
        assert!(waiting.await.unwrap_err().is_cancelled());
        pulse.take_for_dead();
        requests.close();
        requests.wait().await;
    }

    #[tokio::test]
    async fn nobody_is_kept_waiting_for_ever() {
        let (router, _) = around(Router::new().route("/", get(std::future::pending::<()>)), Duration::ZERO);
        let answer = router.oneshot(request()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(answer.headers().contains_key("retry-after"));
    }
}
