//! Where a run stands: the pipeline drawn as its stages, and the newer runs that wait behind this one. Pure.

use crate::codepipeline::observed::{ActionRun, PipelineState, Run, StageState};
use crate::domain::details::{ActionView, Details, MAX_NEWER, MAX_STAGES, NewerRun, StageView, short};
use crate::domain::ids::{ActionName, ExecutionId, StageName};
use crate::store::pipelines::{ActionShape, Pipeline, StageShape};

use super::describe::headline;
use super::observe::Waiting;

/// The stages as they stand for `execution`. Its own actions come from its action executions, because the state of a stage
/// can still show an earlier run's results behind a gate; other runs' come from the state.
pub(super) fn views(
    pipeline: &Pipeline,
    state: Option<&PipelineState>,
    execution: &ExecutionId,
    actions: Option<&[ActionRun]>,
) -> Vec<StageView> {
    let view = |shape: &StageShape| {
        let now = find(state, &shape.name);
        let holds_us = now.is_none_or(|stage| stage.latest.as_ref().is_none_or(|run| run.execution == *execution));
        let own = actions.filter(|_| holds_us);
        StageView {
            name: shape.name.to_string(),
            status: match now {
                Some(stage) => stage.latest.as_ref().map(|run| short(&run.status)),
                None => own.and_then(|own| stage_status(own, &shape.name)),
            },
            execution: match now {
                Some(stage) => stage.latest.as_ref().map(|run| run.execution.to_string()),
                None => own.map(|_| execution.to_string()),
            },
            closed: now.filter(|stage| !stage.transition_enabled).map(closed_why),
            actions: action_views(shape, now, own),
        }
    };
    pipeline.stages.iter().take(MAX_STAGES).map(view).collect()
}

fn find<'a>(state: Option<&'a PipelineState>, name: &StageName) -> Option<&'a StageState> {
    state?.stages.iter().find(|stage| stage.name == *name)
}

fn closed_why(stage: &StageState) -> String {
    stage.disabled_reason.as_deref().map_or_else(String::new, short)
}

fn action_views(shape: &StageShape, now: Option<&StageState>, own: Option<&[ActionRun]>) -> Vec<ActionView> {
    let status = |name: &ActionName| match own {
        Some(own) => newest(own, &shape.name, name).map(|run| run.status.clone()),
        None => now
            .and_then(|stage| stage.actions.iter().find(|action| action.name == *name))
            .and_then(|action| action.latest.as_ref())
            .map(|latest| latest.status.clone()),
    };
    let view = |action: &ActionShape| ActionView {
        name: action.name.to_string(),
        status: status(&action.name).map(|text| short(&text)),
        is_gate: action.is_gate,
    };
    shape.actions.iter().map(view).collect()
}

/// A retried action is listed once per attempt; the newest counts.
fn newest<'a>(runs: &'a [ActionRun], stage: &StageName, action: &ActionName) -> Option<&'a ActionRun> {
    runs.iter().filter(|run| run.stage == *stage && run.action == *action).max_by_key(|run| run.started_at)
}

fn stage_status(runs: &[ActionRun], stage: &StageName) -> Option<String> {
    let mut statuses: Vec<&str> =
        runs.iter().filter(|run| run.stage == *stage).map(|run| run.status.as_str()).collect();
    statuses.sort_unstable();
    ["InProgress", "Failed", "Abandoned", "Succeeded"]
        .into_iter()
        .find(|status| statuses.contains(status))
        .or(statuses.first().copied())
        .map(str::to_owned)
}

/// A newer run, and the stage it is in or waits for.
fn behind<'a>(state: &'a PipelineState, waiting: &Waiting) -> Vec<(&'a ExecutionId, &'a str, &'a StageName)> {
    let mut found: Vec<(&ExecutionId, &str, &StageName)> = Vec::new();
    for stage in &state.stages {
        let is_ours = stage.name == waiting.stage;
        let inside =
            stage.latest.as_ref().filter(|run| !is_ours && matches!(run.status.as_str(), "InProgress" | "Stopping"));
        for run in inside.into_iter().chain(&stage.inbound) {
            if run.execution != waiting.execution && !found.iter().any(|(id, ..)| **id == run.execution) {
                found.push((&run.execution, &run.status, &stage.name));
            }
        }
        if is_ours {
            break;
        }
    }
    found
}

/// The ids of the runs that are newer than the one that waits and cannot pass it, newest first.
pub(super) fn ids_behind(state: Option<&PipelineState>, waiting: &Waiting) -> Vec<ExecutionId> {
    state.map(|state| behind(state, waiting)).unwrap_or_default().into_iter().map(|(id, ..)| id.clone()).collect()
}

/// The newer runs with what is known of them, and how many more there are.
pub(super) fn newer(state: Option<&PipelineState>, waiting: &Waiting, runs: &[Run]) -> (Vec<NewerRun>, u64) {
    let all = state.map(|state| behind(state, waiting)).unwrap_or_default();
    let more = all.len().saturating_sub(MAX_NEWER) as u64;
    let told = all.into_iter().take(MAX_NEWER).map(|(id, status, stage)| {
        let run = runs.iter().find(|run| run.execution == *id);
        NewerRun {
            execution: id.to_string(),
            status: Some(short(run.map_or(status, |run| run.status.as_str()))),
            started_at: run.and_then(|run| run.started_at),
            at_stage: Some(stage.to_string()),
            brings: run.map(|run| run.revisions.iter().take(3).map(headline).collect()).unwrap_or_default(),
        }
    });
    (told.collect(), more)
}

/// What is told about a request that waits as before, brought up to date from the pipeline's state alone. `runs` tells
/// about newer runs where there are others than before.
pub(super) fn updated(
    old: &Details,
    pipeline: &Pipeline,
    state: &PipelineState,
    waiting: &Waiting,
    runs: Option<&[Run]>,
) -> Details {
    let mut new = old.clone();
    new.stages = views(pipeline, Some(state), &waiting.execution, None);
    for stage in &mut new.stages {
        let before = old.stages.iter().find(|it| it.name == stage.name);
        // The state may show an earlier run's results in our own stages; what was read from the run itself is better.
        if let Some(before) = before
            .filter(|it| it.execution == stage.execution && it.execution.as_deref() == Some(waiting.execution.as_str()))
        {
            stage.actions.clone_from(&before.actions);
        }
    }
    if let Some(runs) = runs {
        (new.newer, new.more_newer) = newer(Some(state), waiting, runs);
    }
    new
}

/// Whether other runs wait behind than are told.
pub(super) fn has_others_behind(old: &Details, state: &PipelineState, waiting: &Waiting) -> bool {
    let now = behind(state, waiting);
    let told: Vec<_> = old.newer.iter().map(|run| (run.execution.as_str(), run.at_stage.as_deref())).collect();
    let seen: Vec<_> = now.iter().take(MAX_NEWER).map(|(id, _, stage)| (id.as_str(), Some(stage.as_str()))).collect();
    told != seen || old.more_newer != now.len().saturating_sub(MAX_NEWER) as u64
}
