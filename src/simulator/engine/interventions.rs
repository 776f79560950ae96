//! What people do to pipelines from outside: stop, abandon, retry, roll back, edit, change of mode, transitions.

use std::sync::Arc;

use super::{Begin, Turn};
use crate::simulator::{
    definition::{Commit, Definition, Mode},
    state::{Position, Status, Stop, Transition, Trigger},
};

/// Why a stop request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopError {
    NotStoppable,
    Duplicated,
}

/// Why a retry is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryError {
    StageNotFound,
    NotRetryable,
    NotLatest,
    LimitExceeded,
}

impl Turn<'_> {
    /// Stops an execution: waits for what runs, or abandons it.
    ///
    /// # Errors
    /// When it does not run, or was asked to stop before.
    pub fn stop(&mut self, id: &str, abandon: bool, reason: Option<String>) -> Result<(), StopError> {
        let index = self.pipeline.find_execution(id).ok_or(StopError::NotStoppable)?;
        match self.pipeline.executions[index].status {
            Status::InProgress => {}
            Status::Stopping if abandon => {}
            Status::Stopping => return Err(StopError::Duplicated),
            _ => return Err(StopError::NotStoppable),
        }
        let at = self.at;
        let execution = self.execution(index);
        execution.status = Status::Stopping;
        execution.updated = at;
        execution.stop = Some(Stop { reason });
        if let Position::In(position) = execution.position {
            let name = execution.definition.stages[position].name.clone();
            execution.stages.insert(name, Status::Stopping);
            if !abandon {
                return Ok(());
            }
            self.abandon_runs(index);
        }
        self.end(index, Status::Stopped);
        Ok(())
    }

    fn abandon_runs(&mut self, index: usize) {
        let at = self.at;
        for number in self.pipeline.executions[index].runs.clone() {
            if self.pipeline.runs[number].status == Status::InProgress {
                let run = self.run(number);
                run.status = Status::Abandoned;
                run.updated = at;
            }
        }
    }

    /// Runs the failed (or all) actions of a stage again, in the same execution.
    ///
    /// # Errors
    /// The refusal AWS would give.
    pub fn retry(&mut self, id: &str, stage: &str, all: bool) -> Result<(), RetryError> {
        let definition = Arc::clone(&self.pipeline.definition);
        definition.stage(stage).ok_or(RetryError::StageNotFound)?;
        let index = self.pipeline.find_execution(id).ok_or(RetryError::NotRetryable)?;
        let execution = &self.pipeline.executions[index];
        let failed = matches!(execution.stages.get(stage), Some(Status::Failed | Status::Stopped));
        if !failed || execution.status.is_active() || execution.definition.version != definition.version {
            return Err(RetryError::NotRetryable);
        }
        let parallel = execution.definition.mode == Mode::Parallel;
        if !parallel && self.stage(stage).latest != Some(index) {
            return Err(RetryError::NotLatest);
        }
        if self.is_full() {
            return Err(RetryError::LimitExceeded);
        }
        let retries = &mut self.stage(stage).retries;
        retries.manual += 1;
        retries.last_was_manual = true;
        self.run_again(index, stage, all);
        Ok(())
    }

    pub(super) fn run_again(&mut self, index: usize, stage: &str, all: bool) {
        let at = self.at;
        let parallel = self.pipeline.executions[index].definition.mode == Mode::Parallel;
        let kept = self.pipeline.executions[index].attempt.clone();
        let kept = kept.into_iter().filter(|(_, run)| !all && self.pipeline.runs[*run].status == Status::Succeeded);
        let kept = kept.collect();
        let execution = self.execution(index);
        let Some(position) = execution.definition.position(stage) else { return };
        execution.attempt = kept;
        execution.status = Status::InProgress;
        execution.updated = at;
        execution.stop = None;
        execution.position = Position::In(position);
        execution.stages.insert(stage.to_owned(), Status::InProgress);
        if !parallel {
            self.stage(stage).lock = Some(index);
        }
        self.progress(index);
    }

    /// Starts an execution that takes `stage` back to what `target` brought. Returns its position.
    pub fn roll_back(&mut self, stage: &str, target: usize, kind: &'static str, detail: &str) -> Option<usize> {
        let position = self.pipeline.definition.position(stage)?;
        let target = Arc::clone(self.pipeline.executions.get(target)?);
        let trigger = Trigger { kind, detail: detail.to_owned() };
        let begin =
            Begin { commit: Some(target.commit.clone()), variables: target.variables.clone(), ..Begin::by(trigger) };
        let index = self.insert_execution(begin);
        let execution = self.execution(index);
        execution.rollback_of = Some(target.id.clone());
        execution.revisions.clone_from(&target.revisions);
        execution.outputs.clone_from(&target.outputs);
        self.arrive(index, position);
        Some(index)
    }

    /// Replaces the definition. Executions that run under the old one are cancelled, as AWS does.
    pub fn edit(&mut self, change: impl FnOnce(&mut Definition)) {
        self.new_version(change);
        let active = self.pipeline.executions.iter().enumerate().filter(|(_, execution)| execution.status.is_active());
        let active: Vec<usize> = active.map(|(index, _)| index).collect();
        for &index in &active {
            // The enum for actions has no word for this; Abandoned is the nearest.
            self.abandon_runs(index);
            if let Position::Waiting(position) = self.pipeline.executions[index].position {
                let stage = self.pipeline.executions[index].definition.stages[position].name.clone();
                self.stage(&stage).inbound.retain(|&other| other != index);
            }
        }
        active.into_iter().for_each(|index| self.end(index, Status::Cancelled));
        let definition = Arc::clone(&self.pipeline.definition);
        self.pipeline.stages.retain(|name, _| definition.stage(name).is_some());
    }

    /// Changes the execution mode. What runs goes on in the mode it began in.
    pub fn set_mode(&mut self, mode: Mode) {
        self.new_version(|definition| definition.mode = mode);
    }

    fn new_version(&mut self, change: impl FnOnce(&mut Definition)) {
        let mut definition = (*self.pipeline.definition).clone();
        change(&mut definition);
        definition.version += 1;
        let definition = Arc::new(definition);
        self.pipeline.versions.push(Arc::clone(&definition));
        self.pipeline.definition = definition;
        self.pipeline.updated = self.at;
    }

    /// Enables or disables the way into (or out of) a stage; false when there is no such stage.
    pub fn set_transition(&mut self, stage: &str, inbound: bool, reason: Option<String>, by: &str) -> bool {
        let definition = Arc::clone(&self.pipeline.definition);
        let Some(position) = definition.position(stage) else { return false };
        let transition = Transition {
            enabled: reason.is_none(),
            changed_by: Some(by.to_owned()),
            changed_at: Some(self.at),
            reason,
        };
        if inbound {
            self.stage(stage).transition = transition;
            self.admit(stage);
        } else {
            self.stage(stage).outbound = transition;
            if let Some(next) = definition.stages.get(position + 1) {
                self.admit(&next.name);
            }
        }
        true
    }

    /// Finishes whatever an execution has running, until it waits for somebody, waits for a stage, or is done.
    pub fn rush(&mut self, index: usize) {
        let busy = |turn: &Self| {
            let runs = turn.pipeline.executions[index].attempt.values().copied();
            runs.into_iter().find(|&run| {
                let run = &turn.pipeline.runs[run];
                run.status == Status::InProgress && !run.spec.waits_for_people()
            })
        };
        while let Some(run) = busy(self) {
            self.finish(run);
        }
    }

    pub(super) fn is_full(&self) -> bool {
        let limited = self.pipeline.definition.mode != Mode::Superseded;
        limited && self.pipeline.executions.iter().filter(|execution| execution.status.is_active()).count() >= 50
    }

    /// The next change in the pipeline's stream, or an invented one.
    pub(super) fn next_commit(&mut self) -> Commit {
        let number = self.pipeline.habits.next_commit;
        self.pipeline.habits.next_commit += 1;
        let listed = self.pipeline.habits.commits.len();
        if listed > 0 {
            return self.pipeline.habits.commits[number % listed].clone();
        }
        Commit {
            id: None,
            message: format!("Change {} of {}", number + 1, self.pipeline.definition.name),
            author: None,
        }
    }
}
