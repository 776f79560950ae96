//! A world to try the portal on.

mod reviews;
mod world;
