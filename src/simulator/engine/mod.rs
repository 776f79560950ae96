//! The rules by which pipelines move: stages lock, executions wait and replace each other, actions run, approvals open
//! and close. Everything happens in a [`Turn`]: one pipeline, one instant. Time is handed in, never read; randomness
//! comes from the pipeline's own seeded generator, so that one pipeline's history does not depend on another's.

mod actions;
mod approvals;
mod interventions;
mod living;
mod stages;

use jiff::{SignedDuration, Timestamp};

pub use approvals::PutError;
pub use interventions::{RetryError, StopError};
pub use living::Begin;

use super::state::{Execution, Pipeline, Run};
use super::world::{Event, Schedule, Settings, World};
use std::sync::Arc;

/// One pipeline at one instant, ready to be changed.
pub struct Turn<'a> {
    pub pipeline: &'a mut Pipeline,
    schedule: &'a mut Schedule,
    settings: &'a Settings,
    pub at: Timestamp,
}

impl World {
    /// A turn of the pipeline `name` at `at`.
    pub fn turn(&mut self, name: &str, at: Timestamp) -> Option<Turn<'_>> {
        let (pipeline, schedule, settings) = self.change(name, at)?;
        Some(Turn { pipeline, schedule, settings, at })
    }

    /// Lets everything happen that is due until `now`, in order, each at its own instant.
    pub fn advance_to(&mut self, now: Timestamp) {
        while let Some((at, name, event)) = self.pop_due(now) {
            let Some(mut turn) = self.turn(&name, at) else { continue };
            match event {
                Event::Finish { run } => turn.finish(run),
                Event::Expire { run } => turn.expire(run),
                Event::Answer { run, person } => turn.answer_as_person(run, person),
                Event::Arrive => turn.arrival(),
                Event::Begin => turn.begin_from_source(),
            }
        }
    }
}

impl Turn<'_> {
    fn execution(&mut self, index: usize) -> &mut Execution {
        Arc::make_mut(&mut self.pipeline.executions[index])
    }

    fn run(&mut self, index: usize) -> &mut Run {
        Arc::make_mut(&mut self.pipeline.runs[index])
    }

    fn after(&self, delay: SignedDuration) -> Timestamp {
        self.at.checked_add(delay).unwrap_or(Timestamp::MAX)
    }

    fn uuid(&self) -> String {
        self.pipeline.random.uuid_v4().to_string()
    }
}
