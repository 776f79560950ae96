//! The world file: what exists, who may ask, and how it lives. TOML; unknown keys are refused with their name.
//!
//! ```toml
//! seed = 7                        # same seed and same calls, same history
//! start = "2026-11-21T08:00:00Z"  # where a stepped clock begins (`countersign simulate --stepped`)
//! latency_ms = 20                 # real time added to every call
//! error_form = "namespaced"       # bare (default) | namespaced | header
//! strict = false                  # true: unknown access keys and roles are refused
//! external_ids = "distinct"       # same: token, action execution id and external execution id are one UUID
//!
//! [[keys]]                        # access keys; without `secret` the signature is not verified
//! id = "AKIAPORTAL"
//! secret = "portal"
//! account = "111122223333"
//! user = "portal"
//!
//! [[roles]]                       # roles AssumeRole hands out
//! arn = "arn:aws:iam::444455556666:role/countersign"
//! external_id = "only-us"
//!
//! [[templates]]                   # stages to use again; `{name}` and the keys of `with` are filled in
//! name = "web"
//! [[templates.stages]]
//! name = "Source"
//! actions = [{ name = "Repo", kind = "source", seconds = 5 }]
//! [[templates.stages]]
//! name = "Release"
//! actions = [
//!   { name = "Approve", kind = "approval", comment = "Ship {name}: #{SourceVariables.CommitMessage}",
//!     url = "https://review.example/{name}/#{SourceVariables.CommitId}", timeout_minutes = 60,
//!     people = [{ by = "arn:aws:iam::111122223333:user/ines", after = "10m", odds = 0.3, verdict = "Rejected" }] },
//!   { name = "Deploy", kind = "deploy", run_order = 2, seconds = [20, 60], fail = 0.1 },
//! ]
//!
//! [[worlds]]                      # one per account and region
//! account = "111122223333"
//! region = "eu-west-1"
//! approval_timeout_minutes = 10080
//! throttle = { per_second = 20, burst = 40 }
//!
//! [[worlds.pipelines]]
//! name = "shop-web"
//! mode = "SUPERSEDED"             # QUEUED | PARALLEL
//! template = "web"                # or [[worlds.pipelines.stages]] as above
//! repository = "acme/shop-web"
//! commits = [{ message = "Free shipping over 50", author = "Ana" }]   # used in turn; invented when absent
//! start = ["-2d", "-10m"]         # executions to begin with, before (-) or after the start
//! every = "20m"                   # new executions keep coming, irregularly, from `since` on
//! since = "-6h"
//! tags = { team = "shop" }         # what ListTagsForResource tells
//!
//! [[worlds.generate]]             # many alike: svc-0001 …; the first `gated` use `gated_template`,
//! prefix = "svc-"                 # the first `waiting` of those have an approval open at the start
//! count = 1205
//! template = "plain"
//! gated_template = "web"
//! gated = 300
//! waiting = 40
//! ```
//!
//! Kinds of action: `source`, `codecommit`, `s3`, `build`, `test`, `deploy`, `invoke`, `approval`, `custom-approval`;
//! `category`, `owner`, `provider`, `version` override what a kind implies.

mod expand;
mod span;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::definition::{Commit, Mode, OnFailure, Person, Texts, VariableSpec};
pub use expand::{definition_of, pipelines_of, stages_of};
pub use span::Span;

/// The account any unknown access key belongs to.
pub const DEFAULT_ACCOUNT: &str = "111122223333";

/// A whole world file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WorldFile {
    pub seed: u64,
    pub start: Option<Timestamp>,
    pub latency_ms: u64,
    pub error_form: ErrorForm,
    pub strict: bool,
    /// Refuse signatures more than five minutes off the simulator's clock.
    pub check_time: bool,
    pub external_ids: ExternalIds,
    /// Page size of `ListPipelines` when the caller names none.
    pub default_page: Option<usize>,
    /// How far back stale reads can see.
    pub stale_window_seconds: Option<i64>,
    pub keys: Vec<KeyConfig>,
    pub roles: Vec<RoleConfig>,
    pub templates: Vec<Template>,
    pub worlds: Vec<WorldConfig>,
}

/// How errors name their code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ErrorForm {
    /// `__type` holds the code alone.
    #[default]
    Bare,
    /// `__type` holds `com.amazonaws.codepipeline#Code`.
    Namespaced,
    /// The code is only in `x-amzn-errortype`, followed by a colon and an address.
    Header,
}

/// Whether the ids of an approval coincide outside PARALLEL. AWS does not say, so a client must not care.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExternalIds {
    #[default]
    Distinct,
    Same,
}

/// An access key and whose it is.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyConfig {
    pub id: String,
    #[serde(default)]
    pub secret: Option<String>,
    pub account: String,
    pub user: String,
}

/// A role and what it asks of who assumes it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleConfig {
    pub arn: String,
    #[serde(default)]
    pub external_id: Option<String>,
}

/// Stages to be used by several pipelines.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Template {
    pub name: String,
    pub stages: Vec<StageConfig>,
}

/// One account and region.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WorldConfig {
    pub account: String,
    pub region: String,
    pub approval_timeout_minutes: Option<i64>,
    pub throttle: Option<Rate>,
    pub pipelines: Vec<PipelineConfig>,
    pub generate: Vec<Generate>,
}

/// A token bucket.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    pub per_second: f64,
    pub burst: f64,
}

/// A pipeline as written down.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PipelineConfig {
    pub name: String,
    pub mode: Mode,
    /// `V1` or `V2`; V2 unless told otherwise.
    pub pipeline_type: Option<String>,
    pub template: Option<String>,
    pub with: Texts,
    pub stages: Vec<StageConfig>,
    pub variables: Vec<VariableSpec>,
    pub repository: Option<String>,
    pub branch: Option<String>,
    pub commits: Vec<Commit>,
    pub start: Vec<Span>,
    pub every: Option<Span>,
    pub since: Option<Span>,
    /// What `ListTagsForResource` tells.
    pub tags: Texts,
}

/// A stage as written down.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageConfig {
    pub name: String,
    pub actions: Vec<ActionConfig>,
    #[serde(default)]
    pub on_failure: Option<OnFailure>,
}

/// An action as written down.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ActionConfig {
    pub name: String,
    pub kind: Option<String>,
    pub category: Option<String>,
    pub owner: Option<String>,
    pub provider: Option<String>,
    pub version: Option<String>,
    pub run_order: Option<u16>,
    pub namespace: Option<String>,
    pub configuration: Texts,
    pub outputs: Texts,
    pub comment: Option<String>,
    pub url: Option<String>,
    pub topic: Option<String>,
    pub timeout_minutes: Option<i64>,
    pub seconds: Option<Seconds>,
    pub fail: f64,
    pub notification_fails: bool,
    pub people: Vec<Person>,
}

/// A duration: fixed, or drawn between two bounds.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(untagged)]
pub enum Seconds {
    Fixed(f64),
    Between([f64; 2]),
}

/// Many pipelines alike.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Generate {
    pub prefix: String,
    pub count: usize,
    pub mode: Mode,
    pub template: String,
    pub gated_template: Option<String>,
    pub gated: usize,
    pub waiting: usize,
    pub every: Option<Span>,
}

/// Why a world file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WorldFileError {
    #[error("the world file cannot be read as TOML: {0}")]
    Syntax(#[from] toml::de::Error),
    #[error("pipeline `{pipeline}` uses the template `{template}`, which the world file does not define")]
    Template { pipeline: String, template: String },
    #[error("pipeline `{pipeline}` {problem}")]
    Pipeline { pipeline: String, problem: String },
}

impl WorldFile {
    /// Reads a world file and checks everything in it.
    ///
    /// # Errors
    /// Names the key, template or pipeline that is wrong.
    pub fn parse(text: &str) -> Result<Self, WorldFileError> {
        let file: Self = toml::from_str(text)?;
        for world in &file.worlds {
            pipelines_of(&file, world)?;
        }
        Ok(file)
    }
}
