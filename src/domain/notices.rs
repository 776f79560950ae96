//! What people are told without asking, and when: the kinds of notices, what somebody chose, and the one rule for the moment
//! at which a letter may go out. Times of day are those of the person's zone, also on the days that have 23 or 25 hours.

use std::fmt;

use jiff::civil::Time;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _, Zoned};
use serde::{Deserialize, Serialize};

use super::approval::named;

named!(
    /// What a notice tells of.
    Kind {
        /// An approval waits for a decision.
        Waiting = "waiting",
        /// It still waits, and half of its time is over.
        HalfTime = "half_time",
        /// It still waits, and others are told of it than those who may decide it.
        Escalated = "escalated",
        /// It still waits, and an hour of its time is left.
        LastHour = "last_hour",
        /// It was approved or rejected, here or elsewhere.
        Decided = "decided",
        /// Nobody answered in time.
        Expired = "expired",
        /// It ended without an answer: superseded, stopped, gone.
        Ended = "ended",
        /// A source cannot be read.
        Blind = "blind",
        /// A source can be read again.
        Seen = "seen",
    }
);

impl Kind {
    /// Whether it asks for a decision, and is of no use once there is one.
    #[must_use]
    pub fn asks(self) -> bool {
        matches!(self, Self::Waiting) || self.is_reminder()
    }

    #[must_use]
    pub fn is_reminder(self) -> bool {
        matches!(self, Self::HalfTime | Self::Escalated | Self::LastHour)
    }

    /// In which order one message tells of many things: what presses most goes first.
    #[must_use]
    pub fn place(self) -> u8 {
        match self {
            Self::LastHour => 0,
            Self::HalfTime => 1,
            Self::Escalated => 2,
            Self::Blind => 3,
            Self::Waiting => 4,
            Self::Decided => 5,
            Self::Expired => 6,
            Self::Ended => 7,
            Self::Seen => 8,
        }
    }

    /// Whether it is about a source rather than an approval.
    #[must_use]
    pub fn is_about_source(self) -> bool {
        matches!(self, Self::Blind | Self::Seen)
    }
}

named!(
    /// Why somebody is told.
    Why {
        /// They may decide it.
        Decider = "decider",
        /// They started its run.
        Starter = "starter",
        /// They are in a group that is told of what nobody decides.
        Escalated = "escalated",
        Admin = "admin",
    }
);

/// When somebody's letters go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    AtOnce,
    /// At every full hour, if there is anything.
    Hourly,
    /// At this hour of every day, if there is anything.
    Daily,
}

impl Pace {
    pub const ALL: [Self; 3] = [Self::AtOnce, Self::Hourly, Self::Daily];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AtOnce => "at_once",
            Self::Hourly => "hourly",
            Self::Daily => "daily",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|pace| pace.name() == name)
    }
}

/// A part of every day in which no letter goes out. It may go over midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quiet {
    pub from: Time,
    pub until: Time,
}

/// What somebody wants to be told, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choices {
    pub waiting: bool,
    pub reminders: bool,
    /// What became of an approval that they were told of, or whose run they started.
    pub decided: bool,
    pub expired: bool,
    /// Sources that cannot be read; for admins.
    pub blind: bool,
    pub pace: Pace,
    pub digest_hour: i8,
    pub quiet: Option<Quiet>,
    /// What would expire within the quiet hours is told all the same.
    pub except_expiring: bool,
}

impl Default for Choices {
    fn default() -> Self {
        Self {
            waiting: true,
            reminders: true,
            decided: false,
            expired: true,
            blind: true,
            pace: Pace::AtOnce,
            digest_hour: 8,
            quiet: None,
            except_expiring: true,
        }
    }
}

/// Something that somebody is to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct News {
    pub kind: Kind,
    /// Since when it is to be told.
    pub due: Timestamp,
    /// When the approval's time is over.
    pub expires: Option<Timestamp>,
}

impl Choices {
    /// Whether they want to be told at all.
    #[must_use]
    pub fn want(&self, kind: Kind) -> bool {
        match kind {
            Kind::Waiting => self.waiting,
            Kind::HalfTime | Kind::Escalated | Kind::LastHour => self.reminders,
            Kind::Decided | Kind::Ended => self.decided,
            Kind::Expired => self.expired,
            Kind::Blind | Kind::Seen => self.blind,
        }
    }

    /// When a letter with this may go out, as seen at `now`; never before `now`.
    ///
    /// A reminder and a blind source do not wait for a digest, and neither does what would expire before it.
    #[must_use]
    pub fn when(&self, news: News, zone: &TimeZone, now: Timestamp) -> Timestamp {
        let digest = match self.pace {
            _ if news.kind.is_reminder() || news.kind.is_about_source() => news.due,
            Pace::AtOnce => news.due,
            Pace::Hourly => next_full_hour(news.due, zone),
            Pace::Daily => next_at(self.digest_hour, news.due, zone),
        };
        let expires_by = |at: Timestamp| news.kind.asks() && news.expires.is_some_and(|expires| expires <= at);
        let at = if expires_by(digest) { news.due } else { digest }.max(now);
        match self.quiet.and_then(|quiet| quiet.end(at, zone)) {
            Some(end) if !(self.except_expiring && expires_by(end)) => end,
            _ => at,
        }
    }
}

impl Quiet {
    /// When the quiet hours end that `at` lies in. None: it lies in none.
    fn end(self, at: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let local = at.to_zoned(zone.clone());
        let time = local.time();
        let is_over_midnight = self.from > self.until;
        let is_quiet = match is_over_midnight {
            false => self.from <= time && time < self.until,
            true => self.from <= time || time < self.until,
        };
        if !is_quiet {
            return None;
        }
        let day = if time < self.until { local.date() } else { local.date().tomorrow().ok()? };
        let end = day.to_datetime(self.until);
        let ends = zone.to_ambiguous_zoned(end);
        // Where the clock shows this time twice, the second one ends what is quiet after the first.
        let first = ends.clone().compatible().ok()?.timestamp();
        let end = if first > at { first } else { ends.later().ok()?.timestamp() };
        (end > at).then_some(end)
    }
}

fn next_full_hour(after: Timestamp, zone: &TimeZone) -> Timestamp {
    let local = after.to_zoned(zone.clone());
    let time = local.time();
    let past = i64::from(time.minute()) * 60 + i64::from(time.second());
    let hour = after.as_second() - past + 3600;
    Timestamp::from_second(hour).unwrap_or(after)
}

fn next_at(hour: i8, after: Timestamp, zone: &TimeZone) -> Timestamp {
    let local: Zoned = after.to_zoned(zone.clone());
    let on = |days: i64| -> Option<Timestamp> {
        let day = local.date().checked_add(days.days()).ok()?;
        Some(day.at(hour, 0, 0, 0).to_zoned(zone.clone()).ok()?.timestamp())
    };
    let found = (0..3).filter_map(on).find(|at| *at > after);
    found.unwrap_or_else(|| after.checked_add(SignedDuration::from_hours(24)).unwrap_or(after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::zone;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn time(text: &str) -> Time {
        text.parse().unwrap()
    }

    fn quiet(from: &str, until: &str) -> Choices {
        Choices { quiet: Some(Quiet { from: time(from), until: time(until) }), ..Choices::default() }
    }

    fn waiting(due: &str, expires: &str) -> News {
        News { kind: Kind::Waiting, due: at(due), expires: Some(at(expires)) }
    }

    const LONG: &str = "2027-06-01T00:00:00Z";

    #[track_caller]
    fn assert_goes(choices: &Choices, zone: &str, news: News, then: &str) {
        let zone = zone::parse(zone).unwrap();
        assert_eq!(choices.when(news, &zone, news.due).to_zoned(zone.clone()), at(then).to_zoned(zone));
    }

    #[test]
    fn what_goes_at_once_goes_when_it_is_due_and_never_in_the_past() {
        let choices = Choices::default();
        assert_goes(&choices, "UTC", waiting("2026-11-21T10:07:00Z", LONG), "2026-11-21T10:07:00Z");
        let late = choices.when(waiting("2026-11-21T10:07:00Z", LONG), &TimeZone::UTC, at("2026-11-21T12:00:00Z"));
        assert_eq!(late, at("2026-11-21T12:00:00Z"));
    }

    #[test]
    fn a_digest_goes_at_the_full_hour_of_the_persons_clock() {
        let hourly = Choices { pace: Pace::Hourly, ..Choices::default() };
        assert_goes(&hourly, "Europe/Berlin", waiting("2026-11-21T10:07:30Z", LONG), "2026-11-21T11:00:00Z");
        assert_goes(&hourly, "Europe/Berlin", waiting("2026-11-21T10:00:00Z", LONG), "2026-11-21T11:00:00Z");
        // India's clocks are half an hour off.
        assert_goes(&hourly, "Asia/Kolkata", waiting("2026-11-21T10:07:00Z", LONG), "2026-11-21T10:30:00Z");
    }

    #[test]
    fn a_daily_digest_goes_at_the_hour_of_the_person_also_when_the_clocks_change() {
        let daily = |hour| Choices { pace: Pace::Daily, digest_hour: hour, ..Choices::default() };
        let berlin = "Europe/Berlin";
        assert_goes(&daily(8), berlin, waiting("2026-11-21T06:59:00Z", LONG), "2026-11-21T07:00:00Z");
        assert_goes(&daily(8), berlin, waiting("2026-11-21T07:00:00Z", LONG), "2026-11-22T07:00:00Z");
        assert_goes(&daily(8), berlin, waiting("2026-10-24T07:00:00Z", LONG), "2026-10-25T07:00:00Z");
        // On 28 March 2027 there is no two o'clock in Berlin, on 25 October 2026 there are two: one digest on either.
        assert_goes(&daily(2), berlin, waiting("2027-03-27T20:00:00Z", LONG), "2027-03-28T01:00:00Z");
        assert_goes(&daily(2), berlin, waiting("2026-10-24T20:00:00Z", LONG), "2026-10-25T00:00:00Z");
        assert_goes(&daily(2), berlin, waiting("2026-10-25T00:00:00Z", LONG), "2026-10-26T01:00:00Z");
    }

    #[test]
    fn neither_a_reminder_nor_what_expires_before_it_waits_for_a_digest() {
        let daily = Choices { pace: Pace::Daily, ..Choices::default() };
        assert_goes(&daily, "UTC", waiting("2026-11-21T10:00:00Z", "2026-11-22T08:00:00Z"), "2026-11-21T10:00:00Z");
        assert_goes(&daily, "UTC", waiting("2026-11-21T10:00:00Z", "2026-11-22T08:00:01Z"), "2026-11-22T08:00:00Z");
        for kind in [Kind::HalfTime, Kind::LastHour, Kind::Blind, Kind::Seen] {
            let news = News { kind, ..waiting("2026-11-21T10:00:00Z", LONG) };
            assert_goes(&daily, "UTC", news, "2026-11-21T10:00:00Z");
        }
        // What is over has no deadline any more.
        let over = News { kind: Kind::Decided, ..waiting("2026-11-21T10:00:00Z", "2026-11-21T11:00:00Z") };
        assert_goes(&daily, "UTC", over, "2026-11-22T08:00:00Z");
    }

    #[test]
    fn quiet_hours_hold_letters_back_until_they_end_also_over_midnight() {
        let night = quiet("22:00", "07:00");
        let berlin = "Europe/Berlin";
        assert_goes(&night, berlin, waiting("2026-11-21T20:59:59Z", LONG), "2026-11-21T20:59:59Z");
        assert_goes(&night, berlin, waiting("2026-11-21T21:00:00Z", LONG), "2026-11-22T06:00:00Z");
        assert_goes(&night, berlin, waiting("2026-11-22T02:00:00Z", LONG), "2026-11-22T06:00:00Z");
        assert_goes(&night, berlin, waiting("2026-11-22T06:00:00Z", LONG), "2026-11-22T06:00:00Z");
        let noon = quiet("12:00", "13:30");
        assert_goes(&noon, "UTC", waiting("2026-11-21T12:30:00Z", LONG), "2026-11-21T13:30:00Z");
        assert_goes(&noon, "UTC", waiting("2026-11-21T14:00:00Z", LONG), "2026-11-21T14:00:00Z");
    }

    #[test]
    fn quiet_hours_end_by_the_persons_clock_on_the_days_that_have_23_or_25_hours() {
        let berlin = "Europe/Berlin";
        // Summer time begins on 28 March 2027 at two, and ends on 25 October 2026 at three.
        assert_goes(&quiet("22:00", "07:00"), berlin, waiting("2027-03-27T22:00:00Z", LONG), "2027-03-28T05:00:00Z");
        assert_goes(&quiet("22:00", "07:00"), berlin, waiting("2026-10-24T21:00:00Z", LONG), "2026-10-25T06:00:00Z");
        // Half past two does not exist on the one day, and exists twice on the other.
        assert_goes(&quiet("22:00", "02:30"), berlin, waiting("2027-03-27T22:00:00Z", LONG), "2027-03-28T01:30:00Z");
        assert_goes(&quiet("22:00", "02:30"), berlin, waiting("2026-10-24T22:00:00Z", LONG), "2026-10-25T00:30:00Z");
        assert_goes(&quiet("22:00", "02:30"), berlin, waiting("2026-10-25T01:10:00Z", LONG), "2026-10-25T01:30:00Z");
    }

    #[test]
    fn what_would_expire_within_the_quiet_hours_is_told_all_the_same_where_that_is_wanted() {
        let night = quiet("22:00", "07:00");
        let expiring = waiting("2026-11-21T23:00:00Z", "2026-11-22T06:59:00Z");
        assert_goes(&night, "UTC", expiring, "2026-11-21T23:00:00Z");
        let strict = Choices { except_expiring: false, ..night.clone() };
        assert_goes(&strict, "UTC", expiring, "2026-11-22T07:00:00Z");
        assert_goes(&night, "UTC", waiting("2026-11-21T23:00:00Z", "2026-11-22T07:01:00Z"), "2026-11-22T07:00:00Z");
        let reminder = News { kind: Kind::LastHour, ..expiring };
        assert_goes(&night, "UTC", reminder, "2026-11-21T23:00:00Z");
    }

    #[test]
    fn a_digest_that_falls_into_the_quiet_hours_goes_when_they_end() {
        let choices = Choices { pace: Pace::Daily, digest_hour: 3, ..quiet("22:00", "07:00") };
        assert_goes(&choices, "UTC", waiting("2026-11-21T12:00:00Z", LONG), "2026-11-22T07:00:00Z");
    }

    #[test]
    fn names_read_back() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_name(kind.name()), Some(*kind));
        }
        for pace in Pace::ALL {
            assert_eq!(Pace::from_name(pace.name()), Some(pace));
        }
    }
}
