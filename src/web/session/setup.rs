//! The first account.
use crate::web::Failure;
pub async fn show() -> Failure {
    Failure::not_found()
}
pub async fn submit() -> Failure {
    Failure::not_found()
}
