//! How executions come to be: on request, from a source change, by a pipeline's own habits.

use std::{collections::BTreeMap, sync::Arc};

use jiff::{SignedDuration, Timestamp};

use super::Turn;
use crate::random::Random;
use crate::simulator::{
    config::{PipelineConfig, WorldFileError, definition_of},
    definition::{Commit, Texts},
    diary::outside,
    state::{Execution, Habits, Pipeline, Position, Status, Trigger},
    world::{Event, World},
};

/// What an execution begins with.
#[derive(Clone, Debug)]
pub struct Begin {
    pub trigger: Trigger,
    /// The source change; the pipeline's next one when absent.
    pub commit: Option<Commit>,
    pub variables: Texts,
}

impl Begin {
    pub fn by(trigger: Trigger) -> Self {
        Self { trigger, commit: None, variables: Texts::new() }
    }
}

impl Turn<'_> {
    /// Starts an execution; `None` when as many run as AWS allows.
    pub fn begin(&mut self, begin: Begin) -> Option<usize> {
        if self.is_full() {
            return None;
        }
        let index = self.insert_execution(begin);
        self.arrive(index, 0);
        Some(index)
    }

    pub(super) fn insert_execution(&mut self, begin: Begin) -> usize {
        let definition = Arc::clone(&self.pipeline.definition);
        let defaults = definition.variables.iter().filter_map(|v| Some((v.name.clone(), v.default.clone()?)));
        let mut variables: Texts = defaults.collect();
        variables.extend(begin.variables);
        let commit = begin.commit.unwrap_or_else(|| self.next_commit());
        self.pipeline.executions.push(Arc::new(Execution {
            id: self.uuid(),
            definition,
            status: Status::InProgress,
            started: self.at,
            updated: self.at,
            trigger: begin.trigger,
            commit,
            revisions: Vec::new(),
            variables,
            outputs: BTreeMap::new(),
            stop: None,
            rollback_of: None,
            position: Position::Waiting(0),
            stages: BTreeMap::new(),
            runs: Vec::new(),
            attempt: BTreeMap::new(),
        }));
        self.pipeline.executions.len() - 1
    }

    pub(super) fn begin_from_source(&mut self) {
        let trigger = self.source_trigger();
        self.begin(Begin::by(trigger));
    }

    /// What AWS names as the cause of an execution that a pushed change started.
    pub fn source_trigger(&self) -> Trigger {
        let (account, region) = (&self.settings.account, &self.settings.region);
        let detail = format!("arn:aws:codestar-connections:{region}:{account}:connection/demo");
        Trigger { kind: "WebhookV2", detail }
    }

    pub(super) fn arrival(&mut self) {
        self.begin_from_source();
        self.plan_arrival(self.at);
    }

    pub(super) fn plan_arrival(&mut self, from: Timestamp) {
        let Some(every) = self.pipeline.habits.every else { return };
        let seconds = every.0.as_secs_f64() * (0.5 + self.pipeline.random.fraction());
        let gap = SignedDuration::try_from_secs_f64(seconds.max(1.0)).unwrap_or(every.0);
        let due = outside(&self.settings.pauses, from.checked_add(gap).unwrap_or(Timestamp::MAX));
        self.schedule.add(due, self.pipeline, Event::Arrive);
    }
}

impl World {
    /// Brings a pipeline into being at `at`, with its first executions planned relative to `start`.
    ///
    /// # Errors
    /// When the description is wrong.
    pub fn create_pipeline(
        &mut self,
        config: &PipelineConfig,
        at: Timestamp,
        start: Timestamp,
    ) -> Result<(), WorldFileError> {
        let definition = Arc::new(definition_of(config, &self.settings.account, 1)?);
        let seed = seed_of(&[&self.settings.account, &self.settings.region, &config.name], self.settings.seed);
        let pipeline = Pipeline {
            versions: vec![Arc::clone(&definition)],
            definition,
            created: at,
            updated: at,
            generation: self.next_generation(),
            executions: Vec::new(),
            runs: Vec::new(),
            stages: BTreeMap::new(),
            habits: Habits { commits: config.commits.clone(), next_commit: 0, every: config.every },
            tags: config.tags.clone(),
            requests: BTreeMap::new(),
            random: Random::seeded(seed),
        };
        self.insert_pipeline(pipeline, at);
        let mut begins: Vec<_> = config.start.iter().map(|offset| offset.0).collect();
        begins.sort();
        let since = config.since.and_then(|since| start.checked_add(since.0).ok()).unwrap_or(start);
        if let Some(mut turn) = self.turn(&config.name, at) {
            for offset in begins {
                let due = start.checked_add(offset).unwrap_or(start);
                turn.schedule.add(due, turn.pipeline, Event::Begin);
            }
            turn.plan_arrival(since);
        }
        Ok(())
    }
}

/// A seed that depends on nothing but the words, so that one pipeline's history is its own (FNV-1a).
fn seed_of(words: &[&str], seed: u64) -> u64 {
    let bytes = words.iter().flat_map(|word| word.bytes().chain([0]));
    bytes.fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
