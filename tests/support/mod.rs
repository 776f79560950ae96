//! What several test programs share. Each uses a part of it.
#![allow(dead_code, reason = "every test program compiles all of this and uses a part")]

pub mod page;
pub mod postgres;
pub mod proxy;
