//! Getting in and out: sign-in, sign-out, the first account, one's own account.

pub mod me;
pub mod setup;
pub mod sign_in;
pub mod sign_out;
