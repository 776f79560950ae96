//! The pages.
pub mod display;
