//! Definitions: which actions of a pipeline are gates. Read when version or time of update differ from what is kept, and
//! kept in the database, so that a restart costs no read.

use jiff::Timestamp;

use super::Source;
use crate::approvals::Reader;
use crate::codepipeline::observed::{ActionDefinition, Definition, Listing, ReadError};
use crate::domain::ids::{Gate, PipelineName, SourceName, StageName};
use crate::domain::text::Clipped;
use crate::store::pipelines::{self, ActionShape, GateSetting, Pipeline, StageShape};

/// How much of a comment or address is kept as configured (AWS allows 1,000 characters).
const MAX_SETTING: usize = 16 * 1024;

/// Whether what is kept is the definition AWS lists.
pub(super) fn is_current(kept: &Pipeline, listed: &Listing) -> bool {
    kept.version == listed.version
        && kept.updated_at == listed.updated
        && listed.mode.as_ref().is_none_or(|mode| kept.mode == *mode)
}

/// Reads a definition and keeps it under the key AWS lists it by; without a list, under its own, which the list confirms or
/// has it read once more.
pub(super) async fn read(
    reader: &Reader,
    source: &Source,
    (name, listed): (&PipelineName, Option<&Listing>),
    now: Timestamp,
) -> Result<Result<Pipeline, ReadError>, sqlx::Error> {
    let definition = match source.gateway.read_definition(name).await {
        Ok(definition) => definition,
        Err(error) => return Ok(Err(error)),
    };
    let source = &source.gateway.source().name;
    let pipeline = pipeline(&definition, listed);
    let gates = gates(source, &definition);
    let mut tx = reader.database().pages.begin().await?;
    pipelines::upsert(&mut tx, source, &pipeline, now).await?;
    pipelines::replace_gates(&mut tx, source, name, &gates, now).await?;
    tx.commit().await?;
    Ok(Ok(pipeline))
}

fn pipeline(definition: &Definition, listed: Option<&Listing>) -> Pipeline {
    let shape = |action: &ActionDefinition| ActionShape {
        name: action.name.clone(),
        category: action.category.clone(),
        owner: action.owner.clone(),
        provider: action.provider.clone(),
        run_order: action.run_order,
        is_gate: action.gate.is_some(),
    };
    let stages: Vec<_> = definition
        .stages
        .iter()
        .map(|stage| StageShape { name: stage.name.clone(), actions: stage.actions.iter().map(shape).collect() })
        .collect();
    let gates = stages.iter().flat_map(|stage| &stage.actions).filter(|action| action.is_gate).count();
    Pipeline {
        name: definition.name.clone(),
        // Kept under what the list says: a list that lags behind the definition makes it be read once more, not for ever.
        version: listed.map_or(definition.version, |listed| listed.version),
        updated_at: listed.map_or(definition.updated, |listed| listed.updated),
        mode: listed.and_then(|listed| listed.mode.as_ref()).unwrap_or(&definition.mode).clone(),
        pipeline_type: definition.pipeline_type.clone(),
        stages,
        gate_count: i32::try_from(gates).unwrap_or(i32::MAX),
        unreadable: None,
        gone_at: None,
    }
}

fn gates(source: &SourceName, definition: &Definition) -> Vec<GateSetting> {
    let setting = |stage: &StageName, action: &ActionDefinition| {
        let gate = action.gate.as_ref()?;
        let kept = |text: &Option<String>| text.as_deref().map(|text| Clipped::new(text, MAX_SETTING).text);
        Some(GateSetting {
            gate: Gate {
                source: source.clone(),
                pipeline: definition.name.clone(),
                stage: stage.clone(),
                action: action.name.clone(),
            },
            timeout_minutes: gate.timeout_minutes,
            comment: kept(&gate.comment),
            review_url: kept(&gate.review_url),
        })
    };
    definition.stages.iter().flat_map(|stage| stage.actions.iter().filter_map(|it| setting(&stage.name, it))).collect()
}
