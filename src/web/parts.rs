//! Pieces that several pages are made of, each with its own small template: a moment in time, a standing as a chip, a
//! form field. They may stand in a template as `{{ piece }}`: what they print is HTML made by their own template, in
//! which everything from outside was escaped.

use askama::Template;
use askama::filters::HtmlSafe;
use jiff::{SignedDuration, Timestamp, tz::TimeZone};

use super::page_zone;
use crate::domain::approval::Standing;
use crate::domain::decision::State;

/// A moment: absolute in the time zone of the page's person, which it names, and relative. UTC is beside it.
#[derive(Debug, Clone, Template)]
#[template(path = "parts/moment.html")]
pub struct Moment {
    machine: String,
    absolute: String,
    utc: String,
    relative: String,
    about: bool,
}

impl HtmlSafe for Moment {}

impl Moment {
    /// `at`, as seen at `now` by whom the page is made for.
    #[must_use]
    pub fn new(at: Timestamp, now: Timestamp) -> Self {
        Self::of((at, now), page_zone::current())
    }

    /// The same in UTC whoever looks: for what stands in the record.
    #[must_use]
    pub fn in_record(at: Timestamp, now: Timestamp) -> Self {
        Self::of((at, now), TimeZone::UTC)
    }

    fn of((at, now): (Timestamp, Timestamp), zone: TimeZone) -> Self {
        Self {
            machine: at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            absolute: absolute(at, zone),
            utc: absolute(at, TimeZone::UTC),
            relative: relative(at.duration_since(now)),
            about: false,
        }
    }

    /// Marks it as inexact: AWS did not say.
    #[must_use]
    pub fn about(mut self, about: bool) -> Self {
        self.about = about;
        self
    }

    /// Only the relative text, such as `in 3 h`.
    #[must_use]
    pub fn relative(&self) -> &str {
        &self.relative
    }
}

/// To the second, with the zone: `2026-11-21 09:30:00 CET`.
#[must_use]
pub fn absolute(at: Timestamp, zone: TimeZone) -> String {
    at.to_zoned(zone).strftime("%Y-%m-%d %H:%M:%S %Z").to_string()
}

/// A length of time in one unit, rounded down: `3 min`, `26 h`, `6 d`.
#[must_use]
pub fn span(length: SignedDuration) -> String {
    let seconds = length.as_secs().unsigned_abs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..5_400 => format!("{} min", seconds / 60),
        5_400..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

fn relative(difference: SignedDuration) -> String {
    let length = span(difference);
    match difference.as_secs() {
        -4..=4 => "just now".to_owned(),
        seconds if seconds > 0 => format!("in {length}"),
        _ => format!("{length} ago"),
    }
}

/// A standing, an outcome or a verdict as icon and word; colour only repeats what they say.
#[derive(Debug, Clone, Template)]
#[template(path = "parts/chip.html")]
pub struct Chip {
    tone: Tone,
    label: String,
}

impl HtmlSafe for Chip {}

/// What a chip means at a glance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Waits for somebody.
    Waiting,
    /// On its way, not known yet.
    Moving,
    Good,
    Bad,
    /// Over without a verdict.
    Over,
}

impl Tone {
    fn class(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Moving => "moving",
            Self::Good => "good",
            Self::Bad => "bad",
            Self::Over => "over",
        }
    }

    fn icon(self) -> &'static str {
        match self {
            Self::Waiting => "●",
            Self::Moving => "↻",
            Self::Good => "✓",
            Self::Bad => "✕",
            Self::Over => "–",
        }
    }
}

impl Chip {
    #[must_use]
    pub fn new(tone: Tone, label: impl Into<String>) -> Self {
        Self { tone, label: label.into() }
    }

    /// The chip of a standing.
    #[must_use]
    pub fn of(standing: Standing) -> Self {
        let (tone, label) = match standing {
            Standing::Open => (Tone::Waiting, "Waiting"),
            Standing::Submitting => (Tone::Moving, "Being sent to AWS"),
            Standing::Unsure => (Tone::Moving, "Unsure: asking AWS"),
            Standing::Approved => (Tone::Good, "Approved"),
            Standing::Rejected => (Tone::Bad, "Rejected"),
            Standing::Expired => (Tone::Over, "Expired"),
            Standing::Superseded => (Tone::Over, "Superseded"),
            Standing::Stopped => (Tone::Over, "Stopped"),
            Standing::Gone => (Tone::Over, "Gone"),
        };
        Self::new(tone, label)
    }

    /// The chip of a decision's state.
    #[must_use]
    pub fn of_state(state: State) -> Self {
        let (tone, label) = match state {
            State::Intent | State::Submitting => (Tone::Moving, "Being sent to AWS"),
            State::Unsure => (Tone::Moving, "Unsure: asking AWS"),
            State::Accepted => (Tone::Good, "Accepted by AWS"),
            State::Refused => (Tone::Bad, "Refused by AWS"),
            State::Elsewhere => (Tone::Over, "Decided elsewhere"),
            State::Stale => (Tone::Over, "Too late"),
            State::Lapsed => (Tone::Over, "Not sent"),
        };
        Self::new(tone, label)
    }
}

/// A form field with its label, hint and error, tied together for screen readers.
#[derive(Debug, Clone, Template)]
#[template(path = "parts/field.html")]
pub struct Field {
    name: &'static str,
    label: &'static str,
    kind: &'static str,
    value: String,
    autocomplete: &'static str,
    hint: Option<String>,
    error: Option<String>,
    required: bool,
    focus: bool,
    digits: bool,
}

impl HtmlSafe for Field {}

impl Field {
    fn new(name: &'static str, label: &'static str, kind: &'static str) -> Self {
        Self {
            name,
            label,
            kind,
            value: String::new(),
            autocomplete: "off",
            hint: None,
            error: None,
            required: true,
            focus: false,
            digits: false,
        }
    }

    /// A line of text.
    #[must_use]
    pub fn text(name: &'static str, label: &'static str) -> Self {
        Self::new(name, label, "text")
    }

    /// An e-mail address. Shown as typed; the server judges it.
    #[must_use]
    pub fn email(name: &'static str, label: &'static str) -> Self {
        Self::new(name, label, "email")
    }

    /// A day and time. Browsers that know how show a calendar.
    #[must_use]
    pub fn moment(name: &'static str, label: &'static str) -> Self {
        Self::new(name, label, "datetime-local")
    }

    /// A time of day. Browsers that know how show a clock.
    #[must_use]
    pub fn time(name: &'static str, label: &'static str) -> Self {
        Self::new(name, label, "time")
    }

    /// A password. It has no value on purpose: none is ever sent to a page.
    #[must_use]
    pub fn password(name: &'static str, label: &'static str, autocomplete: &'static str) -> Self {
        Self { autocomplete, ..Self::new(name, label, "password") }
    }

    #[must_use]
    pub fn value(mut self, value: impl Into<String>) -> Self {
        self.value = value.into();
        self
    }

    #[must_use]
    pub fn autocomplete(mut self, token: &'static str) -> Self {
        self.autocomplete = token;
        self
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    #[must_use]
    pub fn error(mut self, error: Option<String>) -> Self {
        self.error = error;
        self
    }

    #[must_use]
    pub fn optional(mut self) -> Self {
        self.required = false;
        self
    }

    /// Phones show the keys of a number pad.
    #[must_use]
    pub fn digits(mut self) -> Self {
        self.digits = true;
        self
    }

    /// Puts the cursor here when the page opens.
    #[must_use]
    pub fn focused(mut self, focus: bool) -> Self {
        self.focus = focus;
        self
    }

    #[must_use]
    pub fn has_error(&self) -> bool {
        self.error.is_some()
    }

    fn described_by(&self) -> String {
        let hint = self.hint.as_ref().map(|_| format!("{}-hint", self.name));
        let error = self.error.as_ref().map(|_| format!("{}-error", self.name));
        error.into_iter().chain(hint).collect::<Vec<_>>().join(" ")
    }
}

/// A choice among a few, with its label and error.
#[derive(Debug, Clone, Template)]
#[template(path = "parts/choice.html")]
pub struct Choice {
    name: &'static str,
    label: &'static str,
    chosen: String,
    options: Vec<(String, String)>,
    error: Option<String>,
}

impl HtmlSafe for Choice {}

impl Choice {
    /// `options` are values and words.
    #[must_use]
    pub fn new(
        name: &'static str,
        label: &'static str,
        chosen: &str,
        options: impl IntoIterator<Item = (String, String)>,
    ) -> Self {
        Self { name, label, chosen: chosen.to_owned(), options: options.into_iter().collect(), error: None }
    }

    #[must_use]
    pub fn error(mut self, error: Option<String>) -> Self {
        self.error = error;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_says_when_and_how_long_ago() {
        let now: Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();
        let html = Moment::new(now - SignedDuration::from_mins(90), now).render().unwrap();
        assert!(html.contains("datetime=\"2026-11-21T08:30:00Z\""), "{html}");
        assert!(html.contains("2026-11-21 08:30:00 UTC") && html.contains("1 h ago"), "{html}");
        assert_eq!(Moment::new(now + SignedDuration::from_hours(24 * 7), now).relative(), "in 7 d");
        assert_eq!(Moment::new(now, now).relative(), "just now");
    }

    #[tokio::test]
    async fn a_moment_is_in_the_zone_of_whom_the_page_is_for_also_in_the_hour_that_comes_twice() {
        let berlin = crate::domain::zone::parse("Europe/Berlin").unwrap();
        let shown = |at: &'static str| {
            let at: Timestamp = at.parse().unwrap();
            page_zone::shown_in(berlin.clone(), async move { Moment::new(at, at).render().unwrap() })
        };
        let winter = shown("2026-11-21T08:30:00Z").await;
        assert!(winter.contains("datetime=\"2026-11-21T08:30:00Z\" title=\"2026-11-21 08:30:00 UTC\""), "{winter}");
        assert!(winter.contains(">2026-11-21 09:30:00 CET<"), "{winter}");
        assert!(shown("2026-07-21T08:30:00Z").await.contains(">2026-07-21 10:30:00 CEST<"));
        assert!(shown("2026-10-25T00:30:00Z").await.contains(">2026-10-25 02:30:00 CEST<"));
        assert!(shown("2026-10-25T01:30:00Z").await.contains(">2026-10-25 02:30:00 CET<"));
        let at = "2026-07-21T08:30:00Z".parse().unwrap();
        let record = page_zone::shown_in(berlin, async move { Moment::in_record(at, at).render().unwrap() }).await;
        assert!(record.contains(">2026-07-21 08:30:00 UTC<"), "{record}");
    }

    #[test]
    fn a_field_with_an_error_tells_a_screen_reader_and_keeps_the_value_escaped() {
        let field = Field::email("email", "Email").value("\"><script>").error(Some("Not <b>known</b>".into()));
        let html = field.render().unwrap();
        assert!(html.contains("aria-invalid=\"true\"") && html.contains("aria-describedby=\"email-error\""), "{html}");
        assert!(!html.contains("<script>") && !html.contains("<b>"), "{html}");
    }

    #[test]
    fn every_standing_has_an_icon_and_a_word() {
        for standing in Standing::ALL {
            let chip = Chip::of(*standing);
            assert!(!chip.label.is_empty() && !chip.tone.icon().is_empty());
        }
    }
}
