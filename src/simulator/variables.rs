//! Resolves `#{namespace.key}` in action configurations, as CodePipeline does when an action starts.

use super::{definition::Texts, state::Execution};

/// `text` with every reference replaced.
///
/// # Errors
/// The first reference that has no value; CodePipeline fails the action then.
pub fn resolve(text: &str, execution: &Execution) -> Result<String, String> {
    let mut resolved = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("#{") {
        let Some(length) = rest[start..].find('}') else { break };
        let reference = &rest[start + 2..start + length];
        resolved.push_str(&rest[..start]);
        resolved.push_str(find_value(reference, execution).ok_or_else(|| reference.to_owned())?);
        rest = &rest[start + length + 1..];
    }
    resolved.push_str(rest);
    Ok(resolved)
}

fn find_value<'a>(reference: &str, execution: &'a Execution) -> Option<&'a str> {
    let (namespace, key) = reference.split_once('.')?;
    match namespace {
        "codepipeline" => (key == "PipelineExecutionId").then_some(&*execution.id),
        "variables" => execution.variables.get(key).map(String::as_str),
        _ => execution.outputs.get(namespace)?.get(key).map(String::as_str),
    }
}

/// A whole configuration resolved.
///
/// # Errors
/// As [`resolve`].
pub fn resolve_all(configuration: &Texts, execution: &Execution) -> Result<Texts, String> {
    configuration.iter().map(|(key, value)| Ok((key.clone(), resolve(value, execution)?))).collect()
}
