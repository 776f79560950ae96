//! Pages and machine ends over HTTP. Owns the route table, who may use each route, everything a browser is told
//! (headers, cookies, error pages) and the loop that accepts connections.
//!
//! A handler reads, asks a service to act, and answers. It must never begin a transaction, write a record or talk to
//! AWS by itself, and nothing is mounted outside [`routes::table`].

pub mod admin;
pub mod api;
pub mod app;
mod approver;
pub mod assets;
pub mod auditor;
pub mod cookie;
pub mod csrf;
mod csv;
pub mod display;
pub mod duties;
pub mod error;
pub mod events;
pub mod extract;
pub mod factors;
mod flow;
pub mod guard;
pub mod health;
pub mod hooks;
pub mod joint;
pub mod layers;
mod listen;
mod moment_field;
pub mod note;
mod page_zone;
pub mod parts;
pub mod returning;
pub mod routes;
pub mod session;
pub mod shell;
pub mod state;
pub mod step_up;
pub mod streams;

pub use app::{App, Running};
pub use csrf::CsrfForm;
pub use error::Failure;
pub use extract::{Approving, Beginning, Query, Segment, SignedIn};
pub use shell::Shell;
pub use state::AppState;
