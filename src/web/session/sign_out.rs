//! Signing out.
use crate::web::Failure;
pub async fn submit() -> Failure {
    Failure::not_found()
}
