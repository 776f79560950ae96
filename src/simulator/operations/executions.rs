//! ListPipelineExecutions and GetPipelineExecution: what ran, with which revisions, started by whom.

use serde_json::{Map, Value, json};

use super::{Request, put};
use crate::simulator::{
    state::{Execution, Status},
    wire::{ApiError, seconds},
};

pub fn list(request: &Request<'_>) -> Result<Value, ApiError> {
    let pipeline = request.pipeline(request.text("pipelineName"))?;
    let stage = request.body.get("filter").and_then(|filter| filter.pointer("/succeededInStage/stageName"));
    let stage = stage.and_then(Value::as_str);
    let newest_first = pipeline.executions.iter().rev();
    let wanted = newest_first.filter(|execution| {
        stage.is_none_or(|stage| {
            let current = execution.definition.version == pipeline.definition.version;
            current && execution.stages.get(stage) == Some(&Status::Succeeded)
        })
    });
    let page = request.page("ListPipelineExecutions", wanted.collect(), |execution| execution.id.clone())?;
    let mut answer = Map::new();
    let summaries = page.items.iter().map(|execution| summary(execution));
    answer.insert("pipelineExecutionSummaries".to_owned(), summaries.collect());
    put(&mut answer, "nextToken", page.next);
    Ok(answer.into())
}

fn summary(execution: &Execution) -> Value {
    let revisions = execution.revisions.iter().map(|revision| {
        let mut shown = Map::new();
        shown.insert("actionName".to_owned(), revision.action.clone().into());
        shown.insert("revisionId".to_owned(), revision.id.clone().into());
        put(&mut shown, "revisionSummary", Some(revision.summary.clone()).filter(|text| !text.is_empty()));
        put(&mut shown, "revisionUrl", revision.url.clone());
        Value::from(shown)
    });
    let mut shown = Map::new();
    shown.insert("pipelineExecutionId".to_owned(), execution.id.clone().into());
    shown.insert("status".to_owned(), execution.status.as_str().into());
    shown.insert("startTime".to_owned(), seconds(execution.started));
    shown.insert("lastUpdateTime".to_owned(), seconds(execution.updated));
    shown.insert("sourceRevisions".to_owned(), revisions.collect());
    let reason = execution.stop.as_ref().map(|stop| stop.reason.clone());
    if let Some(reason) = reason {
        let mut trigger = Map::new();
        put(&mut trigger, "reason", reason);
        shown.insert("stopTrigger".to_owned(), trigger.into());
    }
    common(&mut shown, execution);
    shown.into()
}

fn common(shown: &mut Map<String, Value>, execution: &Execution) {
    let trigger = json!({ "triggerType": execution.trigger.kind, "triggerDetail": execution.trigger.detail });
    shown.insert("trigger".to_owned(), trigger);
    shown.insert("executionMode".to_owned(), execution.definition.mode.as_str().into());
    let kind = if execution.rollback_of.is_some() { "ROLLBACK" } else { "STANDARD" };
    shown.insert("executionType".to_owned(), kind.into());
    if let Some(target) = &execution.rollback_of {
        shown.insert("rollbackMetadata".to_owned(), json!({ "rollbackTargetPipelineExecutionId": target }));
    }
}

pub fn read(request: &Request<'_>) -> Result<Value, ApiError> {
    let pipeline = request.pipeline(request.text("pipelineName"))?;
    let id = request.text("pipelineExecutionId");
    let Some(index) = pipeline.find_execution(id) else { return Err(unknown(&pipeline.definition.name, id)) };
    let execution = &pipeline.executions[index];
    let revisions = execution.revisions.iter().map(|revision| {
        let mut shown = Map::new();
        shown.insert("name".to_owned(), "SourceOutput".into());
        shown.insert("revisionId".to_owned(), revision.id.clone().into());
        put(&mut shown, "revisionSummary", Some(revision.summary.clone()).filter(|text| !text.is_empty()));
        put(&mut shown, "revisionUrl", revision.url.clone());
        Value::from(shown)
    });
    let mut shown = Map::new();
    shown.insert("pipelineName".to_owned(), pipeline.definition.name.clone().into());
    shown.insert("pipelineVersion".to_owned(), execution.definition.version.into());
    shown.insert("pipelineExecutionId".to_owned(), execution.id.clone().into());
    shown.insert("status".to_owned(), execution.status.as_str().into());
    shown.insert("artifactRevisions".to_owned(), revisions.collect());
    if !execution.variables.is_empty() {
        let variables = execution.variables.iter().map(|(name, value)| json!({ "name": name, "resolvedValue": value }));
        shown.insert("variables".to_owned(), variables.collect());
    }
    common(&mut shown, execution);
    Ok(json!({ "pipelineExecution": shown }))
}

/// The error for an execution id that is not this pipeline's.
pub fn unknown(pipeline: &str, id: &str) -> ApiError {
    let message = format!("Pipeline '{pipeline}' does not have an execution with id '{id}'");
    ApiError::new("PipelineExecutionNotFoundException", message)
}
