//! The ends where other services deliver, which prove themselves by what they send: no session, no cookie, no form token counts
//! here. A sender learns whether a message was taken, and never why it was not.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::error::Failure;
use super::layers::Client;
use super::layers::dress::AsIs;
use super::state::AppState;
use crate::events::sns::{AGAIN, Admission, LARGEST, NotAdmitted, Taken};

/// Where SNS delivers.
pub const SNS: &str = "/hooks/sns";
/// What SNS writes into its header when it delivers without an envelope.
const RAW: &str = "x-amz-sns-rawdelivery";

/// Left in a request that was let in, for as long as it is there.
#[derive(Debug, Clone)]
struct Admitted(Arc<Admission>);

/// Lets a request in whose body is yet to be read, if it goes to one of these ends. Some: how long its body may be.
///
/// # Errors
/// There is no such end, or no room.
pub fn admit(app: &AppState, request: &mut Request) -> Result<Option<usize>, Failure> {
    if request.uri().path() != SNS || request.method() != Method::POST {
        return Ok(None);
    }
    match app.sns.admit(Client::of(request.extensions())) {
        Ok(admission) => {
            request.extensions_mut().insert(Admitted(Arc::new(admission)));
            Ok(Some(LARGEST))
        }
        Err(NotAdmitted::Off) => Err(Failure::not_found()),
        Err(NotAdmitted::TooMany { until }) => {
            let wait = until.duration_since(app.clock.now());
            Err(Failure::too_many(wait.try_into().unwrap_or(Duration::ZERO)))
        }
        Err(NotAdmitted::Full) => {
            Err(Failure::unavailable(AGAIN).saying("There is no room just now. Nothing was done."))
        }
    }
}

/// Counts a body that was too long to be read.
pub fn count_too_large(app: &AppState, path: &str) {
    if path == SNS {
        app.sns.count_too_large();
        app.accounts.count_refused_hook();
    }
}

/// `POST /hooks/sns`: a message, as SNS delivers it, whatever content type it gives it.
pub async fn sns(State(app): State<AppState>, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let Some(Admitted(admission)) = parts.extensions.remove() else { return Failure::not_found().into_response() };
    // Read and within its length: the layer saw to that.
    let Ok(body) = axum::body::to_bytes(body, LARGEST).await else { return answer(StatusCode::FORBIDDEN) };
    match app.sns.take(&admission, is_raw(&parts.headers), &body).await {
        Taken::Well => answer(StatusCode::OK),
        Taken::Refused(_) => {
            app.accounts.count_refused_hook();
            answer(StatusCode::FORBIDDEN)
        }
        Taken::Later => {
            let mut response = answer(StatusCode::SERVICE_UNAVAILABLE);
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(AGAIN.as_secs()));
            response
        }
    }
}

fn is_raw(headers: &HeaderMap) -> bool {
    headers.get_all(RAW).iter().any(|value| value != "false")
}

/// The status, and nothing else.
fn answer(status: StatusCode) -> Response {
    let mut response = (status, Bytes::new()).into_response();
    response.extensions_mut().insert(AsIs);
    response
}
