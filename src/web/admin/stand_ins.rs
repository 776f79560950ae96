//! Ending somebody else's stand-in.

use axum::extract::State;
use axum::response::Response;

use crate::domain::ids::StandInId;
use crate::web::note::Note;
use crate::web::session::Nothing;
use crate::web::{AppState, CsrfForm, Failure, Segment, SignedIn};

/// `POST /admin/access/stand-ins/{id}/end`.
///
/// # Errors
/// 404 when there is none, or it is over.
pub async fn end(
    State(app): State<AppState>,
    SignedIn(person): SignedIn,
    Segment((id,)): Segment<(StandInId,)>,
    _form: CsrfForm<Nothing>,
) -> Result<Response, Failure> {
    app.access.end_stand_in(&person, id, true).await?;
    Ok(Note::StandInEnded.at("/admin/access", app.cookies()))
}
