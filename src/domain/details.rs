//! What a page tells about an approval beyond what its decision is bound to: it may change while the approval waits
//! (newer runs arrive, stages move), so it is no part of the fingerprint. Everything is bounded and holds no NUL, so that
//! it can be kept as JSON; escaping is the templates' work.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::text::Clipped;

/// How many pipeline variables, newer runs and stages are kept.
pub const MAX_VARIABLES: usize = 50;
pub const MAX_NEWER: usize = 10;
pub const MAX_STAGES: usize = 50;
/// How much of a short text (a status, an ARN, a branch) is kept.
pub const MAX_SHORT: usize = 512;
/// How much of a variable's value or a commit message of another run is kept.
pub const MAX_VALUE: usize = 400;

/// Everything else that is known about an approval and its run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Details {
    /// Whether AWS would take an answer: false when the token has not the form that `PutApprovalResult` asks for.
    pub answerable: bool,
    /// Whether the variables in comment and review address stand for what AWS says they do. False: shown as configured.
    pub resolved: bool,
    /// False while some of this could not be read yet; it is read again with the next sweep.
    pub complete: bool,
    pub trigger: Option<TriggerSeen>,
    pub run_started_at: Option<Timestamp>,
    /// `Stopping` here means: an approval will not let the run go on.
    pub run_status: Option<String>,
    /// `STANDARD` or `ROLLBACK`.
    pub run_kind: Option<String>,
    /// The run that a rollback goes back to.
    pub rollback_of: Option<String>,
    pub variables: Vec<Variable>,
    /// Where each source revision comes from.
    pub sources: Vec<SourceSeen>,
    /// Runs that are newer than this one and cannot pass it, newest first.
    pub newer: Vec<NewerRun>,
    pub more_newer: u64,
    pub stages: Vec<StageView>,
}

/// What started the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TriggerSeen {
    /// As AWS writes it: `StartPipelineExecution`, `WebhookV2`, …
    pub kind: String,
    /// The ARN of who or what started it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub detail: Option<String>,
}

/// A pipeline variable as it was chosen for the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variable {
    pub name: String,
    pub value: Clipped,
}

/// What a source action said about its revision.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SourceSeen {
    /// The source action's name.
    pub name: String,
    pub author: Option<String>,
    pub author_email: Option<String>,
    /// As the provider writes it.
    pub authored_at: Option<String>,
    pub branch: Option<String>,
    pub repository: Option<String>,
}

/// A run that waits behind this one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewerRun {
    pub execution: String,
    #[serde(default)]
    pub status: Option<String>,
    #[serde(default)]
    pub started_at: Option<Timestamp>,
    /// The stage it waits in front of, or is in.
    #[serde(default)]
    pub at_stage: Option<String>,
    /// What it brings: the first line of each revision's message, else the revision's id.
    #[serde(default)]
    pub brings: Vec<String>,
}

/// A stage as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct StageView {
    pub name: String,
    pub status: Option<String>,
    /// The run it holds or held last.
    pub execution: Option<String>,
    /// Set when runs are kept from entering, with the reason that was given.
    pub closed: Option<String>,
    pub actions: Vec<ActionView>,
}

/// An action as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ActionView {
    pub name: String,
    /// Absent: it has not run.
    pub status: Option<String>,
    pub is_gate: bool,
}

/// A short text from outside, bounded and without NUL.
#[must_use]
pub fn short(text: &str) -> String {
    Clipped::new(text, MAX_SHORT).text
}
