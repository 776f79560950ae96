//! The SDK's types into ours: total functions. Absent, empty and 1970 mean absent (the SDK fills in members that the model
//! calls required); an unknown status stays as AWS wrote it; an answer about something else than was asked for is refused.

use std::collections::HashMap;

use aws_sdk_codepipeline::operation::get_pipeline::GetPipelineOutput;
use aws_sdk_codepipeline::operation::get_pipeline_execution::GetPipelineExecutionOutput;
use aws_sdk_codepipeline::operation::get_pipeline_state::GetPipelineStateOutput;
use aws_sdk_codepipeline::primitives::DateTime;
use aws_sdk_codepipeline::types;
use jiff::Timestamp;

use super::observed::{
    ActionDefinition, ActionRun, ActionState, Definition, GateDefinition, LatestAction, Listing, Mode, PipelineState,
    ReadError, Revision, Run, RunDetail, StageDefinition, StageRun, StageState, Trigger,
};
use crate::domain::ids::{ActionName, ApprovalToken, BadId, ExecutionId, PipelineName, StageName};
use crate::domain::text::Clipped;

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

/// A time in whole milliseconds: the SDK goes through a floating-point number. 1970 is "not said".
pub(super) fn time(at: &DateTime) -> Option<Timestamp> {
    let millis = at.as_secs_f64() * 1000.0;
    #[expect(clippy::cast_possible_truncation, reason = "rounded; out of range saturates and is refused below")]
    let millis = millis.round() as i64;
    if millis <= 0 {
        return None;
    }
    Timestamp::from_millisecond(millis).ok()
}

fn maybe_time(at: Option<&DateTime>) -> Option<Timestamp> {
    at.and_then(time)
}

/// A text that says something, without NUL, which Postgres cannot keep.
pub(super) fn text(value: Option<&str>) -> Option<String> {
    value.filter(|text| !text.is_empty()).map(clean)
}

fn clean(text: &str) -> String {
    text.replace('\0', "\u{2400}")
}

pub(super) fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
}

/// A list that is absent is no empty list: an answer without it would pass for "nothing there".
pub(super) fn missing(member: &str) -> ReadError {
    ReadError::Broken(format!("an answer without {member}"))
}

fn broken(bad: &BadId) -> ReadError {
    ReadError::Broken(bad.to_string())
}

fn mode(mode: Option<&types::ExecutionMode>) -> Mode {
    // A word that AWS has not invented yet is kept, but no more of it than a name has.
    Mode::from_name(&Clipped::new(mode.map_or("", types::ExecutionMode::as_str), 100).text)
}

fn is_gate(kind: Option<&types::ActionTypeId>) -> bool {
    kind.is_some_and(|kind| {
        kind.category == types::ActionCategory::Approval
            && kind.owner == types::ActionOwner::Aws
            && kind.provider == "Manual"
    })
}

pub(super) fn listing(summary: &types::PipelineSummary) -> Option<Listing> {
    // A name that breaks AWS's own rules cannot be asked about; such an entry is not a pipeline of ours.
    let name = PipelineName::parse(summary.name.as_deref()?).ok()?;
    Some(Listing {
        name,
        version: summary.version.unwrap_or(0),
        updated: maybe_time(summary.updated.as_ref()),
        mode: summary.execution_mode.as_ref().map(|it| mode(Some(it))),
        pipeline_type: summary.pipeline_type.as_ref().map(|kind| clean(kind.as_str())),
    })
}

fn same_pipeline(asked: &PipelineName, got: Option<&str>) -> Result<(), ReadError> {
    match got.filter(|name| !name.is_empty()) {
        Some(name) if name != asked.as_str() => {
            Err(ReadError::Broken(format!("asked about the pipeline {asked}, it answered about another one")))
        }
        _ => Ok(()),
    }
}

pub(super) fn definition(asked: &PipelineName, output: GetPipelineOutput) -> Result<Definition, ReadError> {
    let pipeline = output.pipeline.ok_or_else(|| ReadError::Broken("a pipeline without its definition".into()))?;
    same_pipeline(asked, Some(&pipeline.name))?;
    // Every pipeline has stages and every stage actions. Half a definition must not pass for one without gates.
    if pipeline.stages.is_empty() || pipeline.stages.iter().any(|stage| stage.actions.is_empty()) {
        return Err(ReadError::Broken("a definition without stages or actions".into()));
    }
    let metadata = output.metadata.as_ref();
    let arn = metadata.and_then(|it| it.pipeline_arn.as_deref()).unwrap_or_default();
    Ok(Definition {
        name: asked.clone(),
        version: pipeline.version.unwrap_or(0),
        mode: mode(pipeline.execution_mode.as_ref()),
        pipeline_type: pipeline.pipeline_type.as_ref().map(|kind| clean(kind.as_str())),
        updated: maybe_time(metadata.and_then(|it| it.updated.as_ref())),
        account: arn.split(':').nth(4).filter(|account| is_account(account)).map(str::to_owned),
        stages: pipeline.stages.iter().map(stage_definition).collect::<Result<_, _>>()?,
    })
}

fn stage_definition(stage: &types::StageDeclaration) -> Result<StageDefinition, ReadError> {
    Ok(StageDefinition {
        name: StageName::parse(&stage.name).map_err(|bad| broken(&bad))?,
        actions: stage.actions.iter().map(action_definition).collect::<Result<_, _>>()?,
    })
}

fn action_definition(action: &types::ActionDeclaration) -> Result<ActionDefinition, ReadError> {
    let kind = action.action_type_id.as_ref();
    let kind = Some(kind.ok_or_else(|| ReadError::Broken("an action without its type".into()))?);
    let setting = |key: &str| text(action.configuration.as_ref().and_then(|all| all.get(key)).map(String::as_str));
    Ok(ActionDefinition {
        name: ActionName::parse(&action.name).map_err(|bad| broken(&bad))?,
        category: kind.map_or_else(String::new, |kind| clean(kind.category.as_str())),
        owner: kind.map_or_else(String::new, |kind| clean(kind.owner.as_str())),
        provider: kind.map_or_else(String::new, |kind| clean(&kind.provider)),
        run_order: action.run_order.unwrap_or(1),
        gate: is_gate(kind).then(|| GateDefinition {
            comment: setting("CustomData"),
            review_url: setting("ExternalEntityLink"),
            timeout_minutes: action.timeout_in_minutes.filter(|minutes| *minutes > 0),
        }),
    })
}

pub(super) fn state(asked: &PipelineName, output: GetPipelineStateOutput) -> Result<PipelineState, ReadError> {
    same_pipeline(asked, output.pipeline_name.as_deref())?;
    let stages = output.stage_states.ok_or_else(|| missing("stageStates"))?;
    Ok(PipelineState {
        version: output.pipeline_version,
        stages: stages.iter().filter_map(|stage| stage_state(stage).transpose()).collect::<Result<_, _>>()?,
    })
}

fn stage_state(stage: &types::StageState) -> Result<Option<StageState>, ReadError> {
    let Some(name) = text(stage.stage_name.as_deref()) else { return Ok(None) };
    let transition = stage.inbound_transition_state.as_ref();
    let mut inbound: Vec<_> = stage.inbound_executions.iter().flatten().filter_map(stage_run).collect();
    // The single form is older than the list; real answers carry either, or both.
    if let Some(one) = stage.inbound_execution.as_ref().and_then(stage_run)
        && !inbound.iter().any(|run| run.execution == one.execution)
    {
        inbound.push(one);
    }
    let actions = stage.action_states.iter().flatten();
    Ok(Some(StageState {
        name: StageName::parse(name).map_err(|bad| broken(&bad))?,
        latest: stage.latest_execution.as_ref().and_then(stage_run),
        inbound,
        transition_enabled: transition.is_none_or(|it| it.enabled),
        disabled_reason: text(transition.and_then(|it| it.disabled_reason.as_deref())),
        actions: actions.filter_map(|action| action_state(action).transpose()).collect::<Result<_, _>>()?,
    }))
}

fn stage_run(run: &types::StageExecution) -> Option<StageRun> {
    Some(StageRun {
        execution: ExecutionId::parse(run.pipeline_execution_id.as_str()).ok()?,
        status: run.status.as_str().to_owned(),
        kind: run.r#type.as_ref().map(|kind| kind.as_str().to_owned()),
    })
}

fn action_state(action: &types::ActionState) -> Result<Option<ActionState>, ReadError> {
    let Some(name) = text(action.action_name.as_deref()) else { return Ok(None) };
    Ok(Some(ActionState {
        name: ActionName::parse(name).map_err(|bad| broken(&bad))?,
        latest: action.latest_execution.as_ref().map(|latest| LatestAction {
            action_execution: text(latest.action_execution_id.as_deref()),
            status: latest.status.as_ref().map_or_else(String::new, |status| status.as_str().to_owned()),
            token: text(latest.token.as_deref()).map(ApprovalToken::new),
            summary: text(latest.summary.as_deref()),
            updated_by: text(latest.last_updated_by.as_deref()),
            changed_at: maybe_time(latest.last_status_change.as_ref()),
            external_execution: text(latest.external_execution_id.as_deref()),
            error: latest.error_details.as_ref().and_then(error_text),
        }),
    }))
}

fn error_text(error: &types::ErrorDetails) -> Option<String> {
    match (text(error.code.as_deref()), text(error.message.as_deref())) {
        (Some(code), Some(message)) => Some(format!("{code}: {message}")),
        (code, message) => code.or(message),
    }
}

pub(super) fn run(summary: &types::PipelineExecutionSummary) -> Option<Run> {
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

pub(super) fn run_detail(
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
pub(super) fn action_run(
    asked: &ExecutionId,
    detail: &types::ActionExecutionDetail,
) -> Result<Option<ActionRun>, ReadError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_rounded_to_milliseconds_and_1970_is_absent() {
        let at = DateTime::from_secs_f64(1_467_929_497.204);
        assert_eq!(time(&at).unwrap().to_string(), "2016-07-07T22:11:37.204Z");
        assert_eq!(time(&DateTime::from_secs(0)), None);
        assert_eq!(time(&DateTime::from_secs(i64::MAX / 2)), None);
    }

    #[test]
    fn an_answer_about_another_pipeline_is_refused() {
        let asked = PipelineName::parse("shop").unwrap();
        let output = GetPipelineStateOutput::builder().pipeline_name("bank").build();
        assert!(matches!(state(&asked, output), Err(ReadError::Broken(_))));
        assert!(state(&asked, GetPipelineStateOutput::builder().build()).unwrap().stages.is_empty());
    }

    #[test]
    fn an_unknown_status_stays_as_aws_wrote_it() {
        let latest = types::ActionExecution::builder().status("Pondering".into()).token("").build();
        let action = types::ActionState::builder().action_name("Release").latest_execution(latest).build();
        let latest = action_state(&action).unwrap().unwrap().latest.unwrap();
        assert_eq!((latest.status.as_str(), latest.token), ("Pondering", None));
    }

    #[test]
    fn only_the_manual_approval_of_aws_is_a_gate() {
        let kind = |owner: &str, provider: &str| {
            let kind = types::ActionTypeId::builder().category(types::ActionCategory::Approval).owner(owner.into());
            kind.provider(provider).version("1").build().unwrap()
        };
        assert!(is_gate(Some(&kind("AWS", "Manual"))));
        assert!(!is_gate(Some(&kind("Custom", "Manual"))));
        assert!(!is_gate(Some(&kind("AWS", "Other"))));
        assert!(!is_gate(None));
    }
}
