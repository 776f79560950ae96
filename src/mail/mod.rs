//! Mail: a [`Letter`] is put into the outbox within the transaction of what it tells of, and a [`Mailer`] delivers it
//! afterwards, so that a mail server that is away holds nothing up and loses nothing (L-11).
//!
//! Delivered at least once: whoever dies between handing a mail over and noting it hands it over again, with the same
//! `Message-ID`. What a letter says lies sealed in the outbox until it is delivered or given up, and is erased then; notices that were
//! given up stay, sealed, to be sent again.
//! Nothing here may hold a transaction while it talks to a mail server (H-04), or put an address, a subject or a body
//! into the log.
//!
//! Another kind of mail is another function that makes a [`Letter`]; both parts, the headers and the escaping follow.

mod letter;
mod mailer;
mod outbox;
mod redact;
mod smtp;

pub use letter::{Letter, Rank};
pub use mailer::Mailer;
pub use outbox::Outbox;
pub use redact::redacted;
