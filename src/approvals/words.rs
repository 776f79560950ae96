//! What is told about an approval outside its page, in words: in letters, and to chats. Everything from AWS is somebody's text: whoever
//! puts these words somewhere escapes them for that place.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::Approval;
use crate::domain::approval::{AtAws, Decided};
use crate::domain::caller;
use crate::domain::decision::SIGNED_BY_RULE;
use crate::domain::shown::ShownRevision;
use crate::domain::text::{Clipped, link, visible};

/// `shop, Release in Production`.
#[must_use]
pub fn place(approval: &Approval) -> String {
    let gate = &approval.gate;
    format!("{}, {} in {}", gate.pipeline, gate.action, gate.stage)
}

/// What a revision brings, on one line.
#[must_use]
pub fn revision_line(revision: &ShownRevision) -> String {
    let what = revision.message.as_ref().map_or(revision.id.as_str(), |message| message.text.as_str());
    let what = what.trim().lines().next().unwrap_or_default();
    match &revision.author {
        Some(author) => format!("{what} (by {author})"),
        None => what.to_owned(),
    }
}

/// A text that was cut says so.
#[must_use]
pub fn said(text: &Clipped) -> String {
    if text.whole.is_some() { format!("{}… (cut)", text.text.trim()) } else { text.text.trim().to_owned() }
}

/// As text, never as a link, and only where it is a plain web address: mail programs make links of what looks like one.
#[must_use]
pub fn review(address: &Clipped) -> String {
    match link(&address.text).filter(|_| address.whole.is_none()) {
        Some(link) => format!("{} (opens {})", link.href, link.host),
        None => "not a plain web address; the approval's page shows it".to_owned(),
    }
}

/// How the run was started, and by whom.
#[must_use]
pub fn started(approval: &Approval) -> Option<String> {
    let trigger = approval.details.trigger.as_ref()?;
    let how = caller::start_in_words(&trigger.kind).map_or_else(|| visible(&trigger.kind), str::to_owned);
    Some(match trigger.detail.as_deref().filter(|detail| !detail.trim().is_empty()) {
        Some(by) => format!("{how}: {}", who(by)),
        None => how,
    })
}

/// Whom an ARN names.
#[must_use]
pub fn who(arn: &str) -> String {
    caller::name_in(arn).unwrap_or_else(|| arn.to_owned())
}

/// What became of it, in a word.
#[must_use]
pub fn ending(approval: &Approval) -> &'static str {
    match approval.at_aws {
        AtAws::Open => "Open again",
        AtAws::Approved => "Approved",
        AtAws::Rejected => "Rejected",
        AtAws::Expired => "Expired",
        AtAws::Superseded => "Superseded",
        AtAws::Stopped => "Stopped",
        AtAws::Gone => "Gone",
    }
}

/// What became of it, in a sentence.
#[must_use]
pub fn end_sentence(approval: &Approval) -> &'static str {
    match approval.at_aws {
        AtAws::Open => "A release waits again.",
        AtAws::Approved => "A release was approved.",
        AtAws::Rejected if is_by_rule(approval) => {
            "Nobody decided on a release in the time that was chosen for its gate, so Countersign rejected it."
        }
        AtAws::Rejected => "A release was rejected.",
        AtAws::Expired => "Nobody decided on a release in time, so it was not let through.",
        AtAws::Superseded => "A newer run took the place of one that waited for a decision.",
        AtAws::Stopped => "A run that waited for a decision was stopped.",
        AtAws::Gone => "A request for a decision is gone: its pipeline was changed, or the stage was run again.",
    }
}

/// The portal rejected it, because nobody decided.
fn is_by_rule(approval: &Approval) -> bool {
    approval.decided == Some(Decided::Here) && approval.decided_by.as_deref() == Some(SIGNED_BY_RULE)
}

/// What became of it, and by whom.
#[must_use]
pub fn end_line(approval: &Approval) -> String {
    match &approval.decided_by {
        Some(by) => format!("{} by {}", ending(approval), who(by)),
        None => ending(approval).to_owned(),
    }
}

/// `Fri 27 Nov 2026, 18:00 CET`.
#[must_use]
pub fn words(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone()).strftime("%a %-d %b %Y, %H:%M %Z").to_string()
}
