//! The SDK's types into ours: total functions. Absent, empty and 1970 mean absent (the SDK fills in members that the model
//! calls required); an unknown status stays as AWS wrote it; an answer about something else than was asked for is refused.

mod runs;

use aws_sdk_codepipeline::operation::get_pipeline::GetPipelineOutput;
use aws_sdk_codepipeline::operation::get_pipeline_state::GetPipelineStateOutput;
use aws_sdk_codepipeline::primitives::DateTime;
use aws_sdk_codepipeline::types;
use jiff::Timestamp;

use super::observed::{
    ActionDefinition, ActionState, Definition, GateDefinition, LatestAction, Listing, Mode, PipelineState, ReadError,
    StageDefinition, StageRun, StageState,
};
use crate::domain::ids::{ActionName, ApprovalToken, BadId, ExecutionId, PipelineName, StageName};
use crate::domain::text::Clipped;

pub use runs::{action_run, run, run_detail};

/// A time in whole milliseconds: the SDK goes through a floating-point number. 1970 is "not said".
pub fn time(at: &DateTime) -> Option<Timestamp> {
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
pub fn text(value: Option<&str>) -> Option<String> {
    value.filter(|text| !text.is_empty()).map(clean)
}

/// A text without NUL, which Postgres cannot keep.
pub fn clean(text: &str) -> String {
    text.replace('\0', "\u{2400}")
}

pub fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
}

/// A list that is absent is no empty list: an answer without it would pass for "nothing there".
pub fn missing(member: &str) -> ReadError {
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

pub fn listing(summary: &types::PipelineSummary) -> Option<Listing> {
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

pub fn definition(asked: &PipelineName, output: GetPipelineOutput) -> Result<Definition, ReadError> {
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

pub fn state(asked: &PipelineName, output: GetPipelineStateOutput) -> Result<PipelineState, ReadError> {
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
        let nothing = GetPipelineStateOutput::builder();
        assert!(matches!(state(&asked, nothing.clone().build()), Err(ReadError::Broken(_))));
        assert!(state(&asked, nothing.set_stage_states(Some(vec![])).build()).unwrap().stages.is_empty());
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
