//! A world to try the portal on: simulated pipelines that move by themselves, the pages their review links open, people
//! who may sign in, and the directory where all of it lasts. The command puts them together with the portal.
//!
//! Nothing in here serves real decisions, and the portal must not know that it is being tried out: it meets the simulated
//! AWS over HTTP like any other.

mod place;
mod reviews;
mod sign_ins;
mod world;

pub use place::{Memory, Place, PlaceError};
pub use reviews::router as reviews;
pub use sign_ins::SignIn;
pub use world::{sources, world};
