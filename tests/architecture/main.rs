//! The shape of the house: which module may use which, how long files may be, and that the documents name what exists.
//! Reads sources and documents as text; needs no database and no network.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall say where")]

mod arrows;
mod documents;
mod habits;
mod sources;
