//! PutApprovalResult: the one operation that everything else is about.

use serde_json::{Value, json};

use super::{Request, not_found};
use crate::simulator::{
    definition::Verdict,
    engine::PutError,
    state::Answer,
    wire::{ApiError, seconds},
};

/// A decision that took effect, with the executions it belongs to.
#[derive(Clone, Debug)]
pub struct Applied {
    pub execution: String,
    pub action_execution: String,
}

pub fn put(request: &Request<'_>) -> Result<(Value, Applied), ApiError> {
    let (pipeline, stage, action) =
        (request.text("pipelineName"), request.text("stageName"), request.text("actionName"));
    let token = request.text("token");
    let result = |name: &str| request.body["result"][name].as_str().unwrap_or_default();
    let verdict = if result("status") == "Approved" { Verdict::Approved } else { Verdict::Rejected };
    let answer = Answer { verdict, summary: result("summary"), by: request.caller };
    let mut world = request.world();
    let Some(mut turn) = world.turn(pipeline, request.now) else { return Err(not_found(&world, pipeline)) };
    let number = turn.put_approval_result((stage, action), token, answer).map_err(|refusal| match refusal {
        PutError::StageNotFound => {
            let message = format!("Pipeline '{pipeline}' does not have a stage with name '{stage}'");
            ApiError::new("StageNotFoundException", message)
        }
        PutError::ActionNotFound => {
            let message = format!("Stage '{stage}' does not have an action with name '{action}'");
            ApiError::new("ActionNotFoundException", message)
        }
        PutError::InvalidToken => {
            let message = format!(
                "Approval token '{token}' either does not exist or is not the correct token for the {action} or {stage} \
                 stage."
            );
            ApiError::new("InvalidApprovalTokenException", message)
        }
        PutError::AlreadyCompleted => {
            ApiError::new("ApprovalAlreadyCompletedException", "The approval action has already been completed.")
        }
    })?;
    let run = &turn.pipeline.runs[number];
    let execution = turn.pipeline.executions[run.execution].id.clone();
    let applied = Applied { execution, action_execution: run.id.clone() };
    Ok((json!({ "approvedAt": seconds(request.now) }), applied))
}
