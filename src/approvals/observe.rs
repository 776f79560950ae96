//! What AWS shows at a pipeline's gates: which requests wait, by the token that would answer each. Where the token is found
//! depends on the execution mode (CodePipeline API Reference, PutApprovalResult): in the pipeline's state, or in PARALLEL
//! in the run's action executions.

use std::collections::HashSet;

use jiff::Timestamp;

use super::parallel::{self, RunsSeen};
use super::stages;
use crate::codepipeline::Gateway;
use crate::codepipeline::observed::{ActionRun, PipelineState, ReadError, Run, RunDetail};
use crate::domain::ids::{ActionName, ApprovalToken, ExecutionId, SourceName, StageName};
use crate::domain::mode::Mode;
use crate::store::approvals::Approval;
use crate::store::pipelines::Pipeline;

/// Where a source is. The account is "unknown" until AWS or the configuration says.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub source: SourceName,
    pub account: String,
    pub region: String,
}

/// A request that waits at a gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Waiting {
    pub stage: StageName,
    pub action: ActionName,
    pub execution: ExecutionId,
    pub action_execution: Option<String>,
    pub token: ApprovalToken,
    pub mode: Mode,
    /// When the action last changed: when it began to wait.
    pub changed_at: Option<Timestamp>,
    /// When the read began that saw it: what is remembered is no newer for being remembered.
    pub seen_at: Timestamp,
    /// `Stopping`: the run ends with this approval, whatever is answered.
    pub run_status: Option<String>,
}

impl Waiting {
    /// Whether this is the action execution that waits.
    pub(super) fn is(&self, run: &ActionRun) -> bool {
        if run.stage != self.stage || run.action != self.action {
            return false;
        }
        match (&self.action_execution, &run.action_execution) {
            (Some(ours), Some(theirs)) => ours == theirs,
            _ => run.status == "InProgress",
        }
    }
}

/// What one read of a pipeline saw.
#[derive(Debug)]
pub(super) struct Sight {
    /// When the read began: what it saw is no older, and says nothing about what came later.
    pub began: Timestamp,
    pub state: Option<PipelineState>,
    pub waiting: Vec<Waiting>,
    /// The runs that were looked into one by one.
    pub looked_into: HashSet<ExecutionId>,
    /// Something waits that could not be made out.
    pub trouble: Option<ReadError>,
}

impl Sight {
    fn of(began: Timestamp) -> Self {
        Self { began, state: None, waiting: Vec::new(), looked_into: HashSet::new(), trouble: None }
    }

    /// Whether this read would have shown the approval if it still waited.
    pub(super) fn covers(&self, approval: &Approval) -> bool {
        if approval.seen_open_at >= self.began {
            return false;
        }
        match approval.mode {
            Mode::Parallel => self.looked_into.contains(&approval.execution),
            _ => self.state.is_some(),
        }
    }
}

/// Reads a pipeline for a sweep: its state, or in PARALLEL its running runs, remembered in `seen` so that an unchanged run
/// costs nothing.
pub(super) async fn observe(
    gateway: &Gateway,
    pipeline: &Pipeline,
    known: &[Approval],
    seen: &mut RunsSeen,
    began: Timestamp,
) -> Result<Sight, ReadError> {
    let is_parallel = pipeline.mode == Mode::Parallel;
    let mut sight = Sight::of(began);
    let mut needs_state = !is_parallel || known.iter().any(|it| it.mode != Mode::Parallel);
    // After a change of mode, runs of the old mode go on in it.
    if is_parallel || seen.any_running() || known.iter().any(|it| it.mode == Mode::Parallel) {
        let found = parallel::discover(gateway, pipeline, known, seen, began).await?;
        needs_state |= found.has_other_modes;
        sight.waiting = found.waiting;
        sight.looked_into = found.looked_into;
    }
    if needs_state {
        let state = gateway.read_state(&pipeline.name).await?;
        let mode = if is_parallel { Mode::Superseded } else { pipeline.mode.clone() };
        sight.look_at(pipeline, state, &mode)?;
    }
    Ok(sight)
}

/// Reads what one approval needs: the pipeline's state, or in PARALLEL its own run.
pub(super) async fn observe_one(
    gateway: &Gateway,
    pipeline: &Pipeline,
    approval: &Approval,
    began: Timestamp,
) -> Result<Sight, ReadError> {
    let mut sight = Sight::of(began);
    if approval.mode == Mode::Parallel {
        let runs = gateway.list_action_runs(&pipeline.name, &approval.execution).await?;
        sight.waiting = parallel::waiting_in(pipeline, &runs, began);
        sight.looked_into.insert(approval.execution.clone());
    } else {
        let state = gateway.read_state(&pipeline.name).await?;
        sight.look_at(pipeline, state, &approval.mode)?;
    }
    Ok(sight)
}

impl Sight {
    /// Takes up the requests in a pipeline's state. Joined with the definition, because the state does not say what an
    /// action is: an action of another kind, or a custom approval, is never offered.
    fn look_at(&mut self, pipeline: &Pipeline, state: PipelineState, mode: &Mode) -> Result<(), ReadError> {
        if state.version == Some(pipeline.version) && !shows_all_gates(pipeline, &state) {
            return Err(ReadError::Broken("the state does not show every gate of the pipeline".into()));
        }
        for stage in &state.stages {
            for action in stage.actions.iter().filter(|action| pipeline.is_gate(&stage.name, &action.name)) {
                let Some(latest) = action.latest.as_ref().filter(|latest| latest.status == "InProgress") else {
                    continue;
                };
                // The action itself names no run; the stage that holds it does.
                let run = stage.latest.as_ref().map(|run| run.execution.clone());
                if run.as_ref().is_some_and(|run| self.looked_into.contains(run)) {
                    continue;
                }
                let (Some(token), Some(execution)) = (latest.token.clone(), run) else {
                    let text = format!("{} waits in stage {}, without its run or its token", action.name, stage.name);
                    self.trouble = Some(ReadError::Broken(text));
                    continue;
                };
                self.waiting.push(Waiting {
                    stage: stage.name.clone(),
                    action: action.name.clone(),
                    execution,
                    action_execution: latest.action_execution.clone(),
                    token,
                    mode: mode.clone(),
                    changed_at: latest.changed_at,
                    seen_at: self.began,
                    run_status: stage.latest.as_ref().map(|run| run.status.clone()).filter(|it| it == "Stopping"),
                });
            }
        }
        self.state = Some(state);
        Ok(())
    }
}

fn shows_all_gates(pipeline: &Pipeline, state: &PipelineState) -> bool {
    pipeline.stages.iter().all(|shape| {
        let stage = state.stages.iter().find(|stage| stage.name == shape.name);
        let mut gates = shape.actions.iter().filter(|action| action.is_gate);
        gates.all(|gate| stage.is_some_and(|stage| stage.actions.iter().any(|action| action.name == gate.name)))
    })
}

/// What is read about a request besides that it waits.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// Absent where AWS does not let us, or did not this time.
    pub actions: Option<Vec<ActionRun>>,
    pub run: Option<RunDetail>,
    /// The newest runs; read only when some wait behind.
    pub runs: Vec<Run>,
    /// False when something failed that may work next time.
    pub complete: bool,
}

/// Reads everything there is to tell. What is not allowed is left out for good; what fails is left out for now, or, when
/// `strict`, is an error: nobody is to decide on less than was shown because of a bad moment.
pub(super) async fn gather(
    gateway: &Gateway,
    pipeline: &Pipeline,
    waiting: &Waiting,
    state: Option<&PipelineState>,
    strict: bool,
) -> Result<Facts, ReadError> {
    let behind = stages::ids_behind(state, waiting);
    let runs = async {
        match behind.is_empty() {
            true => Ok(Vec::new()),
            false => gateway.list_runs(&pipeline.name, 100).await,
        }
    };
    let (actions, run, runs) = tokio::join!(
        gateway.list_action_runs(&pipeline.name, &waiting.execution),
        gateway.read_run(&pipeline.name, &waiting.execution),
        runs
    );
    let mut facts = Facts { complete: true, ..Facts::default() };
    facts.actions = facts.part(actions, strict)?;
    facts.run = facts.part(run, strict)?;
    // Newer runs are told, not decided on.
    facts.runs = facts.part(runs, false)?.unwrap_or_default();
    Ok(facts)
}

impl Facts {
    fn part<T>(&mut self, read: Result<T, ReadError>, strict: bool) -> Result<Option<T>, ReadError> {
        match read {
            Ok(value) => Ok(Some(value)),
            Err(ReadError::Denied { .. }) => Ok(None),
            Err(error) if strict => Err(error),
            Err(_) => {
                self.complete = false;
                Ok(None)
            }
        }
    }
}
