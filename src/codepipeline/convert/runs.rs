//! Runs, and the actions of a run.

use std::collections::HashMap;

use aws_sdk_codepipeline::operation::get_pipeline_execution::GetPipelineExecutionOutput;
use aws_sdk_codepipeline::types;

use super::{broken, error_text, is_gate, maybe_time, same_pipeline, text};
use crate::codepipeline::observed::{ActionRun, Mode, ReadError, Revision, Run, RunDetail, Trigger};
use crate::domain::ids::{ActionName, ExecutionId, PipelineName, StageName};

/// The variables of a source action that say what a revision is and whose. Other variables may hold secrets.
const SOURCE_VARIABLES: &[&str] = &[
    "AuthorDate",
    "AuthorDisplayName",
    "AuthorEmail",
    "AuthorId",
    "BranchName",
    "CommitId",
    "CommitMessage",
    "CommitterDate",
    "FullRepositoryName",
    "RepositoryName",
];

pub fn run(summary: &types::PipelineExecutionSummary) -> Option<Run> {
    let revisions = summary.source_revisions.iter().flatten();
    Some(Run {
        execution: ExecutionId::parse(summary.pipeline_execution_id.as_deref()?).ok()?,
        status: summary.status.as_ref().map_or_else(String::new, |status| status.as_str().to_owned()),
        started_at: maybe_time(summary.start_time.as_ref()),
        updated_at: maybe_time(summary.last_update_time.as_ref()),
        revisions: revisions
            .map(|it| Revision {
                name: it.action_name.clone(),
                id: it.revision_id.clone().unwrap_or_default(),
                summary: text(it.revision_summary.as_deref()),
                url: text(it.revision_url.as_deref()),
            })
            .collect(),
        trigger: summary.trigger.as_ref().and_then(trigger),
        mode: summary.execution_mode.as_ref().map(|it| Mode::from_name(it.as_str())),
        kind: summary.execution_type.as_ref().map(|it| it.as_str().to_owned()),
        rollback_of: rollback(summary.rollback_metadata.as_ref()),
        stop_reason: text(summary.stop_trigger.as_ref().and_then(|it| it.reason.as_deref())),
    })
}

fn trigger(trigger: &types::ExecutionTrigger) -> Option<Trigger> {
    Some(Trigger {
        kind: text(trigger.trigger_type.as_ref().map(types::TriggerType::as_str))?,
        detail: text(trigger.trigger_detail.as_deref()),
    })
}

fn rollback(metadata: Option<&types::PipelineRollbackMetadata>) -> Option<String> {
    text(metadata.and_then(|it| it.rollback_target_pipeline_execution_id.as_deref()))
}

pub fn run_detail(
    pipeline: &PipelineName,
    asked: &ExecutionId,
    output: GetPipelineExecutionOutput,
) -> Result<RunDetail, ReadError> {
    let run = output.pipeline_execution.ok_or_else(|| ReadError::Broken("a run without its description".into()))?;
    same_pipeline(pipeline, run.pipeline_name.as_deref())?;
    same_execution(asked, run.pipeline_execution_id.as_deref())?;
    let variables = run.variables.iter().flatten();
    let mut revisions: Vec<_> = run.artifact_revisions.iter().flatten().map(artifact_revision).collect();
    // The same answer must be shown the same, in whatever order AWS lists it.
    revisions.sort_by(|one, other| (&one.name, &one.id).cmp(&(&other.name, &other.id)));
    Ok(RunDetail {
        execution: asked.clone(),
        status: run.status.as_ref().map_or_else(String::new, |status| status.as_str().to_owned()),
        status_summary: text(run.status_summary.as_deref()),
        pipeline_version: run.pipeline_version,
        revisions,
        variables: variables
            .filter_map(|it| Some((text(it.name.as_deref())?, it.resolved_value.clone().unwrap_or_default())))
            .collect(),
        trigger: run.trigger.as_ref().and_then(trigger),
        mode: run.execution_mode.as_ref().map(|it| Mode::from_name(it.as_str())),
        kind: run.execution_type.as_ref().map(|it| it.as_str().to_owned()),
        rollback_of: rollback(run.rollback_metadata.as_ref()),
    })
}

fn same_execution(asked: &ExecutionId, got: Option<&str>) -> Result<(), ReadError> {
    match got.filter(|id| !id.is_empty()) {
        Some(id) if id != asked.as_str() => {
            Err(ReadError::Broken(format!("asked about the run {asked}, it answered about another one")))
        }
        _ => Ok(()),
    }
}

fn artifact_revision(revision: &types::ArtifactRevision) -> Revision {
    Revision {
        name: revision.name.clone().unwrap_or_default(),
        id: revision.revision_id.clone().unwrap_or_default(),
        summary: text(revision.revision_summary.as_deref()),
        url: text(revision.revision_url.as_deref()),
    }
}

/// `None` for an entry that names no action.
pub fn action_run(asked: &ExecutionId, detail: &types::ActionExecutionDetail) -> Result<Option<ActionRun>, ReadError> {
    same_execution(asked, detail.pipeline_execution_id.as_deref())?;
    let (Some(stage), Some(action)) = (text(detail.stage_name.as_deref()), text(detail.action_name.as_deref())) else {
        return Ok(None);
    };
    let kind = detail.input.as_ref().and_then(|input| input.action_type_id.as_ref());
    let is_source = kind.is_some_and(|kind| kind.category == types::ActionCategory::Source);
    let result = detail.output.as_ref().and_then(|output| output.execution_result.as_ref());
    let configured = Configured::of(detail.input.as_ref());
    Ok(Some(ActionRun {
        execution: asked.clone(),
        action_execution: text(detail.action_execution_id.as_deref()),
        pipeline_version: detail.pipeline_version,
        stage: StageName::parse(stage).map_err(|bad| broken(&bad))?,
        action: ActionName::parse(action).map_err(|bad| broken(&bad))?,
        started_at: maybe_time(detail.start_time.as_ref()),
        updated_at: maybe_time(detail.last_update_time.as_ref()),
        updated_by: text(detail.updated_by.as_deref()),
        status: detail.status.as_ref().map_or_else(String::new, |status| status.as_str().to_owned()),
        is_gate: is_gate(kind),
        is_source,
        comment: configured.setting("CustomData"),
        review_url: configured.setting("ExternalEntityLink"),
        resolved: configured.resolved.is_some(),
        external_execution: text(result.and_then(|it| it.external_execution_id.as_deref())),
        summary: text(result.and_then(|it| it.external_execution_summary.as_deref())),
        error: result.and_then(|it| it.error_details.as_ref()).and_then(error_text),
        source_variables: if is_source { source_variables(detail.output.as_ref()) } else { Vec::new() },
    }))
}

/// An action's configuration, with its variables resolved where AWS says so.
struct Configured<'a> {
    raw: Option<&'a HashMap<String, String>>,
    resolved: Option<&'a HashMap<String, String>>,
}

impl<'a> Configured<'a> {
    fn of(input: Option<&'a types::ActionExecutionInput>) -> Self {
        Self {
            raw: input.and_then(|input| input.configuration.as_ref()),
            resolved: input.and_then(|input| input.resolved_configuration.as_ref()),
        }
    }

    fn setting(&self, key: &str) -> Option<String> {
        let value = self.resolved.and_then(|all| all.get(key)).or_else(|| self.raw.and_then(|all| all.get(key)));
        text(value.map(String::as_str))
    }
}

fn source_variables(output: Option<&types::ActionExecutionOutput>) -> Vec<(String, String)> {
    let Some(all) = output.and_then(|output| output.output_variables.as_ref()) else { return Vec::new() };
    SOURCE_VARIABLES
        .iter()
        .filter_map(|key| Some(((*key).to_owned(), text(all.get(*key).map(String::as_str))?)))
        .collect()
}
