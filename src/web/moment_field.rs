//! A day and time as people type them and browsers send them, in somebody's time zone.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

const WRONG: &str = "This is no day and time. Write it as 2026-11-21 14:30.";

/// Reads `2026-11-21 14:30`, `2026-11-21T14:30` or `2026-11-21`, which is its beginning. Nothing for nothing.
///
/// # Errors
/// A sentence for the field.
pub fn parse(text: &str, zone: &TimeZone) -> Result<Option<Timestamp>, String> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let civil: DateTime = text.parse().map_err(|_| WRONG.to_owned())?;
    // A century either way of anything real keeps the database's own range of times out of play.
    if !(2000..=2200).contains(&civil.year()) {
        return Err(WRONG.to_owned());
    }
    let zoned = civil.to_zoned(zone.clone()).map_err(|_| WRONG.to_owned())?;
    Ok(Some(zoned.timestamp()))
}

/// As a field holds it.
#[must_use]
pub fn typed(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone()).strftime("%Y-%m-%dT%H:%M").to_string()
}

/// As people read it: `Fri 27 Nov 2026, 18:00 CET`.
#[must_use]
pub fn words(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone()).strftime("%a %-d %b %Y, %H:%M %Z").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_in_the_zone_it_was_typed_in() {
        let berlin = TimeZone::fixed(jiff::tz::offset(1));
        let at = parse("2026-11-21T14:30", &berlin).unwrap().unwrap();
        assert_eq!(at.to_string(), "2026-11-21T13:30:00Z");
        assert_eq!(parse(" 2026-11-21 14:30 ", &berlin).unwrap(), Some(at));
        assert_eq!(typed(at, &berlin), "2026-11-21T14:30");
        assert_eq!(parse("2026-11-21", &TimeZone::UTC).unwrap().unwrap().to_string(), "2026-11-21T00:00:00Z");
        assert_eq!(parse("  ", &berlin).unwrap(), None);
    }

    #[test]
    fn what_is_no_time_is_told() {
        for text in ["yesterday", "2026-02-30", "2026-11-21T25:00", "1066-10-14", "99999-01-01", "=1"] {
            assert_eq!(parse(text, &TimeZone::UTC).unwrap_err(), WRONG, "{text}");
        }
    }
}
