//! Fresh proof of who decides, at gates that are marked so (S-18): a passkey's signature under this very decision, or a
//! session whose person proved who they are within the last minutes. Without it nothing is committed, whatever page or
//! program the decision came through.

use serde::Serialize;
use sqlx::PgConnection;

use super::{Ask, DecideError, Decisions};
use crate::access::marks::{Asked, hold_asked};
use crate::access::right::{Refusal, Tagged};
use crate::accounts::ProofError;
use crate::accounts::factors::decision::{DecisionProof, Signed, ToSign};
use crate::domain::ids::Gate;
use crate::domain::people::Person;

/// What a record says of the proof.
#[derive(Debug, Serialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub(super) enum StepUp<'a> {
    /// The decision itself was signed.
    Passkey(&'a Signed),
    /// The session's person had proven who they are not long before.
    Session { at: String, with: &'a str },
}

/// What came with a decision.
pub(super) enum Shown {
    Nothing,
    Signature(Box<DecisionProof>),
    /// It was not right; the text says so.
    Refused(&'static str),
}

const MARKED_SINCE: &str =
    "Since it was made, this gate asks for fresh proof of who decides, and it holds none. Please decide again.";

impl Decisions {
    /// Looks at what came with a decision, before anything is locked.
    pub(super) async fn look_at_proof(&self, person: &Person, ask: &Ask) -> Result<Shown, DecideError> {
        let (Some(given), Some(accounts)) = (&ask.proof, self.0.accounts.get()) else { return Ok(Shown::Nothing) };
        let decision = ToSign { approval: ask.approval, fingerprint: ask.fingerprint, verdict: ask.verdict };
        match Box::pin(accounts.check_decision(person, decision, given)).await {
            Ok(proof) => Ok(Shown::Signature(Box::new(proof))),
            Err(ProofError::Unavailable(cause)) => {
                tracing::error!(error = &cause as &dyn std::error::Error, "a signature could not be looked at");
                Err(DecideError::Unavailable)
            }
            Err(ProofError::Wrong(text)) => Ok(Shown::Refused(text)),
            Err(_) => Ok(Shown::Refused("What your passkey signed was too old, or about something else. Sign again.")),
        }
    }

    /// What proves who decides, used up within the transaction. None: this gate does not ask. A refusal asks for tags.
    pub(super) async fn prove<'a>(
        &self,
        tx: &mut PgConnection,
        (person, gate): (&'a Person, &Gate),
        tagged: &Tagged,
        shown: &'a Shown,
    ) -> Result<Result<Option<StepUp<'a>>, Refusal>, DecideError> {
        match hold_asked(tx, gate, tagged).await? {
            Asked::Nothing => return Ok(Ok(None)),
            Asked::Tags => return Ok(Err(Refusal::AskForTags)),
            Asked::Proof => {}
        }
        let now = self.0.clock.now();
        let needed = |why| DecideError::StepUpNeeded { why };
        match shown {
            Shown::Signature(proof) => {
                let accounts = self.0.accounts.get().ok_or(needed(None))?;
                let used = accounts.use_decision(tx, person, proof).await.map_err(|cause| {
                    tracing::error!(error = &cause as &dyn std::error::Error, "a signature could not be used up");
                    DecideError::Unavailable
                })?;
                if used {
                    return Ok(Ok(Some(StepUp::Passkey(&proof.signed))));
                }
                Err(needed(Some("Your passkey was used elsewhere at the same time. Sign again.")))
            }
            Shown::Refused(text) => Err(needed(Some(*text))),
            Shown::Nothing => match person.stepped_up_at.filter(|_| person.is_fresh(now)) {
                Some(at) => {
                    let with = person.proven_by.as_deref().unwrap_or(&person.method);
                    Ok(Ok(Some(StepUp::Session { at: at.to_string(), with })))
                }
                None => Err(needed(None)),
            },
        }
    }
}

/// Why a decision that holds no proof must not be sent: its gate was marked since it was made. What the gate asks for is held
/// until the transaction ends.
pub(super) async fn find_missing_proof(
    conn: &mut PgConnection,
    is_proven: bool,
    gate: &Gate,
    tagged: &Tagged,
) -> sqlx::Result<Option<Refusal>> {
    if is_proven {
        return Ok(None);
    }
    Ok(match hold_asked(conn, gate, tagged).await? {
        Asked::Nothing => None,
        Asked::Tags => Some(Refusal::AskForTags),
        Asked::Proof => Some(Refusal::No(MARKED_SINCE.into())),
    })
}
