//! What became of a decision, written down: each function here is one transaction of a state change, the approval's own
//! row where it ends, and the record. A late worker's write is a no-op.

use super::payload::{Aws, Followed};
use super::send::{Trouble, marker, sent_summary};
use super::{Decisions, pace};
use crate::approvals::{self as seen, Approval, Fate};
use crate::audit::{self, Kind, Payload};
use crate::codepipeline::{Answer, Doubt};
use crate::domain::approval::{AtAws, Decided};
use crate::domain::decision::{State, Verdict};
use crate::domain::summary::Marker;
use crate::domain::text::Clipped;
use crate::store::approvals::{self, Closing};
use crate::store::decisions::moves::{self, Ending};
use crate::store::decisions::{Decision, intake};
use sqlx::PgConnection;

/// How much of a text from AWS a record keeps.
const MAX_AWS_TEXT: usize = 1200;

/// An ending, before it is written.
pub(super) struct End<'a> {
    pub state: State,
    pub kind: Kind,
    pub reason: Option<&'a str>,
    pub aws: Aws<'a>,
    pub approved_at: Option<jiff::Timestamp>,
    /// What the approval's own row becomes, where this ends it.
    pub closing: Option<Closing>,
}

impl Decisions {
    /// Writes down what AWS answered to a send (D-06).
    pub(super) async fn conclude_answer(
        &self,
        decision: &Decision,
        approval: &Approval,
        answer: Answer,
    ) -> Result<(), Trouble> {
        match answer {
            Answer::Accepted { approved_at } => {
                let aws =
                    Aws { by: Some("answer"), approved_at: approved_at.map(|at| at.to_string()), ..Aws::default() };
                self.accept(decision, approval, aws, approved_at).await
            }
            Answer::NotApplied { why, code, message } => {
                let reason = format!("AWS did not take it ({code}: {}). It will be sent again.", clip(&message));
                tracing::warn!(decision = %decision.id, ?why, code, "a decision was not taken and will be sent again");
                self.requeue(decision, approval, Some(&code), &reason, State::Submitting).await
            }
            Answer::Refused { code, message } => {
                tracing::error!(
                    decision = %decision.id, code, message = clip(&message), pipeline = %approval.gate.pipeline,
                    stage = %approval.gate.stage, action = %approval.gate.action,
                    "AWS refuses decisions at this gate: check that the portal's role may codepipeline:PutApprovalResult on it"
                );
                let reason = format!("AWS refused it ({code}: {}). The approval still waits.", clip(&message));
                let end = End {
                    state: State::Refused,
                    kind: Kind::DecisionRefused,
                    reason: Some(&reason),
                    aws: Aws { by: Some("answer"), code: Some(&code), message: Some(clip(&message)), ..Aws::default() },
                    approved_at: None,
                    closing: None,
                };
                self.settle_as(decision, approval, end).await
            }
            Answer::TooLate { code, message } => {
                let reason = format!("AWS says it is too late ({code}). Reading back who decided.");
                self.doubt(decision, approval, "too_late", Some(&code), &reason, &message).await
            }
            Answer::Unknown { doubt, code, message } => {
                let (name, reason) = match doubt {
                    Doubt::Answered => {
                        ("answered", "AWS answered with an error of its own. Reading back whether it took effect.")
                    }
                    Doubt::Unanswered | Doubt::Empty | Doubt::UnknownCode => {
                        ("unanswered", "AWS did not say whether it took effect. Reading back.")
                    }
                };
                self.doubt(decision, approval, name, code.as_deref(), reason, &message).await
            }
        }
    }

    /// Writes down what was read at AWS about an approval that is no longer open (D-09): ours by the marker, somebody
    /// else's by evidence, gone, or still not known.
    pub(super) async fn conclude_fate(
        &self,
        decision: &Decision,
        approval: &Approval,
        fate: Fate,
    ) -> Result<(), Trouble> {
        let is_ours = decision.attempt > 0 && fate.summary().and_then(Marker::read) == Some(marker(decision));
        if is_ours && matches!(fate, Fate::Approved { .. }) != (decision.verdict() == Verdict::Approved) {
            let why = "AWS shows this decision's marker with the opposite verdict.";
            return self.keep_asking(decision, approval, why, None).await;
        }
        if !is_ours && fate.is_inferred() && self.may_show_the_past(decision) {
            let why =
                "AWS does not show what became of the approval itself, and what it shows may be older than the send.";
            return self.keep_asking(decision, approval, why, None).await;
        }
        match fate {
            Fate::Open => Ok(()),
            fate if is_ours => {
                let aws = Aws { by: Some("read_back"), summary: fate.summary().map(clip), ..Aws::default() };
                self.accept(decision, approval, aws, None).await
            }
            Fate::Approved { summary, by } => self.elsewhere(decision, approval, Verdict::Approved, summary, by).await,
            Fate::Rejected { summary, by } => self.elsewhere(decision, approval, Verdict::Rejected, summary, by).await,
            Fate::Failed { summary, .. } => {
                // Expiry, stop and rejection look alike here, and our own rejection would too (D-09).
                if decision.may_have_landed() && decision.verdict() == Verdict::Rejected {
                    return self
                        .keep_asking(decision, approval, "AWS shows the action as failed without saying by whom.", None)
                        .await;
                }
                let expired = self.0.clock.now() >= approval.expires_at;
                let (at_aws, why) = if expired {
                    (AtAws::Expired, "The approval expired before anybody's decision reached AWS.")
                } else {
                    (AtAws::Gone, "The approval failed at AWS; it is not known whether it was rejected or expired.")
                };
                self.stale(decision, approval, at_aws, why, summary).await
            }
            Fate::Abandoned => {
                self.stale(decision, approval, AtAws::Stopped, "The run was stopped, and the approval with it.", None)
                    .await
            }
            Fate::Superseded => {
                let why = "The run was replaced by a newer one, and the approval with it.";
                self.stale(decision, approval, AtAws::Superseded, why, None).await
            }
            Fate::Gone { why } => {
                let unknown = " Whether this decision arrived before that is not known.";
                let unknown = if decision.may_have_landed() { unknown } else { "" };
                let reason = format!("The approval request no longer exists at AWS: {why}.{unknown}");
                self.stale(decision, approval, AtAws::Gone, &reason, None).await
            }
        }
    }

    /// Reads may lag behind: for as long after a send, what lacks its traces does not tell that it left none (F-37).
    fn may_show_the_past(&self, decision: &Decision) -> bool {
        let since = decision.sent_at.map(|at| self.0.clock.now().duration_since(at));
        decision.may_have_landed() && since.is_some_and(|since| since < pace::QUARANTINE)
    }

    async fn accept(
        &self,
        decision: &Decision,
        approval: &Approval,
        aws: Aws<'_>,
        approved_at: Option<jiff::Timestamp>,
    ) -> Result<(), Trouble> {
        let end = End {
            state: State::Accepted,
            kind: Kind::DecisionAccepted,
            reason: None,
            aws,
            approved_at,
            closing: Some(Closing {
                at_aws: at_aws(decision.verdict()),
                closed_at: self.0.clock.now(),
                closed_why: None,
                decided: Some(Decided::Here),
                decided_by: Some(decision.signed_as.clone()),
                decided_summary: Some(sent_summary(decision)),
            }),
        };
        self.settle_as(decision, approval, end).await
    }

    async fn elsewhere(
        &self,
        decision: &Decision,
        approval: &Approval,
        verdict: Verdict,
        summary: Option<String>,
        by: Option<String>,
    ) -> Result<(), Trouble> {
        let may_be_ours = decision.may_have_landed() && verdict == decision.verdict();
        if may_be_ours && self.may_be_ours(decision, approval, summary.as_deref(), by.as_deref()).await {
            let why = "AWS shows a decision, but not whose; it may be this one.";
            return self.keep_asking(decision, approval, why, None).await;
        }
        let who = by.as_deref().unwrap_or("somebody AWS does not name");
        let reason = format!("Already {verdict} elsewhere, by {}.", clip(who));
        let end = End {
            state: State::Elsewhere,
            kind: Kind::DecisionElsewhere,
            reason: Some(&reason),
            aws: Aws {
                by: Some("read_back"),
                caller: by.as_deref().map(clip),
                summary: summary.as_deref().map(clip),
                ..Aws::default()
            },
            approved_at: None,
            closing: Some(seen::elsewhere(verdict, self.0.clock.now(), summary.as_deref(), by.as_deref())),
        };
        self.settle_as(decision, approval, end).await
    }

    /// Whether an answer without our marker may still be ours, the marker lost on the way: by who gave it, or, where that
    /// is not known, by what is left of the words. Another's marker, also of another decision made here, says no.
    async fn may_be_ours(
        &self,
        decision: &Decision,
        approval: &Approval,
        summary: Option<&str>,
        by: Option<&str>,
    ) -> bool {
        if summary.and_then(Marker::read).is_some() {
            return false;
        }
        let known = match by {
            Some(arn) => self.0.reader.is_ours(&approval.gate.source, arn).await,
            None => None,
        };
        known.unwrap_or_else(|| summary.is_none_or(|text| sent_summary(decision).starts_with(text.trim_end())))
    }

    async fn stale(
        &self,
        decision: &Decision,
        approval: &Approval,
        at_aws: AtAws,
        reason: &str,
        summary: Option<String>,
    ) -> Result<(), Trouble> {
        let end = End {
            state: State::Stale,
            kind: Kind::DecisionStale,
            reason: Some(reason),
            aws: Aws { by: Some("read_back"), summary: summary.as_deref().map(clip), ..Aws::default() },
            approved_at: None,
            closing: Some(Closing {
                at_aws,
                closed_at: self.0.clock.now(),
                closed_why: Some(reason.to_owned()),
                decided: None,
                decided_by: None,
                decided_summary: None,
            }),
        };
        self.settle_as(decision, approval, end).await
    }

    /// AWS does not take the token, and still shows the approval as waiting: this decision ends, the approval does not.
    pub(super) async fn refused_token(&self, decision: &Decision, approval: &Approval) -> Result<(), Trouble> {
        let reason = "AWS no longer takes the token of this request, although it still shows it as waiting. \
                      Please look again and decide afresh.";
        let end = End {
            state: State::Stale,
            kind: Kind::DecisionStale,
            reason: Some(reason),
            aws: Aws { by: Some("read_back"), ..Aws::default() },
            approved_at: None,
            closing: None,
        };
        self.settle_as(decision, approval, end).await
    }

    /// Ends a decision that was never sent, or surely without effect, without sending it (again).
    pub(super) async fn lapse(&self, decision: &Decision, approval: &Approval, why: &str) -> Result<(), Trouble> {
        let end = End {
            state: State::Lapsed,
            kind: Kind::DecisionLapsed,
            reason: Some(why),
            aws: Aws::default(),
            approved_at: None,
            closing: None,
        };
        self.settle_as(decision, approval, end).await
    }

    /// One ending: the decision, the approval's row, the record.
    async fn settle_as(&self, decision: &Decision, approval: &Approval, end: End<'_>) -> Result<(), Trouble> {
        debug_assert!(decision.state.may_become(end.state), "{} → {}", decision.state, end.state);
        let mut tx = self.0.pool.begin().await?;
        intake::lock_approval(&mut tx, approval.id).await?;
        let ending = Ending {
            state: end.state,
            now: self.0.clock.now(),
            code: end.aws.code,
            reason: end.reason,
            approved_at: end.approved_at,
        };
        if !moves::mark_settled(&mut tx, decision.expected(), &ending).await? {
            return Ok(());
        }
        let closed = match &end.closing {
            Some(closing) => approvals::mark_closed(&mut tx, approval.id, closing).await?,
            None => false,
        };
        if closed && end.state == State::Elsewhere {
            let closing = end.closing.as_ref().expect("an approval that was closed had a closing");
            self.0.reader.record_decided_elsewhere(&mut tx, approval, closing).await?;
        }
        let followed =
            Followed { reason: end.reason, aws: end.aws, ..Followed::new(approval, decision, end.state.name()) };
        self.append(&mut tx, end.kind, &followed).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Back to intent: the next send is due after a pause.
    pub(super) async fn requeue(
        &self,
        decision: &Decision,
        approval: &Approval,
        code: Option<&str>,
        reason: &str,
        from: State,
    ) -> Result<(), Trouble> {
        debug_assert_eq!(decision.state, from);
        let now = self.0.clock.now();
        let due = now + pace::resend_after(decision.attempt - 1, decision.age(now), &self.0.random);
        let mut tx = self.0.pool.begin().await?;
        if !moves::mark_requeued(&mut tx, decision.expected(), due, code, reason).await? {
            return Ok(());
        }
        let aws = Aws { by: code.map(|_| "answer"), code, ..Aws::default() };
        let followed = Followed { reason: Some(reason), aws, ..Followed::new(approval, decision, "requeued") };
        self.append(&mut tx, Kind::DecisionRequeued, &followed).await?;
        tx.commit().await?;
        Ok(())
    }

    /// An intent that could not even be checked before sending: tried again after a pause. Nothing happened, so nothing
    /// is recorded.
    pub(super) async fn postpone(&self, decision: &Decision, reason: &str) -> Result<(), Trouble> {
        let due = self.0.clock.now() + pace::read_again_after(decision.attempt);
        let mut conn = self.0.pool.acquire().await?;
        moves::mark_requeued(&mut conn, decision.expected(), due, None, reason).await?;
        Ok(())
    }

    pub(super) async fn doubt(
        &self,
        decision: &Decision,
        approval: &Approval,
        doubt: &'static str,
        code: Option<&str>,
        reason: &str,
        message: &str,
    ) -> Result<(), Trouble> {
        tracing::warn!(decision = %decision.id, doubt, code, message = clip(message), "the fate of a decision is unknown; reading back");
        let now = self.0.clock.now();
        let mut tx = self.0.pool.begin().await?;
        if !moves::mark_unsure(&mut tx, decision.expected(), now, doubt, (code, reason)).await? {
            return Ok(());
        }
        let aws = Aws { by: Some("answer"), code, message: Some(clip(message)), ..Aws::default() };
        let followed = Followed { reason: Some(reason), aws, ..Followed::new(approval, decision, "unsure") };
        self.append(&mut tx, Kind::DecisionUnsure, &followed).await?;
        tx.commit().await?;
        Ok(())
    }

    pub(super) async fn append(
        &self,
        tx: &mut PgConnection,
        kind: Kind,
        followed: &Followed<'_>,
    ) -> Result<(), Trouble> {
        let payload = Payload::new(&self.0.random, followed)?;
        audit::append(tx, kind, "system", &payload).await?;
        Ok(())
    }
}

fn at_aws(verdict: Verdict) -> AtAws {
    match verdict {
        Verdict::Approved => AtAws::Approved,
        Verdict::Rejected => AtAws::Rejected,
    }
}

fn clip(text: &str) -> String {
    Clipped::new(text, MAX_AWS_TEXT).text
}
