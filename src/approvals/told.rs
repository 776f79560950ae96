//! Deadlines that were told: CodePipeline's own message about a request names its deadline, which no read does. It holds where
//! the deadline would otherwise be worked out from a default that an account may have changed.

use jiff::{SignedDuration, Timestamp};

use super::Reader;
use crate::database::Pool;
use crate::domain::ids::SourceName;
use crate::store::approvals::Approval;
use crate::store::events;

/// The least and the most that a gate may wait (CodePipeline User Guide, Quotas), and a minute because the message tells
/// minutes. Anything else was not told by AWS.
const LEAST: SignedDuration = SignedDuration::from_mins(5 - 1);
const MOST: SignedDuration = SignedDuration::from_mins(86_400 + 1);

impl Reader {
    /// Keeps a deadline that was told, for when the request is read; it may have been read already. One that no request can
    /// have any more is not kept.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn tell_deadline(
        &self,
        source: &SourceName,
        token_hash: &[u8; 32],
        expires_at: Timestamp,
    ) -> sqlx::Result<()> {
        let now = self.0.clock.now();
        if !(SignedDuration::ZERO..=MOST).contains(&expires_at.duration_since(now)) {
            return Ok(());
        }
        let mut conn = self.0.database.pages.acquire().await?;
        events::insert_deadline(&mut conn, source, token_hash, (expires_at, now)).await
    }

    /// The approval with the deadline that was told, where the one it has is about right at best.
    pub(super) async fn with_told_deadline(&self, pool: &Pool, approval: Approval) -> sqlx::Result<Approval> {
        if !approval.expires_about {
            return Ok(approval);
        }
        let told = {
            let mut conn = pool.acquire().await?;
            events::find_deadline(&mut conn, &approval.gate.source, &approval.token.hash()).await?
        };
        Ok(match told.filter(|told| is_likely(approval.opened_at, *told)) {
            Some(told) => Approval { expires_at: told, expires_about: false, ..approval },
            None => approval,
        })
    }
}

fn is_likely(opened_at: Timestamp, told: Timestamp) -> bool {
    (LEAST..=MOST).contains(&told.duration_since(opened_at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_that_aws_would_not_set_is_not_believed() {
        let opened: Timestamp = "2026-11-21T08:00:59Z".parse().unwrap();
        let told = |text: &str| is_likely(opened, text.parse().unwrap());
        assert!(told("2026-11-28T08:00:00Z"));
        assert!(told("2026-11-21T08:05:00Z"), "five minutes, told without seconds");
        assert!(told("2027-01-20T08:00:00Z"), "sixty days");
        assert!(!told("2026-11-21T08:00:00Z"));
        assert!(!told("2026-11-21T08:04:00Z"));
        assert!(!told("2027-02-01T08:00:00Z"));
    }
}
