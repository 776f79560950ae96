//! A COMMIT that nobody confirmed: the intent may be kept or may be gone, and neither may be claimed before it was looked
//! up (F-28). Nothing is sent meanwhile.
//!
//! The look-up must never mistake "not yet" for "never": the server may still be busy with what a cut connection sent.

use std::time::Duration;

use sqlx::postgres::{PgDatabaseError, PgSeverity};
use tokio::time::Instant;

use super::{Ask, DecideError, Decisions, intent};
use crate::domain::ids::{AccountId, DecisionId};
use crate::store::decisions::intake;

/// How long new looks are begun before a person is told that it is not known. The last one may take the pool's patience.
const LOOKING: Duration = Duration::from_millis(500);
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

impl Decisions {
    /// What became of an intent whose COMMIT failed with `error`: kept; surely not kept; or not known.
    pub(super) async fn look_up_lost(
        &self,
        account: AccountId,
        ask: &Ask,
        error: sqlx::Error,
    ) -> Result<DecisionId, DecideError> {
        if is_definite(&error) {
            return Err(error.into());
        }
        tracing::warn!(%error, "the commit of a decision was not confirmed; looking it up");
        let until = Instant::now() + LOOKING;
        loop {
            match self.find_once_over(account, ask).await {
                Ok(Some(id)) => return Ok(id),
                Ok(None) => return Err(error.into()),
                Err(again) if Instant::now() >= until => {
                    tracing::error!(error = %again, "whether a decision was recorded is not known; nothing was sent, and if it was, it will be");
                    return Err(DecideError::Unknown);
                }
                Err(_) => tokio::time::sleep(BETWEEN_LOOKS).await,
            }
        }
    }

    /// Looks the form's key up, behind the lock that the lost transaction holds for as long as it is not over: what is
    /// not there then will never be.
    async fn find_once_over(&self, account: AccountId, ask: &Ask) -> sqlx::Result<Option<DecisionId>> {
        let mut tx = self.0.pool.begin().await?;
        intake::lock_approval(&mut tx, ask.approval).await?;
        let kept = intake::find_key(&mut tx, account, &intent::key_hash(ask)).await?;
        tx.rollback().await?;
        Ok(kept.map(|kept| kept.decision))
    }
}

/// Whether a failed COMMIT is known to have rolled back. Only the server's own plain ERROR says so: a FATAL may end a
/// session whose transaction is already durable, and anything else is silence.
fn is_definite(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| {
        error.try_downcast_ref::<PgDatabaseError>().is_some_and(|it| it.severity() == PgSeverity::Error)
    })
}
