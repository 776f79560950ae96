//! What a pipeline is: stages, actions and how they behave. Plain data, built from the world file or by an edit; a
//! definition is never changed once an execution holds it, an edit makes the next version.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

/// The text map of configurations and variables.
pub type Texts = BTreeMap<String, String>;

/// How executions of one pipeline get along.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Mode {
    /// A newer execution replaces an older one that waits in front of a stage.
    #[default]
    Superseded,
    /// Executions wait in order.
    Queued,
    /// Executions know nothing of each other.
    Parallel,
}

impl Mode {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Superseded => "SUPERSEDED",
            Self::Queued => "QUEUED",
            Self::Parallel => "PARALLEL",
        }
    }
}

/// One version of a pipeline's definition.
#[derive(Clone, Debug)]
pub struct Definition {
    pub name: String,
    pub version: i64,
    pub mode: Mode,
    pub pipeline_type: String,
    pub role_arn: String,
    pub variables: Vec<VariableSpec>,
    pub stages: Vec<StageSpec>,
}

/// A pipeline-level variable.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VariableSpec {
    pub name: String,
    #[serde(default)]
    pub default: Option<String>,
    #[serde(default)]
    pub description: Option<String>,
}

/// A stage and what follows when it fails.
#[derive(Clone, Debug)]
pub struct StageSpec {
    pub name: String,
    pub actions: Vec<Arc<ActionSpec>>,
    pub on_failure: Option<OnFailure>,
}

/// What CodePipeline does by itself when a stage fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// Runs the failed actions once more.
    Retry,
    /// Starts a rollback to the last execution that succeeded here.
    Rollback,
}

/// An action: its declaration as AWS shows it, and its behaviour in the simulation.
#[derive(Clone, Debug)]
pub struct ActionSpec {
    pub name: String,
    pub run_order: u16,
    pub category: String,
    pub owner: String,
    pub provider: String,
    pub version: String,
    pub namespace: Option<String>,
    pub configuration: Texts,
    pub timeout_minutes: Option<i64>,
    pub input_artifacts: Vec<String>,
    pub output_artifacts: Vec<String>,
    /// Output variables; a source adds those of its revision.
    pub outputs: Texts,
    /// Shortest and longest duration, in seconds.
    pub seconds: (f64, f64),
    /// Probability of failure.
    pub fail: f64,
    /// The approval fails as it opens, as if the notification topic were missing.
    pub notification_fails: bool,
    pub people: Vec<Person>,
}

impl ActionSpec {
    /// An approval that `PutApprovalResult` answers. Custom action types may sit in the category too and are not.
    pub fn is_manual_approval(&self) -> bool {
        self.category == "Approval" && self.owner == "AWS" && self.provider == "Manual"
    }

    /// Finishes only when somebody says so.
    pub fn waits_for_people(&self) -> bool {
        self.category == "Approval"
    }

    pub fn is_source(&self) -> bool {
        self.category == "Source"
    }
}

/// Somebody in the AWS console who may answer an approval.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// The ARN that AWS will show.
    pub by: String,
    #[serde(default)]
    pub verdict: Verdict,
    #[serde(default)]
    pub summary: String,
    /// How long after the approval opened, such as `10m`.
    pub after: super::config::Span,
    /// Probability that this person acts at all.
    #[serde(default = "certain")]
    pub odds: f64,
}

fn certain() -> f64 {
    1.0
}

/// The answer to an approval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    #[default]
    Approved,
    Rejected,
}

impl Verdict {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Approved => "Approved",
            Self::Rejected => "Rejected",
        }
    }
}

/// A source change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Commit {
    /// Commit id; invented when absent.
    pub id: Option<String>,
    pub message: String,
    pub author: Option<String>,
}

impl Definition {
    pub fn stage(&self, name: &str) -> Option<&StageSpec> {
        self.stages.iter().find(|stage| stage.name == name)
    }

    /// Position of a stage.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.stages.iter().position(|stage| stage.name == name)
    }
}

impl StageSpec {
    pub fn action(&self, name: &str) -> Option<&Arc<ActionSpec>> {
        self.actions.iter().find(|action| action.name == name)
    }
}
