//! The bytes that are hashed, and the hash. Final: every record ever written and every verifier in any language
//! relies on these lines. This module must never learn a second version of them.

use std::io::Write;

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
        let mut bytes = Vec::with_capacity(288);
        bytes.push(0);
        self.write(&mut bytes);
        sha256(&bytes)
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        let at = Offset::UTC.to_datetime(self.at);
        let (date, time) = (at.date(), at.time());
        let micros = time.subsec_nanosecond() / 1_000;
        writeln!(
            bytes,
            "countersign-record/v1\n{}\n{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{micros:06}Z",
            self.seq,
            date.year(),
            date.month(),
            date.day(),
            time.hour(),
            time.minute(),
            time.second(),
        )
        .expect("writing into memory succeeds");
        push_hex(bytes, self.prev);
        for word in [self.kind, self.actor] {
            bytes.extend_from_slice(word.as_bytes());
            bytes.push(b'\n');
        }
        push_hex(bytes, self.payload_hash);
    }
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
}
