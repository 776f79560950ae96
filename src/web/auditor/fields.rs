//! A payload as a page shows it: every member, whatever it is, in its order. Nothing is left out because nobody thought
//! of it.

use askama::Template;
use askama::filters::HtmlSafe;
use serde_json::Value;

use super::words;
use crate::domain::text::Clipped;
use crate::web::display::Said;

/// How deep a payload is followed. Ours are three levels deep; deeper is shown as it is written.
const DEEPEST: usize = 8;

/// A value of a payload.
#[derive(Debug, Clone, Template)]
#[template(path = "auditor/fields.html")]
pub enum Fields {
    Text(Said),
    Nothing,
    List(Vec<Fields>),
    Group(Vec<Member>),
}

impl HtmlSafe for Fields {}

/// A member: its name in words, as it is written, and its value.
#[derive(Debug, Clone)]
pub struct Member {
    pub label: String,
    pub name: String,
    pub value: Fields,
}

impl Fields {
    #[must_use]
    pub fn of(value: &Value) -> Self {
        Self::at_depth(value, 0)
    }

    fn at_depth(value: &Value, depth: usize) -> Self {
        match value {
            Value::Null => Self::Nothing,
            Value::String(text) if text.is_empty() => Self::Nothing,
            Value::String(text) => Self::Text(Said::whole(text)),
            Value::Array(items) if items.is_empty() => Self::Nothing,
            Value::Array(items) if depth < DEEPEST => {
                Self::List(items.iter().map(|item| Self::at_depth(item, depth + 1)).collect())
            }
            Value::Object(members) if members.keys().all(|name| name == "text" || name == "whole") => {
                // A text that was bounded when it was recorded: one text to a reader, with a note where it was cut.
                match serde_json::from_value::<Clipped>(value.clone()) {
                    Ok(clipped) => Self::Text(Said::clipped(&clipped)),
                    Err(_) => Self::Text(Said::whole(&value.to_string())),
                }
            }
            Value::Object(members) if depth < DEEPEST => {
                Self::Group(members.iter().map(|(name, value)| Member::of(name, value, depth + 1)).collect())
            }
            other => Self::Text(Said::whole(&other.to_string())),
        }
    }
}

impl Member {
    fn of(name: &str, value: &Value, depth: usize) -> Self {
        Self {
            label: words::of_member(name),
            name: crate::domain::text::visible(name),
            value: Fields::at_depth(value, depth),
        }
    }

    /// The members of an object without those named in `except`.
    #[must_use]
    pub fn list(payload: &Value, except: &[&str]) -> Vec<Self> {
        let members = payload.as_object().into_iter().flatten();
        members
            .filter(|(name, _)| !except.contains(&name.as_str()))
            .map(|(name, value)| Self::of(name, value, 0))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::display::assert_inert;

    #[test]
    fn every_member_is_shown_and_none_becomes_markup() {
        let payload = serde_json::json!({
            "<script>": "<img src=x onerror=alert(1)>",
            "person": "0190cafe",
            "comment": {"text": "cut", "whole": {"characters": 9, "sha256": "ab"}},
            "nested": {"list": [1, true, null, {"deep": "\u{202e}x"}], "empty": ""},
        });
        let html = Fields::of(&payload).render().unwrap();
        assert_inert("payload", &html);
        for expected in ["Account id", "Nested", "Deep", "true", "0190cafe", "⟨U+202E⟩x", "6 of 9 characters"] {
            assert!(html.contains(expected), "{expected} is missing: {html}");
        }
    }

    #[test]
    fn a_payload_deeper_than_ours_is_shown_as_written() {
        let mut value = serde_json::json!("bottom");
        for _ in 0..100 {
            value = serde_json::json!([value]);
        }
        assert!(Fields::of(&value).render().unwrap().contains("bottom"));
    }
}
