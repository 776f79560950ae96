//! Things people and AWS do that a portal cannot: decide in the console, push a change, edit, delete, let time run out.
//! The same list serves tests in process and scripts over the control listener.

use std::sync::{MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    config::{PipelineConfig, StageConfig, stages_of},
    definition::{Commit, Mode, Texts, Verdict},
    engine::{Begin, Turn},
    shared::{Place, Shared},
    state::{Answer, Trigger},
    waiting::Which,
    world::World,
};

/// An act and where it happens; the first world of the file when it does not say.
#[derive(Clone, Debug, Deserialize)]
pub struct Order {
    #[serde(default)]
    pub account: Option<String>,
    #[serde(default)]
    pub region: Option<String>,
    #[serde(flatten)]
    pub act: Act,
}

/// What can be done to a world.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case")]
pub enum Act {
    /// Starts an execution, as if `commit` had been pushed (or `by` had pressed the button).
    Start {
        pipeline: String,
        #[serde(default)]
        commit: Option<Commit>,
        #[serde(default)]
        variables: Texts,
        #[serde(default)]
        by: Option<String>,
    },
    /// As `start`, then finishes everything in its way until an approval waits.
    OpenApproval {
        pipeline: String,
        #[serde(default)]
        commit: Option<Commit>,
        #[serde(default)]
        variables: Texts,
        #[serde(default)]
        by: Option<String>,
    },
    /// Finishes what an execution has running, until somebody is needed.
    Rush {
        pipeline: String,
        execution: String,
    },
    /// Answers an approval in the console.
    Decide {
        pipeline: String,
        #[serde(flatten)]
        which: Which,
        verdict: Verdict,
        #[serde(default)]
        summary: String,
        by: String,
    },
    /// Lets an approval's time run out now.
    Expire {
        pipeline: String,
        #[serde(flatten)]
        which: Which,
    },
    Stop {
        pipeline: String,
        execution: String,
        #[serde(default)]
        abandon: bool,
        #[serde(default)]
        reason: Option<String>,
    },
    /// Runs a failed stage again; all its actions if `all`.
    Retry {
        pipeline: String,
        stage: String,
        execution: String,
        #[serde(default)]
        all: bool,
    },
    /// Rolls a stage back to an earlier execution.
    RollBack {
        pipeline: String,
        stage: String,
        target: String,
    },
    /// Edits the definition: other stages, or another comment or link of every manual approval (or the one named).
    Edit {
        pipeline: String,
        #[serde(default)]
        stages: Option<Vec<StageConfig>>,
        #[serde(default)]
        action: Option<String>,
        #[serde(default)]
        comment: Option<String>,
        #[serde(default)]
        url: Option<String>,
    },
    SetMode {
        pipeline: String,
        mode: Mode,
    },
    Delete {
        pipeline: String,
    },
    /// Creates a pipeline; `pipeline` is written as in the world file.
    Create {
        pipeline: Box<PipelineConfig>,
    },
    /// Gives a pipeline other tags in place of all it has.
    Tag {
        pipeline: String,
        tags: Texts,
    },
    /// Disables (with a reason) or enables the way into a stage.
    Transition {
        pipeline: String,
        stage: String,
        #[serde(default)]
        reason: Option<String>,
        #[serde(default)]
        by: Option<String>,
    },
    /// All temporary credentials end now.
    ExpireCredentials,
}

impl Shared {
    /// Performs an act, after everything that was due before it.
    ///
    /// # Errors
    /// A sentence saying why it cannot be done.
    pub fn act(&self, place: &Place, act: Act) -> Result<Value, String> {
        let now = self.clock.now();
        if matches!(act, Act::ExpireCredentials) {
            return Ok(json!({ "expired": self.credentials.expire_sessions() }));
        }
        let world = self.world(place);
        let mut world = world.lock().unwrap_or_else(PoisonError::into_inner);
        world.advance_to(now);
        match act {
            Act::Delete { pipeline } if world.remove_pipeline(&pipeline, now) => Ok(json!({})),
            Act::Delete { pipeline } => Err(no_pipeline(&pipeline)),
            Act::Create { pipeline } => self.create(&mut world, *pipeline, now),
            act => act_on_pipeline(&mut world, act, now),
        }
    }

    fn create(
        &self,
        world: &mut MutexGuard<'_, World>,
        mut config: PipelineConfig,
        now: Timestamp,
    ) -> Result<Value, String> {
        if let Some(template) = self.file.templates.iter().find(|known| Some(&known.name) == config.template.as_ref()) {
            config.stages.clone_from(&template.stages);
        }
        world.create_pipeline(&config, now, now).map_err(|error| error.to_string())?;
        world.advance_to(now);
        Ok(json!({}))
    }
}

fn no_pipeline(name: &str) -> String {
    format!("there is no pipeline `{name}` in this account and region")
}

fn act_on_pipeline(world: &mut World, act: Act, now: Timestamp) -> Result<Value, String> {
    let name = act.pipeline().to_owned();
    let Some(mut turn) = world.turn(&name, now) else { return Err(no_pipeline(&name)) };
    match act {
        Act::Start { commit, variables, by, .. } => {
            let index = begin(&mut turn, commit, variables, by)?;
            Ok(json!({ "execution": turn.pipeline.executions[index].id }))
        }
        Act::OpenApproval { commit, variables, by, .. } => {
            let index = begin(&mut turn, commit, variables, by)?;
            turn.rush(index);
            Ok(json!({ "execution": turn.pipeline.executions[index].id }))
        }
        Act::Rush { execution, .. } => {
            let index = find_execution(&turn, &execution)?;
            turn.rush(index);
            Ok(json!({}))
        }
        Act::Decide { which, verdict, summary, by, .. } => {
            let run = which.find(&turn)?;
            turn.decide(run, Answer { verdict, summary: &summary, by: &by });
            Ok(json!({ "action_execution": turn.pipeline.runs[run].id }))
        }
        Act::Expire { which, .. } => {
            let run = which.find(&turn)?;
            turn.expire(run);
            Ok(json!({ "action_execution": turn.pipeline.runs[run].id }))
        }
        other => steer(&mut turn, other),
    }
}

fn steer(turn: &mut Turn<'_>, act: Act) -> Result<Value, String> {
    match act {
        Act::Stop { execution, abandon, reason, .. } => {
            turn.stop(&execution, abandon, reason)
                .map_err(|refusal| format!("cannot stop `{execution}`: {refusal:?}"))?;
            Ok(json!({}))
        }
        Act::Retry { stage, execution, all, .. } => {
            let refused = |refusal| format!("cannot retry `{stage}` of `{execution}`: {refusal:?}");
            turn.retry(&execution, &stage, all).map_err(refused)?;
            Ok(json!({}))
        }
        Act::RollBack { stage, target, .. } => {
            let target = find_execution(turn, &target)?;
            let index = turn.roll_back(&stage, target, "ManualRollback", "arn:aws:iam::111122223333:user/console");
            let index = index.ok_or_else(|| format!("there is no stage `{stage}`"))?;
            Ok(json!({ "execution": turn.pipeline.executions[index].id }))
        }
        other => change_definition(turn, other),
    }
}

fn change_definition(turn: &mut Turn<'_>, act: Act) -> Result<Value, String> {
    match act {
        Act::Edit { pipeline, stages, action, comment, url } => {
            let config = PipelineConfig { name: pipeline, ..PipelineConfig::default() };
            let stages = stages.map(|stages| stages_of(&config, &stages)).transpose().map_err(|e| e.to_string())?;
            turn.edit(|definition| {
                if let Some(stages) = stages {
                    definition.stages = stages;
                }
                let actions = definition.stages.iter_mut().flat_map(|stage| &mut stage.actions);
                let named = actions.filter(|spec| action.as_ref().is_none_or(|name| *name == spec.name));
                for spec in named.filter(|spec| spec.is_manual_approval()) {
                    let configuration = &mut std::sync::Arc::make_mut(spec).configuration;
                    configuration.extend(comment.clone().map(|text| ("CustomData".to_owned(), text)));
                    configuration.extend(url.clone().map(|text| ("ExternalEntityLink".to_owned(), text)));
                }
            });
        }
        Act::SetMode { mode, .. } => turn.set_mode(mode),
        // Not a part of the definition: its version stays.
        Act::Tag { tags, .. } => turn.pipeline.tags = tags,
        Act::Transition { stage, reason, by, .. } => {
            let by = by.unwrap_or_else(|| "arn:aws:iam::111122223333:user/console".to_owned());
            if !turn.set_transition(&stage, true, reason, &by) {
                return Err(format!("there is no stage `{stage}`"));
            }
        }
        _ => return Err("this act does not concern a pipeline".to_owned()),
    }
    Ok(json!({ "version": turn.pipeline.definition.version }))
}

fn begin(turn: &mut Turn<'_>, commit: Option<Commit>, variables: Texts, by: Option<String>) -> Result<usize, String> {
    let trigger = match by {
        Some(by) => Trigger { kind: "StartPipelineExecution", detail: by },
        None => turn.source_trigger(),
    };
    let begin = Begin { trigger, commit, variables };
    turn.begin(begin).ok_or_else(|| "as many executions run as AWS allows (50)".to_owned())
}

fn find_execution(turn: &Turn<'_>, id: &str) -> Result<usize, String> {
    turn.pipeline.find_execution(id).ok_or_else(|| format!("there is no execution `{id}`"))
}

impl Act {
    fn pipeline(&self) -> &str {
        match self {
            Self::Start { pipeline, .. }
            | Self::OpenApproval { pipeline, .. }
            | Self::Rush { pipeline, .. }
            | Self::Decide { pipeline, .. }
            | Self::Expire { pipeline, .. }
            | Self::Stop { pipeline, .. }
            | Self::Retry { pipeline, .. }
            | Self::RollBack { pipeline, .. }
            | Self::Edit { pipeline, .. }
            | Self::SetMode { pipeline, .. }
            | Self::Tag { pipeline, .. }
            | Self::Delete { pipeline }
            | Self::Transition { pipeline, .. } => pipeline,
            Self::Create { pipeline } => &pipeline.name,
            Self::ExpireCredentials => "",
        }
    }
}
