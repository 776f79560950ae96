//! ListPipelines and GetPipeline: what exists and how it is defined. Configurations are raw here.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{Request, put};
use crate::simulator::{
    definition::{ActionSpec, Definition},
    wire::{ApiError, seconds},
};

pub fn list(request: &Request<'_>) -> Result<Value, ApiError> {
    let all = request.world().list_pipelines(request.as_of);
    let page = request.page("ListPipelines", all, |pipeline| pipeline.definition.name.clone())?;
    let pipelines = page.items.iter().map(|pipeline| {
        let definition = &pipeline.definition;
        json!({
            "name": definition.name, "version": definition.version, "pipelineType": definition.pipeline_type,
            "executionMode": definition.mode.as_str(), "created": seconds(pipeline.created),
            "updated": seconds(pipeline.updated),
        })
    });
    let mut answer = Map::new();
    answer.insert("pipelines".to_owned(), pipelines.collect());
    put(&mut answer, "nextToken", page.next);
    Ok(answer.into())
}

pub fn read(request: &Request<'_>) -> Result<Value, ApiError> {
    let name = request.text("name");
    let pipeline = request.pipeline(name)?;
    let definition = match request.body.get("version").and_then(Value::as_i64) {
        None => Arc::clone(&pipeline.definition),
        Some(version) => {
            let found = pipeline.versions.iter().find(|known| known.version == version).cloned();
            found.ok_or_else(|| {
                let message = format!("Pipeline '{name}' does not have a version {version}");
                ApiError::new("PipelineVersionNotFoundException", message)
            })?
        }
    };
    let world = request.world();
    let (account, region) = (&world.settings.account, &world.settings.region);
    Ok(json!({
        "pipeline": declaration(&definition, account, region),
        "metadata": {
            "pipelineArn": format!("arn:aws:codepipeline:{region}:{account}:{name}"),
            "created": seconds(pipeline.created), "updated": seconds(pipeline.updated),
        },
    }))
}

fn declaration(definition: &Definition, account: &str, region: &str) -> Value {
    let stages = definition.stages.iter().map(|stage| {
        let actions: Vec<Value> = stage.actions.iter().map(|action| action_declaration(action, region)).collect();
        json!({ "name": stage.name, "actions": actions })
    });
    let mut declared = Map::new();
    declared.insert("name".to_owned(), definition.name.clone().into());
    declared.insert("roleArn".to_owned(), definition.role_arn.clone().into());
    let store = json!({ "type": "S3", "location": format!("codepipeline-{region}-{account}") });
    declared.insert("artifactStore".to_owned(), store);
    declared.insert("stages".to_owned(), stages.collect());
    declared.insert("version".to_owned(), definition.version.into());
    declared.insert("executionMode".to_owned(), definition.mode.as_str().into());
    declared.insert("pipelineType".to_owned(), definition.pipeline_type.clone().into());
    if !definition.variables.is_empty() {
        let variables = definition.variables.iter().map(|variable| {
            let mut shown = Map::new();
            shown.insert("name".to_owned(), variable.name.clone().into());
            put(&mut shown, "defaultValue", variable.default.clone());
            put(&mut shown, "description", variable.description.clone());
            Value::from(shown)
        });
        declared.insert("variables".to_owned(), variables.collect());
    }
    declared.into()
}

fn action_declaration(action: &ActionSpec, region: &str) -> Value {
    let artifacts = |names: &[String]| names.iter().map(|name| json!({ "name": name })).collect::<Value>();
    let mut declared = Map::new();
    declared.insert("name".to_owned(), action.name.clone().into());
    declared.insert("actionTypeId".to_owned(), action_type(action));
    declared.insert("runOrder".to_owned(), action.run_order.into());
    declared.insert("configuration".to_owned(), json!(action.configuration));
    declared.insert("outputArtifacts".to_owned(), artifacts(&action.output_artifacts));
    declared.insert("inputArtifacts".to_owned(), artifacts(&action.input_artifacts));
    declared.insert("region".to_owned(), region.into());
    put(&mut declared, "namespace", action.namespace.clone());
    put(&mut declared, "timeoutInMinutes", action.timeout_minutes);
    declared.into()
}

/// The type of an action, as several answers show it.
pub fn action_type(action: &ActionSpec) -> Value {
    json!({
        "category": action.category, "owner": action.owner, "provider": action.provider, "version": action.version,
    })
}
