//! The state of one account and region: pipelines, executions, action executions, what is due when. Data and look-ups;
//! the rules by which it moves are in `engine`. Nothing here reads a clock.
//!
//! Pipelines are copy-on-write: a reader takes an `Arc` and lets go of the lock, and the last versions are kept for a
//! while so that stale reads can be served.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap, VecDeque},
    sync::Arc,
};

use jiff::{SignedDuration, Timestamp};

use super::{
    config::{ExternalIds, Span},
    definition::{ActionSpec, Commit, Definition, Texts, Verdict},
    diary::Pause,
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
    pub summary: Option<String>,
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

/// Something that will happen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event {
    Finish { run: usize },
    Expire { run: usize },
    Answer { run: usize, person: usize },
    Arrive,
    Begin,
}

#[derive(Debug)]
struct Due {
    at: Timestamp,
    number: u64,
    pipeline: String,
    generation: u64,
    event: Event,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}
impl Eq for Due {}
impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

/// What is due when. Events of one instant keep their order, so that a history repeats.
#[derive(Debug, Default)]
pub struct Schedule {
    due: BinaryHeap<Reverse<Due>>,
    number: u64,
}

impl Schedule {
    pub fn add(&mut self, at: Timestamp, pipeline: &Pipeline, event: Event) {
        self.number += 1;
        let name = pipeline.definition.name.clone();
        self.due.push(Reverse(Due { at, number: self.number, pipeline: name, generation: pipeline.generation, event }));
    }
}

/// What the whole world has in common.
#[derive(Clone, Debug)]
pub struct Settings {
    pub account: String,
    pub region: String,
    pub approval_timeout: SignedDuration,
    pub external_ids: ExternalIds,
    pub stale_window: SignedDuration,
    pub seed: u64,
    /// Times in which no new executions arrive by themselves.
    pub pauses: Vec<Pause>,
}

/// A pipeline as it was until an instant; `None` where there was none.
type Past = (Timestamp, Option<Arc<Pipeline>>);

/// One account and region.
#[derive(Debug)]
pub struct World {
    pub settings: Settings,
    pipelines: BTreeMap<String, Arc<Pipeline>>,
    past: HashMap<String, VecDeque<Past>>,
    pub(super) schedule: Schedule,
    generation: u64,
}

impl World {
    pub fn new(settings: Settings) -> Self {
        let (pipelines, past) = (BTreeMap::new(), HashMap::new());
        Self { settings, pipelines, past, schedule: Schedule::default(), generation: 0 }
    }

    /// The pipeline as it is, or as it was at `as_of`.
    pub fn find_pipeline(&self, name: &str, as_of: Option<Timestamp>) -> Option<Arc<Pipeline>> {
        let older = as_of.and_then(|as_of| self.past.get(name)?.iter().find(|(until, _)| *until > as_of));
        older.map_or_else(|| self.pipelines.get(name).cloned(), |(_, then)| then.clone())
    }

    /// All pipelines by name.
    pub fn list_pipelines(&self, as_of: Option<Timestamp>) -> Vec<Arc<Pipeline>> {
        self.pipelines.keys().filter_map(|name| self.find_pipeline(name, as_of)).collect()
    }

    pub(super) fn next_generation(&mut self) -> u64 {
        self.generation += 1;
        self.generation
    }

    pub(super) fn insert_pipeline(&mut self, pipeline: Pipeline, at: Timestamp) {
        let name = pipeline.definition.name.clone();
        self.remember(&name, at);
        self.pipelines.insert(name, Arc::new(pipeline));
    }

    pub(super) fn remove_pipeline(&mut self, name: &str, at: Timestamp) -> bool {
        self.remember(name, at);
        self.pipelines.remove(name).is_some()
    }

    /// The pipeline for a change at `at`, and what a change may need beside it.
    pub(super) fn change(&mut self, name: &str, at: Timestamp) -> Option<(&mut Pipeline, &mut Schedule, &Settings)> {
        if !self.pipelines.contains_key(name) {
            return None;
        }
        self.remember(name, at);
        let pipeline = Arc::make_mut(self.pipelines.get_mut(name)?);
        Some((pipeline, &mut self.schedule, &self.settings))
    }

    fn remember(&mut self, name: &str, at: Timestamp) {
        let window = self.settings.stale_window;
        if window.is_zero() {
            return;
        }
        let now = self.pipelines.get(name).cloned();
        let past = self.past.entry(name.to_owned()).or_default();
        if past.back().is_none_or(|(until, _)| *until < at) {
            past.push_back((at, now));
        }
        while past.front().is_some_and(|(until, _)| at.duration_since(*until) > window) {
            past.pop_front();
        }
    }

    /// Takes the next event that is due at `now`.
    pub(super) fn pop_due(&mut self, now: Timestamp) -> Option<(Timestamp, String, Event)> {
        while self.schedule.due.peek().is_some_and(|Reverse(due)| due.at <= now) {
            let Reverse(due) = self.schedule.due.pop()?;
            let alive = self.pipelines.get(&due.pipeline).is_some_and(|known| known.generation == due.generation);
            if alive {
                return Some((due.at, due.pipeline, due.event));
            }
        }
        None
    }
}

/// A decision somebody makes.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    pub verdict: Verdict,
    pub summary: &'a str,
    pub by: &'a str,
}
