//! What became of an approval request, by evidence alone (D-09): the pipeline's state first, then the run's action
//! executions, then the run itself. "Failed" by itself says nothing: expiry, stop and rejection look alike.

use jiff::Timestamp;

use crate::codepipeline::Gateway;
use crate::codepipeline::observed::{ActionRun, LatestAction, Missing, PipelineState, ReadError};
use crate::domain::mode::Mode;
use crate::domain::summary::Marker;
use crate::store::approvals::Approval;

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It still waits, as far as AWS shows.
    Open,
    Approved {
        summary: Option<String>,
        by: Option<String>,
    },
    /// Rejected by somebody: AWS names them, or their words say so.
    Rejected {
        summary: Option<String>,
        by: Option<String>,
    },
    /// It failed, and nothing tells whether somebody rejected it or nobody answered in time.
    Failed {
        summary: Option<String>,
        by: Option<String>,
    },
    /// Its run was stopped without waiting for an answer.
    Abandoned,
    /// Its run was replaced by a newer one.
    Superseded,
    Gone {
        why: String,
    },
}

impl Fate {
    /// Whether this is only what the run, or the lack of one, makes likely: no answer to the request itself was seen.
    #[must_use]
    pub fn is_inferred(&self) -> bool {
        !matches!(self, Self::Open | Self::Approved { .. } | Self::Rejected { .. })
    }

    /// What was said with the answer.
    #[must_use]
    pub fn summary(&self) -> Option<&str> {
        match self {
            Self::Approved { summary, .. } | Self::Rejected { summary, .. } | Self::Failed { summary, .. } => {
                summary.as_deref()
            }
            _ => None,
        }
    }
}

/// A fate, when it came, and what is missing to be sure of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ending {
    pub fate: Fate,
    /// As AWS says; absent where it does not.
    pub at: Option<Timestamp>,
    /// Set when the fate is only the likeliest reading, because the request itself could not be looked up. Good enough to
    /// take an approval off the queue, never to settle a decision that was sent.
    pub doubt: Option<ReadError>,
}

pub(super) const DELETED: &str = "the pipeline was deleted";
pub(super) const EDITED: &str = "the pipeline was edited, which cancels what runs";
pub(super) const RETRIED: &str = "the stage was retried, which makes a new request";
const UNKNOWN_RUN: &str = "AWS no longer knows its run";

impl Ending {
    fn of(fate: Fate) -> Self {
        Self { fate, at: None, doubt: None }
    }

    pub(super) fn gone(why: &str) -> Self {
        Self::of(Fate::Gone { why: why.to_owned() })
    }
}

/// Finds out what became of `approval`. `state` saves a read where it was read just now.
pub(super) async fn find_ending(
    gateway: &Gateway,
    approval: &Approval,
    state: Option<&PipelineState>,
) -> Result<Ending, ReadError> {
    let ending = find_by_evidence(gateway, approval, state).await?;
    if ending.fate != Fate::Abandoned {
        return Ok(ending);
    }
    // An edit abandons the action just as a stop does (an action's statuses have no word for it); the run tells them apart.
    match from_run(gateway, approval).await {
        Ok(Some(run)) if matches!(run.fate, Fate::Gone { .. } | Fate::Superseded) => {
            Ok(Ending { fate: run.fate, ..ending })
        }
        Ok(_) | Err(ReadError::Denied { .. }) => Ok(ending),
        Err(error) => Err(error),
    }
}

async fn find_by_evidence(
    gateway: &Gateway,
    approval: &Approval,
    state: Option<&PipelineState>,
) -> Result<Ending, ReadError> {
    let in_state = match deleted(from_state(gateway, approval, state).await)? {
        Ok(seen) => seen,
        Err(deleted) => return Ok(deleted),
    };
    if let InState::Conclusive(ending) = in_state {
        return Ok(ending);
    }
    let listed = gateway.list_action_runs(&approval.gate.pipeline, &approval.execution).await;
    match listed {
        Ok(runs) => from_action_runs(gateway, approval, &runs).await,
        Err(ReadError::Gone(Missing::Pipeline)) => Ok(Ending::gone(DELETED)),
        Err(ReadError::Gone(Missing::Execution)) => Ok(Ending::gone(UNKNOWN_RUN)),
        Err(denied @ ReadError::Denied { .. }) => {
            let guess = match from_run(gateway, approval).await? {
                Some(ending) => ending,
                None if matches!(in_state, InState::AnotherToken) => Ending::gone(RETRIED),
                None => return Err(denied),
            };
            Ok(Ending { doubt: Some(denied), ..guess })
        }
        Err(error) => Err(error),
    }
}

fn deleted<T>(read: Result<T, ReadError>) -> Result<Result<T, Ending>, ReadError> {
    match read {
        Ok(value) => Ok(Ok(value)),
        Err(ReadError::Gone(Missing::Pipeline)) => Ok(Err(Ending::gone(DELETED))),
        Err(error) => Err(error),
    }
}

/// What the pipeline's state says about a request.
enum InState {
    Conclusive(Ending),
    /// Another request waits at the gate now.
    AnotherToken,
    Silent,
}

async fn from_state(
    gateway: &Gateway,
    approval: &Approval,
    state: Option<&PipelineState>,
) -> Result<InState, ReadError> {
    // Not usable in PARALLEL: the state shows no single run there.
    if approval.mode == Mode::Parallel {
        return Ok(InState::Silent);
    }
    match state {
        Some(state) => Ok(conclude(approval, state)),
        None => Ok(conclude(approval, &gateway.read_state(&approval.gate.pipeline).await?)),
    }
}

fn conclude(approval: &Approval, state: &PipelineState) -> InState {
    let stage = state.stages.iter().find(|stage| stage.name == approval.gate.stage);
    let action = stage.and_then(|stage| stage.actions.iter().find(|action| action.name == approval.gate.action));
    let (Some(stage), Some(latest)) = (stage, action.and_then(|action| action.latest.as_ref())) else {
        return InState::Silent;
    };
    if latest.status == "InProgress" {
        return match &latest.token {
            Some(token) if *token == approval.token => InState::Conclusive(Ending::of(Fate::Open)),
            Some(_) => InState::AnotherToken,
            None => InState::Silent,
        };
    }
    let same_run = stage.latest.as_ref().is_some_and(|run| run.execution == approval.execution);
    if !is_about(approval, latest, same_run) {
        return InState::Silent;
    }
    match finished(&latest.status, latest.summary.clone(), latest.updated_by.clone()) {
        Some(fate) => InState::Conclusive(Ending { at: latest.changed_at, ..Ending::of(fate) }),
        None => InState::Silent,
    }
}

/// Whether the action's latest execution is the one that asked. Without ids to compare, it must belong to the same run
/// and not be older than the request: a stage can show an earlier run's result, and a read can be stale.
fn is_about(approval: &Approval, latest: &LatestAction, same_run: bool) -> bool {
    match (&approval.action_execution, &latest.action_execution) {
        (Some(ours), Some(theirs)) => ours == theirs,
        _ => same_run && latest.changed_at.is_none_or(|at| at >= approval.opened_at),
    }
}

fn finished(status: &str, summary: Option<String>, by: Option<String>) -> Option<Fate> {
    match status {
        "Succeeded" => Some(Fate::Approved { summary, by }),
        "Failed" if by.is_some() || summary.as_deref().is_some_and(is_of_a_person) => {
            Some(Fate::Rejected { summary, by })
        }
        "Failed" => Some(Fate::Failed { summary, by }),
        "Abandoned" => Some(Fate::Abandoned),
        _ => None,
    }
}

/// AWS writes `Rejected by <ARN>` where no summary was given; a marker is written by a portal for a person.
fn is_of_a_person(summary: &str) -> bool {
    summary.starts_with("Rejected by ") || Marker::read(summary).is_some()
}

async fn from_action_runs(gateway: &Gateway, approval: &Approval, runs: &[ActionRun]) -> Result<Ending, ReadError> {
    let here = |run: &&ActionRun| run.stage == approval.gate.stage && run.action == approval.gate.action;
    // Without ids to compare, a retry of the stage looks like ours and comes later.
    let ours = runs.iter().filter(here).filter(|run| is_ours(approval, run)).min_by_key(|run| run.started_at);
    if let Some(run) = ours
        && let Some(fate) = finished(&run.status, run.summary.clone(), run.updated_by.clone())
    {
        return Ok(Ending { at: run.updated_at, ..Ending::of(fate) });
    }
    let another = runs.iter().filter(here).any(|run| run.status == "InProgress" && !is_ours(approval, run));
    let from_run = from_run(gateway, approval).await?;
    match ours {
        // The action never finished and its run has: stopped, or its pipeline edited.
        Some(_) => Ok(from_run.unwrap_or(Ending::of(Fate::Open))),
        None if another => Ok(Ending { doubt: Some(unlisted()), ..Ending::gone(RETRIED) }),
        None => {
            let guess = from_run.ok_or_else(unlisted)?;
            Ok(Ending { doubt: Some(unlisted()), ..guess })
        }
    }
}

fn unlisted() -> ReadError {
    ReadError::Broken("the run's actions do not include the request that was waiting".into())
}

fn is_ours(approval: &Approval, run: &ActionRun) -> bool {
    // AWS does not promise to show an answered request's token for ever.
    if let (Mode::Parallel, Some(token)) = (&approval.mode, &run.external_execution) {
        return token == approval.token.expose();
    }
    match (&approval.action_execution, &run.action_execution) {
        (Some(ours), Some(theirs)) => ours == theirs,
        _ => run.started_at.is_none_or(|at| at >= approval.opened_at),
    }
}

/// What the run's own status says, where that ends the request. By itself a guess: the request may have been answered
/// before its run ended like this.
async fn from_run(gateway: &Gateway, approval: &Approval) -> Result<Option<Ending>, ReadError> {
    let run = match gateway.read_run(&approval.gate.pipeline, &approval.execution).await {
        Ok(run) => run,
        Err(ReadError::Gone(Missing::Pipeline)) => return Ok(Some(Ending::gone(DELETED))),
        Err(ReadError::Gone(Missing::Execution)) => return Ok(Some(Ending::gone(UNKNOWN_RUN))),
        Err(error) => return Err(error),
    };
    let fate = match run.status.as_str() {
        "Stopped" => Fate::Abandoned,
        "Superseded" => Fate::Superseded,
        "Cancelled" => Fate::Gone { why: EDITED.into() },
        "Succeeded" => Fate::Gone { why: "its run went on to its end; AWS does not show who answered".into() },
        "Failed" => Fate::Failed { summary: None, by: None },
        _ => return Ok(None),
    };
    Ok(Some(Ending::of(fate)))
}
