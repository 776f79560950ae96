//! What a browser is told: short, bounded, and never anything that decides.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use sqlx::PgConnection;
use zeroize::Zeroizing;

use super::Push;
use crate::domain::ids::{AccountId, ApprovalId, PushBrowserId, PushMessageId, SourceName, sha256};
use crate::domain::text::visible;
use crate::sealing::Purpose;
use crate::store::push::browsers;
use crate::store::push::messages::{self, NewMessage};

/// How many characters a heading and a text have at most; more is cut, and says so.
const HEADING: usize = 120;
const TEXT: usize = 400;
/// Something is of use for this long at least, and at most.
const LEAST_USE: SignedDuration = SignedDuration::from_mins(5);
const MOST_USE: SignedDuration = SignedDuration::from_hours(72);

/// What a message is about: a newer one of a topic takes the place of an older one, on its way and on the screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Topic {
    Approval(ApprovalId),
    Source(SourceName),
    /// Several things, counted.
    Queue,
    Test,
}

impl Topic {
    /// As the push service of this browser sees it (RFC 8030, 5.4): nothing can be learnt from it, not even which of its
    /// browsers are told of the same.
    pub(super) fn name(&self, browser: PushBrowserId) -> String {
        let about = match self {
            Self::Approval(id) => format!("approval {id}"),
            Self::Source(name) => format!("source {name}"),
            Self::Queue => "queue".to_owned(),
            Self::Test => "test".to_owned(),
        };
        URL_SAFE_NO_PAD.encode(&sha256(format!("countersign push {browser} {about}").as_bytes())[..24])
    }

    fn approval(&self) -> Option<ApprovalId> {
        if let Self::Approval(id) = self { Some(*id) } else { None }
    }

    /// The page that a click opens; without one, the queue.
    fn path(&self) -> Option<String> {
        self.approval().map(|id| format!("/approvals/{id}"))
    }
}

/// How much it presses (RFC 8030, 5.3): phones that save power wait with the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    Low,
    Normal,
    High,
}

impl Urgency {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
        }
    }
}

/// Something that a browser is told.
#[derive(Debug, Clone)]
pub struct Message {
    pub tells: &'static str,
    pub topic: Topic,
    /// Whether it asks for a decision, and is to be taken back when there is one.
    pub asks: bool,
    pub heading: String,
    pub text: String,
    pub urgency: Urgency,
    /// It only takes the place of what is on the screen.
    pub is_silent: bool,
    /// When it goes, and when it is of no use any more.
    pub due_at: Timestamp,
    pub useless_at: Timestamp,
}

/// What the service worker reads.
#[derive(Serialize)]
struct Shown<'a> {
    title: String,
    body: String,
    tag: &'a str,
    path: Option<String>,
    silent: bool,
}

impl Message {
    fn shown(&self, topic: &str) -> Vec<u8> {
        let shown = Shown {
            title: cut(&self.heading, HEADING),
            body: cut(&self.text, TEXT),
            tag: topic,
            path: self.topic.path(),
            silent: self.is_silent,
        };
        serde_json::to_vec(&shown).expect("texts make JSON")
    }
}

/// At most so many characters, none of them hidden.
fn cut(text: &str, most: usize) -> String {
    let text = visible(text);
    match text.char_indices().nth(most - 1) {
        Some((at, last)) if at + last.len_utf8() < text.len() => format!("{}…", &text[..at]),
        _ => text,
    }
}

/// What a message is sealed for.
pub(super) fn owner(id: PushMessageId) -> String {
    format!("push message {id}")
}

impl Push {
    /// Tells all of somebody's browsers this, within the caller's transaction. False: there are none, or it is off.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn put(&self, conn: &mut PgConnection, account: AccountId, messages: &[Message]) -> sqlx::Result<bool> {
        if !self.is_on() || messages.is_empty() {
            return Ok(false);
        }
        let browsers = browsers::list_ids(conn, account).await?;
        for browser in &browsers {
            for message in messages {
                let ends = message.topic.approval().is_some() && !message.asks;
                if ends && messages::is_told_over(conn, *browser, &message.topic.name(*browser)).await? {
                    continue;
                }
                self.put_one(conn, *browser, message).await?;
            }
        }
        Ok(!browsers.is_empty())
    }

    /// Tells one browser this, within the caller's transaction.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn put_one(
        &self,
        conn: &mut PgConnection,
        browser: PushBrowserId,
        message: &Message,
    ) -> sqlx::Result<()> {
        let parts = &*self.0;
        let now = parts.clock.now();
        let id = PushMessageId(parts.random.uuid_v7(now));
        let topic = message.topic.name(browser);
        let sealed = parts.sealer.seal(Purpose::Push, &owner(id), &Zeroizing::new(message.shown(&topic)));
        let use_of = message.useless_at.duration_since(message.due_at).clamp(LEAST_USE, MOST_USE);
        let new = NewMessage {
            id,
            browser,
            tells: message.tells,
            topic: &topic,
            approval: message.topic.approval(),
            asks: message.asks,
            urgency: message.urgency.name(),
            sealed: &sealed,
            made_at: now,
            due_at: message.due_at,
            useless_at: message.due_at.checked_add(use_of).unwrap_or(Timestamp::MAX),
        };
        messages::insert(conn, &new).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::push::encrypting::LONGEST;

    fn message(heading: &str, text: &str, topic: Topic) -> Message {
        let now: Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
        let (heading, text) = (heading.to_owned(), text.to_owned());
        Message {
            tells: "waiting",
            topic,
            asks: true,
            heading,
            text,
            urgency: Urgency::Normal,
            is_silent: false,
            due_at: now,
            useless_at: now,
        }
    }

    #[test]
    fn whatever_others_write_a_message_fits_and_hides_nothing() {
        for text in ["\u{202e}\u{0}", "\"\\\n", "🚀", "x"] {
            let shown = message(&text.repeat(9999), &text.repeat(9999), Topic::Queue).shown("x");
            assert!(shown.len() <= LONGEST, "{} of {text:?}", shown.len());
            let read: serde_json::Value = serde_json::from_slice(&shown).unwrap();
            assert!(!read["body"].as_str().unwrap().contains(['\u{202e}', '\u{0}']));
            assert!(read["title"].as_str().unwrap().ends_with('…'));
        }
        let shown = message("Waiting", "Decide", Topic::Queue).shown("x");
        let read: serde_json::Value = serde_json::from_slice(&shown).unwrap();
        assert_eq!((&read["title"], &read["path"]), (&"Waiting".into(), &serde_json::Value::Null));
    }

    #[test]
    fn a_topic_is_what_services_take_and_another_for_each_approval_and_browser() {
        let browser = |n| PushBrowserId(uuid::Uuid::from_u128(n));
        let approval = |n| Topic::Approval(ApprovalId(uuid::Uuid::from_u128(n)));
        assert_ne!(approval(1).name(browser(1)), approval(2).name(browser(1)));
        for topic in [approval(1), Topic::Queue, Topic::Test, Topic::Source(SourceName::parse("default").unwrap())] {
            assert_eq!(topic.name(browser(1)).len(), 32);
            assert_ne!(topic.name(browser(1)), topic.name(browser(2)));
        }
    }
}
