//! GetPipelineState: the present definition's stages and what last happened in each. Says neither what kind an action
//! is nor which execution its result belongs to, and in mode PARALLEL it names no token: that is AWS, not an omission.

use serde_json::{Map, Value, json};

use super::{Request, put};
use crate::simulator::{
    definition::{ActionSpec, Mode, StageSpec},
    state::{Execution, Pipeline, Run, Stage, Status},
    wire::{ApiError, seconds},
};

pub fn read(request: &Request<'_>) -> Result<Value, ApiError> {
    let pipeline = request.pipeline(request.text("name"))?;
    let region = request.world().settings.region.clone();
    let stages = pipeline.definition.stages.iter().map(|stage| stage_state(&pipeline, stage, &region));
    Ok(json!({
        "pipelineName": pipeline.definition.name,
        "pipelineVersion": pipeline.definition.version,
        "stageStates": stages.collect::<Vec<_>>(),
        "created": seconds(pipeline.created),
        "updated": seconds(pipeline.updated),
    }))
}

fn stage_state(pipeline: &Pipeline, spec: &StageSpec, region: &str) -> Value {
    let blank = Stage::default();
    let stage = pipeline.stages.get(&spec.name).unwrap_or(&blank);
    let inbound: Vec<Value> =
        stage.inbound.iter().map(|&index| inbound_execution(&pipeline.executions[index])).collect();
    let mut state = Map::new();
    state.insert("stageName".to_owned(), spec.name.clone().into());
    put(&mut state, "inboundExecution", inbound.last().cloned());
    state.insert("inboundExecutions".to_owned(), inbound.into());
    state.insert("inboundTransitionState".to_owned(), transition(stage));
    let actions = spec.actions.iter().map(|action| action_state(pipeline, stage, action, region));
    state.insert("actionStates".to_owned(), actions.collect());
    if let Some(latest) = stage.latest.map(|index| &pipeline.executions[index]) {
        let status = latest.stages.get(&spec.name).copied().unwrap_or(Status::InProgress);
        let mut shown = json!({ "pipelineExecutionId": latest.id, "status": status.as_str() });
        shown["type"] = if latest.rollback_of.is_some() { "ROLLBACK" } else { "STANDARD" }.into();
        state.insert("latestExecution".to_owned(), shown);
    }
    if stage.retries.automated + stage.retries.manual > 0 {
        let manual = stage.retries.last_was_manual;
        let metadata = json!({
            "autoStageRetryAttempt": stage.retries.automated, "manualStageRetryAttempt": stage.retries.manual,
            "latestRetryTrigger": if manual { "ManualStageRetry" } else { "AutomatedStageRetry" },
        });
        state.insert("retryStageMetadata".to_owned(), metadata);
    }
    state.into()
}

fn inbound_execution(execution: &Execution) -> Value {
    let kind = if execution.rollback_of.is_some() { "ROLLBACK" } else { "STANDARD" };
    json!({ "pipelineExecutionId": execution.id, "status": execution.status.as_str(), "type": kind })
}

fn transition(stage: &Stage) -> Value {
    let mut shown = Map::new();
    shown.insert("enabled".to_owned(), stage.transition.enabled.into());
    put(&mut shown, "lastChangedBy", stage.transition.changed_by.clone());
    put(&mut shown, "lastChangedAt", stage.transition.changed_at.map(seconds));
    put(&mut shown, "disabledReason", stage.transition.reason.clone());
    shown.into()
}

fn action_state(pipeline: &Pipeline, stage: &Stage, spec: &ActionSpec, region: &str) -> Value {
    let mut state = Map::new();
    state.insert("actionName".to_owned(), spec.name.clone().into());
    if let Some(run) = stage.latest_runs.get(&spec.name).map(|&run| &pipeline.runs[run]) {
        let execution = &pipeline.executions[run.execution];
        let revision = execution.revisions.iter().find(|revision| revision.action == spec.name);
        if let Some(revision) = revision.filter(|_| run.status == Status::Succeeded) {
            state.insert("currentRevision".to_owned(), json!({ "revisionId": revision.id }));
            put(&mut state, "revisionUrl", revision.url.clone());
        }
        state.insert("latestExecution".to_owned(), latest(run, execution));
    }
    if !spec.waits_for_people() {
        let service = spec.provider.to_lowercase();
        let url = format!("https://{region}.console.aws.amazon.com/{service}/home?region={region}");
        state.insert("entityUrl".to_owned(), url.into());
    }
    state.into()
}

fn latest(run: &Run, execution: &Execution) -> Value {
    let mut shown = Map::new();
    shown.insert("actionExecutionId".to_owned(), run.id.clone().into());
    shown.insert("status".to_owned(), run.status.as_str().into());
    put(&mut shown, "summary", run.summary.clone());
    shown.insert("lastStatusChange".to_owned(), seconds(run.updated));
    let answerable = run.status == Status::InProgress && execution.definition.mode != Mode::Parallel;
    put(&mut shown, "token", run.token.clone().filter(|_| answerable));
    put(&mut shown, "lastUpdatedBy", run.updated_by.clone());
    put(&mut shown, "externalExecutionId", run.external_id.clone().filter(|_| !run.spec.waits_for_people()));
    if let Some(failure) = &run.failure {
        let details = json!({ "code": failure.code, "message": failure.message });
        shown.insert("errorDetails".to_owned(), details);
    }
    shown.into()
}
