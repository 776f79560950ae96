//! The pages of people who decide: the queue, an approval, what became of a decision.
//!
//! Each page is a view struct with values already decided, made from what was read; the templates only print. Nothing
//! here writes: the one thing that acts goes through `decisions`.

mod queue;
mod queue_view;
#[cfg(test)]
mod samples;
pub(super) mod trouble;

pub use queue::show as queue;

use super::Failure;

pub async fn approval() -> Failure {
    Failure::not_found()
}
pub async fn decide() -> Failure {
    Failure::not_found()
}
pub async fn result() -> Failure {
    Failure::not_found()
}
