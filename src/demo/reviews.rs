//! The pages that the demo's review links open: what a code host would show of a change. Knows the simulated world, never
//! the portal.

use askama::Template;
use askama_web::WebTemplate;
use axum::{
    Router,
    extract::{Path, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};

use super::world::{Detail, details};
use crate::simulator::SimulatorHandle;

const STYLE: &str = include_str!("reviews.css");
/// The pages hold text from commits, so nothing but their own style is let in.
const POLICY: &str = "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'";

#[derive(Debug, Template, WebTemplate)]
#[template(path = "demo/change.html")]
struct ChangePage {
    title: String,
    body: String,
    author: String,
    repository: String,
    branch: String,
    commit: String,
    at: String,
    pipeline: String,
    detail: Option<Detail>,
}

#[derive(Debug, Template, WebTemplate)]
#[template(path = "demo/no_change.html")]
struct NoChangePage {
    commit: String,
}

/// The pages, for changes of this simulator.
pub fn router(simulator: SimulatorHandle) -> Router {
    Router::new()
        .route("/{pipeline}/{commit}", get(show))
        .route("/reviews.css", get(|| async { ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE) }))
        .with_state(simulator)
}

async fn show(State(simulator): State<SimulatorHandle>, Path((_, commit)): Path<(String, String)>) -> Response {
    let page = match simulator.find_change(&commit) {
        None => (StatusCode::NOT_FOUND, NoChangePage { commit }).into_response(),
        Some(change) => {
            let message = change.commit.message;
            let (title, body) = message.split_once('\n').unwrap_or((&message, ""));
            let known = details();
            let detail = known.into_iter().find(|one| one.pipeline == change.pipeline && one.message == message);
            ChangePage {
                title: title.to_owned(),
                body: body.trim().to_owned(),
                author: change.commit.author.unwrap_or_else(|| "somebody".to_owned()),
                repository: change.repository,
                branch: change.branch,
                commit,
                at: change.at.strftime("%-d %B %Y, %H:%M UTC").to_string(),
                pipeline: change.pipeline,
                detail,
            }
            .into_response()
        }
    };
    ([(header::CONTENT_SECURITY_POLICY, POLICY), (header::CACHE_CONTROL, "no-store")], page).into_response()
}
