//! From the world file to definitions: templates filled in, kinds of action spelled out, many alike generated. What is
//! missing or contradicts AWS's own rules is refused here, before anything runs.

use std::sync::Arc;

use super::{
    ActionConfig, Generate, PipelineConfig, Seconds, Span, StageConfig, WorldConfig, WorldFile, WorldFileError,
};
use crate::simulator::definition::{ActionSpec, Definition, Mode, StageSpec, Texts};

/// Every pipeline of a world, the generated ones too, with the stages its template gives it.
///
/// # Errors
/// Names the pipeline and what is wrong with it.
pub fn pipelines_of(file: &WorldFile, world: &WorldConfig) -> Result<Vec<PipelineConfig>, WorldFileError> {
    let generated = world.generate.iter().flat_map(|generate| (0..generate.count).map(|n| one_of(generate, n)));
    let mut all = Vec::new();
    for mut pipeline in world.pipelines.iter().cloned().chain(generated) {
        if let Some(template) = &pipeline.template {
            let found = file.templates.iter().find(|known| known.name == *template);
            let Some(found) = found else {
                return Err(WorldFileError::Template { pipeline: pipeline.name.clone(), template: template.clone() });
            };
            pipeline.stages.clone_from(&found.stages);
        }
        definition_of(&pipeline, &world.account, 1)?;
        all.push(pipeline);
    }
    Ok(all)
}

fn one_of(generate: &Generate, n: usize) -> PipelineConfig {
    let gated = n < generate.gated;
    let template = if gated { generate.gated_template.as_ref() } else { None };
    let waits = gated && n < generate.waiting;
    PipelineConfig {
        name: format!("{}{:04}", generate.prefix, n + 1),
        mode: generate.mode,
        template: Some(template.unwrap_or(&generate.template).clone()),
        start: if waits { vec![Span(jiff::SignedDuration::from_hours(-1))] } else { Vec::new() },
        every: generate.every,
        ..PipelineConfig::default()
    }
}

/// The definition a pipeline's description stands for.
///
/// # Errors
/// Names the pipeline and what AWS would refuse.
pub fn definition_of(config: &PipelineConfig, account: &str, version: i64) -> Result<Definition, WorldFileError> {
    check_name(config, &config.name)?;
    let stages = stages_of(config, &config.stages)?;
    let pipeline_type = config.pipeline_type.clone().unwrap_or_else(|| "V2".to_owned());
    if pipeline_type == "V1" && config.mode != Mode::Superseded {
        return Err(wrong(config, "is V1 but its mode needs pipeline_type V2"));
    }
    Ok(Definition {
        name: config.name.clone(),
        version,
        mode: config.mode,
        pipeline_type,
        role_arn: format!("arn:aws:iam::{account}:role/service-role/{}", config.name),
        variables: config.variables.clone(),
        stages,
    })
}

/// What the API could not name must not exist.
fn check_name(config: &PipelineConfig, name: &str) -> Result<(), WorldFileError> {
    let legal = |c: char| c.is_ascii_alphanumeric() || ".@-_".contains(c);
    if (1..=100).contains(&name.len()) && name.chars().all(legal) {
        return Ok(());
    }
    Err(wrong(config, format!("has the name `{name}`: names are 1 to 100 letters, digits, `.`, `@`, `-`, `_`")))
}

fn wrong(config: &PipelineConfig, problem: impl Into<String>) -> WorldFileError {
    WorldFileError::Pipeline { pipeline: config.name.clone(), problem: problem.into() }
}

/// Builds the stages `stages` describe for the pipeline `config`.
///
/// # Errors
/// Names the pipeline and what AWS would refuse.
pub fn stages_of(config: &PipelineConfig, stages: &[StageConfig]) -> Result<Vec<StageSpec>, WorldFileError> {
    if stages.len() < 2 {
        return Err(wrong(config, "needs at least two stages (or a template)"));
    }
    stages
        .iter()
        .enumerate()
        .map(|(position, stage)| {
            check_name(config, &stage.name)?;
            let actions = stage.actions.iter().map(|action| action_of(config, action).map(Arc::new));
            let actions = actions.collect::<Result<Vec<_>, _>>()?;
            if let Some(action) = actions.iter().find(|action| action.is_source() != (position == 0)) {
                let problem =
                    format!("has `{}` in stage `{}`: sources belong in the first stage", action.name, stage.name);
                return Err(wrong(config, problem));
            }
            Ok(StageSpec { name: stage.name.clone(), actions, on_failure: stage.on_failure })
        })
        .collect()
}

/// Category, owner and provider of a kind of action.
fn type_of(kind: &str) -> Option<(&'static str, &'static str, &'static str)> {
    Some(match kind {
        "source" => ("Source", "AWS", "CodeStarSourceConnection"),
        "codecommit" => ("Source", "AWS", "CodeCommit"),
        "s3" => ("Source", "AWS", "S3"),
        "build" => ("Build", "AWS", "CodeBuild"),
        "test" => ("Test", "AWS", "CodeBuild"),
        "deploy" => ("Deploy", "AWS", "CloudFormation"),
        "invoke" => ("Invoke", "AWS", "Lambda"),
        "approval" => ("Approval", "AWS", "Manual"),
        "custom-approval" => ("Approval", "Custom", "ChangeBoard"),
        _ => return None,
    })
}

fn seconds_of(action: &ActionConfig, source: bool) -> (f64, f64) {
    match action.seconds {
        Some(Seconds::Fixed(seconds)) => (seconds, seconds),
        Some(Seconds::Between([shortest, longest])) => (shortest, longest),
        None if source => (5.0, 5.0),
        None => (60.0, 60.0),
    }
}

fn action_of(config: &PipelineConfig, action: &ActionConfig) -> Result<ActionSpec, WorldFileError> {
    check_name(config, &action.name)?;
    let kind = action.kind.as_deref().unwrap_or("build");
    let Some((category, owner, provider)) = type_of(kind) else {
        return Err(wrong(config, format!("has an action of the unknown kind `{kind}`")));
    };
    let category = action.category.clone().unwrap_or_else(|| category.to_owned());
    let source = category == "Source";
    let configuration = configuration_of(config, action, &category);
    if configuration.values().any(|value| value.chars().count() > 1000) {
        return Err(wrong(config, format!("has a configuration value over 1000 characters in `{}`", action.name)));
    }
    Ok(ActionSpec {
        name: action.name.clone(),
        run_order: action.run_order.unwrap_or(1),
        owner: action.owner.clone().unwrap_or_else(|| owner.to_owned()),
        provider: action.provider.clone().unwrap_or_else(|| provider.to_owned()),
        version: action.version.clone().unwrap_or_else(|| "1".to_owned()),
        namespace: action.namespace.clone().or_else(|| source.then(|| "SourceVariables".to_owned())),
        configuration,
        timeout_minutes: action.timeout_minutes,
        input_artifacts: if matches!(&*category, "Source" | "Approval") {
            vec![]
        } else {
            vec!["SourceOutput".to_owned()]
        },
        output_artifacts: if source { vec!["SourceOutput".to_owned()] } else { vec![] },
        outputs: action.outputs.iter().map(|(key, value)| (key.clone(), fill_in(value, config))).collect(),
        seconds: seconds_of(action, source),
        fail: action.fail,
        notification_fails: action.notification_fails,
        people: action.people.clone(),
        category,
    })
}

fn configuration_of(config: &PipelineConfig, action: &ActionConfig, category: &str) -> Texts {
    let mut all = action.configuration.clone();
    let shorthands =
        [("CustomData", &action.comment), ("ExternalEntityLink", &action.url), ("NotificationArn", &action.topic)];
    for (key, value) in shorthands {
        if let Some(value) = value {
            all.insert(key.to_owned(), value.clone());
        }
    }
    if category == "Source" {
        let repository = config.repository.clone().unwrap_or_else(|| format!("acme/{}", config.name));
        all.entry("FullRepositoryId".to_owned()).or_insert(repository);
        all.entry("BranchName".to_owned())
            .or_insert_with(|| config.branch.clone().unwrap_or_else(|| "main".to_owned()));
    }
    all.values_mut().for_each(|value| *value = fill_in(value, config));
    all
}

/// Replaces `{name}` and the keys of `with`; `#{…}` is CodePipeline's own and stays.
fn fill_in(text: &str, config: &PipelineConfig) -> String {
    let mut filled = text.replace("#{", "\u{0}");
    filled = filled.replace("{name}", &config.name);
    for (key, value) in &config.with {
        filled = filled.replace(&format!("{{{key}}}"), value);
    }
    filled.replace('\u{0}', "#{")
}
