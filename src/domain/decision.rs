//! A decision's life. [`State`] and [`State::may_become`] are the state machine that the database, the sender and the
//! settler share; nothing else decides what may follow what.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::approval::named;
use super::ids::{AccountId, GateOptionId};

named!(
    /// What a person says about an approval.
    Verdict {
        Approved = "approved",
        Rejected = "rejected",
    }
);

impl Verdict {
    /// The opposite verdict.
    #[must_use]
    pub fn opposite(self) -> Self {
        match self {
            Self::Approved => Self::Rejected,
            Self::Rejected => Self::Approved,
        }
    }
}

named!(
    /// Where a decision is between a person's click and AWS's answer.
    State {
        /// Recorded; nothing has been sent, or what was sent surely had no effect and may be sent again.
        Intent = "intent",
        /// One attempt is on its way. At most one per approval, ever.
        Submitting = "submitting",
        /// An attempt's fate is unknown. Nothing is sent until reading AWS back has settled it.
        Unsure = "unsure",
        /// AWS said so, or our marker was read back.
        Accepted = "accepted",
        /// AWS surely did not take it: not allowed, or not valid.
        Refused = "refused",
        /// Somebody else's answer is at AWS.
        Elsewhere = "elsewhere",
        /// What was to be answered is gone: expired, stopped, superseded, edited, deleted.
        Stale = "stale",
        /// Not sent: too old, no longer allowed, or withdrawn.
        Lapsed = "lapsed",
    }
);

impl State {
    /// Whether this state ends the decision.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Accepted | Self::Refused | Self::Elsewhere | Self::Stale | Self::Lapsed)
    }

    /// Whether a decision in this state keeps its approval to itself (the unique index of the decision table).
    #[must_use]
    pub fn holds_the_approval(self) -> bool {
        matches!(self, Self::Intent | Self::Submitting | Self::Unsure | Self::Accepted)
    }

    /// The transitions, and no others.
    #[must_use]
    pub fn may_become(self, next: Self) -> bool {
        match self {
            // Accepted and Unsure: an earlier attempt that was taken for lost had landed after all.
            Self::Intent => matches!(
                next,
                Self::Submitting | Self::Lapsed | Self::Stale | Self::Elsewhere | Self::Accepted | Self::Unsure
            ),
            Self::Submitting => matches!(next, Self::Accepted | Self::Intent | Self::Refused | Self::Unsure),
            Self::Unsure => matches!(next, Self::Accepted | Self::Elsewhere | Self::Stale | Self::Intent),
            Self::Accepted | Self::Refused | Self::Elsewhere | Self::Stale | Self::Lapsed => false,
        }
    }
}

/// Who made a decision, with what can only have been theirs to say. The portal itself can only reject: that it approved cannot
/// even be written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Maker {
    Person {
        account: AccountId,
        /// For whom, when they stand in for somebody.
        for_account: Option<AccountId>,
        verdict: Verdict,
    },
    /// Nobody decided in time, and this option says that it is rejected then.
    Rule(GateOptionId),
}

impl Maker {
    #[must_use]
    pub fn verdict(self) -> Verdict {
        match self {
            Self::Person { verdict, .. } => verdict,
            Self::Rule(_) => Verdict::Rejected,
        }
    }

    /// Whose it is; nobody's under a rule.
    #[must_use]
    pub fn account(self) -> Option<AccountId> {
        match self {
            Self::Person { account, .. } => Some(account),
            Self::Rule(_) => None,
        }
    }

    /// In whose place.
    #[must_use]
    pub fn for_account(self) -> Option<AccountId> {
        match self {
            Self::Person { for_account, .. } => for_account,
            Self::Rule(_) => None,
        }
    }

    /// The option under which it was made, where nobody made it.
    #[must_use]
    pub fn rule(self) -> Option<GateOptionId> {
        match self {
            Self::Person { .. } => None,
            Self::Rule(option) => Some(option),
        }
    }
}

/// The channel of what the portal decides under a rule. No [`Channel`]: nobody asks by it.
pub const BY_RULE: &str = "rule";

/// As whom the portal signs what it decides under a rule.
pub const SIGNED_BY_RULE: &str = "Countersign (rule)";

/// How a decision of somebody's reached the portal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    Page,
    Link,
    Api,
}

impl Channel {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Link => "link",
            Self::Api => "api",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn final_states_stay_and_live_ones_can_end() {
        for from in State::ALL {
            let onward: Vec<_> = State::ALL.iter().filter(|to| from.may_become(**to)).collect();
            assert_eq!(onward.is_empty(), from.is_final(), "{from}: {onward:?}");
        }
    }

    #[test]
    fn nothing_is_sent_while_the_fate_of_the_first_is_unknown() {
        assert!(!State::Unsure.may_become(State::Submitting));
        assert!(!State::Submitting.may_become(State::Submitting));
    }

    #[test]
    fn a_rule_never_approves_and_is_nobody() {
        let made = Maker::Rule(GateOptionId(uuid::Uuid::from_u128(3)));
        assert_eq!((made.verdict(), made.account(), made.for_account()), (Verdict::Rejected, None, None));
    }

    #[test]
    fn what_was_sent_never_simply_lapses() {
        assert!(!State::Submitting.may_become(State::Lapsed));
        assert!(!State::Unsure.may_become(State::Lapsed));
    }
}
