//! The operations that steer executions: start, stop, retry, roll back, transitions.

use serde_json::{Value, json};

use super::{Request, executions::unknown, not_found};
use crate::simulator::{
    definition::Commit,
    engine::{Begin, RetryError, StopError},
    state::{Status, Trigger},
    wire::ApiError,
};

pub fn start(request: &Request<'_>) -> Result<Value, ApiError> {
    let name = request.text("name");
    let fingerprint = json!([request.body.get("variables"), request.body.get("sourceRevisions")]).to_string();
    let client_token = request.body.get("clientRequestToken").and_then(Value::as_str);
    let mut world = request.world();
    let Some(mut turn) = world.turn(name, request.now) else { return Err(not_found(&world, name)) };
    if let Some((same, index)) = client_token.and_then(|token| turn.pipeline.requests.get(token)) {
        if *same != fingerprint {
            let message = "The client request token was used with other parameters.";
            return Err(ApiError::new("ConflictException", message));
        }
        return Ok(json!({ "pipelineExecutionId": turn.pipeline.executions[*index].id }));
    }
    let list = |name: &str| request.body.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let text = |value: &Value, name: &str| value[name].as_str().unwrap_or_default().to_owned();
    for revision in list("sourceRevisions") {
        let source = text(&revision, "actionName");
        let known = turn.pipeline.definition.stages.first().is_some_and(|stage| stage.action(&source).is_some());
        if !known {
            return Err(ApiError::new("ValidationException", format!("There is no source action named '{source}'.")));
        }
    }
    let commit = list("sourceRevisions").first().map(|revision| Commit {
        id: Some(text(revision, "revisionValue")),
        message: format!("Revision {}", text(revision, "revisionValue")),
        author: None,
    });
    let variables = list("variables").iter().map(|given| (text(given, "name"), text(given, "value"))).collect();
    let trigger = Trigger { kind: "StartPipelineExecution", detail: request.caller.to_owned() };
    let index = turn.begin(Begin { trigger, commit, variables }).ok_or_else(limit)?;
    if let Some(token) = client_token {
        turn.pipeline.requests.insert(token.to_owned(), (fingerprint, index));
    }
    Ok(json!({ "pipelineExecutionId": turn.pipeline.executions[index].id }))
}

fn limit() -> ApiError {
    let message = "The pipeline has reached the limit for concurrent pipeline executions.";
    ApiError::new("ConcurrentPipelineExecutionsLimitExceededException", message)
}

pub fn stop(request: &Request<'_>) -> Result<Value, ApiError> {
    let (name, id) = (request.text("pipelineName"), request.text("pipelineExecutionId"));
    let abandon = request.body.get("abandon").and_then(Value::as_bool).unwrap_or(false);
    let reason = request.body.get("reason").and_then(Value::as_str).map(str::to_owned);
    let mut world = request.world();
    let Some(mut turn) = world.turn(name, request.now) else { return Err(not_found(&world, name)) };
    turn.stop(id, abandon, reason).map_err(|refusal| match refusal {
        StopError::NotStoppable => {
            let message = format!("The pipeline execution '{id}' is not in progress and cannot be stopped.");
            ApiError::new("PipelineExecutionNotStoppableException", message)
        }
        StopError::Duplicated => {
            let message = format!("The pipeline execution '{id}' is already stopping.");
            ApiError::new("DuplicatedStopRequestException", message)
        }
    })?;
    Ok(json!({ "pipelineExecutionId": id }))
}

fn no_stage(pipeline: &str, stage: &str) -> ApiError {
    ApiError::new("StageNotFoundException", format!("Pipeline '{pipeline}' does not have a stage with name '{stage}'"))
}

pub fn retry(request: &Request<'_>) -> Result<Value, ApiError> {
    let (name, stage, id) =
        (request.text("pipelineName"), request.text("stageName"), request.text("pipelineExecutionId"));
    let all = request.text("retryMode") == "ALL_ACTIONS";
    let mut world = request.world();
    let Some(mut turn) = world.turn(name, request.now) else { return Err(not_found(&world, name)) };
    turn.retry(id, stage, all).map_err(|refusal| match refusal {
        RetryError::StageNotFound => no_stage(name, stage),
        RetryError::NotRetryable => {
            let message = format!("Stage '{stage}' has no failed actions to retry in execution '{id}'.");
            ApiError::new("StageNotRetryableException", message)
        }
        RetryError::NotLatest => {
            let message = format!("Execution '{id}' is not the latest execution of stage '{stage}'.");
            ApiError::new("NotLatestPipelineExecutionException", message)
        }
        RetryError::LimitExceeded => limit(),
    })?;
    Ok(json!({ "pipelineExecutionId": id }))
}

pub fn roll_back(request: &Request<'_>) -> Result<Value, ApiError> {
    let (name, stage, id) =
        (request.text("pipelineName"), request.text("stageName"), request.text("targetPipelineExecutionId"));
    let mut world = request.world();
    let Some(mut turn) = world.turn(name, request.now) else { return Err(not_found(&world, name)) };
    turn.pipeline.definition.stage(stage).ok_or_else(|| no_stage(name, stage))?;
    let target = turn.pipeline.find_execution(id).ok_or_else(|| unknown(name, id))?;
    let execution = &turn.pipeline.executions[target];
    if execution.definition.version != turn.pipeline.definition.version {
        let message = "The target execution ran under an older definition of the pipeline.";
        return Err(ApiError::new("PipelineExecutionOutdatedException", message));
    }
    let parallel = turn.pipeline.definition.mode == crate::simulator::definition::Mode::Parallel;
    if parallel || execution.stages.get(stage) != Some(&Status::Succeeded) {
        let message = format!("Stage '{stage}' cannot be rolled back to execution '{id}'.");
        return Err(ApiError::new("UnableToRollbackStageException", message));
    }
    let index = turn.roll_back(stage, target, "ManualRollback", request.caller).ok_or_else(|| no_stage(name, stage))?;
    Ok(json!({ "pipelineExecutionId": turn.pipeline.executions[index].id }))
}

pub fn enable(request: &Request<'_>) -> Result<Value, ApiError> {
    transition(request, None)
}

pub fn disable(request: &Request<'_>) -> Result<Value, ApiError> {
    transition(request, Some(request.text("reason").to_owned()))
}

fn transition(request: &Request<'_>, reason: Option<String>) -> Result<Value, ApiError> {
    let (name, stage) = (request.text("pipelineName"), request.text("stageName"));
    let inbound = request.text("transitionType") == "Inbound";
    let mut world = request.world();
    let Some(mut turn) = world.turn(name, request.now) else { return Err(not_found(&world, name)) };
    if turn.set_transition(stage, inbound, reason, request.caller) {
        Ok(Value::Null)
    } else {
        Err(no_stage(name, stage))
    }
}
