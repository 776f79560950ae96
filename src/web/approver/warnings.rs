//! What a person should know before deciding, because it makes the buttons mean something else than they seem to.

use crate::domain::text::visible;
use crate::store::approvals::Approval;
use crate::web::display::{count, short_id};

/// A heading and its explanation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    pub headline: String,
    pub explanation: String,
}

/// Whether a stop was asked for, so that the run ends whatever is decided.
#[must_use]
pub fn is_stopping(approval: &Approval) -> bool {
    approval.details.run_status.as_deref() == Some("Stopping")
}

/// The warnings, most weighty first.
#[must_use]
pub fn list(approval: &Approval) -> Vec<Warning> {
    [rollback(approval), stopping(approval), newer(approval), closed_transition(approval), unresolved(approval)]
        .into_iter()
        .flatten()
        .collect()
}

fn warning(headline: impl Into<String>, explanation: impl Into<String>) -> Option<Warning> {
    Some(Warning { headline: headline.into(), explanation: explanation.into() })
}

fn rollback(approval: &Approval) -> Option<Warning> {
    let details = &approval.details;
    (details.run_kind.as_deref() == Some("ROLLBACK")).then_some(())?;
    let target =
        details.rollback_of.as_deref().map(|run| format!(" It brings back what run {} shipped.", short_id(run)));
    warning(
        "This run is a rollback.",
        format!("Approving goes back to an earlier version.{}", target.unwrap_or_default()),
    )
}

fn stopping(approval: &Approval) -> Option<Warning> {
    is_stopping(approval).then_some(())?;
    warning(
        "Somebody has asked AWS to stop this run once this gate is answered.",
        "Approving completes the gate, but the run does not go on to the next step.",
    )
}

fn newer(approval: &Approval) -> Option<Warning> {
    let runs = approval.details.newer.len() as u64 + approval.details.more_newer;
    (runs > 0).then_some(())?;
    warning(
        format!("{} behind this one.", count(runs, "newer run waits", "newer runs wait")),
        "You are deciding about the older run. A newer one moves up only when this one is answered, stopped or expires: \
         to ship the newer, reject this one (or have it stopped at AWS).",
    )
}

fn closed_transition(approval: &Approval) -> Option<Warning> {
    let stages = &approval.details.stages;
    let here = stages.iter().position(|stage| stage.name == approval.gate.stage.as_str())?;
    let next = stages.get(here + 1)?;
    let reason = next.closed.as_deref()?;
    let reason = Some(reason)
        .filter(|reason| !reason.trim().is_empty())
        .map(|reason| format!(" The reason given: {}", visible(reason)));
    warning(
        format!("The way into stage {} is closed at AWS.", visible(&next.name)),
        format!("An approved run waits there until somebody opens it.{}", reason.unwrap_or_default()),
    )
}

fn unresolved(approval: &Approval) -> Option<Warning> {
    let shown = &approval.shown;
    let has_variables = [&shown.comment, &shown.review_url].into_iter().flatten().any(|text| text.text.contains("#{"));
    (!approval.details.resolved && has_variables).then_some(())?;
    warning(
        "The comment is shown as configured.",
        "Its variables (#{…}) could not be filled in, because AWS did not let the portal read the action's details.",
    )
}
