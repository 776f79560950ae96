//! What a hint is about, in the words that the database and browsers use.

use std::fmt;
use std::str::FromStr as _;

use crate::domain::ids::ApprovalId;

/// What may have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Topic {
    /// An approval, or a decision on it.
    Approval(ApprovalId),
    /// What is on many pages: which sources and pipelines can be read.
    Queue,
    /// Hints were lost: anything.
    Everything,
}

impl Topic {
    /// Reads what the database tells. What it does not know, another release may: look at everything.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let approval = text.strip_prefix("approval ").and_then(|id| ApprovalId::from_str(id).ok());
        match approval {
            Some(id) => Self::Approval(id),
            None if text == "queue" => Self::Queue,
            None => Self::Everything,
        }
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Approval(id) => write!(f, "approval {id}"),
            Self::Queue => f.write_str("queue"),
            Self::Everything => f.write_str("refetch"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_read_as_it_is_written_and_an_unknown_one_means_everything() {
        let id = ApprovalId(uuid::Uuid::from_u128(7));
        for topic in [Topic::Approval(id), Topic::Queue, Topic::Everything] {
            assert_eq!(Topic::of(&topic.to_string()), topic);
            assert!(topic.to_string().len() <= 100, "H-05");
        }
        for unknown in ["", "approval", "approval 7", "rule 7", "queue of another release"] {
            assert_eq!(Topic::of(unknown), Topic::Everything, "{unknown:?}");
        }
    }
}
