//! The pages of people who check: the history and its records.

use super::Failure;

pub async fn history() -> Failure {
    Failure::not_found()
}
pub async fn record() -> Failure {
    Failure::not_found()
}
