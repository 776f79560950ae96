//! The control listener: JSON over HTTP, for scripts and for tests in another process. It is not part of AWS's API and
//! listens apart from it.
//!
//! | request | body | answer |
//! |---|---|---|
//! | `GET /effects` | | decisions that took effect, oldest first |
//! | `GET /receipts` | | every PutApprovalResult received, with its answer, and start and end |
//! | `GET /calls` | | calls per operation, and the newest ones; `DELETE` forgets them |
//! | `GET /approvals` | | approvals that wait, everywhere |
//! | `GET /time` | | the simulator's clock |
//! | `POST /step` | `{"seconds": 90}` | moves a stepped clock |
//! | `POST /act` | `{"act": "decide", "pipeline": "p", "verdict": "Approved", "by": "arn…"}`, see `acts` | what came of it |
//! | `GET /faults` | | faults in force; `DELETE` clears them and lets go what they hold |
//! | `POST /faults` | `{"kind": "reset", "applied": true, "operation": "PutApprovalResult", "count": 1}`, see `faults` | `{"id": 1}` |
//! | `POST /release` | `{"id": 1}` | lets go the calls this fault holds, and removes it |
//! | `POST /rate` | `{"per_second": 5, "burst": 5}` or `{}` | limits the calls to a world, or lifts the limit |
//!
//! `account` and `region` may be given in `act` and `rate`; the first world of the file is meant otherwise. What cannot
//! be done is answered 409 with `{"error": "…"}`.

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{SimulatorHandle, acts::Order, config::Rate, faults::Fault};

/// The routes of the control listener.
pub fn router(handle: SimulatorHandle) -> Router {
    Router::new()
        .route("/effects", get(async |State(sim): State<SimulatorHandle>| Json(sim.effects())))
        .route("/receipts", get(async |State(sim): State<SimulatorHandle>| Json(sim.receipts())))
        .route("/calls", get(async |State(sim): State<SimulatorHandle>| Json(sim.calls())).delete(forget_calls))
        .route("/approvals", get(async |State(sim): State<SimulatorHandle>| Json(sim.open_approvals())))
        .route("/time", get(async |State(sim): State<SimulatorHandle>| Json(json!({ "now": sim.now() }))))
        .route("/step", post(step))
        .route("/act", post(act))
        .route("/faults", get(list_faults).post(add_fault).delete(clear_faults))
        .route("/release", post(release))
        .route("/rate", post(rate))
        .with_state(handle)
}

async fn forget_calls(State(sim): State<SimulatorHandle>) -> Json<Value> {
    sim.clear_calls();
    Json(json!({}))
}

#[derive(Deserialize)]
struct Step {
    seconds: f64,
}

async fn step(State(sim): State<SimulatorHandle>, Json(step): Json<Step>) -> Response {
    let before = sim.now();
    sim.step(SignedDuration::try_from_secs_f64(step.seconds).unwrap_or_default());
    if sim.now() == before && step.seconds > 0.0 {
        return refusal("this clock cannot be moved; start the simulator with --stepped");
    }
    Json(json!({ "now": sim.now() })).into_response()
}

async fn act(State(sim): State<SimulatorHandle>, Json(order): Json<Order>) -> Response {
    match sim.order(order) {
        Ok(done) => Json(done).into_response(),
        Err(why) => refusal(why),
    }
}

fn refusal(why: impl Into<String>) -> Response {
    (StatusCode::CONFLICT, Json(json!({ "error": why.into() }))).into_response()
}

#[derive(Serialize)]
struct Listed {
    id: u64,
    #[serde(flatten)]
    fault: Fault,
}

async fn list_faults(State(sim): State<SimulatorHandle>) -> Json<Vec<Listed>> {
    Json(sim.faults().into_iter().map(|(id, fault)| Listed { id, fault }).collect())
}

async fn add_fault(State(sim): State<SimulatorHandle>, Json(fault): Json<Fault>) -> Json<Value> {
    Json(json!({ "id": sim.add_fault(fault) }))
}

async fn clear_faults(State(sim): State<SimulatorHandle>) -> Json<Value> {
    sim.clear_faults();
    Json(json!({}))
}

#[derive(Deserialize)]
struct Release {
    id: u64,
}

async fn release(State(sim): State<SimulatorHandle>, Json(release): Json<Release>) -> Json<Value> {
    sim.release(release.id);
    Json(json!({}))
}

#[derive(Deserialize)]
struct RateOrder {
    account: Option<String>,
    region: Option<String>,
    #[serde(flatten)]
    rate: Option<Rate>,
}

async fn rate(State(sim): State<SimulatorHandle>, Json(order): Json<RateOrder>) -> Json<Value> {
    sim.world_or_default(order.account, order.region).limit_calls(order.rate);
    Json(json!({}))
}
