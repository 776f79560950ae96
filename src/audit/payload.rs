//! What a record tells beyond its kind: one line of JSON in UTF-8, kept as bytes and never serialised again.
//!
//! The rules make the bytes mean the same to every reader: an object, no floats, integers within ±2^53, no key twice, no
//! NUL, at most 16 KiB. A random salt makes the digest say nothing about a payload that was erased. This module must never
//! accept what `audit.append` refuses.

use std::collections::HashSet;
use std::fmt;

use serde::Serialize;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::random::Random;

/// The longest payload, in bytes.
pub const LONGEST: usize = 16 * 1024;

/// The largest integer that every JSON reader reads exactly.
const LARGEST: u64 = 1 << 53;

/// The bytes of one payload, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload(Vec<u8>);

/// Why something cannot be a payload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadPayload {
    #[error("a payload is made from a struct or a map, not from {0}")]
    NotAnObject(String),
    #[error("a payload has at most 16384 bytes, this one would have {0}; shorten what it quotes")]
    TooLong(usize),
    #[error("a payload must mean the same to every reader: {0}")]
    Ambiguous(String),
}

impl Payload {
    /// Serialises `fields` (a struct or a map) once and for all, with a fresh salt in front.
    pub fn new(random: &Random, fields: &impl Serialize) -> Result<Self, BadPayload> {
        let json = serde_json::to_string(fields).map_err(|error| BadPayload::Ambiguous(error.to_string()))?;
        let members = json.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        let members = members.ok_or_else(|| BadPayload::NotAnObject(json.chars().take(40).collect()))?;
        let comma = if members.is_empty() { "" } else { "," };
        let line = format!("{{\"salt\":\"{}\"{comma}{members}}}", hex::encode(random.bytes::<16>()));
        if line.len() > LONGEST {
            return Err(BadPayload::TooLong(line.len()));
        }
        serde_json::from_str::<Plain>(&line).map_err(|error| BadPayload::Ambiguous(error.to_string()))?;
        Ok(Self(line.into_bytes()))
    }

    /// Exactly what is stored and hashed.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// JSON without anything that two readers could read differently. Reading it is the check; nothing is kept.
struct Plain;

impl<'de> Deserialize<'de> for Plain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PlainVisitor)
    }
}

struct PlainVisitor;

impl<'de> Visitor<'de> for PlainVisitor {
    type Value = Plain;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("plain JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Plain, E> {
        Ok(Plain)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Plain, E> {
        Ok(Plain)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Plain, E> {
        if number > LARGEST { Err(E::custom("an integer beyond 2^53")) } else { Ok(Plain) }
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Plain, E> {
        self.visit_u64(number.unsigned_abs())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Plain, E> {
        Err(E::custom("a number that is no integer"))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Plain, E> {
        if text.contains('\0') { Err(E::custom("a NUL in a string")) } else { Ok(Plain) }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Plain, A::Error> {
        while seq.next_element::<Plain>()?.is_some() {}
        Ok(Plain)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Plain, A::Error> {
        let mut keys = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            self::PlainVisitor.visit_str(&key)?;
            if let Some(twice) = keys.replace(key) {
                return Err(A::Error::custom(format!("the key {twice:?} twice")));
            }
            map.next_value::<Plain>()?;
        }
        Ok(Plain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn payload(fields: &impl Serialize) -> Result<String, BadPayload> {
        Payload::new(&Random::seeded(1), fields).map(|payload| String::from_utf8(payload.0).unwrap())
    }

    #[test]
    fn a_payload_is_one_line_with_a_salt_in_front() {
        let line = payload(&json!({"summary": "looks\ngood", "attempt": 2, "none": null})).unwrap();
        assert!(line.starts_with("{\"salt\":\"") && line[9..41].bytes().all(|byte| byte.is_ascii_hexdigit()), "{line}");
        assert!(line.ends_with("\",\"summary\":\"looks\\ngood\",\"attempt\":2,\"none\":null}"), "{line}");
        assert!(!line.contains('\n'));
        assert_eq!(payload(&json!({})).unwrap().len(), "{\"salt\":\"\"}".len() + 32);
    }

    #[test]
    fn two_payloads_with_the_same_content_differ() {
        let random = Random::system();
        let fields = json!({"summary": "yes"});
        assert_ne!(Payload::new(&random, &fields).unwrap(), Payload::new(&random, &fields).unwrap());
    }

    #[test]
    fn what_readers_could_read_differently_is_refused() {
        #[derive(Serialize)]
        struct Twice {
            person: u8,
            #[serde(flatten)]
            more: std::collections::BTreeMap<String, u8>,
        }
        let twice = Twice { person: 1, more: [("person".to_owned(), 2)].into() };
        let said = |bad: Result<String, BadPayload>| bad.unwrap_err().to_string();
        assert!(said(payload(&twice)).contains("the key \"person\" twice"));
        assert!(said(payload(&json!({"salt": "mine"}))).contains("the key \"salt\" twice"));
        assert!(said(payload(&json!({"deep": [{"ratio": 0.5}]}))).contains("no integer"));
        assert!(said(payload(&json!({"big": (1_u64 << 53) + 1}))).contains("beyond 2^53"));
        assert!(said(payload(&json!({"big": -(1_i64 << 53) - 1}))).contains("beyond 2^53"));
        assert!(payload(&json!({"big": 1_u64 << 53})).is_ok());
        assert!(said(payload(&json!({"text": "a\0b"}))).contains("NUL"));
        assert!(matches!(payload(&json!(["a"])), Err(BadPayload::NotAnObject(_))));
    }

    #[test]
    fn a_payload_may_be_16_kib_long_and_not_a_byte_more() {
        let room = LONGEST - payload(&json!({"text": ""})).unwrap().len();
        assert_eq!(payload(&json!({"text": "x".repeat(room)})).unwrap().len(), LONGEST);
        assert_eq!(payload(&json!({"text": "x".repeat(room + 1)})), Err(BadPayload::TooLong(LONGEST + 1)));
    }
}
