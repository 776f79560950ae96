//! One account and region: its pipelines, and what is due when. Nothing here reads a clock.
//!
//! Pipelines are copy-on-write: a reader takes an `Arc` and lets go of the lock, and the last versions are kept for a
//! while so that stale reads can be served.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap, VecDeque},
    sync::Arc,
};

use jiff::{SignedDuration, Timestamp};

use super::{config::ExternalIds, diary::Pause, state::Pipeline};

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
