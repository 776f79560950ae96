//! The mail that a decision is made with: nobody is signed in, and the link and the code in the mail's text stand for its
//! person (L-02). Used up in the transaction that commits the intent, or not at all (L-05).

use jiff::{SignedDuration, Timestamp};
use sqlx::PgConnection;

use super::{Ask, Channel, DecideError, Decisions};
use crate::access::options::{ByMail, find_held_minutes};
use crate::access::right::{Refusal, Tagged};
use crate::approvals::Approval;
use crate::domain::ids::DecisionId;
use crate::domain::people::Person;
use crate::store::mailed_links::{self, Used};

impl Decisions {
    /// Uses up what was shown. None: the decision did not come by a mail. Nothing else may come without a session. A refusal
    /// asks for tags.
    pub(super) async fn use_mail(
        &self,
        tx: &mut PgConnection,
        (decision, person): (DecisionId, &Person),
        ask: &Ask,
        (live, tagged): (&Approval, &Tagged),
        now: Timestamp,
    ) -> Result<Result<Option<Used>, Refusal>, DecideError> {
        let shown = match (ask.channel, ask.mail) {
            (Channel::Link, Some(shown)) => shown,
            (Channel::Link, None) | (_, Some(_)) => return Err(DecideError::MailSpent),
            (Channel::Page | Channel::Api, None) => return Ok(Ok(None)),
        };
        let minutes = match find_held_minutes(tx, &live.gate, tagged).await? {
            ByMail::Minutes(minutes) => minutes,
            ByMail::No => return Err(DecideError::MailSpent),
            ByMail::Tags => return Ok(Err(Refusal::AskForTags)),
        };
        let about = (person.account, ask.approval, ask.fingerprint);
        let used = mailed_links::use_up(tx, shown, about, decision, now).await?.ok_or(DecideError::MailSpent)?;
        // As short as is said now, where that was changed since the mail was written.
        if now.duration_since(used.mailed_at) >= SignedDuration::from_mins(minutes.into()) {
            return Err(DecideError::MailSpent);
        }
        Ok(Ok(Some(used)))
    }
}
