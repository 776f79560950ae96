//! What a pipeline consists of while it lives: executions, action executions, stages. Data and look-ups; the rules by
//! which it moves are in `engine`.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use jiff::Timestamp;

use super::{
    config::Span,
    definition::{ActionSpec, Commit, Definition, Texts, Verdict},
};
use crate::random::Random;

/// The states of executions, stages and actions. AWS has an enum for each; this is their union.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    InProgress,
    Stopping,
    Stopped,
    Succeeded,
    Superseded,
    Failed,
    Cancelled,
    Abandoned,
}

impl Status {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "InProgress",
            Self::Stopping => "Stopping",
            Self::Stopped => "Stopped",
            Self::Succeeded => "Succeeded",
            Self::Superseded => "Superseded",
            Self::Failed => "Failed",
            Self::Cancelled => "Cancelled",
            Self::Abandoned => "Abandoned",
        }
    }

    pub fn is_active(self) -> bool {
        matches!(self, Self::InProgress | Self::Stopping)
    }
}

/// Where an execution is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// In front of a stage.
    Waiting(usize),
    /// Inside a stage.
    In(usize),
    /// Finished.
    Out,
}

/// A source revision an execution runs with.
#[derive(Clone, Debug)]
pub struct Revision {
    pub action: String,
    pub id: String,
    pub summary: String,
    pub url: Option<String>,
}

/// Who or what started an execution.
#[derive(Clone, Debug)]
pub struct Trigger {
    pub kind: &'static str,
    pub detail: String,
}

/// A stop request.
#[derive(Clone, Debug)]
pub struct Stop {
    pub reason: Option<String>,
}

/// One pipeline execution.
#[derive(Clone, Debug)]
pub struct Execution {
    pub id: String,
    pub definition: Arc<Definition>,
    pub status: Status,
    pub started: Timestamp,
    pub updated: Timestamp,
    pub trigger: Trigger,
    pub commit: Commit,
    pub revisions: Vec<Revision>,
    pub variables: Texts,
    /// Output variables by namespace.
    pub outputs: BTreeMap<String, Texts>,
    pub stop: Option<Stop>,
    pub rollback_of: Option<String>,
    pub position: Position,
    /// How each stage it entered went.
    pub stages: BTreeMap<String, Status>,
    /// Its action executions, oldest first.
    pub runs: Vec<usize>,
    /// The action executions of the present attempt at the present stage.
    pub attempt: BTreeMap<String, usize>,
}

/// Why an action failed.
#[derive(Clone, Debug)]
pub struct Failure {
    pub code: &'static str,
    pub message: String,
}

/// One action execution.
#[derive(Clone, Debug)]
pub struct Run {
    pub id: String,
    pub execution: usize,
    pub stage: String,
    pub spec: Arc<ActionSpec>,
    pub status: Status,
    pub started: Timestamp,
    pub updated: Timestamp,
    /// What `PutApprovalResult` must name. Kept when dead, to tell the two "too late" answers apart.
    pub token: Option<String>,
    pub external_id: Option<String>,
    pub summary: Option<String>,
    pub updated_by: Option<String>,
    pub failure: Option<Failure>,
    pub configuration: Texts,
    pub outputs: Texts,
    /// Answered by somebody, rather than expired or abandoned.
    pub decided: bool,
    pub will_fail: bool,
}

/// A transition into a stage.
#[derive(Clone, Debug)]
pub struct Transition {
    pub enabled: bool,
    pub changed_by: Option<String>,
    pub changed_at: Option<Timestamp>,
    pub reason: Option<String>,
}

impl Default for Transition {
    fn default() -> Self {
        Self { enabled: true, changed_by: None, changed_at: None, reason: None }
    }
}

/// What a pipeline remembers of a stage.
#[derive(Clone, Debug, Default)]
pub struct Stage {
    /// The execution inside; never one of mode PARALLEL.
    pub lock: Option<usize>,
    /// Executions in front of the stage, oldest first.
    pub inbound: VecDeque<usize>,
    pub latest: Option<usize>,
    pub latest_runs: BTreeMap<String, usize>,
    pub transition: Transition,
    pub outbound: Transition,
    pub retries: Retries,
}

/// How often the stage's latest execution was retried.
#[derive(Clone, Copy, Debug, Default)]
pub struct Retries {
    pub automated: u32,
    pub manual: u32,
    pub last_was_manual: bool,
}

/// How a pipeline comes by executions.
#[derive(Clone, Debug, Default)]
pub struct Habits {
    pub commits: Vec<Commit>,
    pub next_commit: usize,
    pub every: Option<Span>,
}

/// A pipeline and its history.
#[derive(Clone, Debug)]
pub struct Pipeline {
    pub definition: Arc<Definition>,
    pub versions: Vec<Arc<Definition>>,
    pub created: Timestamp,
    pub updated: Timestamp,
    /// Tells this pipeline from a deleted one of the same name.
    pub generation: u64,
    pub executions: Vec<Arc<Execution>>,
    pub runs: Vec<Arc<Run>>,
    pub stages: BTreeMap<String, Stage>,
    pub habits: Habits,
    pub tags: Texts,
    /// Client request tokens of StartPipelineExecution, with the request they came with.
    pub requests: BTreeMap<String, (String, usize)>,
    pub random: Random,
}

impl Pipeline {
    /// Position of an execution; recent ones are found first.
    pub fn find_execution(&self, id: &str) -> Option<usize> {
        self.executions.iter().rposition(|execution| execution.id == id)
    }

    /// Position of the action execution a token belongs to.
    pub fn find_token(&self, token: &str) -> Option<usize> {
        self.runs.iter().rposition(|run| run.token.as_deref() == Some(token))
    }

    /// Approvals that wait, oldest first.
    pub fn waiting(&self) -> impl Iterator<Item = (usize, &Arc<Run>)> {
        let live = self.runs.iter().enumerate();
        live.filter(|(_, run)| run.status == Status::InProgress && run.spec.is_manual_approval())
    }
}

/// A decision somebody makes.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    pub verdict: Verdict,
    pub summary: &'a str,
    pub by: &'a str,
}
