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
    /// Others may know it: it must be changed at the next sign-in.
    AccountPasswordCompromised = "account.password_compromised",
    /// Pseudonymised for good.
    AccountDeleted = "account.deleted",
    /// An invitation was made, or made anew.
    AccountInvited = "account.invited",
    /// The invited person chose how to sign in.
    AccountInvitationAccepted = "account.invitation_accepted",
    /// A link for a new password was made, by an admin or because somebody asked for it.
    AccountResetStarted = "account.reset_started",
    FactorAdded = "factor.added",
    FactorRemoved = "factor.removed",
    /// A passkey has another name.
    FactorRenamed = "factor.renamed",
    /// A second factor was wrong, replayed, or a passkey's counter went back.
    FactorRefused = "factor.refused",
    RecoveryCodesMade = "factor.recovery_codes_made",
    /// Somebody proved afresh who they are (S-18).
    SteppedUp = "session.stepped_up",
    /// An identity of another provider became one of an account's, or ceased to be (S-21).
    IdentityLinked = "identity.linked",
    IdentityUnlinked = "identity.unlinked",
    TokenCreated = "token.created",
    TokenRevoked = "token.revoked",
    GroupCreated = "group.created",
    GroupChanged = "group.changed",
    GroupRemoved = "group.removed",
    GrantGiven = "grant.given",
    GrantEnded = "grant.ended",
    /// Gates ask for fresh proof from now on, or do so no longer.
    StepUpRequired = "step_up.required",
    StepUpLifted = "step_up.lifted",
    /// Something holds of some gates from now on, or does so no longer.
    GateOptionSet = "gate_option.set",
    GateOptionEnded = "gate_option.ended",
    /// A group is told of what nobody decides from now on, or no longer.
    EscalationMade = "escalation.made",
    EscalationEnded = "escalation.ended",
    StandInNamed = "stand_in.named",
    StandInEnded = "stand_in.ended",
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
    /// An admin had a mail tried again that was not delivered.
    MailSentAgain = "mail.sent_again",
    /// A chat or another program is told what happens from now on, otherwise than before, or no longer.
    ChannelMade = "channel.made",
    ChannelChanged = "channel.changed",
    ChannelEnded = "channel.ended",
    /// An admin had a message sent to it that says nothing.
    ChannelTested = "channel.tested",
    /// An admin had a message sent to it once more.
    ChannelSentAgain = "channel.sent_again",
    /// A browser is told from now on what waits for its person, or no longer.
    PushStarted = "push.started",
    PushEnded = "push.ended",
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
