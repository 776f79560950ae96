//! What becomes of what nobody decides, at gates where an admin chose that the portal rejects it: when that is, and by which
//! option. Works moments out; rejects nothing.
//!
//! Whatever is unclear puts it off. Of several options that fit, the one that leaves the most time counts. An option counts
//! from when it was given or the portal found the approval, and all of them anew from when another that fitted was ended, or
//! from when a decision came to nothing: no click of an admin's makes anything due at once, and nothing is due that nobody
//! could have decided here. Tags that are not known make nothing due.

use jiff::{SignedDuration, Timestamp};
use sqlx::PgConnection;

use super::right::TAGS_LAST;
use crate::domain::access::{OptionKind, Tags};
use crate::domain::ids::Gate;
use crate::store::access::options::{self, EndedOption, GateOption};
use crate::store::access::tags;
use crate::store::approvals::Approval;
use crate::store::decisions::unattended::{self, Ended};

/// After a rejection under a rule that came to nothing: what AWS refuses once it refuses again, and each try leaves records.
const AFTER_ITS_OWN: SignedDuration = SignedDuration::from_hours(1);

/// Every option by which the portal rejects, and those that were one lately.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    live: Vec<GateOption>,
    ended: Vec<EndedOption>,
}

/// What the rules are asked about.
#[derive(Debug, Clone, Copy)]
pub struct Waits<'a> {
    pub gate: &'a Gate,
    pub opened_at: Timestamp,
    /// When the portal saw it first: until then nobody could decide it here, or be told.
    pub found_at: Timestamp,
    pub ended: Ended,
}

/// What the rules say of an approval.
#[derive(Debug, Clone, Copy)]
pub enum Due<'a> {
    Never,
    /// It is rejected then, if nobody has decided it, by this option.
    At(Timestamp, &'a GateOption),
    /// Whether and when hangs on tags that are not known.
    NotKnown,
}

/// The same, as people are told it beforehand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Foretold {
    #[default]
    Never,
    At(Timestamp),
    NotKnown,
}

impl Rules {
    /// One query, and another while there is any.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn load(conn: &mut PgConnection, now: Timestamp) -> sqlx::Result<Self> {
        let mut live = options::list_live(conn).await?;
        live.retain(|option| option.kind == OptionKind::RejectUnattended);
        if live.is_empty() {
            return Ok(Self::default());
        }
        let longest = SignedDuration::from_mins((*OptionKind::RejectUnattended.minutes().end()).into());
        let since = now.checked_sub(longest).unwrap_or(now);
        let ended = options::list_ended_since(conn, OptionKind::RejectUnattended, since).await?;
        Ok(Self { live, ended })
    }

    /// The fewest minutes of any of them. None: there is no rule.
    #[must_use]
    pub fn fewest_minutes(&self) -> Option<i32> {
        self.live.iter().map(|option| option.minutes).min()
    }

    /// Whether a rule of this gate's is about tags.
    #[must_use]
    pub fn hang_on_tags(&self, gate: &Gate) -> bool {
        self.live.iter().any(|option| option.gates.tag.is_some() && option.gates.fits_names(gate))
    }

    /// What they say of an approval, by the tags as they are known.
    #[must_use]
    pub fn of(&self, waits: Waits<'_>, tags: Option<&Tags>) -> Due<'_> {
        if tags.is_none() && self.hang_on_tags(waits.gate) {
            return Due::NotKnown;
        }
        let ended = self.ended.iter().filter(|one| match tags {
            Some(_) => one.gates.fits(waits.gate, tags),
            None => one.gates.fits_names(waits.gate),
        });
        let anew = ended.map(|one| one.until).chain(waits.ended.last).max();
        let fitting = self.live.iter().filter(|option| option.gates.fits(waits.gate, tags));
        let at = |option: &GateOption| {
            let from = waits.opened_at.max(waits.found_at).max(option.from).max(anew.unwrap_or(option.from));
            after(from, SignedDuration::from_mins(option.minutes.into()))
        };
        let Some(option) = fitting.max_by_key(|option| (at(option), option.id.0)) else { return Due::Never };
        let not_before = waits.ended.by_rule.map_or(Timestamp::MIN, |ended| after(ended, AFTER_ITS_OWN));
        Due::At(at(option).max(not_before), option)
    }

    /// What people are told of an approval beforehand. AWS's own deadline may come first: then there is nothing to tell.
    #[must_use]
    pub fn foretell(&self, waits: Waits<'_>, expires_at: Timestamp, tags: Option<&Tags>) -> Foretold {
        match self.of(waits, tags) {
            Due::At(at, _) if at < expires_at => Foretold::At(at),
            Due::NotKnown => Foretold::NotKnown,
            Due::At(..) | Due::Never => Foretold::Never,
        }
    }

    /// The same for one approval, with what is not at hand.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn find_foretold(
        &self,
        conn: &mut PgConnection,
        approval: &Approval,
        now: Timestamp,
    ) -> sqlx::Result<Foretold> {
        let gate = &approval.gate;
        if !self.live.iter().any(|option| option.gates.fits_names(gate)) {
            return Ok(Foretold::Never);
        }
        let since = now.checked_sub(TAGS_LAST).unwrap_or(now);
        let known = match self.hang_on_tags(gate) {
            true => tags::find(conn, (&gate.source, &gate.pipeline), since).await?,
            false => None,
        };
        let waits = Waits::of(approval, unattended::find_ended(conn, approval.id).await?);
        Ok(self.foretell(waits, approval.expires_at, known.as_ref()))
    }
}

impl<'a> Waits<'a> {
    #[must_use]
    pub fn of(approval: &'a Approval, ended: Ended) -> Self {
        Self { gate: &approval.gate, opened_at: approval.opened_at, found_at: approval.found_at, ended }
    }
}

fn after(from: Timestamp, wait: SignedDuration) -> Timestamp {
    from.checked_add(wait).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::access::{GateFields, GatePattern};
    use crate::domain::ids::GateOptionId;

    fn at(time: &str) -> Timestamp {
        format!("2026-11-21T{time}:00Z").parse().unwrap()
    }

    fn gates(pipeline: &str, tag: Option<(&str, &str)>) -> GatePattern {
        let (tag_key, tag_value) = tag.map(|(key, value)| (key.into(), value.into())).unwrap_or_default();
        let fields = GateFields { pipeline: pipeline.into(), tag_key, tag_value, ..GateFields::default() };
        GatePattern::parse(&fields).unwrap()
    }

    fn option(minutes: i32, from: &str, gates: GatePattern) -> GateOption {
        GateOption {
            id: GateOptionId(uuid::Uuid::from_u128(minutes.unsigned_abs().into())),
            kind: OptionKind::RejectUnattended,
            gates,
            minutes,
            note: String::new(),
            from: at(from),
            given_by: None,
        }
    }

    fn gate() -> Gate {
        Gate::parse(["prod", "shop", "Production", "Release"]).unwrap()
    }

    /// When what opened at ten is due, in words.
    fn due(live: Vec<GateOption>, ended: &[(&str, GatePattern)], failed: Ended, tags: Option<&Tags>) -> String {
        let ended = ended.iter().map(|(until, gates)| EndedOption { gates: gates.clone(), until: at(until) }).collect();
        let (rules, gate) = (Rules { live, ended }, gate());
        let (opened_at, found_at) = (at("10:00"), at("10:00"));
        match rules.of(Waits { gate: &gate, opened_at, found_at, ended: failed }, tags) {
            Due::Never => "never".into(),
            Due::NotKnown => "not known".into(),
            Due::At(at, option) => format!("{} by {}", &at.to_string()[11..16], option.minutes),
        }
    }

    const NONE: Ended = Ended { last: None, by_rule: None };

    #[test]
    fn an_option_counts_from_the_opening_or_from_when_it_was_given_whichever_was_later() {
        assert_eq!(due(vec![], &[], NONE, None), "never");
        assert_eq!(due(vec![option(60, "09:00", gates("blog", None))], &[], NONE, None), "never");
        assert_eq!(due(vec![option(60, "09:00", gates("shop", None))], &[], NONE, None), "11:00 by 60");
        assert_eq!(due(vec![option(60, "10:50", gates("shop", None))], &[], NONE, None), "11:50 by 60");
    }

    #[test]
    fn what_was_found_late_counts_from_when_it_was_found() {
        let (rules, gate) = (Rules { live: vec![option(60, "09:00", gates("shop", None))], ended: vec![] }, gate());
        let waits = Waits { gate: &gate, opened_at: at("10:00"), found_at: at("12:00"), ended: NONE };
        assert!(matches!(rules.of(waits, None), Due::At(due, _) if due == at("13:00")));
    }

    #[test]
    fn of_several_the_one_that_leaves_the_most_time_counts() {
        let both = vec![option(60, "10:20", gates("sh*", None)), option(90, "09:00", gates("shop", None))];
        assert_eq!(due(both, &[], NONE, None), "11:30 by 90");
        let both = vec![option(60, "10:45", gates("sh*", None)), option(90, "09:00", gates("shop", None))];
        assert_eq!(due(both, &[], NONE, None), "11:45 by 60");
    }

    #[test]
    fn ending_an_option_makes_nothing_due_at_once() {
        let live = || vec![option(5, "09:00", gates("shop", None))];
        assert_eq!(due(live(), &[("15:00", gates("sh*", None))], NONE, None), "15:05 by 5");
        assert_eq!(due(live(), &[("15:00", gates("blog", None))], NONE, None), "10:05 by 5");
    }

    #[test]
    fn a_decision_that_came_to_nothing_starts_the_time_anew_and_the_rules_own_at_least_an_hour() {
        let live = || vec![option(5, "09:00", gates("shop", None))];
        let failed = Ended { last: Some(at("11:00")), by_rule: None };
        assert_eq!(due(live(), &[], failed, None), "11:05 by 5");
        let failed = Ended { last: Some(at("11:00")), by_rule: Some(at("11:00")) };
        assert_eq!(due(live(), &[], failed, None), "12:00 by 5");
    }

    #[test]
    fn tags_that_are_not_known_make_nothing_due() {
        let live =
            || vec![option(5, "09:00", gates("shop", None)), option(60, "09:00", gates("*", Some(("tier", "gold"))))];
        let tier = |value: &str| Tags::from([("tier".to_owned(), value.to_owned())]);
        assert_eq!(due(live(), &[], NONE, None), "not known");
        assert_eq!(due(live(), &[], NONE, Some(&tier("gold"))), "11:00 by 60");
        assert_eq!(due(live(), &[], NONE, Some(&tier("tin"))), "10:05 by 5");
    }

    #[test]
    fn what_aws_fails_before_is_not_foretold() {
        let (rules, gate) = (Rules { live: vec![option(60, "09:00", gates("shop", None))], ended: vec![] }, gate());
        let waits = Waits { gate: &gate, opened_at: at("10:00"), found_at: at("10:00"), ended: NONE };
        assert_eq!(rules.foretell(waits, at("10:45"), None), Foretold::Never);
        assert_eq!(rules.foretell(waits, at("12:00"), None), Foretold::At(at("11:00")));
    }
}
