//! What the history is asked for: read from the address, checked, with the mistake told at the field and the input kept.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

use crate::domain::decision::{State, Verdict};
use crate::domain::text::visible;
use crate::store::history::{Outcome, Position};
use crate::web::Failure;
use crate::web::parts::Field;

/// The parameters of `/history`, as they come.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(default)]
pub struct Asked {
    pub pipeline: String,
    pub person: String,
    pub verdict: String,
    pub outcome: String,
    pub from: String,
    pub to: String,
    pub before: String,
    pub after: String,
}

/// The same, checked. What needs the database (pipelines, people) is still text.
#[derive(Debug, Clone, Default)]
pub struct Checked {
    pub verdict: Option<Verdict>,
    pub outcome: Option<Outcome>,
    pub from: Option<Timestamp>,
    pub until: Option<Timestamp>,
    pub position: Position,
}

/// What is wrong, field by field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mistakes {
    pub from: Option<String>,
    pub to: Option<String>,
}

/// The outcomes to filter by: value and words.
pub const OUTCOMES: &[(&str, &str)] = &[
    ("accepted", "Accepted by AWS"),
    ("outside", "Decided outside Countersign"),
    ("elsewhere", "Somebody else was first"),
    ("refused", "Refused by AWS"),
    ("stale", "Too late"),
    ("lapsed", "Not sent"),
    ("unsure", "Unsure"),
    ("submitting", "Being sent"),
];

impl Asked {
    /// Checks everything that can be checked without the database.
    ///
    /// # Errors
    /// 400 for what the page's own form cannot produce.
    pub fn check(&self) -> Result<(Checked, Mistakes), Failure> {
        let unknown = |what: &str| Failure::bad_request(format!("The history cannot be filtered by this {what}."));
        let verdict = known(&self.verdict, Verdict::from_name).map_err(|()| unknown("verdict"))?;
        let outcome = known(&self.outcome, outcome_named).map_err(|()| unknown("outcome"))?;
        let position = self.position().ok_or_else(|| unknown("position"))?;
        let (from, from_mistake) = read_date(&self.from, 0);
        let (until, mut to_mistake) = read_date(&self.to, 1);
        if matches!((from, until), (Some(from), Some(until)) if from >= until) {
            to_mistake = Some("This day is before the first one.".to_owned());
        }
        Ok((Checked { verdict, outcome, from, until, position }, Mistakes { from: from_mistake, to: to_mistake }))
    }

    fn position(&self) -> Option<Position> {
        let number = |text: &str| text.parse::<i64>().ok().filter(|n| *n > 0);
        match (self.before.as_str(), self.after.as_str()) {
            ("", "") => Some(Position::Newest),
            (before, "") => number(before).map(Position::Before),
            ("", after) => number(after).map(Position::After),
            _ => None,
        }
    }

    /// Whether anything is filtered.
    #[must_use]
    pub fn is_filtered(&self) -> bool {
        [&self.pipeline, &self.person, &self.verdict, &self.outcome, &self.from, &self.to]
            .into_iter()
            .any(|text| !text.trim().is_empty())
    }

    /// The address of this filter at another place in the list.
    #[must_use]
    pub fn address(&self, position: Position) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        let filters = [
            ("pipeline", &self.pipeline),
            ("person", &self.person),
            ("verdict", &self.verdict),
            ("outcome", &self.outcome),
            ("from", &self.from),
            ("to", &self.to),
        ];
        for (name, value) in filters.into_iter().filter(|(_, value)| !value.is_empty()) {
            query.append_pair(name, value);
        }
        match position {
            Position::Newest => {}
            Position::Before(seq) => drop(query.append_pair("before", &seq.to_string())),
            Position::After(seq) => drop(query.append_pair("after", &seq.to_string())),
        }
        let query = query.finish();
        if query.is_empty() { "/history".to_owned() } else { format!("/history?{query}") }
    }

    /// The text fields of the form, with what was typed and what is wrong with it.
    #[must_use]
    pub fn fields(&self, mistakes: &Mistakes) -> Vec<Field> {
        let date = |name, label, value: &str, mistake: &Option<String>| {
            Field::text(name, label)
                .optional()
                .value(visible(value))
                .hint("A day (UTC), as 2026-11-21")
                .error(mistake.clone())
        };
        vec![
            Field::text("pipeline", "Pipeline").optional().value(visible(&self.pipeline)).hint("A name, or part of it"),
            Field::text("person", "Person")
                .optional()
                .value(visible(&self.person))
                .hint("A name or e-mail, or the whole ARN of somebody at AWS"),
            date("from", "From", &self.from, &mistakes.from),
            date("to", "To", &self.to, &mistakes.to),
        ]
    }
}

fn known<T>(text: &str, read: impl Fn(&str) -> Option<T>) -> Result<Option<T>, ()> {
    if text.is_empty() {
        return Ok(None);
    }
    read(text).map(Some).ok_or(())
}

fn outcome_named(name: &str) -> Option<Outcome> {
    match name {
        "outside" => Some(Outcome::Outside),
        name => State::from_name(name).map(Outcome::Ours),
    }
}

/// The beginning, in UTC, of the day that is `days_later` than the one given.
fn read_date(text: &str, days_later: i64) -> (Option<Timestamp>, Option<String>) {
    let text = text.trim();
    if text.is_empty() {
        return (None, None);
    }
    let begins = |date: Date| date.checked_add(days_later.days()).ok()?.to_zoned(TimeZone::UTC).ok();
    // A century either way of anything real keeps the database's own range of times out of play.
    match text.parse::<Date>().ok().filter(|date| (2000..=2200).contains(&date.year())).and_then(begins) {
        Some(at) => (Some(at.timestamp()), None),
        None => (None, Some("This is not a day. Write it as 2026-11-21.".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_that_is_none_is_told_at_its_field() {
        let asked = Asked { from: "2026-02-30".into(), to: "yesterday".into(), ..Asked::default() };
        let (_, mistakes) = asked.check().unwrap();
        assert!(mistakes.from.unwrap().starts_with("This is not a day"));
        assert!(mistakes.to.is_some());
        let asked = Asked { from: "2026-11-22".into(), to: "2026-11-21".into(), ..Asked::default() };
        assert_eq!(asked.check().unwrap().1.to.as_deref(), Some("This day is before the first one."));
    }

    #[test]
    fn the_last_day_is_part_of_the_range() {
        let asked = Asked { from: "2026-11-21".into(), to: "2026-11-21".into(), ..Asked::default() };
        let (checked, mistakes) = asked.check().unwrap();
        assert_eq!(mistakes, Mistakes::default());
        assert_eq!(checked.from.unwrap().to_string(), "2026-11-21T00:00:00Z");
        assert_eq!(checked.until.unwrap().to_string(), "2026-11-22T00:00:00Z");
    }

    #[test]
    fn what_no_form_of_ours_sends_is_refused() {
        for asked in [
            Asked { verdict: "maybe".into(), ..Asked::default() },
            Asked { outcome: "' or 1=1".into(), ..Asked::default() },
            Asked { before: "-1".into(), ..Asked::default() },
            Asked { before: "5".into(), after: "6".into(), ..Asked::default() },
        ] {
            assert!(asked.check().is_err(), "{asked:?}");
        }
        for (name, _) in OUTCOMES {
            assert!(Asked { outcome: (*name).into(), ..Asked::default() }.check().is_ok());
        }
    }

    #[test]
    fn another_page_keeps_the_filter() {
        let asked =
            Asked { pipeline: "a&b".into(), verdict: "rejected".into(), before: "9".into(), ..Asked::default() };
        assert_eq!(asked.address(Position::Before(40)), "/history?pipeline=a%26b&verdict=rejected&before=40");
        assert_eq!(Asked::default().address(Position::Newest), "/history");
    }
}
