//! Where an approval stands. [`Standing`] is the one answer, derived in one place from what AWS was last seen to say and
//! from the live decision; pages, API and watcher match on it and never work it out for themselves.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::decision::State;

macro_rules! named {
    ($(#[$doc:meta])* $type:ident { $($(#[$vdoc:meta])* $variant:ident = $name:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $type { $($(#[$vdoc])* #[serde(rename = $name)] $variant),+ }
        impl $type {
            pub const ALL: &'static [$type] = &[$($type::$variant),+];
            /// The stable name, as stored and as shown to machines.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $($type::$variant => $name),+ }
            }
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|it| it.name() == name)
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}
pub(crate) use named;

named!(
    /// What AWS was last seen to say about an approval.
    AtAws {
        /// It waits for an answer.
        Open = "open",
        Approved = "approved",
        Rejected = "rejected",
        /// Nobody answered in time.
        Expired = "expired",
        /// Its run was replaced by a newer one.
        Superseded = "superseded",
        /// Its run was stopped.
        Stopped = "stopped",
        /// The pipeline was edited or deleted, or the stage retried: the request no longer exists.
        Gone = "gone",
    }
);

named!(
    /// The one answer to "where is this approval?".
    Standing {
        Open = "open",
        /// A decision has been made here and is on its way to AWS.
        Submitting = "submitting",
        /// A decision was sent and its fate is not known yet; it is being settled by reading AWS back.
        Unsure = "unsure",
        Approved = "approved",
        Rejected = "rejected",
        Expired = "expired",
        Superseded = "superseded",
        Stopped = "stopped",
        Gone = "gone",
    }
);

impl Standing {
    /// Derives the standing from what AWS was last seen to say and the state of the approval's live decision, if any.
    ///
    /// An unsettled decision wins over what was read: a read may be older than the send (a stale read must not flip
    /// the page back to open).
    #[must_use]
    pub fn derive(at_aws: AtAws, live: Option<State>) -> Self {
        match (live, at_aws) {
            (Some(State::Intent | State::Submitting), _) => Self::Submitting,
            (Some(State::Unsure), _) => Self::Unsure,
            (_, AtAws::Open) => Self::Open,
            (_, AtAws::Approved) => Self::Approved,
            (_, AtAws::Rejected) => Self::Rejected,
            (_, AtAws::Expired) => Self::Expired,
            (_, AtAws::Superseded) => Self::Superseded,
            (_, AtAws::Stopped) => Self::Stopped,
            (_, AtAws::Gone) => Self::Gone,
        }
    }

    /// Whether somebody may still decide.
    #[must_use]
    pub fn is_open(self) -> bool {
        self == Self::Open
    }

    /// Whether it belongs on the queue: it waits, or its decision is not settled yet.
    #[must_use]
    pub fn is_live(self) -> bool {
        matches!(self, Self::Open | Self::Submitting | Self::Unsure)
    }
}

named!(
    /// Where the decision was made.
    Decided {
        Here = "here",
        /// In the console, by the CLI, by another tool.
        Elsewhere = "elsewhere",
    }
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unsettled_decision_wins_over_what_was_last_read() {
        for at_aws in AtAws::ALL {
            assert_eq!(Standing::derive(*at_aws, Some(State::Unsure)), Standing::Unsure);
            assert_eq!(Standing::derive(*at_aws, Some(State::Submitting)), Standing::Submitting);
            assert_eq!(Standing::derive(*at_aws, None).name(), at_aws.name());
            assert_eq!(Standing::derive(*at_aws, Some(State::Lapsed)).name(), at_aws.name());
        }
    }

    #[test]
    fn names_read_back() {
        for standing in Standing::ALL {
            assert_eq!(Standing::from_name(standing.name()), Some(*standing));
        }
    }
}
