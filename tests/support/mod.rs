//! What several test programs share. Each uses a part of it.
#![allow(dead_code, reason = "every test program compiles all of this and uses a part")]

pub mod authenticator;
pub mod aws_stand_in;
pub mod identity_provider;
pub mod mail_server;
pub mod page;
pub mod postgres;
pub mod proxy;
pub mod smtp;
pub mod statements;
