//! How one channel reads on a page, and the fields of its forms. Never its address, and never what a message says.

use askama::Template;
use askama_web::WebTemplate;
use jiff::Timestamp;

use super::{overview, pattern};
use crate::access::grants::Mistakes;
use crate::channels::Seen;
use crate::domain::access::GateFields;
use crate::domain::channels::{Kind, Tells};
use crate::domain::hosts::HostPattern;
use crate::domain::text::visible;
use crate::store::channels::Channel;
use crate::store::channels::deliveries::Delivery;
use crate::store::channels::gates::Gates;
use crate::web::Shell;
use crate::web::display::count;
use crate::web::parts::{Chip, Field, Moment, Tone};

/// Hosts that a form names.
const HOSTS: usize = 5;

/// A channel in the list.
#[derive(Debug, Clone)]
pub struct Line {
    pub id: String,
    pub name: String,
    pub kind: &'static str,
    pub host: String,
    pub gates: Vec<String>,
    pub tells: String,
    pub since: Moment,
    pub by: String,
    /// Messages that wait, if any do.
    pub waiting: Option<String>,
    pub given_up: Option<String>,
    /// Until when it is left alone, because it could not be told.
    pub held_until: Option<Moment>,
}

impl Line {
    pub(super) fn of(channel: &Channel, gates: &[Gates], now: Timestamp) -> Self {
        let messages = |n: i64| (n > 0).then(|| count(n.unsigned_abs(), "message", "messages"));
        Self {
            id: channel.id.to_string(),
            name: visible(&channel.name),
            kind: channel.kind.in_words(),
            host: visible(&channel.host),
            gates: gates.iter().map(|one| overview::in_words(&one.pattern)).collect(),
            tells: in_words(channel.tells),
            since: Moment::new(channel.from, now),
            by: channel.given_by.as_deref().map_or_else(|| "the operator".to_owned(), visible),
            waiting: messages(channel.waiting),
            given_up: messages(channel.given_up),
            held_until: channel.held_until.filter(|until| *until > now).map(|until| Moment::new(until, now)),
        }
    }
}

/// What a channel is told, in words.
pub(super) fn in_words(tells: Tells) -> String {
    let parts = [
        (tells.waiting, "what waits"),
        (tells.reminders, "reminders"),
        (tells.ends, "what became of it"),
        (tells.blind, "sources that cannot be read"),
    ];
    parts.into_iter().filter_map(|(is, words)| is.then_some(words)).collect::<Vec<_>>().join(", ")
}

/// A box to tick.
#[derive(Debug, Clone)]
pub struct Tick {
    pub name: &'static str,
    pub label: &'static str,
    pub is_ticked: bool,
}

pub(super) fn ticks(tells: Tells) -> Vec<Tick> {
    let tick = |name, label, is_ticked| Tick { name, label, is_ticked };
    vec![
        tick("waiting", "An approval waits", tells.waiting),
        tick("reminders", "It still waits: half of its time is over, an hour is left, nobody decides", tells.reminders),
        tick("ends", "What became of it: decided, expired, superseded, stopped, gone", tells.ends),
        tick("blind", "A source cannot be read, or can be again", tells.blind),
    ]
}

pub(super) fn name(typed: &str, mistakes: &Mistakes) -> Field {
    Field::text("name", "Name").value(visible(typed)).error(mistakes.at("name")).hint("Such as the chat's: #releases")
}

/// Always empty: what was typed is a secret. `left_empty` says what is if it stays so.
pub(super) fn address(
    kind: Option<Kind>,
    hosts: &[HostPattern],
    mistakes: &Mistakes,
    left_empty: Option<&str>,
) -> Field {
    let hint = match kind {
        Some(Kind::Slack) => "Of an incoming webhook: it begins with https://hooks.slack.com/services/.".to_owned(),
        Some(Kind::Teams) => "Of a workflow that posts to a channel when a webhook request is received.".to_owned(),
        _ if hosts.is_empty() => {
            "No webhook can be made: the operator lists the hosts that may be told, and has listed none (channels.hosts)."
                .to_owned()
        }
        _ => format!("Begins with https://, at a host that the operator lists: {}.", some_of(hosts)),
    };
    let after = left_empty.unwrap_or("Whoever knows it can write there: it is kept sealed, and never shown again.");
    Field::text("address", "Address").error(mistakes.at("address")).hint(format!("{hint} {after}"))
}

fn some_of(hosts: &[HostPattern]) -> String {
    let mut shown: Vec<String> = hosts.iter().take(HOSTS).map(ToString::to_string).collect();
    if hosts.len() > HOSTS {
        shown.push(format!("and {} more", hosts.len() - HOSTS));
    }
    shown.join(", ")
}

/// A pattern that it is told of.
#[derive(Debug, Clone)]
pub struct GatesLine {
    pub id: String,
    pub words: String,
}

/// A message in a line.
#[derive(Debug, Clone)]
pub struct DeliveryLine {
    pub id: String,
    pub chip: Chip,
    pub tells: String,
    pub made: Moment,
    pub told: Option<Moment>,
    pub next: Option<Moment>,
    pub tries: Option<String>,
    pub status: Option<i16>,
    pub error: Option<String>,
    pub can_go: bool,
}

impl DeliveryLine {
    fn of(one: &Delivery, now: Timestamp) -> Self {
        let chip = match (one.told_at, one.due_at) {
            (Some(_), _) => Chip::new(Tone::Good, "Told"),
            (None, Some(_)) if one.is_being_sent => Chip::new(Tone::Moving, "Being sent"),
            (None, Some(_)) => Chip::new(Tone::Waiting, "Waiting"),
            (None, None) => Chip::new(Tone::Bad, "Given up"),
        };
        Self {
            id: one.id.to_string(),
            chip,
            tells: told_of(&one.tells),
            made: Moment::new(one.made_at, now),
            told: one.told_at.map(|at| Moment::new(at, now)),
            next: one.due_at.filter(|_| one.attempts > 0).map(|at| Moment::new(at, now)),
            tries: (one.attempts > 0).then(|| count(u64::from(one.attempts.unsigned_abs()), "try", "tries")),
            status: one.status,
            error: one.last_error.as_deref().map(visible),
            can_go: !one.is_being_sent,
        }
    }
}

fn told_of(tells: &str) -> String {
    let words = match tells {
        "waiting" => "An approval waits",
        "half_time" => "Half of the time is over",
        "escalated" => "Nobody has decided",
        "last_hour" => "Less than an hour left",
        "decided" => "Decided",
        "expired" => "Expired",
        "ended" => "No longer waiting",
        "blind" => "A source cannot be read",
        "seen" => "A source can be read again",
        "several" => "Several things",
        "test" => "Test message",
        other => return visible(other),
    };
    words.to_owned()
}

/// The page of one channel.
#[derive(Debug, Template, WebTemplate)]
#[template(path = "admin/channel.html")]
pub struct ChannelPage {
    shell: Shell,
    line: Line,
    is_webhook: bool,
    name: Field,
    address: Field,
    ticks: Vec<Tick>,
    nothing_ticked: Option<String>,
    gates: Vec<GatesLine>,
    patterns: Vec<Field>,
    tags: Vec<Field>,
    deliveries: Vec<DeliveryLine>,
    mistakes: Mistakes,
}

impl ChannelPage {
    pub(super) fn of(
        shell: Shell,
        (seen, hosts): (&Seen, &[HostPattern]),
        mistakes: &Mistakes,
        now: Timestamp,
    ) -> Self {
        let (patterns, tags) = pattern::fields(&GateFields::default(), mistakes);
        let words = |one: &Gates| GatesLine { id: one.id.to_string(), words: overview::in_words(&one.pattern) };
        let channel = &seen.channel;
        Self {
            shell,
            line: Line::of(channel, &seen.gates, now),
            is_webhook: channel.kind == Kind::Webhook,
            name: name(&channel.name, mistakes),
            address: address(Some(channel.kind), hosts, mistakes, Some("Left empty, it leads where it did."))
                .optional(),
            ticks: ticks(channel.tells),
            nothing_ticked: mistakes.at("waiting"),
            gates: seen.gates.iter().map(words).collect(),
            patterns,
            tags,
            deliveries: seen.deliveries.iter().map(|one| DeliveryLine::of(one, now)).collect(),
            mistakes: mistakes.clone(),
        }
    }

    /// With what was typed about it.
    pub(super) fn keeping(mut self, typed: &str, tells: Tells) -> Self {
        self.name = name(typed, &self.mistakes);
        self.ticks = ticks(tells);
        self
    }

    /// With the gates that were typed.
    pub(super) fn keeping_gates(mut self, typed: &GateFields) -> Self {
        (self.patterns, self.tags) = pattern::fields(typed, &self.mistakes);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::access::GatePattern;
    use crate::domain::ids::{ChannelGatesId, ChannelId, DeliveryId};
    use crate::web::display::assert_inert;

    fn seen(n: usize, text: &str) -> Seen {
        let now: Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();
        let id = ChannelId(uuid::Uuid::nil());
        let tells = Tells { waiting: true, reminders: n > 0, ends: n > 1, blind: n > 2 };
        let channel = Channel {
            id,
            kind: Kind::ALL[n % 3],
            name: text.to_owned(),
            host: text.to_owned(),
            tells,
            from: now,
            given_by: Some(text.to_owned()),
            failures: 3,
            held_until: Some(now + jiff::SignedDuration::from_secs(5)),
            waiting: 500,
            given_up: 1,
        };
        let gates = Gates { id: ChannelGatesId(uuid::Uuid::nil()), channel: id, pattern: GatePattern::everything() };
        let delivery = Delivery {
            id: DeliveryId(uuid::Uuid::nil()),
            tells: text.to_owned(),
            made_at: now,
            attempts: 2,
            due_at: n.is_multiple_of(2).then_some(now),
            told_at: None,
            is_being_sent: false,
            status: Some(500),
            last_error: Some(text.to_owned()),
        };
        Seen { channel, gates: vec![gates; n], deliveries: vec![delivery; n] }
    }

    #[test]
    fn nothing_that_an_admin_typed_or_an_end_answered_becomes_markup() {
        let hostile = "<img src=x onerror=alert(1)>\"'<script>\u{202e}".repeat(3);
        let now: Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();
        let mistakes =
            Mistakes(vec![("name", hostile.clone()), ("address", hostile.clone()), ("waiting", hostile.clone())]);
        for n in [0, 1, 2, 50] {
            let page = ChannelPage::of(Shell::bare("/admin/channels"), (&seen(n, &hostile), &[]), &mistakes, now);
            assert_inert("channel", &page.render().unwrap());
        }
    }
}
