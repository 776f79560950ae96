//! The bytes that are hashed, and the hash. Final: every record ever written and every verifier in any language
//! relies on these lines. This module must never learn a second version of them.

use aws_lc_rs::digest::{SHA256, digest};
use jiff::Timestamp;
use jiff::tz::Offset;

/// A SHA-256 digest.
pub type Hash = [u8; 32];

/// The previous hash of the first entry.
pub const GENESIS: Hash = [0; 32];

/// What a record's hash commits to. The payload itself is represented by its digest, so that it can be erased by law.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    pub seq: i64,
    pub at: Timestamp,
    pub prev: &'a Hash,
    pub kind: &'a str,
    pub actor: &'a str,
    pub payload_hash: &'a Hash,
}

impl Entry<'_> {
    /// The entry: seven lines, each ended by LF.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(288);
        self.write(&mut bytes);
        bytes
    }

    /// SHA-256(0x00 ‖ entry): the leaf hash of RFC 6962, so that the chain and a tree over it use one value.
    #[must_use]
    pub fn hash(&self) -> Hash {
        self.hash_in(&mut Vec::with_capacity(288))
    }

    /// [`Self::hash`], spelt in a buffer that is used again: for who hashes millions.
    pub(super) fn hash_in(&self, bytes: &mut Vec<u8>) -> Hash {
        bytes.clear();
        bytes.push(0);
        self.write(bytes);
        sha256(bytes)
    }

    /// By hand: the formatting machinery takes as long as a quarter of the hashing.
    fn write(&self, bytes: &mut Vec<u8>) {
        let at = Offset::UTC.to_datetime(self.at);
        let (date, time) = (at.date(), at.time());
        bytes.extend_from_slice(b"countersign-record/v1\n");
        push_number(bytes, self.seq, 1);
        bytes.push(b'\n');
        push_number(bytes, date.year().into(), 4);
        let parts = [(b'-', date.month()), (b'-', date.day()), (b'T', time.hour()), (b':', time.minute())];
        for (before, number) in parts.into_iter().chain([(b':', time.second())]) {
            bytes.push(before);
            push_number(bytes, number.into(), 2);
        }
        bytes.push(b'.');
        push_number(bytes, (time.subsec_nanosecond() / 1_000).into(), 6);
        bytes.extend_from_slice(b"Z\n");
        push_hex(bytes, self.prev);
        for word in [self.kind, self.actor] {
            bytes.extend_from_slice(word.as_bytes());
            bytes.push(b'\n');
        }
        push_hex(bytes, self.payload_hash);
    }
}

/// As `{:0width$}` writes it, with the sign within the width.
fn push_number(bytes: &mut Vec<u8>, number: i64, width: usize) {
    let mut digits = [b'0'; 20];
    let (mut start, mut rest) = (digits.len(), number.unsigned_abs());
    while rest > 0 {
        start -= 1;
        digits[start] = b'0' + u8::try_from(rest % 10).expect("a digit is small");
        rest /= 10;
    }
    if number < 0 {
        bytes.push(b'-');
    }
    let padded = digits.len() - width + usize::from(number < 0);
    bytes.extend_from_slice(&digits[start.min(padded)..]);
}

fn push_hex(bytes: &mut Vec<u8>, hash: &Hash) {
    let mut digits = [0; 64];
    hex::encode_to_slice(hash, &mut digits).expect("64 digits hold 32 bytes");
    bytes.extend_from_slice(&digits);
    bytes.push(b'\n');
}

/// SHA-256.
#[must_use]
pub fn sha256(bytes: &[u8]) -> Hash {
    digest(&SHA256, bytes).as_ref().try_into().expect("SHA-256 has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entry_is_exactly_these_bytes() {
        let entry = Entry {
            seq: 1,
            at: "2026-01-02T03:04:05.678901Z".parse().unwrap(),
            prev: &GENESIS,
            kind: "decision.intended",
            actor: "0190cafe-0000-7000-8000-000000000000",
            payload_hash: &sha256(b"{}"),
        };
        let zeros = "0".repeat(64);
        let text = format!(
            "countersign-record/v1\n1\n2026-01-02T03:04:05.678901Z\n{zeros}\ndecision.intended\n\
             0190cafe-0000-7000-8000-000000000000\n44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a\n"
        );
        assert_eq!(String::from_utf8(entry.bytes()).unwrap(), text);
        assert_eq!(entry.hash(), sha256(&[b"\0", text.as_bytes()].concat()));
    }

    #[test]
    fn numbers_are_spelt_as_the_formatter_spells_them() {
        for number in [0, 1, 7, 10, 999, 1_000, 9_999, 10_000, 123_456, i64::MAX, -1, -12, -9_999, i64::MIN] {
            for width in [1, 2, 4, 6] {
                let mut bytes = Vec::new();
                push_number(&mut bytes, number, width);
                assert_eq!(String::from_utf8(bytes).unwrap(), format!("{number:0width$}"));
            }
        }
    }
}
