//! The API for programs, under `/api/`. Who asks is told by the `Authorization` header alone ([`bearer`]); the work is done by
//! the services that the pages use. Errors are `application/problem+json`, made where pages' errors are (`layers::dress`).

pub mod bearer;
mod me;

pub use me::show as me;
