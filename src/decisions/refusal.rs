//! Attempts that came to nothing leave a record too: who tried what, and why it was refused.

use super::payload::{About, Actor, AttemptRefused, WrongCode};
use super::{Ask, Channel, DecideError, Decisions};
use crate::approvals::Approval;
use crate::audit::{self, Kind, Payload};
use crate::domain::ids::ApprovalId;
use crate::domain::people::Person;
use crate::store::approvals;
use crate::store::mailed_links::Found;

/// An attempt that the portal refused before it came to deciding: the person had no right to try.
#[derive(Debug, Clone)]
pub struct Refused {
    pub approval: ApprovalId,
    pub reason: String,
}

impl Decisions {
    /// Records an attempt by somebody who may not decide at all. Best effort: the refusal stands in any case.
    pub async fn record_forbidden(&self, person: &Person, refused: &Refused) {
        let attempt = AttemptRefused {
            about: None,
            actor: Actor::of(person),
            outcome: "forbidden",
            verdict: None,
            channel: None,
            asked_for: refused.approval.to_string(),
            reason: &refused.reason,
            fingerprint: None,
            fingerprint_now: None,
        };
        self.record(person, attempt, refused.approval).await;
    }

    /// Records that somebody with the link of a mail typed a code that is not in it: a stranger, for all that is known. Best
    /// effort, as above.
    pub async fn record_wrong_code(&self, link: &Found, left: i16) {
        if let Err(error) = self.try_record_wrong_code(link, left).await {
            tracing::error!(error = &*error, "a wrong code could not be recorded; it is counted");
        }
    }

    async fn try_record_wrong_code(
        &self,
        link: &Found,
        left: i16,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let mut tx = self.0.pool.begin().await?;
        let known: Option<Approval> = approvals::find(&mut tx, link.approval).await?;
        let wrong = WrongCode {
            about: known.as_ref().map(About::of),
            outcome: "wrong_code",
            channel: Channel::Link.name(),
            asked_for: link.approval.to_string(),
            reason: "the code that was typed is not that of the mail",
            tries_left: left,
            link: link.id.to_string(),
            mailed_to: &link.person.email,
            address: link.person.address.to_string(),
        };
        let payload = Payload::new(&self.0.random, &wrong)?;
        audit::append(&mut tx, Kind::DecisionAttemptRefused, "stranger", &payload).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Records why `ask` came to nothing. Best effort: the refusal stands in any case, and where the database does not
    /// answer there is nothing to write to.
    pub(super) async fn record_refusal(&self, person: &Person, ask: &Ask, refused: &DecideError) {
        let Some(outcome) = name(refused) else { return };
        let reason = refused.to_string();
        let attempt = AttemptRefused {
            about: None,
            actor: Actor::of(person),
            outcome,
            verdict: Some(ask.verdict.name()),
            channel: Some(ask.channel.name()),
            asked_for: ask.approval.to_string(),
            reason: &reason,
            fingerprint: Some(ask.fingerprint.hex()),
            fingerprint_now: match refused {
                DecideError::Changed { now, .. } => Some(now.fingerprint.hex()),
                _ => None,
            },
        };
        self.record(person, attempt, ask.approval).await;
    }

    async fn record(&self, person: &Person, attempt: AttemptRefused<'_>, approval: ApprovalId) {
        if let Err(error) = self.try_record(person, attempt, approval).await {
            tracing::error!(error = &*error, "a refused attempt could not be recorded; it stays refused");
        }
    }

    async fn try_record(
        &self,
        person: &Person,
        attempt: AttemptRefused<'_>,
        approval: ApprovalId,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let mut tx = self.0.pool.begin().await?;
        let known: Option<Approval> = approvals::find(&mut tx, approval).await?;
        let attempt = AttemptRefused { about: known.as_ref().map(About::of), ..attempt };
        let payload = Payload::new(&self.0.random, &attempt)?;
        let actor = format!("account:{}", person.account);
        audit::append(&mut tx, Kind::DecisionAttemptRefused, &actor, &payload).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// The stable name of a refusal, for records. `None`: a form to be corrected, nothing to write to, or no refusal.
fn name(refused: &DecideError) -> Option<&'static str> {
    match refused {
        DecideError::BadSummary(_) | DecideError::Unavailable | DecideError::Unknown => None,
        DecideError::NoSuchApproval => Some("no_such_approval"),
        DecideError::NotAllowed(_) => Some("not_allowed"),
        DecideError::StepUpNeeded { .. } => Some("step_up_needed"),
        DecideError::MailSpent => Some("mail_spent"),
        DecideError::Changed { .. } => Some("changed"),
        DecideError::NotOpen { .. } => Some("not_open"),
        DecideError::AlreadyDeciding { .. } => Some("already_deciding"),
        DecideError::KeyReused => Some("key_reused"),
        DecideError::Unreadable(_) => Some("unreadable"),
    }
}
