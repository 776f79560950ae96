//! What can be recorded. A closed list with names that never change: a name is hashed into every entry that uses it. Kinds
//! are added, never renamed, and never reused for something else.

use std::str::FromStr;

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal,)*) => {
        /// What a record tells.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Kind { $($(#[$doc])* $kind,)* }

        impl Kind {
            pub const ALL: &[Self] = &[$(Self::$kind,)*];

            /// The stable name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)* }
            }
        }
    };
}

kinds! {
    /// A person decided; nothing was sent yet.
    DecisionIntended = "decision.intended",
    /// An attempt at AWS begins.
    DecisionSent = "decision.sent",
    DecisionAccepted = "decision.accepted",
    /// AWS refused it.
    DecisionRefused = "decision.refused",
    /// Somebody decided at AWS first.
    DecisionElsewhere = "decision.elsewhere",
    DecisionStale = "decision.stale",
    /// AWS's answer is not known.
    DecisionUnsure = "decision.unsure",
    DecisionLapsed = "decision.lapsed",
    /// Surely not applied; it is sent again.
    DecisionRequeued = "decision.requeued",
    DecisionNeedsPerson = "decision.needs_person",
    /// A person tried to decide and was not allowed to, or was too late.
    DecisionAttemptRefused = "decision.attempt_refused",
    ApprovalOpened = "approval.opened",
    ApprovalDecidedElsewhere = "approval.decided_elsewhere",
    ApprovalClosed = "approval.closed",
    AccountCreated = "account.created",
    AccountDisabled = "account.disabled",
    AccountEnabled = "account.enabled",
    AccountChanged = "account.changed",
    AccountPasswordChanged = "account.password_changed",
    AccountPasswordReset = "account.password_reset",
    SessionStarted = "session.started",
    SessionEnded = "session.ended",
    SignInFailed = "sign_in.failed",
    SignInThrottled = "sign_in.throttled",
    /// What strangers did, counted instead of recorded one by one.
    StrangersCounted = "strangers.counted",
    SetupSecretIssued = "setup.secret_issued",
    SetupCompleted = "setup.completed",
    SourceBlind = "source.blind",
    SourceSeen = "source.seen",
    SettingsChanged = "settings.changed",
    /// A payload was erased by the owner; written by `audit.redact` alone.
    RecordRedacted = "record.redacted",
}

/// A name that is no kind of this release.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no kind of record this release knows")]
pub struct UnknownKind(pub String);

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(name: &str) -> Result<Self, UnknownKind> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name).ok_or_else(|| UnknownKind(name.to_owned()))
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct_and_read_back() {
        for kind in Kind::ALL {
            assert_eq!(kind.name().parse(), Ok(*kind));
            assert!(kind.name().bytes().all(|byte| byte.is_ascii_lowercase() || b"._".contains(&byte)), "{kind}");
        }
        assert_eq!("decision.invented".parse::<Kind>(), Err(UnknownKind("decision.invented".to_owned())));
    }
}
