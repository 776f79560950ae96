//! Names and ids as types of their own, so that a stage cannot be passed for an action. What is constrained by AWS is
//! checked at the edge by `parse`; what is a secret does not print itself.

use std::fmt;

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Why a text is not a valid name or id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {problem}")]
pub struct BadId {
    what: &'static str,
    problem: &'static str,
}

/// AWS names: 1 to 100 characters of `[A-Za-z0-9.@\-_]` (CodePipeline API Reference, PipelineName, StageName, ActionName).
fn check_aws_name(what: &'static str, text: &str) -> Result<(), BadId> {
    if text.is_empty() || text.len() > 100 {
        return Err(BadId { what, problem: "must have 1 to 100 characters" });
    }
    if !text.bytes().all(|b| b.is_ascii_alphanumeric() || b".@-_".contains(&b)) {
        return Err(BadId { what, problem: "may only contain letters, digits, and . @ - _" });
    }
    Ok(())
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks the constraints and takes the text.
            ///
            /// # Errors
            /// [`BadId`] says which constraint is broken.
            pub fn parse(text: impl Into<String>) -> Result<Self, BadId> {
                let text = text.into();
                let check: fn(&'static str, &str) -> Result<(), BadId> = $check;
                check($what, &text)?;
                Ok(Self(text))
            }
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl TryFrom<String> for $name {
            type Error = BadId;
            fn try_from(text: String) -> Result<Self, BadId> {
                Self::parse(text)
            }
        }
        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }
    };
}

text_id!(
    /// The operator's name for a source: 1 to 64 characters of `[a-z0-9-_.]`.
    SourceName, "the source's name", |what, text| {
        if text.is_empty() || text.len() > 64 {
            return Err(BadId { what, problem: "must have 1 to 64 characters" });
        }
        if !text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b)) {
            return Err(BadId { what, problem: "may only contain lower-case letters, digits, and - _ ." });
        }
        Ok(())
    }
);
text_id!(
    /// A pipeline's name.
    PipelineName, "the pipeline's name", check_aws_name
);
text_id!(
    /// A stage's name.
    StageName, "the stage's name", check_aws_name
);
text_id!(
    /// An action's name.
    ActionName, "the action's name", check_aws_name
);
text_id!(
    /// One run of a pipeline. AWS documents a lower-case UUID; anything printable up to 100 characters is accepted here,
    /// because the id is only ever compared and handed back.
    ExecutionId, "the execution id", |what, text| {
        if text.is_empty() || text.len() > 100 || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(BadId { what, problem: "must have 1 to 100 printable characters without spaces" });
        }
        Ok(())
    }
);

/// The token that answers one approval request. It is no credential by itself, but it stays out of logs and pages: it
/// prints as its first eight characters.
#[derive(Clone, PartialEq, Eq)]
pub struct ApprovalToken(String);

impl ApprovalToken {
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The token itself, for the one place that sends it to AWS and the one that stores it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// SHA-256 of the token: what records and fingerprints carry.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        sha256(self.0.as_bytes())
    }

    /// Whether `PutApprovalResult` would accept its form: a lower-case UUID (CodePipeline API Reference, ApprovalToken).
    #[must_use]
    pub fn is_answerable(&self) -> bool {
        self.0.len() == 36
            && self.0.bytes().enumerate().all(|(i, b)| match i {
                8 | 13 | 18 | 23 => b == b'-',
                _ => b.is_ascii_digit() || (b'a'..=b'f').contains(&b),
            })
    }
}

impl fmt::Debug for ApprovalToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head: String = self.0.chars().take(8).collect();
        write!(f, "ApprovalToken({head}…)")
    }
}

/// SHA-256, by the same library that does TLS.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    out
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
        impl std::str::FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                Uuid::parse_str(text).map(Self)
            }
        }
    };
}

uuid_id!(
    /// A person's account.
    AccountId
);
uuid_id!(
    /// One waiting, or once waiting, request at a gate.
    ApprovalId
);
uuid_id!(
    /// One person's verdict on one approval.
    DecisionId
);
uuid_id!(
    /// A group of people.
    GroupId
);
uuid_id!(
    /// That a group or person may do something at the gates that fit.
    GrantId
);
uuid_id!(
    /// That a group is told of what nobody decides.
    EscalationId
);
uuid_id!(
    /// That gates ask for fresh proof of who decides.
    StepUpGateId
);
uuid_id!(
    /// Something that holds of some gates and not of others.
    GateOptionId
);
uuid_id!(
    /// A link to an approval in a mail to one person.
    MailedLinkId
);
uuid_id!(
    /// A chat or another program that is told what happens.
    ChannelId
);
uuid_id!(
    /// The gates that a channel is told of.
    ChannelGatesId
);
uuid_id!(
    /// One message to a channel.
    DeliveryId
);
uuid_id!(
    /// A browser that is told what waits.
    PushBrowserId
);
uuid_id!(
    /// One message to a browser.
    PushMessageId
);
uuid_id!(
    /// That one person decides in place of another for a while.
    StandInId
);
uuid_id!(
    /// A passkey of a person.
    PasskeyId
);
uuid_id!(
    /// An API token: not the secret, of which only the hash is kept.
    TokenId
);
uuid_id!(
    /// Something begun in one request and ended in another.
    CeremonyId
);
uuid_id!(
    /// A mail on its way.
    MailId
);
uuid_id!(
    /// Something every admin must get to see.
    NoticeId
);
uuid_id!(
    /// A signed-in session. Not the secret in the cookie: that one is only kept as a hash.
    SessionId
);

/// A gate: source, pipeline, stage, action.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Gate {
    pub source: SourceName,
    pub pipeline: PipelineName,
    pub stage: StageName,
    pub action: ActionName,
}

impl Gate {
    /// Reads the names of a source, a pipeline, a stage and an action, in this order.
    ///
    /// # Errors
    /// The first of them that is no name.
    pub fn parse([source, pipeline, stage, action]: [impl Into<String>; 4]) -> Result<Self, BadId> {
        Ok(Self {
            source: SourceName::parse(source)?,
            pipeline: PipelineName::parse(pipeline)?,
            stage: StageName::parse(stage)?,
            action: ActionName::parse(action)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_at_their_limits_are_taken_and_beyond_them_refused() {
        assert!(PipelineName::parse("a".repeat(100)).is_ok());
        assert!(PipelineName::parse("a".repeat(101)).is_err());
        assert!(PipelineName::parse("").is_err());
        assert!(ActionName::parse("A.b@c-d_9").is_ok());
        assert_eq!(
            StageName::parse("has space").unwrap_err().to_string(),
            "the stage's name may only contain letters, digits, and . @ - _"
        );
    }

    #[test]
    fn a_token_shows_only_its_head() {
        let token = ApprovalToken::new("1a2b3c4d-573f-4ea7-a67e-0123456789ab");
        assert_eq!(format!("{token:?}"), "ApprovalToken(1a2b3c4d…)");
        assert!(token.is_answerable());
        assert!(!ApprovalToken::new("1a2b3c4d-573f-4ea7-a67E-0123456789ab").is_answerable());
        assert!(!ApprovalToken::new("1a2b3c4d-573f-4ea7-a67E-XAMPLETOKEN").is_answerable());
    }
}
