//! What AWS told us, in our words. Absent stays absent, an unknown status stays as AWS wrote it; nothing here panics on
//! odd answers. Texts are as AWS sent them: hostile until cleaned by `domain::text` and escaped by a template.

use std::fmt;

use jiff::Timestamp;

use crate::domain::ids::{ActionName, ApprovalToken, ExecutionId, PipelineName, StageName};
pub use crate::domain::mode::Mode;

/// One entry of `ListPipelines`: version and time of update are the key under which a definition is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    pub name: PipelineName,
    pub version: i32,
    pub updated: Option<Timestamp>,
    /// Absent where AWS leaves it to the definition.
    pub mode: Option<Mode>,
    pub pipeline_type: Option<String>,
}

/// A pipeline's definition without the configuration of anything but its gates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    pub name: PipelineName,
    pub version: i32,
    pub mode: Mode,
    pub pipeline_type: Option<String>,
    pub updated: Option<Timestamp>,
    /// From the pipeline's ARN, where AWS gives it.
    pub account: Option<String>,
    pub stages: Vec<StageDefinition>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageDefinition {
    pub name: StageName,
    pub actions: Vec<ActionDefinition>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionDefinition {
    pub name: ActionName,
    pub category: String,
    pub owner: String,
    pub provider: String,
    pub run_order: i32,
    /// Set for `Approval`/`AWS`/`Manual` only: nothing else is answered with `PutApprovalResult`.
    pub gate: Option<GateDefinition>,
}

/// A manual approval as configured, variables unresolved.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GateDefinition {
    pub comment: Option<String>,
    pub review_url: Option<String>,
    pub timeout_minutes: Option<i32>,
}

/// `GetPipelineState`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipelineState {
    pub version: Option<i32>,
    pub stages: Vec<StageState>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageState {
    pub name: StageName,
    /// The run the stage last took in, and its status there.
    pub latest: Option<StageRun>,
    /// Runs waiting in front of the stage.
    pub inbound: Vec<StageRun>,
    pub transition_enabled: bool,
    pub disabled_reason: Option<String>,
    pub actions: Vec<ActionState>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageRun {
    pub execution: ExecutionId,
    pub status: String,
    /// `ROLLBACK` or `STANDARD`, where AWS says.
    pub kind: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionState {
    pub name: ActionName,
    pub latest: Option<LatestAction>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LatestAction {
    pub action_execution: Option<String>,
    /// `InProgress`, `Succeeded`, `Failed`, `Abandoned`, or newer.
    pub status: String,
    pub token: Option<ApprovalToken>,
    pub summary: Option<String>,
    pub updated_by: Option<String>,
    pub changed_at: Option<Timestamp>,
    pub external_execution: Option<String>,
    pub error: Option<String>,
}

/// One entry of `ListPipelineExecutions`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    pub execution: ExecutionId,
    pub status: String,
    pub started_at: Option<Timestamp>,
    pub updated_at: Option<Timestamp>,
    pub revisions: Vec<Revision>,
    pub trigger: Option<Trigger>,
    pub mode: Option<Mode>,
    pub kind: Option<String>,
    pub rollback_of: Option<String>,
    pub stop_reason: Option<String>,
}

/// `GetPipelineExecution`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunDetail {
    pub execution: ExecutionId,
    pub status: String,
    pub status_summary: Option<String>,
    pub pipeline_version: Option<i32>,
    pub revisions: Vec<Revision>,
    pub variables: Vec<(String, String)>,
    pub trigger: Option<Trigger>,
    pub mode: Option<Mode>,
    pub kind: Option<String>,
    pub rollback_of: Option<String>,
}

/// A source revision. `summary` is as AWS sent it: plain text, or JSON that holds a commit message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// The source action, or the artifact where AWS names only that.
    pub name: String,
    pub id: String,
    pub summary: Option<String>,
    pub url: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trigger {
    /// `StartPipelineExecution`, `WebhookV2`, … as AWS writes it.
    pub kind: String,
    /// The ARN of who or what started it.
    pub detail: Option<String>,
}

/// One entry of `ListActionExecutions`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionRun {
    pub execution: ExecutionId,
    pub action_execution: Option<String>,
    pub pipeline_version: Option<i32>,
    pub stage: StageName,
    pub action: ActionName,
    pub started_at: Option<Timestamp>,
    pub updated_at: Option<Timestamp>,
    pub updated_by: Option<String>,
    pub status: String,
    /// Whether it is `Approval`/`AWS`/`Manual`.
    pub is_gate: bool,
    pub is_source: bool,
    /// The comment with its variables resolved, else as configured.
    pub comment: Option<String>,
    /// The review address with its variables resolved, else as configured.
    pub review_url: Option<String>,
    /// Whether AWS said what the variables in these two stand for.
    pub resolved: bool,
    /// The token of a PARALLEL pipeline's approval.
    pub external_execution: Option<String>,
    /// What was said with the decision.
    pub summary: Option<String>,
    pub error: Option<String>,
    /// Output variables of source actions (author, branch, commit message); empty for others.
    pub source_variables: Vec<(String, String)>,
}

/// A read did not work. What the caller does differs per case, so each has its own.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Not allowed: `action` on something. The message is AWS's.
    #[error("AWS does not allow {action}: {message}")]
    Denied { action: &'static str, message: String },
    #[error("AWS asks to slow down")]
    Throttled,
    /// The credentials are missing, expired, or wrong.
    #[error("the AWS credentials do not work: {0}")]
    Credentials(String),
    #[error("no such {0}")]
    Gone(Missing),
    /// AWS could not be reached, or answered with a server error, after the SDK's own tries.
    #[error("AWS could not be reached: {0}")]
    Unreachable(String),
    /// The operator has taken the source out of the configuration.
    #[error("the source {0} is no longer configured")]
    NotConfigured(String),
    /// AWS answered something that makes no sense.
    #[error("AWS gave an answer that cannot be used: {0}")]
    Broken(String),
}

/// What does not exist at AWS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    Pipeline,
    Execution,
    Queue,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pipeline => "pipeline",
            Self::Execution => "pipeline execution",
            Self::Queue => "queue",
        })
    }
}
