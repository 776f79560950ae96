//! Finding requests in PARALLEL pipelines. AWS has no filter for running runs: the list of runs is paged, and each running
//! one is looked into. What was seen is remembered, so that an unchanged run is not looked into with every sweep; losing
//! the memory costs reads, never an approval.

use std::collections::{HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};

use super::observe::Waiting;
use crate::codepipeline::Gateway;
use crate::codepipeline::observed::{ActionRun, Missing, ReadError, Run};
use crate::domain::ids::{ApprovalToken, ExecutionId};
use crate::domain::mode::Mode;
use crate::store::approvals::Approval;
use crate::store::pipelines::Pipeline;

/// An unchanged run is looked into again after this: AWS does not promise that a run's time of update moves when one of its
/// actions begins to wait.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_secs(30);
/// The whole list is read again after this: a retried old run keeps its place far down.
const READ_ALL_AGAIN: SignedDuration = SignedDuration::from_mins(10);
/// How many pages of 100 runs are read at most. Fifty runs may be active; these many may have overtaken the oldest.
const MOST_PAGES: usize = 30;

/// What is remembered about a pipeline's running runs.
#[derive(Debug, Default)]
pub(super) struct RunsSeen {
    all_read_at: Option<Timestamp>,
    newest_start: Option<Timestamp>,
    running: HashMap<ExecutionId, RunSeen>,
}

#[derive(Debug, Clone)]
struct RunSeen {
    status: String,
    updated_at: Option<Timestamp>,
    looked_at: Timestamp,
    waiting: Vec<Waiting>,
}

impl RunsSeen {
    pub(super) fn any_running(&self) -> bool {
        !self.running.is_empty()
    }

    /// Forgets when each run was last looked into.
    pub(super) fn look_into_all_again(&mut self) {
        self.running.values_mut().for_each(|run| run.looked_at = Timestamp::UNIX_EPOCH);
    }

    /// Whether there is anything to remember.
    pub(super) fn is_worth_keeping(&self) -> bool {
        self.all_read_at.is_some()
    }
}

/// What was found.
pub(super) struct Found {
    pub waiting: Vec<Waiting>,
    pub looked_into: HashSet<ExecutionId>,
    /// Some runs are of another mode: their requests are in the pipeline's state.
    pub has_other_modes: bool,
}

pub(super) async fn discover(
    gateway: &Gateway,
    pipeline: &Pipeline,
    known: &[Approval],
    seen: &mut RunsSeen,
    now: Timestamp,
) -> Result<Found, ReadError> {
    let listed = list_running(gateway, pipeline, seen, now).await?;
    let of_mode = |run: &Run| run.mode.as_ref().unwrap_or(&pipeline.mode) == &Mode::Parallel;
    let has_other_modes = listed.running.iter().any(|run| !of_mode(run));
    let mut candidates: HashMap<ExecutionId, Option<&Run>> = HashMap::new();
    for run in listed.running.iter().filter(|run| of_mode(run)) {
        candidates.insert(run.execution.clone(), Some(run));
    }
    let remembered = seen.running.keys().filter(|id| !listed.ended.contains(*id)).cloned();
    let waited = known.iter().filter(|it| it.mode == Mode::Parallel).map(|it| it.execution.clone());
    for id in remembered.chain(waited) {
        candidates.entry(id).or_insert(None);
    }
    let mut running = HashMap::new();
    for (id, run) in &candidates {
        // A run that has ended is looked into for what became of its requests, whatever is remembered.
        let before = seen.running.get(id).filter(|_| !listed.ended.contains(id));
        if let Some(entry) = look_into(gateway, pipeline, (id, *run), before, now).await? {
            running.insert(id.clone(), entry);
        }
    }
    let found = Found {
        waiting: running.values().flat_map(|run| run.waiting.iter().cloned()).collect(),
        looked_into: candidates.into_keys().collect(),
        has_other_modes,
    };
    seen.running = running;
    Ok(found)
}

struct Listed {
    running: Vec<Run>,
    ended: HashSet<ExecutionId>,
}

/// The runs that have not ended: in the whole list now and then, otherwise in the pages that hold anything new.
async fn list_running(
    gateway: &Gateway,
    pipeline: &Pipeline,
    seen: &mut RunsSeen,
    now: Timestamp,
) -> Result<Listed, ReadError> {
    let read_all = seen.all_read_at.is_none_or(|at| now.duration_since(at) >= READ_ALL_AGAIN);
    let mut listed = Listed { running: Vec::new(), ended: HashSet::new() };
    let mut newest = seen.newest_start;
    let mut token = None;
    for _ in 0..MOST_PAGES {
        let page = gateway.list_runs_page(&pipeline.name, 100, token).await?;
        newest = newest.max(page.items.iter().filter_map(|run| run.started_at).max());
        let oldest = page.items.iter().filter_map(|run| run.started_at).min();
        for run in page.items {
            if has_ended(&run.status) {
                listed.ended.insert(run.execution);
            } else {
                listed.running.push(run);
            }
        }
        token = page.next;
        let reached_known =
            !read_all && oldest.is_some_and(|oldest| seen.newest_start.is_some_and(|known| oldest < known));
        if token.is_none() || reached_known {
            break;
        }
    }
    seen.newest_start = newest;
    if read_all {
        seen.all_read_at = Some(now);
    }
    Ok(listed)
}

fn has_ended(status: &str) -> bool {
    matches!(status, "Cancelled" | "Stopped" | "Succeeded" | "Superseded" | "Failed")
}

/// `None`: the run is no longer known to AWS, or has come to its end.
async fn look_into(
    gateway: &Gateway,
    pipeline: &Pipeline,
    (id, run): (&ExecutionId, Option<&Run>),
    before: Option<&RunSeen>,
    now: Timestamp,
) -> Result<Option<RunSeen>, ReadError> {
    if let Some(before) = before.filter(|before| now.duration_since(before.looked_at) < LOOK_AGAIN) {
        let same =
            |run: &Run| run.updated_at.is_some() && run.updated_at == before.updated_at && run.status == before.status;
        if run.is_none_or(same) {
            return Ok(Some(before.clone()));
        }
    }
    let runs = match gateway.list_action_runs(&pipeline.name, id).await {
        Ok(runs) => runs,
        Err(ReadError::Gone(Missing::Execution)) => return Ok(None),
        Err(error) => return Err(error),
    };
    if run.is_none() && !runs.iter().any(|run| run.status == "InProgress") {
        return Ok(None);
    }
    let mut waiting = waiting_in(pipeline, &runs, now);
    for request in &mut waiting {
        request.run_status = run.map(|run| run.status.clone());
    }
    Ok(Some(RunSeen {
        status: run.map_or_else(String::new, |run| run.status.clone()),
        updated_at: run.and_then(|run| run.updated_at),
        looked_at: now,
        waiting,
    }))
}

/// The requests among a run's action executions.
pub(super) fn waiting_in(pipeline: &Pipeline, runs: &[ActionRun], seen_at: Timestamp) -> Vec<Waiting> {
    let waits =
        |run: &&ActionRun| run.status == "InProgress" && (run.is_gate || pipeline.is_gate(&run.stage, &run.action));
    runs.iter().filter(waits).map(|run| waiting(run, seen_at)).collect()
}

fn waiting(run: &ActionRun, seen_at: Timestamp) -> Waiting {
    // Without a token nobody can answer here. It is still shown; what stands in for the token never passes for one.
    let token = run
        .external_execution
        .clone()
        .unwrap_or_else(|| format!("none/{}", run.action_execution.as_deref().unwrap_or(run.execution.as_str())));
    Waiting {
        stage: run.stage.clone(),
        action: run.action.clone(),
        execution: run.execution.clone(),
        action_execution: run.action_execution.clone(),
        token: ApprovalToken::new(token),
        mode: Mode::Parallel,
        changed_at: run.started_at,
        seen_at,
        run_status: None,
    }
}
