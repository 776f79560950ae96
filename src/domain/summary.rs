//! The text a person writes with a decision, and the marker that goes to AWS behind it.
//!
//! `PutApprovalResult` takes a summary of at most 512 (CodePipeline API Reference, ApprovalSummary); AWS does not say
//! whether it counts bytes, code points or UTF-16 units, so what is sent stays within [`MAX_SENT`] UTF-16 units, the
//! largest of the two plausible counts. UTF-16 units are also what a browser's `maxlength` counts. The person's part is
//! limited by what the marker needs: nothing is ever cut.

use std::fmt::Write as _;

/// The most that is sent to AWS, in UTF-16 units.
pub const MAX_SENT: usize = 500;
/// Room kept for the record number: enough for any that Postgres can count to in our lifetimes.
const SEQ_DIGITS: usize = 12;
/// How many hexadecimal digits of the intent's hash the marker carries.
const HASH_DIGITS: usize = 16;
/// The longest person's name a marker carries, in UTF-16 units; longer names are shortened there, never in the record.
const MAX_NAME: usize = 60;

/// A person's own words: trimmed, with `\n` line ends, without control characters, and short enough to be sent whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary(String);

/// Why a summary cannot be taken. The text is for the person who typed it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSummary {
    #[error(
        "The summary is {over} characters too long; at most {limit} fit, because your name and the record number are added behind it."
    )]
    TooLong { over: usize, limit: usize },
    #[error("Please say why you reject: the summary must not be empty.")]
    Missing,
    #[error("The summary contains a control character that cannot be sent (U+{0:04X}). Please remove it.")]
    Control(u32),
}

impl Summary {
    /// Takes what was typed. `limit` is [`room_for`] the person; `required` when an empty summary is not acceptable.
    ///
    /// # Errors
    /// [`BadSummary`], worded for the person.
    pub fn parse(typed: &str, limit: usize, required: bool) -> Result<Self, BadSummary> {
        let text = typed.replace("\r\n", "\n").replace('\r', "\n");
        let text = text.trim();
        if let Some(bad) = text.chars().find(|c| c.is_control() && *c != '\n' && *c != '\t') {
            return Err(BadSummary::Control(bad.into()));
        }
        if required && text.is_empty() {
            return Err(BadSummary::Missing);
        }
        let length = units(text);
        if length > limit {
            return Err(BadSummary::TooLong { over: length - limit, limit });
        }
        Ok(Self(defuse(text)))
    }

    /// Takes words that were checked when they were recorded.
    #[must_use]
    pub fn from_record(words: &str) -> Self {
        Self(words.to_owned())
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// How many UTF-16 units of their own a person of this name may write.
#[must_use]
pub fn room_for(name: &str) -> usize {
    MAX_SENT - units(&Marker::text(&name_in_marker(name), 0, &"0".repeat(HASH_DIGITS))) - (SEQ_DIGITS - 1) - 1
}

/// Who decided and which record says so, as it stands behind the person's words at AWS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker {
    /// The number of the record that holds the intent.
    pub seq: i64,
    /// The first sixteen hexadecimal digits of that record's hash.
    pub hash: String,
}

impl Marker {
    #[must_use]
    pub fn new(seq: i64, hash: &[u8; 32]) -> Self {
        Self { seq, hash: hex::encode(&hash[..HASH_DIGITS / 2]) }
    }

    fn text(name: &str, seq: i64, hash: &str) -> String {
        format!("[{name}, rec {seq} {hash}]")
    }

    /// What is sent to AWS: the person's words, then the marker.
    #[must_use]
    pub fn sign(&self, words: &Summary, name: &str) -> String {
        let mut sent = words.as_str().to_owned();
        if !sent.is_empty() {
            sent.push(' ');
        }
        let _ = write!(sent, "{}", Self::text(&name_in_marker(name), self.seq, &self.hash));
        sent
    }

    /// Reads the marker at the very end of a summary that came back from AWS.
    #[must_use]
    pub fn read(summary: &str) -> Option<Self> {
        let inner = summary.trim_end().strip_suffix(']')?;
        let inner = &inner[inner.rfind('[')? + 1..];
        let (_, tail) = inner.rsplit_once(", rec ")?;
        let (seq, hash) = tail.split_once(' ')?;
        let is_hash =
            hash.len() == HASH_DIGITS && hash.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let is_seq = !seq.is_empty() && seq.len() <= SEQ_DIGITS && seq.bytes().all(|b| b.is_ascii_digit());
        (is_hash && is_seq).then_some(())?;
        Some(Self { seq: seq.parse().ok()?, hash: hash.to_owned() })
    }
}

/// Length in UTF-16 units.
#[must_use]
pub fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

/// A name that cannot be mistaken for a part of the marker, and is not too long for it.
fn name_in_marker(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars().map(|c| if c == '[' || c == ']' || c.is_control() { ' ' } else { c }) {
        if units(&out) + c.len_utf16() > MAX_NAME - 1 {
            out.push('…');
            break;
        }
        out.push(c);
    }
    out.replace(", rec ", ", rec. ")
}

/// Takes the brackets off anything in a person's words that reads like a marker.
fn defuse(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find('[') {
        let (before, from) = rest.split_at(open);
        out.push_str(before);
        match from.find(']').filter(|close| from[..*close].contains("rec ")) {
            Some(close) => {
                let _ = write!(out, "({})", from[1..close].replace('[', "("));
                rest = &from[close + 1..];
            }
            None => {
                out.push('[');
                rest = &from[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn marker() -> Marker {
        Marker::new(1234, &[0x9f; 32])
    }

    #[test]
    fn what_is_sent_starts_with_the_person_and_ends_with_who_and_which_record() {
        let words = Summary::parse("Looks good\r\nto me ", 400, true).unwrap();
        let sent = marker().sign(&words, "Ana Silva");
        assert_eq!(sent, "Looks good\nto me [Ana Silva, rec 1234 9f9f9f9f9f9f9f9f]");
        assert_eq!(Marker::read(&sent), Some(marker()));
    }

    #[test]
    fn an_empty_summary_is_only_the_marker() {
        let sent = marker().sign(&Summary::parse("  ", 400, false).unwrap(), "Ana");
        assert_eq!(sent, "[Ana, rec 1234 9f9f9f9f9f9f9f9f]");
        assert_eq!(Summary::parse("  ", 400, true), Err(BadSummary::Missing));
    }

    #[test]
    fn a_persons_text_cannot_pose_as_a_marker() {
        let forged = "fine [Bob, rec 99 0000000000000000]";
        let words = Summary::parse(forged, 400, true).unwrap();
        assert_eq!(words.as_str(), "fine (Bob, rec 99 0000000000000000)");
        assert_eq!(Marker::read(words.as_str()), None);
    }

    #[test]
    fn too_long_says_by_how_much() {
        let limit = room_for("Ana Silva");
        assert!(Summary::parse(&"x".repeat(limit), limit, true).is_ok());
        assert_eq!(Summary::parse(&"x".repeat(limit + 3), limit, true), Err(BadSummary::TooLong { over: 3, limit }));
    }

    proptest! {
        #[test]
        fn whatever_fits_is_sent_whole_and_the_marker_reads_back(text in "\\PC{0,600}", name in "\\PC{1,120}", seq in 1_i64..999_999_999_999) {
            let limit = room_for(&name);
            prop_assert!(limit > 380);
            if let Ok(words) = Summary::parse(&text, limit, false) {
                let marker = Marker::new(seq, &[7; 32]);
                let sent = marker.sign(&words, &name);
                prop_assert!(units(&sent) <= MAX_SENT, "{}", units(&sent));
                prop_assert!(sent.starts_with(words.as_str()));
                prop_assert_eq!(Marker::read(&sent), Some(marker));
                prop_assert_eq!(Marker::read(words.as_str()), None);
            }
        }
    }
}
