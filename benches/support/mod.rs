//! What the measurements share. Each uses a part of it.
#![allow(dead_code, reason = "every measurement compiles all of this and uses a part")]

pub mod cast;
pub mod copy;
pub mod fate;
pub mod fill;
pub mod flow;
pub mod load;
pub mod people;
pub mod portal;
pub mod processes;
pub mod records;
pub mod stage;
pub mod table;
pub mod year;
