//! The pages of people who decide: the queue, an approval, what became of a decision.

use super::Failure;

pub async fn queue() -> Failure {
    Failure::not_found()
}
pub async fn approval() -> Failure {
    Failure::not_found()
}
pub async fn decide() -> Failure {
    Failure::not_found()
}
pub async fn result() -> Failure {
    Failure::not_found()
}
