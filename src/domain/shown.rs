//! What an approver is shown, and its fingerprint. The form carries the fingerprint, the record carries the fields: what
//! you see is what you sign. Everything in [`Shown`] is fixed while the approval waits; if any of it differs when the
//! decision arrives, the decision is refused and the difference is shown.

use serde::{Deserialize, Serialize};

use super::ids::{Gate, sha256};
use super::text::Clipped;

/// How much of a comment is shown and recorded, in bytes of JSON.
pub const MAX_COMMENT: usize = 3584;
/// How much of a review address.
pub const MAX_URL: usize = 1280;
/// How many source revisions.
pub const MAX_REVISIONS: usize = 5;
/// How much of each text of a revision.
pub const MAX_REVISION_TEXT: usize = 300;

/// The fields a decision is bound to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    #[serde(flatten)]
    pub gate: Gate,
    pub account: String,
    pub region: String,
    pub execution: String,
    /// Absent where AWS gives none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub action_execution: Option<String>,
    /// SHA-256 of the approval token, in hexadecimal.
    pub token_hash: String,
    pub revisions: Vec<ShownRevision>,
    /// How many more revisions there are than are shown.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub more_revisions: u64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub comment: Option<Clipped>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub review_url: Option<Clipped>,
}

/// One source revision as shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownRevision {
    /// The source action, or the artifact where AWS names only that.
    pub name: String,
    pub id: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub message: Option<Clipped>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub author: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub url: Option<Clipped>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// SHA-256 over what was shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// From the hexadecimal form that a page carries.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes))
    }

    /// Of the bytes that [`Shown::to_json`] gave, as they are in a record.
    #[must_use]
    pub fn of_json(shown: &str) -> Self {
        Self(sha256(&[b"countersign-shown/v1\n", shown.as_bytes()].concat()))
    }

    #[must_use]
    pub fn hex(&self) -> String {
        hex::encode(self.0)
    }
}

impl Shown {
    /// The bytes that are kept, recorded and hashed: JSON with the fields in the order of this struct.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a struct of strings and numbers is always writable as JSON")
    }

    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of_json(&self.to_json())
    }

    /// What differs from `now`, one line each, in the words of the page. Empty when nothing does.
    #[must_use]
    pub fn differences(&self, now: &Self) -> Vec<Difference> {
        let mut found = Vec::new();
        let mut compare = |what: &'static str, was: String, is: String| {
            if was != is {
                found.push(Difference { what, was, is });
            }
        };
        compare("Run", self.execution.clone(), now.execution.clone());
        compare("Approval request", self.token_hash[..8].to_owned(), now.token_hash[..8].to_owned());
        compare("Revisions", self.revisions_line(), now.revisions_line());
        compare("Comment", text_of(self.comment.as_ref()), text_of(now.comment.as_ref()));
        compare("Review link", text_of(self.review_url.as_ref()), text_of(now.review_url.as_ref()));
        if found.is_empty() && self != now {
            found.push(Difference {
                what: "Details",
                was: self.fingerprint().hex()[..16].to_owned(),
                is: now.fingerprint().hex()[..16].to_owned(),
            });
        }
        found
    }

    fn revisions_line(&self) -> String {
        let lines: Vec<_> = self
            .revisions
            .iter()
            .map(|r| format!("{} {} {}", r.name, r.id, r.message.as_ref().map_or("", |m| m.text.as_str())))
            .collect();
        lines.join("\n")
    }
}

fn text_of(text: Option<&Clipped>) -> String {
    text.map_or_else(String::new, |t| t.text.clone())
}

/// One thing that is no longer as it was shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    pub what: &'static str,
    pub was: String,
    pub is: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{ActionName, PipelineName, SourceName, StageName};

    fn shown() -> Shown {
        Shown {
            gate: Gate {
                source: SourceName::parse("default").unwrap(),
                pipeline: PipelineName::parse("shop").unwrap(),
                stage: StageName::parse("Production").unwrap(),
                action: ActionName::parse("Release").unwrap(),
            },
            account: "111122223333".into(),
            region: "eu-west-1".into(),
            execution: "11111111-2222-3333-4444-555555555555".into(),
            action_execution: None,
            token_hash: "ab".repeat(32),
            revisions: vec![],
            more_revisions: 0,
            comment: Some(Clipped::new("Ship it", MAX_COMMENT)),
            review_url: None,
        }
    }

    #[test]
    fn any_change_of_what_is_shown_changes_the_fingerprint_and_is_named() {
        let before = shown();
        assert!(before.differences(&before).is_empty());
        let mut after = before.clone();
        after.comment = Some(Clipped::new("Ship it now", MAX_COMMENT));
        assert_ne!(before.fingerprint(), after.fingerprint());
        assert_eq!(before.differences(&after)[0].what, "Comment");
        let mut after = before.clone();
        after.account = "999999999999".into();
        assert_eq!(before.differences(&after)[0].what, "Details");
    }

    #[test]
    fn the_kept_bytes_read_back_to_the_same_fingerprint() {
        let before = shown();
        let after: Shown = serde_json::from_str(&before.to_json()).unwrap();
        assert_eq!(before.fingerprint(), after.fingerprint());
    }

    #[test]
    fn the_largest_of_everything_still_fits_a_record() {
        let hostile = "\u{1}\"".repeat(5000);
        let mut big = shown();
        big.comment = Some(Clipped::new(&hostile, MAX_COMMENT));
        big.review_url = Some(Clipped::new(&hostile, MAX_URL));
        big.revisions = (0..MAX_REVISIONS)
            .map(|_| ShownRevision {
                name: "a".repeat(100),
                id: Clipped::new(&hostile, 100).text,
                message: Some(Clipped::new(&hostile, MAX_REVISION_TEXT)),
                author: Some(Clipped::new(&hostile, 100).text),
                url: Some(Clipped::new(&hostile, MAX_REVISION_TEXT)),
            })
            .collect();
        assert!(big.to_json().len() < 12_288, "{}", big.to_json().len());
    }
}
