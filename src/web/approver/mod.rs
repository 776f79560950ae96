//! The pages of people who decide: the queue, an approval, what became of a decision.
//!
//! Each page is a view struct with values already decided, made from what was read; the templates only print. Nothing
//! here writes: the one thing that acts goes through `decisions`.

mod approval;
mod approval_view;
mod card;
mod decide;
mod deciding;
mod foretold;
pub mod mailed;
mod mine;
mod queue;
mod queue_view;
mod result;
mod result_view;
#[cfg(test)]
pub(super) mod samples;
mod stages;
pub(super) mod trouble;
mod warnings;
pub(super) mod who_may;

pub use approval::show as approval;
pub use decide::{challenge, decide_again, submit as decide};
pub use queue::{Queue, Whole, show as queue};
pub use result::show as result;
