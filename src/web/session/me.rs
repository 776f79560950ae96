//! One's own account.
use crate::web::Failure;
pub async fn show() -> Failure {
    Failure::not_found()
}
pub async fn change_password() -> Failure {
    Failure::not_found()
}
pub async fn end_session() -> Failure {
    Failure::not_found()
}
pub async fn end_others() -> Failure {
    Failure::not_found()
}
pub async fn end_all() -> Failure {
    Failure::not_found()
}
