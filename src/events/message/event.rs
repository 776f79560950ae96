//! EventBridge's events about CodePipeline. Every member is taken as optional, because older events lack some, and numbers and
//! further members as whatever they are.

use serde_json::Value;

use super::{Hint, Object, Understood, pipeline, text};
use crate::domain::ids::PipelineName;

/// The states of a run or a stage after which nothing waits that did not wait before, and nothing has ended that did: an
/// approval that begins to wait has an event of its own.
const BESIDE: &[&str] = &["STARTED", "RESUMED", "SUCCEEDED"];

/// `None`: it is not about what waits for people.
pub(super) fn read(event: &Object, kind: &str) -> Understood<Option<Hint>> {
    if event.get("source").and_then(Value::as_str) != Some("aws.codepipeline") {
        return Ok(None);
    }
    let nothing = Object::new();
    let detail = event.get("detail").and_then(Value::as_object).unwrap_or(&nothing);
    let is_about_approvals = match kind {
        "CodePipeline Action Execution State Change" => is_of_a_gate(detail),
        "CodePipeline Pipeline Execution State Change" | "CodePipeline Stage Execution State Change" => {
            text(detail, "state").is_none_or(|state| !BESIDE.contains(&state))
        }
        // A kind of event that is new may be about anything.
        _ => true,
    };
    // Named before it is put aside: what cannot be understood is told, whatever it seems to be about.
    let place = Place::of(event);
    let pipeline = match (text(detail, "pipeline").map(pipeline).transpose()?, place.pipeline) {
        (Some(said), Some(arn)) if said != arn => return Err("it names two pipelines"),
        (Some(name), _) | (None, Some(name)) => name,
        (None, None) => return Err("it names no pipeline"),
    };
    let hint = Hint { pipeline, account: place.account, region: place.region, deadline: None };
    Ok(is_about_approvals.then_some(hint))
}

/// Whether an action may be one that people answer. What it does not say may be so.
fn is_of_a_gate(detail: &Object) -> bool {
    let Some(kind) = detail.get("type").and_then(Value::as_object) else { return true };
    [("category", "Approval"), ("owner", "AWS"), ("provider", "Manual")]
        .iter()
        .all(|(member, ours)| text(kind, member).is_none_or(|said| said == *ours))
}

/// Where it happened.
#[derive(Default)]
struct Place {
    account: Option<String>,
    region: Option<String>,
    pipeline: Option<PipelineName>,
}

impl Place {
    /// As the event says, or else the pipeline's ARN in it.
    fn of(event: &Object) -> Self {
        let arns = event.get("resources").and_then(Value::as_array);
        let arn = arns.and_then(|all| all.first()).and_then(Value::as_str).map(Self::of_arn).unwrap_or_default();
        Self {
            account: text(event, "account").map(str::to_owned).or(arn.account),
            region: text(event, "region").map(str::to_owned).or(arn.region),
            pipeline: arn.pipeline,
        }
    }

    /// `arn:aws:codepipeline:eu-west-1:111122223333:shop`
    fn of_arn(arn: &str) -> Self {
        let parts: Vec<&str> = arn.split(':').collect();
        let ["arn", _, "codepipeline", region, account, name] = parts.as_slice() else { return Self::default() };
        let said = |part: &str| Some(part.to_owned()).filter(|part| !part.is_empty());
        Self { account: said(account), region: said(region), pipeline: PipelineName::parse(*name).ok() }
    }
}
