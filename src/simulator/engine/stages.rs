//! Between and inside stages: arriving, waiting, superseding, entering, moving on, leaving.

use super::Turn;
use crate::simulator::{
    definition::{Mode, OnFailure},
    state::{Position, Stage, Status},
};

impl Turn<'_> {
    /// An execution reaches a stage: it enters, or waits in front of it.
    pub(super) fn arrive(&mut self, index: usize, position: usize) {
        let definition = self.pipeline.executions[index].definition.clone();
        let Some(stage) = definition.stages.get(position) else {
            return self.end(index, Status::Succeeded);
        };
        self.execution(index).position = Position::Waiting(position);
        if self.pipeline.executions[index].status == Status::Stopping {
            return self.end(index, Status::Stopped);
        }
        let name = stage.name.clone();
        if self.pipeline.executions[index].definition.mode == Mode::Superseded {
            self.supersede_waiting(&name);
        }
        self.stage(&name).inbound.push_back(index);
        self.admit(&name);
    }

    fn supersede_waiting(&mut self, stage: &str) {
        let older: Vec<usize> = self.stage(stage).inbound.iter().copied().collect();
        for index in older {
            if self.pipeline.executions[index].definition.mode == Mode::Superseded {
                self.end(index, Status::Superseded);
            }
        }
    }

    /// Lets in who may enter `stage` now.
    pub(super) fn admit(&mut self, stage: &str) {
        let waiting: Vec<usize> = self.stage(stage).inbound.iter().copied().collect();
        for index in waiting {
            let parallel = self.pipeline.executions[index].definition.mode == Mode::Parallel;
            if self.is_open(index, stage) && (parallel || self.stage(stage).lock.is_none()) {
                self.stage(stage).inbound.retain(|&other| other != index);
                self.enter(index, stage);
            }
        }
    }

    fn is_open(&self, index: usize, stage: &str) -> bool {
        let definition = &self.pipeline.executions[index].definition;
        let Some(position) = definition.position(stage) else { return false };
        let inbound = self.pipeline.stages.get(stage).is_none_or(|stage| stage.transition.enabled);
        let before = position.checked_sub(1).and_then(|before| definition.stages.get(before));
        let outbound = before.and_then(|before| self.pipeline.stages.get(&before.name));
        inbound && outbound.is_none_or(|stage| stage.outbound.enabled)
    }

    fn enter(&mut self, index: usize, name: &str) {
        let definition = self.pipeline.executions[index].definition.clone();
        let Some(position) = definition.position(name) else { return };
        let at = self.at;
        let execution = self.execution(index);
        execution.position = Position::In(position);
        execution.stages.insert(name.to_owned(), Status::InProgress);
        execution.attempt.clear();
        execution.updated = at;
        let stage = self.stage(name);
        stage.latest = Some(index);
        stage.retries = crate::simulator::state::Retries::default();
        if definition.mode != Mode::Parallel {
            stage.lock = Some(index);
        }
        self.progress(index);
    }

    /// Takes an execution as far as it can go now: starts the next actions, or leaves the stage.
    pub(super) fn progress(&mut self, index: usize) {
        loop {
            let Some((stage, next)) = self.next_step(index) else { return };
            match next {
                Step::Start(actions) => {
                    for action in actions {
                        self.start_action(index, &stage, &action);
                    }
                }
                Step::Leave(status) => return self.leave(index, &stage, status),
            }
        }
    }

    fn next_step(&self, index: usize) -> Option<(String, Step)> {
        let execution = &self.pipeline.executions[index];
        let Position::In(position) = execution.position else { return None };
        let stage = execution.definition.stages.get(position)?;
        let status_of = |name: &String| execution.attempt.get(name).map(|&run| self.pipeline.runs[run].status);
        let statuses: Vec<_> = stage.actions.iter().map(|action| status_of(&action.name)).collect();
        let step = if statuses.contains(&Some(Status::InProgress)) {
            return None;
        } else if statuses.iter().flatten().any(|status| *status != Status::Succeeded) {
            Step::Leave(Status::Failed)
        } else if execution.status == Status::Stopping {
            Step::Leave(Status::Stopped)
        } else {
            let open = stage.actions.iter().zip(&statuses).filter(|(_, status)| status.is_none());
            let open: Vec<_> = open.map(|(action, _)| action).collect();
            match open.iter().map(|action| action.run_order).min() {
                Some(first) => {
                    let now = open.iter().filter(|action| action.run_order == first);
                    Step::Start(now.map(|action| action.name.clone()).collect())
                }
                None => Step::Leave(Status::Succeeded),
            }
        };
        Some((stage.name.clone(), step))
    }

    fn leave(&mut self, index: usize, stage: &str, status: Status) {
        // A rejection fails the execution even while it stops; a success does not let it go on.
        let position = self.pipeline.executions[index].definition.position(stage).unwrap_or(0);
        self.execution(index).stages.insert(stage.to_owned(), status);
        if status == Status::Succeeded {
            self.unlock(index, stage);
            self.arrive(index, position + 1);
            self.admit(stage);
            return;
        }
        if status == Status::Failed && self.retry_by_itself(index, stage) {
            return;
        }
        self.end(index, status);
        if status == Status::Failed {
            self.roll_back_by_itself(index, stage);
        }
    }

    fn retry_by_itself(&mut self, index: usize, stage: &str) -> bool {
        let definition = self.pipeline.executions[index].definition.clone();
        let wanted = definition.stage(stage).and_then(|stage| stage.on_failure) == Some(OnFailure::Retry);
        let stopping = self.pipeline.executions[index].status == Status::Stopping;
        if !wanted || stopping || self.stage(stage).retries.automated > 0 {
            return false;
        }
        let retries = &mut self.stage(stage).retries;
        retries.automated += 1;
        retries.last_was_manual = false;
        self.run_again(index, stage, false);
        true
    }

    fn roll_back_by_itself(&mut self, index: usize, stage: &str) {
        let definition = self.pipeline.executions[index].definition.clone();
        let wanted = definition.stage(stage).and_then(|stage| stage.on_failure) == Some(OnFailure::Rollback);
        let good =
            self.pipeline.executions.iter().rposition(|other| other.stages.get(stage) == Some(&Status::Succeeded));
        if let (true, Some(good)) = (wanted, good) {
            self.roll_back(stage, good, "AutomatedRollback", "Failed stage");
        }
    }

    /// Ends an execution wherever it is, and lets others move up.
    pub(super) fn end(&mut self, index: usize, status: Status) {
        let at = self.at;
        let execution = self.execution(index);
        execution.status = status;
        execution.updated = at;
        let was = std::mem::replace(&mut execution.position, Position::Out);
        let definition = execution.definition.clone();
        let (Position::Waiting(position) | Position::In(position)) = was else { return };
        let Some(stage) = definition.stages.get(position) else { return };
        if matches!(was, Position::In(_)) {
            self.execution(index).stages.insert(stage.name.clone(), status);
        }
        self.unlock(index, &stage.name);
        self.stage(&stage.name).inbound.retain(|&other| other != index);
        self.admit(&stage.name);
    }

    fn unlock(&mut self, index: usize, stage: &str) {
        let stage = self.stage(stage);
        if stage.lock == Some(index) {
            stage.lock = None;
        }
    }

    pub(super) fn stage(&mut self, name: &str) -> &mut Stage {
        self.pipeline.stages.entry(name.to_owned()).or_default()
    }
}

enum Step {
    Start(Vec<String>),
    Leave(Status),
}
