//! Approvals that wait: listing them, and finding the one an act means.

use std::sync::PoisonError;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    engine::Turn,
    shared::{Place, Shared},
    state::Status,
};

/// Which approval is meant: the only (or oldest) one that waits and fits.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Which {
    pub stage: Option<String>,
    pub action: Option<String>,
    pub execution: Option<String>,
}

/// An approval that waits.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OpenApproval {
    pub account: String,
    pub region: String,
    pub pipeline: String,
    pub execution: String,
    pub stage: String,
    pub action: String,
    pub action_execution: String,
    /// What PutApprovalResult must name, in every mode.
    pub token: String,
    pub opened: Timestamp,
}

impl Shared {
    /// The approvals that wait, oldest first, in one world.
    pub fn open_approvals(&self, place: &Place) -> Vec<OpenApproval> {
        let world = self.world(place);
        let mut world = world.lock().unwrap_or_else(PoisonError::into_inner);
        world.advance_to(self.clock.now());
        let pipelines = world.list_pipelines(None);
        let waiting = pipelines.iter().flat_map(|pipeline| {
            pipeline.waiting().map(|(_, run)| OpenApproval {
                account: place.0.clone(),
                region: place.1.clone(),
                pipeline: pipeline.definition.name.clone(),
                execution: pipeline.executions[run.execution].id.clone(),
                stage: run.stage.clone(),
                action: run.spec.name.clone(),
                action_execution: run.id.clone(),
                token: run.token.clone().unwrap_or_default(),
                opened: run.started,
            })
        });
        let mut waiting: Vec<_> = waiting.collect();
        waiting.sort_by_key(|approval| approval.opened);
        waiting
    }
}

impl Which {
    /// Position of the action execution that is meant.
    pub(super) fn find(&self, turn: &Turn<'_>) -> Result<usize, String> {
        let fits = |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
        let mut waiting = turn.pipeline.runs.iter().enumerate().filter(|(_, run)| {
            run.status == Status::InProgress
                && run.spec.waits_for_people()
                && fits(&self.stage, &run.stage)
                && fits(&self.action, &run.spec.name)
                && fits(&self.execution, &turn.pipeline.executions[run.execution].id)
        });
        let found = waiting.next().map(|(number, _)| number);
        found.ok_or_else(|| format!("no such approval waits in `{}`", turn.pipeline.definition.name))
    }
}

impl OpenApproval {
    /// The pipeline, and how an act names this approval in it.
    pub(super) fn name(&self) -> (String, Which) {
        let which = Which {
            stage: Some(self.stage.clone()),
            action: Some(self.action.clone()),
            execution: Some(self.execution.clone()),
        };
        (self.pipeline.clone(), which)
    }
}
