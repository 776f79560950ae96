//! The pipeline drawn as its stages, with the gate marked. Text and structure carry it; colour only repeats.

use crate::domain::details::{ActionView, StageView};
use crate::domain::text::visible;
use crate::store::approvals::Approval;
use crate::web::display::run_status_chip;
use crate::web::parts::Chip;

/// One stage.
#[derive(Debug, Clone)]
pub struct Stage {
    pub name: String,
    pub chip: Chip,
    /// The gate is in this stage.
    pub is_here: bool,
    /// A status that belongs to another run is said to.
    pub of_other_run: Option<String>,
    /// Why runs are kept from entering, where they are.
    pub closed: Option<String>,
    pub actions: Vec<Action>,
}

/// One action of a stage.
#[derive(Debug, Clone)]
pub struct Action {
    pub name: String,
    pub chip: Chip,
    pub is_gate: bool,
    pub is_here: bool,
}

impl Stage {
    /// The stages of the approval's pipeline, in order.
    #[must_use]
    pub fn list(approval: &Approval) -> Vec<Self> {
        approval.details.stages.iter().map(|stage| Self::of(stage, approval)).collect()
    }

    fn of(stage: &StageView, approval: &Approval) -> Self {
        let is_here = stage.name == approval.gate.stage.as_str();
        let other = stage.execution.as_deref().filter(|run| *run != approval.execution.as_str());
        let action = |action: &ActionView| Action {
            name: visible(&action.name),
            chip: run_status_chip(action.status.as_deref().unwrap_or_default()),
            is_gate: action.is_gate,
            is_here: is_here && action.name == approval.gate.action.as_str(),
        };
        Self {
            name: visible(&stage.name),
            chip: run_status_chip(stage.status.as_deref().unwrap_or_default()),
            is_here,
            of_other_run: other.map(crate::web::display::short_id),
            closed: stage.closed.as_deref().map(visible),
            actions: stage.actions.iter().map(action).collect(),
        }
    }
}

/// What comes after the gate: an action of the same stage, else the next stage. `None` when the gate is the last step, or
/// the stages are not known.
#[must_use]
pub fn next_after_gate(approval: &Approval) -> Option<String> {
    let stages = &approval.details.stages;
    let here = stages.iter().position(|stage| stage.name == approval.gate.stage.as_str())?;
    let actions = &stages[here].actions;
    let gate = actions.iter().position(|action| action.name == approval.gate.action.as_str());
    if let Some(next) = gate.and_then(|gate| actions.get(gate + 1)) {
        return Some(format!("action {} of stage {}", visible(&next.name), visible(&stages[here].name)));
    }
    stages.get(here + 1).map(|stage| format!("stage {}", visible(&stage.name)))
}
