//! What a message says, as far as it matters here: which pipeline to look at. A pure function of text from outside, which may
//! come from anybody whom the queue's policy lets write, in any order, any number of times: nothing but a hint comes of it, and
//! neither the text nor a token in it is ever kept or printed.
//!
//! Understood are EventBridge's events, the same as a developer tools (CodeStar) notification writes them, CodePipeline's own
//! message about an approval, and each of them within the envelope of SNS.

mod event;

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::domain::ids::{ApprovalToken, PipelineName};

/// A message that is larger is not read. AWS's own are a few kilobytes.
pub const LARGEST: usize = 256 * 1024;
/// How much of a text that becomes a deadline, a region or a token is looked at.
const LONGEST_TEXT: usize = 256;

/// Something is said to have happened at a pipeline's gates. A reason to look, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    pub pipeline: PipelineName,
    /// Where the message says so.
    pub account: Option<String>,
    pub region: Option<String>,
    pub deadline: Option<Deadline>,
}

/// Until when a request waits, which only CodePipeline's own message tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    /// Of the token that answers the request.
    pub token_hash: [u8; 32],
    pub expires_at: Timestamp,
}

/// What a message is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    Hint(Hint),
    /// It is understood, and not about what waits for people.
    Beside,
    /// Why it cannot be understood. Never anything of the message itself.
    NotUnderstood(&'static str),
}

type Object = Map<String, Value>;
type Understood<T> = Result<T, &'static str>;

/// Reads a message.
#[must_use]
pub fn read(body: &str) -> Reading {
    match read_text(body, Envelope::Allowed) {
        Ok(Some(hint)) => Reading::Hint(hint),
        Ok(None) => Reading::Beside,
        Err(why) => Reading::NotUnderstood(why),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Envelope {
    Allowed,
    /// SNS wraps once.
    Opened,
}

fn read_text(text: &str, envelope: Envelope) -> Understood<Option<Hint>> {
    if text.len() > LARGEST {
        return Err("it has more than 256 KiB");
    }
    let Ok(Value::Object(message)) = serde_json::from_str(text) else { return Err("it is not a JSON object") };
    if let (Some(kind), Some(Value::String(inner))) = (message.get("Type"), message.get("Message")) {
        return match (kind.as_str(), envelope) {
            (Some("Notification"), Envelope::Allowed) => read_text(inner, Envelope::Opened),
            (Some("Notification"), Envelope::Opened) => Err("it is an SNS envelope within another"),
            _ => Err("it is an SNS message, but no notification: is the subscription confirmed?"),
        };
    }
    if let Some(Value::Object(approval)) = message.get("approval") {
        return approval_message(&message, approval).map(Some);
    }
    // The one is EventBridge's spelling, the other that of developer tools notifications.
    match message.get("detail-type").or_else(|| message.get("detailType")).and_then(Value::as_str) {
        Some(kind) => event::read(&message, kind),
        None => Err("it is neither an event nor a message about an approval"),
    }
}

/// CodePipeline's own message, which names no account and no run (CodePipeline User Guide, JSON data format for manual approval
/// notifications). What is not there, or null, or not as documented, is left out: the message is a hint all the same.
fn approval_message(message: &Object, approval: &Object) -> Understood<Hint> {
    let pipeline = pipeline(text(approval, "pipelineName").ok_or("it names no pipeline")?)?;
    let token = text(approval, "token").map(ApprovalToken::new);
    let expires_at = text(approval, "expires").and_then(|text| text.parse().ok());
    let deadline = token.zip(expires_at).map(|(token, expires_at)| Deadline { token_hash: token.hash(), expires_at });
    Ok(Hint { pipeline, account: None, region: text(message, "region").map(str::to_owned), deadline })
}

fn pipeline(name: &str) -> Understood<PipelineName> {
    PipelineName::parse(name).map_err(|_| "it names no pipeline that AWS would name so")
}

/// A text member. Empty, absent, null and anything else are one: AWS's channels differ in which they mean nothing by.
fn text<'a>(object: &'a Object, member: &str) -> Option<&'a str> {
    object.get(member).and_then(Value::as_str).filter(|text| !text.is_empty() && text.len() <= LONGEST_TEXT)
}

#[cfg(test)]
mod tests;
