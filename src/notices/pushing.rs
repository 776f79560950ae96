//! The same for browsers: what a letter says in a few words, and taking it back when there is nothing left to decide.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use sqlx::{Connection as _, PgConnection};

use super::letters::{Told, heading, many_subject};
use super::{Notices, letters};
use crate::approvals::subject::Subject;
use crate::approvals::words::{end_line, ending, place, revision_line, words};
use crate::domain::approval::AtAws;
use crate::domain::notices::{Kind, News, Pace};
use crate::domain::zone;
use crate::push::{Message, Topic, Urgency};
use crate::store::approvals::{self, Approval};
use crate::store::notices::people::{self, Reachable};
use crate::store::push::messages::{self, Over};

/// So many things are a message each; more are counted in one.
const MOST: usize = 3;
/// How long what became of something is of use.
const ENDED_FOR: SignedDuration = SignedDuration::from_hours(24);
/// How many messages are taken back in one step.
const AT_ONCE: i64 = 50;

/// What browsers are told of all this, which is in the order of a letter.
pub(super) fn messages(told: &[Told], zone: &TimeZone, now: Timestamp) -> Vec<Message> {
    if told.len() > MOST {
        return vec![of_many(told, now)];
    }
    told.iter().filter_map(|one| of_one(one, zone, now)).collect()
}

fn of_one(told: &Told, zone: &TimeZone, now: Timestamp) -> Option<Message> {
    let (topic, heading, text) = match &told.subject {
        Subject::Approval(approval) if told.kind.asks() => (
            Topic::Approval(approval.id),
            format!("{}: {}", short(told.kind), place(approval)),
            asking(told, approval, zone),
        ),
        Subject::Approval(approval) => return Some(of_end(told.kind, approval, now)),
        Subject::Source { name, since, .. } => (
            Topic::Source(name.clone()),
            format!("{}: {name}", heading(told.kind)),
            format!("Could not be read since {}", words(*since, zone)),
        ),
        Subject::NotShown => return None,
    };
    let asks = told.kind.asks();
    let until = told.expires.filter(|_| asks).unwrap_or_else(|| now.checked_add(ENDED_FOR).unwrap_or(now));
    let urgency = if letters::presses(told, now) { Urgency::High } else { Urgency::Normal };
    Some(Message {
        tells: told.kind.name(),
        topic,
        asks,
        heading,
        text,
        urgency,
        is_silent: false,
        due_at: now,
        useless_at: until,
    })
}

/// As the subject of its letter begins.
fn short(kind: Kind) -> &'static str {
    match kind {
        Kind::Waiting => "Waiting for you",
        Kind::HalfTime => "Still waiting",
        _ => heading(kind),
    }
}

fn asking(told: &Told, approval: &Approval, zone: &TimeZone) -> String {
    let about = if approval.expires_about { "about " } else { "" };
    let mut lines = vec![format!("Decide by {about}{}", words(approval.expires_at, zone))];
    if let Some(name) = &told.for_whom {
        lines.push(format!("In place of {name}"));
    }
    if let Some(revision) = approval.shown.revisions.first() {
        lines.push(revision_line(revision));
    }
    lines.join("\n")
}

fn of_end(kind: Kind, approval: &Approval, now: Timestamp) -> Message {
    Message {
        tells: kind.name(),
        topic: Topic::Approval(approval.id),
        asks: false,
        heading: format!("{}: {}", ending(approval), place(approval)),
        text: end_line(approval),
        urgency: Urgency::Normal,
        is_silent: false,
        due_at: now,
        useless_at: now.checked_add(ENDED_FOR).unwrap_or(now),
    }
}

fn of_many(told: &[Told], now: Timestamp) -> Message {
    let asks = told.iter().any(|one| one.kind.asks());
    let last = told.iter().filter_map(|one| one.expires.filter(|_| one.kind.asks())).max();
    let presses = told.iter().any(|one| letters::presses(one, now));
    Message {
        tells: "several",
        topic: Topic::Queue,
        asks,
        heading: many_subject(told),
        text: "The queue shows them.".to_owned(),
        urgency: if presses { Urgency::High } else { Urgency::Normal },
        is_silent: false,
        due_at: now,
        useless_at: last.unwrap_or_else(|| now.checked_add(ENDED_FOR).unwrap_or(now)),
    }
}

impl Notices {
    /// Takes a few messages back that ask for what is over: whoever still has one on the screen sees how it ended instead. Says
    /// how many it took.
    pub(super) async fn take_back(&self) -> sqlx::Result<usize> {
        if !self.0.push.is_on() {
            return Ok(0);
        }
        let now = self.0.clock.now();
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        let over = messages::take_over(&mut tx, now, AT_ONCE).await?;
        for one in over.iter().filter(|one| one.is_shown) {
            self.take_one_back(&mut tx, one, now).await?;
        }
        tx.commit().await?;
        Ok(over.len())
    }

    async fn take_one_back(&self, conn: &mut PgConnection, over: &Over, now: Timestamp) -> sqlx::Result<()> {
        let reader = people::list_reachable(conn, Some(over.account)).await?.pop();
        let approval = approvals::find(conn, over.approval).await?;
        // Open again by now: the reminders say so.
        let (Some(reader), Some(approval)) = (reader, approval.filter(|it| it.at_aws != AtAws::Open)) else {
            return Ok(());
        };
        let kind = match approval.at_aws {
            AtAws::Approved | AtAws::Rejected => Kind::Decided,
            AtAws::Expired => Kind::Expired,
            _ => Kind::Ended,
        };
        let due_at = not_in_quiet_hours(&reader, kind, now);
        let is_silent = !reader.choices.want(kind);
        let urgency = if is_silent { Urgency::Low } else { Urgency::Normal };
        let useless_at = due_at.checked_add(ENDED_FOR).unwrap_or(due_at);
        let message = Message { due_at, useless_at, is_silent, urgency, ..of_end(kind, &approval, now) };
        self.0.push.put_one(conn, over.browser, &message).await
    }
}

/// What is over waits for no digest.
fn not_in_quiet_hours(reader: &Reachable, kind: Kind, now: Timestamp) -> Timestamp {
    let choices = crate::domain::notices::Choices { pace: Pace::AtOnce, ..reader.choices.clone() };
    let news = News { kind, due: now, expires: None };
    choices.when(news, &zone::find_or_utc(&reader.time_zone), now)
}
