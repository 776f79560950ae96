//! What a chat is told, before it is written for one: one thing with what says what it is, or a list of many. Everything in it is on
//! one line and bounded; nothing in it is escaped yet. Addresses from AWS are not in it at all: chats make links of what looks
//! like one (U-01, U-02).

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::{slack, teams};
use crate::approvals::subject::Subject;
use crate::approvals::words::{end_line, ending, place, revision_line, said, started, who, words};
use crate::domain::channels::Kind as ChannelKind;
use crate::domain::ids::ApprovalId;
use crate::domain::notices::Kind;
use crate::domain::text::one_line;
use crate::store::approvals::Approval;

/// How many things one message shows; of the rest it says how many they are.
pub(super) const SHOWN: usize = 20;
/// The most characters of a title and of a line.
const TITLE: usize = 200;
const LINE: usize = 300;
/// The longest body. Teams takes 28 KB.
const LONGEST: usize = 24_000;

/// Something that is told.
#[derive(Debug)]
pub(super) struct Told {
    pub kind: Kind,
    pub subject: Subject,
}

impl Told {
    pub(super) fn approval(&self) -> Option<ApprovalId> {
        match &self.subject {
            Subject::Approval(approval) => Some(approval.id),
            _ => None,
        }
    }

    /// Until when it can be decided, where it asks for a decision.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        match &self.subject {
            Subject::Approval(approval) if self.kind.asks() => Some(approval.expires_at),
            _ => None,
        }
    }
}

/// A message to a chat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    pub title: String,
    pub items: Vec<Item>,
    /// How many more there are than items.
    pub more: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    pub title: String,
    pub lines: Vec<String>,
    /// The name of the link, and one of our own pages.
    pub link: (&'static str, String),
}

/// The message that tells of all this, which is in the order of [`Kind::place`].
pub(super) fn of(told: &[Told], address_of: impl Fn(&str) -> String) -> Message {
    let is_one = told.len() == 1;
    let items: Vec<Item> = told.iter().filter_map(|one| item(one, is_one, &address_of)).collect();
    let more = told.len() - items.len();
    let title = match items.first() {
        Some(only) if is_one => only.title.clone(),
        _ => summary(told),
    };
    Message { title, items, more }
}

/// A message that says nothing, to see whether it arrives.
pub(super) fn test(name: &str, address: String) -> Message {
    let title = one_line(&format!("Test message to {name}"), TITLE);
    let lines = vec!["An admin sent this to see whether it arrives. Nothing waits because of it.".to_owned()];
    Message { items: vec![Item { title: title.clone(), lines, link: ("Open the queue", address) }], title, more: 0 }
}

impl Message {
    /// Written for this kind of chat; shorter than all it tells if that is too long.
    pub(super) fn body(mut self, kind: ChannelKind) -> String {
        loop {
            let body: Value = if kind == ChannelKind::Teams { teams::body(&self) } else { slack::body(&self) };
            let body = body.to_string();
            if body.len() <= LONGEST || self.items.len() <= 1 {
                return body;
            }
            self.items.pop();
            self.more += 1;
        }
    }
}

fn item(told: &Told, is_one: bool, address_of: &impl Fn(&str) -> String) -> Option<Item> {
    let (title, lines, link) = match &told.subject {
        Subject::NotShown => return None,
        Subject::Source { name, since, why } => {
            let title = format!("{}: source {name}", heading(told.kind));
            let since = format!("Could not be read since {}", utc(*since));
            let why = why.iter().filter(|_| told.kind == Kind::Blind).cloned();
            (title, [since].into_iter().chain(why).collect(), ("Open the queue", address_of("/")))
        }
        Subject::Approval(approval) => {
            let what = if told.kind.asks() { heading(told.kind) } else { ending(approval) };
            let lines = if is_one { facts(approval) } else { in_short(approval) };
            let lines = lines.into_iter().chain([time(told.kind, approval)]).collect();
            let label = if told.kind.asks() { "Open the approval" } else { "See what became of it" };
            (format!("{what}: {}", place(approval)), lines, (label, address_of(&format!("/approvals/{}", approval.id))))
        }
    };
    let lines: Vec<String> = lines;
    Some(Item { title: one_line(&title, TITLE), lines: lines.iter().map(|line| one_line(line, LINE)).collect(), link })
}

fn facts(approval: &Approval) -> Vec<String> {
    let shown = &approval.shown;
    let mut lines = vec![
        format!("Account and region: {} in {} (source {})", shown.account, shown.region, shown.gate.source),
        format!("Run: {}", shown.execution),
    ];
    for revision in &shown.revisions {
        lines.push(format!("{}: {}, {}", revision.name, revision_line(revision), revision.id));
    }
    if shown.more_revisions > 0 {
        lines.push(format!("More revisions: {}", shown.more_revisions));
    }
    lines.extend(started(approval).map(|started| format!("Started: {started}")));
    lines.extend(shown.comment.as_ref().map(|comment| format!("Comment: {}", said(comment))));
    lines
}

fn in_short(approval: &Approval) -> Vec<String> {
    let revision = approval.shown.revisions.first().map(revision_line);
    let account = format!("{} in {}", approval.shown.account, approval.shown.region);
    revision.into_iter().chain([account]).collect()
}

fn time(kind: Kind, approval: &Approval) -> String {
    if kind.asks() {
        let about = if approval.expires_about { "about " } else { "" };
        return format!("Decide by {about}{}", utc(approval.expires_at));
    }
    let summary = approval.decided_summary.as_ref().map(|summary| format!(": {summary}")).unwrap_or_default();
    match &approval.decided_by {
        Some(by) => format!("{} by {}{summary}", ending(approval), who(by)),
        None => end_line(approval),
    }
}

fn heading(kind: Kind) -> &'static str {
    match kind {
        Kind::LastHour => "Less than an hour left",
        Kind::HalfTime => "Half of the time is over",
        Kind::Escalated => "Nobody has decided yet",
        Kind::Blind => "Cannot be read",
        Kind::Waiting => "Waiting for a decision",
        Kind::Decided => "Decided",
        Kind::Expired => "Expired",
        Kind::Ended => "No longer waiting",
        Kind::Seen => "Can be read again",
    }
}

/// `Waiting for a decision: 48. Decided: 2.`
fn summary(told: &[Told]) -> String {
    let mut parts: Vec<(Kind, usize)> = Vec::new();
    for one in told {
        match parts.last_mut() {
            Some((kind, n)) if *kind == one.kind => *n += 1,
            _ => parts.push((one.kind, 1)),
        }
    }
    parts.iter().map(|(kind, n)| format!("{}: {n}.", heading(*kind))).collect::<Vec<_>>().join(" ")
}

fn utc(at: Timestamp) -> String {
    words(at, &TimeZone::UTC)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_never_longer_than_a_chat_takes_and_counts_what_it_leaves_out() {
        let link = ("Open the approval", "https://portal.example/approvals/1".to_owned());
        let item = Item { title: "ü".repeat(TITLE), lines: vec!["\"ü".repeat(LINE / 2); 12], link };
        for kind in [ChannelKind::Slack, ChannelKind::Teams] {
            let message = Message { title: "Many".to_owned(), items: vec![item.clone(); SHOWN], more: 30 };
            let body = message.body(kind);
            assert!(body.len() <= LONGEST, "{kind}: {}", body.len());
            let shown = body.matches("/approvals/1").count();
            assert!(body.contains(&format!("And {} more.", 30 + SHOWN - shown)), "{kind} shows {shown}");
        }
    }
}
