//! Putting away what every admin must get to see.

use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::admin;
use crate::domain::ids::NoticeId;
use crate::web::{AppState, CsrfForm, Failure, Segment, SignedIn, returning};

/// Where the notice was read.
#[derive(Debug, Deserialize)]
pub struct Filled {
    #[serde(default, rename = "return")]
    back: String,
}

/// `POST /admin/notices/{id}/seen`.
///
/// # Errors
/// 404 when there is none.
pub async fn put_away(
    State(app): State<AppState>,
    SignedIn(person): SignedIn,
    Segment((id,)): Segment<(NoticeId,)>,
    form: CsrfForm<Filled>,
) -> Result<Response, Failure> {
    let filled = form.read();
    app.access.put_away(&admin(&person)?, id).await?;
    Ok(Redirect::to(returning::or_queue(Some(&filled.back))).into_response())
}
