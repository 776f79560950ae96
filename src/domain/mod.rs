//! The words and rules of the product, plain and exhaustively tested. No IO of any kind: nothing here knows tokio, axum,
//! AWS or SQL, and everything is a total function of its arguments.

pub mod access;
pub mod approval;
pub mod browser;
pub mod caller;
pub mod channels;
pub mod decision;
pub mod details;
pub mod hosts;
pub mod ids;
pub mod loopback;
pub mod mailed;
pub mod mode;
pub mod notices;
pub mod people;
pub mod proof;
pub mod push;
pub mod retrying;
pub mod shown;
pub mod summary;
pub mod text;
pub mod tokens;
pub mod topics;
pub mod zone;
