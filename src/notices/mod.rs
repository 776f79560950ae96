//! Telling people by mail and in their browsers what they would otherwise have to come and look for: that an approval waits, that its time runs
//! out, what became of it, that a source cannot be read.
//!
//! A trigger leaves a notice in the transaction in which it happened (migration 0012). Here, afterwards and at any replica,
//! two things are done: whom a notice concerns is worked out ([`whom`]), and when somebody's turn comes, everything for them
//! becomes one letter in the outbox ([`writing`]), and a few words for each of their browsers ([`pushing`]). Rights are looked at both times, so that nobody reads of an approval
//! which they may no longer decide (docs/decisions/0017).
//!
//! Nothing here may hold up a sweep or a decision, decide anything, or write more than one letter a minute to anybody.

mod choosing;
mod escalating;
mod judging;
mod letters;
mod pushing;
mod tending;
mod whom;
mod writing;

use std::sync::Arc;

use jiff::SignedDuration;
use uuid::Uuid;

pub use choosing::ChooseError;
pub use tending::{AgainError, System};

use crate::clock::Clock;
use crate::database::Database;
use crate::mail::Outbox;
use crate::mailed::MailedLinks;
use crate::push::Push;
use crate::random::Random;
use crate::store::notices;

/// How long whoever had nothing to hear waits for what else comes.
const GATHER: SignedDuration = SignedDuration::from_secs(10);
/// The least time between two letters to one person.
const SPACING: SignedDuration = SignedDuration::from_secs(60);
/// How long what was taken belongs to whoever took it.
const LEASE: SignedDuration = SignedDuration::from_secs(60);
/// How long it is remembered who was told what.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(24 * 30);

/// The service that tells people. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Notices(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    database: Database,
    clock: Clock,
    random: Random,
    outbox: Outbox,
    mailed: MailedLinks,
    push: Push,
    holder: Uuid,
}

impl Notices {
    #[must_use]
    pub fn new(
        database: Database,
        (clock, random): (Clock, Random),
        outbox: &Outbox,
        mailed: &MailedLinks,
        push: &Push,
    ) -> Self {
        let (outbox, mailed, push, holder) = (outbox.clone(), mailed.clone(), push.clone(), random.uuid_v4());
        Self(Arc::new(Parts { database, clock, random, outbox, mailed, push, holder }))
    }

    /// Works out whom a few notices concern, and writes the letters of a few people whose turn it is. Says how many of both
    /// it took; call again while it is not zero.
    ///
    /// # Errors
    /// The database did not answer. What was taken is taken again when its lease is over.
    pub async fn step(&self) -> sqlx::Result<usize> {
        let pulse = &self.0.database.pulse;
        let worked_out = pulse.or_dead(self.work_out()).await?;
        let written = pulse.or_dead(self.write_letters()).await?;
        let taken_back = pulse.or_dead(self.take_back()).await?;
        Ok(worked_out + written + taken_back)
    }

    /// Forgets what was told long ago.
    ///
    /// # Errors
    /// What was not forgotten is forgotten by the next call.
    pub async fn sweep(&self) -> sqlx::Result<()> {
        let now = self.0.clock.now();
        let mut conn = self.0.database.pages.acquire().await?;
        notices::delete_before(&mut conn, now.checked_sub(REMEMBERED).unwrap_or(now)).await
    }
}

/// What went wrong, fit for the log and for admins.
fn in_short(error: &sqlx::Error) -> String {
    let text: String = crate::domain::text::visible(&error.to_string()).chars().take(300).collect();
    text.replace(['\n', '\t'], " ")
}
