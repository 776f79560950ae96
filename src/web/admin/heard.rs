//! What queues and SNS have brought, as admins see it on the system's page. Never what a message says.

use jiff::Timestamp;

use crate::domain::text::visible;
use crate::events::sns::SnsStatus;
use crate::events::{Hearing, QueueStatus};
use crate::web::display::count;
use crate::web::parts::Moment;

/// A queue, in the life of the process that shows the page.
#[derive(Debug, Clone)]
pub(super) struct QueueLine {
    pub source: String,
    pub hearing: &'static str,
    /// Since when it cannot be read, and why.
    pub trouble: Option<(Moment, String)>,
    pub received: String,
    pub deleted: String,
    pub held: String,
    pub looks: String,
    /// About other things, or about other sources.
    pub beside: String,
    pub not_understood: Option<String>,
}

impl QueueLine {
    pub(super) fn of(queue: &QueueStatus, now: Timestamp) -> Self {
        let messages = |n: u64| count(n, "message", "messages");
        let (hearing, trouble) = match &queue.hearing {
            Hearing::NotYet => ("not read yet", None),
            Hearing::Well => ("read", None),
            Hearing::Badly(since, why) => ("cannot be read", Some((Moment::new(*since, now), visible(why)))),
        };
        Self {
            source: visible(queue.source.as_str()),
            hearing,
            trouble,
            received: messages(queue.received),
            deleted: messages(queue.deleted),
            held: messages(queue.held as u64),
            looks: count(queue.looks, "look", "looks"),
            beside: messages(queue.beside + queue.elsewhere),
            not_understood: (queue.not_understood > 0).then(|| messages(queue.not_understood)),
        }
    }
}

/// The end at which SNS delivers, in the life of the process that shows the page.
#[derive(Debug, Clone)]
pub(super) struct HookLine {
    pub taken: String,
    pub confirmed: String,
    pub not_understood: Option<String>,
    /// Each reason in words, and how often it held.
    pub refused: Vec<(&'static str, String)>,
}

impl HookLine {
    pub(super) fn of(hook: &SnsStatus) -> Self {
        let messages = |n: u64| count(n, "message", "messages");
        Self {
            taken: messages(hook.taken),
            confirmed: count(hook.confirmed, "subscription", "subscriptions"),
            not_understood: (hook.not_understood > 0).then(|| messages(hook.not_understood)),
            refused: hook.refused.iter().map(|(why, &n)| (why.in_words(), messages(n))).collect(),
        }
    }
}
