//! Checks requests against the service model: required members, lengths, ranges, patterns, enums. The model is data
//! (`constraints.json`, cut down from the public CodePipeline service model); nothing here knows an operation. Members
//! the model does not know are ignored, as AWS does. Texts are AWS's own.

use std::{collections::BTreeMap, sync::LazyLock};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{pattern::Pattern, wire::ApiError};

#[derive(Debug, Deserialize)]
struct Model {
    operations: BTreeMap<String, String>,
    shapes: BTreeMap<String, Shape>,
}

#[derive(Debug, Deserialize)]
struct Shape {
    #[serde(rename = "type")]
    kind: String,
    min: Option<i64>,
    max: Option<i64>,
    pattern: Option<Pattern>,
    #[serde(default, rename = "enum")]
    words: Vec<String>,
    #[serde(default)]
    required: Vec<String>,
    #[serde(default)]
    members: BTreeMap<String, String>,
    member: Option<String>,
}

static MODEL: LazyLock<Model> =
    LazyLock::new(|| serde_json::from_str(include_str!("constraints.json")).expect("the built-in model is valid JSON"));

/// Whether the simulator knows the operation.
pub fn is_operation(name: &str) -> bool {
    MODEL.operations.contains_key(name)
}

/// Checks a request body.
///
/// # Errors
/// `SerializationException` for a member of the wrong type, else `ValidationException` with every violation.
pub fn check(operation: &str, body: &Map<String, Value>) -> Result<(), ApiError> {
    let Some(shape) = MODEL.operations.get(operation).and_then(|name| MODEL.shapes.get(name)) else {
        return Err(ApiError::new("UnknownOperationException", ""));
    };
    let mut violations = Vec::new();
    check_structure(shape, body, "", &mut violations)?;
    if violations.is_empty() {
        return Ok(());
    }
    let count = violations.len();
    let plural = if count == 1 { "" } else { "s" };
    let message = format!("{count} validation error{plural} detected: {}", violations.join("; "));
    Err(ApiError::new("ValidationException", message))
}

fn check_structure(
    shape: &Shape,
    body: &Map<String, Value>,
    path: &str,
    violations: &mut Vec<String>,
) -> Result<(), ApiError> {
    for (name, member) in &shape.members {
        let at = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match body.get(name) {
            None | Some(Value::Null) if shape.required.contains(name) => {
                violations.push(violation("null", &at, "Member must not be null"));
            }
            None | Some(Value::Null) => {}
            Some(value) => {
                if let Some(shape) = MODEL.shapes.get(member) {
                    check_value(shape, value, &at, violations)?;
                }
            }
        }
    }
    Ok(())
}

fn check_value(shape: &Shape, value: &Value, at: &str, violations: &mut Vec<String>) -> Result<(), ApiError> {
    match (&*shape.kind, value) {
        ("structure", Value::Object(body)) => return check_structure(shape, body, at, violations),
        ("list", Value::Array(items)) => {
            check_range(shape, items.len(), "length", &value.to_string(), at, violations);
            for (number, item) in items.iter().enumerate() {
                if let Some(member) = shape.member.as_ref().and_then(|name| MODEL.shapes.get(name)) {
                    check_value(member, item, &format!("{at}.{}.member", number + 1), violations)?;
                }
            }
        }
        ("string", Value::String(text)) => check_text(shape, text, at, violations),
        ("integer", Value::Number(number)) if number.is_i64() => {
            let number = number.as_i64().unwrap_or_default();
            check_range(shape, number, "value", &number.to_string(), at, violations);
        }
        ("boolean", Value::Bool(_)) => {}
        (wanted, _) => {
            let found = ["NULL", "BOOLEAN", "NUMBER", "STRING", "LIST", "STRUCT"][kind_of(value)];
            let message = format!("{found}_VALUE can not be converted to {wanted} at '{at}'");
            return Err(ApiError::new("SerializationException", message));
        }
    }
    Ok(())
}

fn kind_of(value: &Value) -> usize {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Number(_) => 2,
        Value::String(_) => 3,
        Value::Array(_) => 4,
        Value::Object(_) => 5,
    }
}

fn check_text(shape: &Shape, text: &str, at: &str, violations: &mut Vec<String>) {
    let quoted = format!("'{text}'");
    if !shape.words.is_empty() && !shape.words.iter().any(|word| word == text) {
        let set = shape.words.join(", ");
        violations.push(violation(&quoted, at, &format!("Member must satisfy enum value set: [{set}]")));
    }
    // Lengths count as Java does, where the service lives: in UTF-16 units.
    check_range(shape, text.encode_utf16().count(), "length", text, at, violations);
    if let Some(pattern) = shape.pattern.as_ref().filter(|pattern| !pattern.matches(text)) {
        let rule = format!("Member must satisfy regular expression pattern: {}", pattern.as_str());
        violations.push(violation(&quoted, at, &rule));
    }
}

fn check_range(
    shape: &Shape,
    number: impl TryInto<i64>,
    what: &str,
    value: &str,
    at: &str,
    violations: &mut Vec<String>,
) {
    let number = number.try_into().unwrap_or(i64::MAX);
    let quoted = format!("'{value}'");
    if let Some(min) = shape.min.filter(|min| number < *min) {
        let rule = format!("Member must have {what} greater than or equal to {min}");
        violations.push(violation(&quoted, at, &rule));
    }
    if let Some(max) = shape.max.filter(|max| number > *max) {
        violations.push(violation(&quoted, at, &format!("Member must have {what} less than or equal to {max}")));
    }
}

fn violation(value: &str, at: &str, rule: &str) -> String {
    format!("Value {value} at '{at}' failed to satisfy constraint: {rule}")
}
