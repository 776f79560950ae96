//! What nobody decides is told to whom an admin chose for that. Looked for every minute rather than planned when an approval
//! opens: so it goes by the deadline as it is known by now, and an escalation that is made later counts for what waits already.

use jiff::{SignedDuration, Timestamp};
use sqlx::Connection as _;

use super::Notices;
use crate::access::right::TAGS_LAST;
use crate::domain::ids::{ApprovalId, EscalationId};
use crate::store::access::escalations::{self, After, Escalation};
use crate::store::notices::escalated::{self, Unanswered};
use crate::store::notices::missing;

impl Notices {
    /// Leaves the notices that nothing else leaves: of what nobody decides, and of what a trigger could not tell of.
    ///
    /// # Errors
    /// The database did not answer, or takes no notices. What was not left is left by the next call.
    pub async fn look_around(&self) -> sqlx::Result<()> {
        let pulse = &self.0.database.pulse;
        // Each whatever becomes of the other.
        let escalated = pulse.or_dead(self.escalate()).await;
        pulse.or_dead(self.make_up()).await?;
        escalated
    }

    async fn make_up(&self) -> sqlx::Result<()> {
        let now = self.0.clock.now();
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        let left = missing::leave(&mut tx, now).await?;
        tx.commit().await?;
        if left > 0 {
            tracing::warn!(notices = left, "notices that could not be left when it happened were left now");
        }
        Ok(())
    }

    async fn escalate(&self) -> sqlx::Result<()> {
        let now = self.0.clock.now();
        let mut conn = self.0.database.pages.acquire().await?;
        let all = escalations::list_live(&mut conn).await?;
        if all.is_empty() {
            return Ok(());
        }
        let since = (now, now.checked_sub(TAGS_LAST).unwrap_or(now));
        let waiting = escalated::list_unanswered(&mut conn, since, reach(&all, now)).await?;
        let due = due(&all, &waiting, now);
        if !due.is_empty() {
            escalated::leave(&mut conn, &due, now).await?;
        }
        Ok(())
    }
}

/// Since when something must wait for any of these to matter, and whether half of its time does.
fn reach(all: &[Escalation], now: Timestamp) -> (Option<Timestamp>, bool) {
    let minutes = all.iter().filter_map(|one| match one.after {
        After::Minutes(minutes) => Some(minutes),
        After::HalfTime => None,
    });
    let opened = minutes.min().and_then(|minutes| now.checked_sub(SignedDuration::from_mins(minutes.into())).ok());
    (opened, all.iter().any(|one| one.after == After::HalfTime))
}

fn due(all: &[Escalation], waiting: &[Unanswered], now: Timestamp) -> Vec<(ApprovalId, EscalationId)> {
    let mut due = Vec::new();
    for approval in waiting {
        let is_due = |one: &&Escalation| {
            one.after.of(approval.opened_at, approval.expires_at) <= now
                && !approval.escalated.contains(&one.id)
                && one.gates.fits(&approval.gate, approval.tags.as_ref())
        };
        due.extend(all.iter().filter(is_due).map(|one| (approval.approval, one.id)));
    }
    due
}
