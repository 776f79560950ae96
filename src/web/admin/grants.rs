//! Ending a grant.

use axum::extract::State;
use axum::response::Response;

use super::admin;
use crate::domain::ids::GrantId;
use crate::web::note::Note;
use crate::web::session::Nothing;
use crate::web::{AppState, CsrfForm, Failure, Segment, SignedIn};

/// `POST /admin/access/grants/{id}/end`.
///
/// # Errors
/// 404 when there is none, or it has ended already.
pub async fn end(
    State(app): State<AppState>,
    SignedIn(person): SignedIn,
    Segment((id,)): Segment<(GrantId,)>,
    _form: CsrfForm<Nothing>,
) -> Result<Response, Failure> {
    app.access.end_grant(&admin(&person)?, id).await?;
    Ok(Note::GrantEnded.at("/admin/access", app.cookies()))
}
