//! What is left until an approval expires. Rounded down, so that a page never promises more time than there is.

use askama::Template;
use askama::filters::HtmlSafe;
use jiff::{SignedDuration, Timestamp};

use crate::web::page_zone;
use crate::web::parts::absolute;

/// How pressing a deadline is. Colour only repeats what the text says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    Calm,
    /// Within a day.
    Soon,
    /// Within an hour.
    Urgent,
    /// The deadline has passed.
    Past,
}

impl Urgency {
    fn class(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::Soon => "soon",
            Self::Urgent => "urgent",
            Self::Past => "past",
        }
    }
}

/// The time left, in words; `about` where AWS does not say the deadline.
#[derive(Debug, Clone, Template)]
#[template(path = "parts/time_left.html")]
pub struct TimeLeft {
    text: String,
    urgency: Urgency,
    machine: String,
    absolute: String,
}

impl HtmlSafe for TimeLeft {}

impl TimeLeft {
    #[must_use]
    pub fn new(expires_at: Timestamp, about: bool, now: Timestamp) -> Self {
        let left = expires_at.duration_since(now);
        let urgency = match left {
            left if left <= SignedDuration::ZERO => Urgency::Past,
            left if left < SignedDuration::from_hours(1) => Urgency::Urgent,
            left if left < SignedDuration::from_hours(24) => Urgency::Soon,
            _ => Urgency::Calm,
        };
        let text = match (urgency, about) {
            (Urgency::Past, true) => "time is probably up".to_owned(),
            (Urgency::Past, false) => "time is up".to_owned(),
            (_, true) => format!("about {} left", span(left)),
            (_, false) => format!("{} left", span(left)),
        };
        Self {
            text,
            urgency,
            machine: expires_at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            absolute: absolute(expires_at, page_zone::current()),
        }
    }

    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    #[must_use]
    pub fn urgency(&self) -> Urgency {
        self.urgency
    }
}

/// A length of time in its two largest units, rounded down: `6 days 3 h`, `2 h 5 min`, `40 s`.
#[must_use]
pub fn span(length: SignedDuration) -> String {
    let seconds = length.as_secs().max(0);
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    let days_word = if days == 1 { "day" } else { "days" };
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, m) => format!("{m} min"),
        (0, h, 0) => format!("{h} h"),
        (0, h, m) => format!("{h} h {m} min"),
        (d, 0, _) => format!("{d} {days_word}"),
        (d, h, _) => format!("{d} {days_word} {h} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn time_left_is_rounded_down_and_says_about_where_aws_does_not_tell() {
        let now = at("2026-11-21T10:00:00Z");
        let left = |expires: &str, about| TimeLeft::new(at(expires), about, now);
        assert_eq!(left("2026-11-28T09:59:59Z", true).text(), "about 6 days 23 h left");
        assert_eq!(left("2026-11-21T10:59:59Z", false).text(), "59 min left");
        assert_eq!(left("2026-11-21T10:59:59Z", false).urgency(), Urgency::Urgent);
        assert_eq!(left("2026-11-21T20:00:00Z", false).urgency(), Urgency::Soon);
        assert_eq!(left("2026-11-21T10:00:00Z", true).text(), "time is probably up");
        assert_eq!(left("2026-11-21T09:00:00Z", false).text(), "time is up");
        assert_eq!(left("2026-11-22T10:00:00Z", false).text(), "1 day left");
    }
}
