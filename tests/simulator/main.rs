//! The simulator, proved by the real Rust SDK and the real AWS CLI.

mod harness;
mod situations;
mod walk;
