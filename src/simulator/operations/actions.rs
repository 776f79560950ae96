//! ListActionExecutions: the only answer with resolved configurations, and in mode PARALLEL the only source of tokens.

use serde_json::{Map, Value, json};

use super::{Request, executions::unknown, pipelines::action_type, put};
use crate::simulator::{
    state::{Pipeline, Run},
    wire::{ApiError, seconds},
};

pub fn list(request: &Request<'_>) -> Result<Value, ApiError> {
    let pipeline = request.pipeline(request.text("pipelineName"))?;
    let filter = request.body.get("filter");
    let at = |pointer: &str| filter.and_then(|filter| filter.pointer(pointer)).and_then(Value::as_str);
    let latest = at("/latestInPipelineExecution/pipelineExecutionId");
    if let Some(id) = at("/pipelineExecutionId").or(latest) {
        pipeline.find_execution(id).ok_or_else(|| unknown(&pipeline.definition.name, id))?;
    }
    let only_last = at("/latestInPipelineExecution/startTimeRange") == Some("Latest");
    let wanted = match at("/pipelineExecutionId").or(latest).and_then(|id| pipeline.find_execution(id)) {
        None => (0..pipeline.runs.len()).rev().collect(),
        Some(index) => {
            let all: Vec<usize> = pipeline.executions[index].runs.iter().rev().copied().collect();
            if only_last { keep_last_attempts(&pipeline, &all) } else { all }
        }
    };
    let page = request.page("ListActionExecutions", wanted, |&run| pipeline.runs[run].id.clone())?;
    let region = request.world().settings.region.clone();
    let details = page.items.iter().map(|&run| detail(&pipeline, &pipeline.runs[run], &region));
    let mut answer = Map::new();
    answer.insert("actionExecutionDetails".to_owned(), details.collect());
    put(&mut answer, "nextToken", page.next);
    Ok(answer.into())
}

/// Of several attempts at an action, the newest; `newest_first` is in that order.
fn keep_last_attempts(pipeline: &Pipeline, newest_first: &[usize]) -> Vec<usize> {
    let mut seen = std::collections::BTreeSet::new();
    let name = |run: &usize| (pipeline.runs[*run].stage.clone(), pipeline.runs[*run].spec.name.clone());
    newest_first.iter().copied().filter(|run| seen.insert(name(run))).collect()
}

fn detail(pipeline: &Pipeline, run: &Run, region: &str) -> Value {
    let execution = &pipeline.executions[run.execution];
    let mut shown = Map::new();
    shown.insert("pipelineExecutionId".to_owned(), execution.id.clone().into());
    shown.insert("actionExecutionId".to_owned(), run.id.clone().into());
    shown.insert("pipelineVersion".to_owned(), execution.definition.version.into());
    shown.insert("stageName".to_owned(), run.stage.clone().into());
    shown.insert("actionName".to_owned(), run.spec.name.clone().into());
    shown.insert("startTime".to_owned(), seconds(run.started));
    shown.insert("lastUpdateTime".to_owned(), seconds(run.updated));
    put(&mut shown, "updatedBy", run.updated_by.clone());
    shown.insert("status".to_owned(), run.status.as_str().into());
    shown.insert("input".to_owned(), input(run, region));
    shown.insert("output".to_owned(), output(run));
    shown.into()
}

fn input(run: &Run, region: &str) -> Value {
    let artifacts = run.spec.input_artifacts.iter().map(|name| json!({ "name": name }));
    let mut shown = Map::new();
    shown.insert("actionTypeId".to_owned(), action_type(&run.spec));
    shown.insert("configuration".to_owned(), json!(run.spec.configuration));
    shown.insert("resolvedConfiguration".to_owned(), json!(run.configuration));
    shown.insert("region".to_owned(), region.into());
    shown.insert("inputArtifacts".to_owned(), artifacts.collect());
    put(&mut shown, "namespace", run.spec.namespace.clone());
    shown.into()
}

fn output(run: &Run) -> Value {
    let mut result = Map::new();
    put(&mut result, "externalExecutionId", run.external_id.clone());
    put(&mut result, "externalExecutionSummary", run.summary.clone());
    if let Some(failure) = &run.failure {
        result.insert("errorDetails".to_owned(), json!({ "code": failure.code, "message": failure.message }));
    }
    let artifacts = run.spec.output_artifacts.iter().map(|name| json!({ "name": name }));
    json!({
        "outputArtifacts": artifacts.collect::<Vec<_>>(), "executionResult": result, "outputVariables": run.outputs,
    })
}
