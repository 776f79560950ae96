//! What became of a decision, as its template prints it: what is known, what is not, what is being done. "Approved"
//! stands here only once AWS has said so (D-13).

use jiff::Timestamp;

use crate::decisions::DecisionView;
use crate::domain::decision::{State, Verdict};
use crate::domain::text::visible;
use crate::store::approvals::Approval;
use crate::web::display::{Caller, Said, short_id, verdict_chip};
use crate::web::parts::{Chip, Moment};

/// The result.
#[derive(Debug, Clone)]
pub struct ResultView {
    pub headline: String,
    pub explanation: String,
    pub notice: &'static str,
    pub chip: Chip,
    pub verdict: Chip,
    /// Whether the page should look again by itself.
    pub is_moving: bool,
    pub reason: Option<String>,
    pub record: i64,
    pub by: String,
    pub decided: Moment,
    pub sent: Option<Moment>,
    pub settled: Option<Moment>,
    pub approved: Option<Moment>,
    pub summary: Option<Said>,
    pub sent_summary: Said,
    /// Whether anything has been sent at all.
    pub was_sent: bool,
    pub attempts: i32,
    /// Who decided instead.
    pub elsewhere: Option<Caller>,
    pub elsewhere_summary: Option<Said>,
    pub approval: String,
    pub pipeline: String,
    pub gate: String,
    pub run: String,
    pub place: String,
}

impl ResultView {
    #[must_use]
    pub fn of(decision: &DecisionView, approval: &Approval, now: Timestamp) -> Self {
        let (headline, explanation, notice) = told(decision, approval);
        let is_elsewhere = decision.state == State::Elsewhere;
        let moment = |at: Option<Timestamp>| at.map(|at| Moment::new(at, now));
        let gate = &approval.gate;
        Self {
            headline,
            explanation,
            notice,
            chip: Chip::of_state(decision.state),
            verdict: verdict_chip(decision.verdict),
            is_moving: !decision.state.is_final(),
            reason: decision.reason.as_deref().map(visible),
            record: decision.intent_seq,
            by: match &decision.for_name {
                Some(lender) => visible(&format!("{} for {lender}", decision.person_name)),
                None => visible(&decision.person_name),
            },
            decided: Moment::new(decision.created_at, now),
            sent: moment(decision.sent_at),
            settled: moment(decision.settled_at),
            approved: moment(decision.approved_at),
            summary: (!decision.summary.is_empty()).then(|| Said::whole(&decision.summary)),
            sent_summary: Said::whole(&decision.sent_summary),
            was_sent: decision.attempt > 0,
            attempts: decision.attempt,
            elsewhere: approval.decided_by.as_deref().filter(|_| is_elsewhere).map(Caller::read),
            elsewhere_summary: approval.decided_summary.as_deref().filter(|_| is_elsewhere).map(Said::whole),
            approval: approval.id.to_string(),
            pipeline: gate.pipeline.to_string(),
            gate: format!("{} › {}", gate.stage, gate.action),
            run: short_id(approval.execution.as_str()),
            place: visible(&format!("{} · {} · {}", gate.source, approval.shown.account, approval.shown.region)),
        }
    }
}

/// Headline, explanation, and the tone of both.
fn told(decision: &DecisionView, approval: &Approval) -> (String, String, &'static str) {
    let run = format!("run {} of {}", short_id(approval.execution.as_str()), approval.gate.pipeline);
    let (verb, past) = match decision.verdict {
        Verdict::Approved => ("approval", "Approved"),
        Verdict::Rejected => ("rejection", "Rejected"),
    };
    let (headline, explanation, notice) = match decision.state {
        State::Accepted => (format!("{past} at AWS: {run}"), format!("AWS took the {verb} and says so."), "good"),
        State::Intent if decision.attempt == 0 => (
            format!("The {verb} is recorded and about to be sent"),
            "AWS has not been asked yet. This page looks again by itself.".to_owned(),
            "info",
        ),
        State::Intent => (
            format!("The {verb} has not taken effect yet"),
            "AWS surely did not take the last attempt. It is sent again in a moment; this page looks again by itself."
                .to_owned(),
            "info",
        ),
        State::Submitting => (
            format!("The {verb} is on its way to AWS"),
            "AWS has not answered yet. Closing this page changes nothing; it looks again by itself.".to_owned(),
            "info",
        ),
        State::Unsure => unsure(decision, verb),
        State::Refused => (
            format!("AWS refused the {verb}"),
            "Nothing changed at AWS. The approval may be decided again once the reason is gone.".to_owned(),
            "error",
        ),
        State::Elsewhere => (
            "Somebody else's answer was first".to_owned(),
            format!("The {verb} made here had no effect: AWS already had another answer for {run}."),
            "warn",
        ),
        State::Stale if decision.may_have_arrived => (
            format!("It is not known whether the {verb} arrived"),
            format!("What was to be answered no longer exists at AWS. Please look at {run} in the AWS console."),
            "warn",
        ),
        State::Stale => (
            format!("The {verb} came too late"),
            format!("What was to be answered no longer exists at AWS, so nothing changed for {run}."),
            "warn",
        ),
        State::Lapsed => (
            format!("The {verb} was not sent"),
            "Nothing changed at AWS. If it still waits, it can be decided again.".to_owned(),
            "warn",
        ),
    };
    (headline, explanation, notice)
}

fn unsure(decision: &DecisionView, verb: &str) -> (String, String, &'static str) {
    let headline = format!("It is not known yet whether the {verb} took effect");
    if decision.needs_person_since.is_some() {
        let explanation = "Reading AWS back has not settled it. Please look at the pipeline in the AWS console, and tell the \
                           operator of this portal; nothing is sent again until it is settled.";
        return (headline, explanation.to_owned(), "error");
    }
    let explanation = "It was sent, and what AWS made of it is not certain yet. The portal is reading AWS to find out; nothing is \
                       sent again until that is known. This page looks again by itself.";
    (headline, explanation.to_owned(), "warn")
}

#[cfg(test)]
pub mod samples {
    //! A decision in every state.

    use super::*;
    use crate::domain::ids::{ApprovalId, DecisionId};
    use crate::web::approver::samples::{HOSTILE, now};

    pub fn decision(state: State) -> DecisionView {
        DecisionView {
            id: DecisionId(uuid::Uuid::from_u128(9)),
            approval: ApprovalId(uuid::Uuid::from_u128(1)),
            is_by_rule: false,
            person_name: HOSTILE.into(),
            for_name: Some(HOSTILE.into()),
            verdict: Verdict::Approved,
            summary: HOSTILE.into(),
            sent_summary: format!("{HOSTILE} [Ana, rec 1234 9f2c61d04b7e83aa]"),
            state,
            attempt: 1,
            may_have_arrived: false,
            intent_seq: 1234,
            reason: Some(HOSTILE.into()),
            created_at: now(),
            sent_at: Some(now()),
            due_at: None,
            unsure_since: None,
            needs_person_since: None,
            settled_at: None,
            approved_at: None,
        }
    }
}
