//! The words and rules of the product, plain and exhaustively tested. No IO of any kind: nothing here knows tokio, axum,
//! AWS or SQL, and everything is a total function of its arguments.

pub mod approval;
pub mod decision;
pub mod details;
pub mod ids;
pub mod mode;
pub mod people;
pub mod shown;
pub mod summary;
pub mod text;
