//! Standings, states and verdicts as chips: an icon, a word, a tone. Colour alone never tells anything.

use crate::domain::approval::Standing;
use crate::domain::decision::{State, Verdict};

/// How a chip feels. Names a CSS modifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    Waiting,
    Busy,
    Good,
    Bad,
    Quiet,
}

impl Tone {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Busy => "busy",
            Self::Good => "good",
            Self::Bad => "bad",
            Self::Quiet => "quiet",
        }
    }
}

/// An icon and a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chip {
    pub tone: Tone,
    pub icon: &'static str,
    pub text: String,
}

fn chip(tone: Tone, icon: &'static str, text: &str) -> Chip {
    Chip { tone, icon, text: text.to_owned() }
}

#[must_use]
pub fn of_standing(standing: Standing) -> Chip {
    match standing {
        Standing::Open => chip(Tone::Waiting, "●", "open"),
        Standing::Submitting => chip(Tone::Busy, "↑", "submitting"),
        Standing::Unsure => chip(Tone::Busy, "?", "unsure"),
        Standing::Approved => chip(Tone::Good, "✓", "approved"),
        Standing::Rejected => chip(Tone::Bad, "✕", "rejected"),
        Standing::Expired => chip(Tone::Quiet, "⌛", "expired"),
        Standing::Superseded => chip(Tone::Quiet, "»", "superseded"),
        Standing::Stopped => chip(Tone::Quiet, "■", "stopped"),
        Standing::Gone => chip(Tone::Quiet, "∅", "gone"),
    }
}

/// What became of a decision. "Accepted" is AWS's word; before it nothing here says that a verdict took effect.
#[must_use]
pub fn of_state(state: State) -> Chip {
    match state {
        State::Intent => chip(Tone::Busy, "↑", "not sent yet"),
        State::Submitting => chip(Tone::Busy, "↑", "submitting"),
        State::Unsure => chip(Tone::Busy, "?", "unsure"),
        State::Accepted => chip(Tone::Good, "✓", "accepted by AWS"),
        State::Refused => chip(Tone::Bad, "!", "refused by AWS"),
        State::Elsewhere => chip(Tone::Quiet, "↗", "decided elsewhere"),
        State::Stale => chip(Tone::Quiet, "∅", "stale"),
        State::Lapsed => chip(Tone::Quiet, "⌛", "lapsed, not sent"),
    }
}

#[must_use]
pub fn of_verdict(verdict: Verdict) -> Chip {
    match verdict {
        Verdict::Approved => chip(Tone::Good, "✓", "approved"),
        Verdict::Rejected => chip(Tone::Bad, "✕", "rejected"),
    }
}

/// A status as AWS writes it for stages and actions. One that AWS invents later is shown as AWS wrote it.
#[must_use]
pub fn of_run_status(status: &str) -> Chip {
    match status {
        "" => chip(Tone::Quiet, "○", "not reached"),
        "Succeeded" => chip(Tone::Good, "✓", "succeeded"),
        "InProgress" => chip(Tone::Waiting, "●", "in progress"),
        "Failed" => chip(Tone::Bad, "✕", "failed"),
        "Stopping" => chip(Tone::Busy, "■", "stopping"),
        "Stopped" => chip(Tone::Quiet, "■", "stopped"),
        "Cancelled" => chip(Tone::Quiet, "∅", "cancelled"),
        "Abandoned" => chip(Tone::Quiet, "■", "abandoned"),
        "Superseded" => chip(Tone::Quiet, "»", "superseded"),
        "Skipped" => chip(Tone::Quiet, "↷", "skipped"),
        other => chip(Tone::Quiet, "·", &crate::domain::text::visible(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_accepted_decision_reads_as_taken_effect() {
        for state in State::ALL {
            assert_eq!(of_state(*state).tone == Tone::Good, *state == State::Accepted, "{state}");
        }
    }

    #[test]
    fn each_standing_is_told_apart_without_colour() {
        let mut texts: Vec<_> = Standing::ALL.iter().map(|s| of_standing(*s).text).collect();
        texts.dedup();
        assert_eq!(texts.len(), Standing::ALL.len());
    }
}
