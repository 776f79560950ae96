//! Spoils good answers: members missing, words of the future, far too much, broken off.

use serde_json::Value;

use super::{faults::FaultKind, wire::Reply};

/// Spoils the content of an answer.
pub fn value(value: &mut Value, kind: &FaultKind) {
    match kind {
        FaultKind::Missing { members } => every_object(value, &mut |object| {
            members.iter().for_each(|member| {
                object.shift_remove(member);
            });
        }),
        FaultKind::UnknownEnum => every_object(value, &mut |object| {
            if let Some(status) = object.get_mut("status") {
                *status = "Pondering".into();
            }
        }),
        FaultKind::Huge { bytes } => {
            if let Value::Object(object) = value {
                object.insert("padding".to_owned(), "x".repeat(*bytes).into());
            }
        }
        _ => {}
    }
}

/// Spoils the bytes of an answer.
pub fn reply(reply: &mut Reply, kind: &FaultKind) {
    if *kind == FaultKind::Truncate {
        reply.break_off_at = Some(reply.body.len() / 2);
    }
}

fn every_object(value: &mut Value, change: &mut impl FnMut(&mut serde_json::Map<String, Value>)) {
    match value {
        Value::Object(object) => {
            change(object);
            object.values_mut().for_each(|inner| every_object(inner, change));
        }
        Value::Array(items) => items.iter_mut().for_each(|inner| every_object(inner, change)),
        _ => {}
    }
}
