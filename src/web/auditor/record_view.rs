//! One record as its template prints it: everything it holds, the story it belongs to, and whether its own hashes fit.

use jiff::Timestamp;
use serde_json::Value;

use super::fields::{Fields, Member};
use super::words;
use crate::audit::entry::{Entry, Hash, sha256};
use crate::domain::decision::BY_RULE;
use crate::domain::text::visible;
use crate::store::records::{Record, Related};
use crate::web::display::Said;
use crate::web::parts::{Chip, Moment, Tone};

/// The record.
#[derive(Debug, Clone)]
pub struct RecordView {
    pub seq: i64,
    pub kind: String,
    pub kind_words: String,
    pub at: Moment,
    pub actor: String,
    /// Every member of the payload but what was shown and the salt.
    pub members: Vec<Member>,
    /// What the approver was shown, as it was recorded; what was read, where the portal acted under a rule.
    pub shown: Option<Fields>,
    pub is_by_rule: bool,
    pub approval: Option<String>,
    pub story: Vec<Step>,
    /// The bytes of the payload, made visible; absent once erased.
    pub payload: Option<Said>,
    pub entry: String,
    pub hash: String,
    pub prev: String,
    pub payload_hash: String,
    /// What was checked about this record by itself.
    pub checks: Vec<Check>,
    pub previous: Option<i64>,
}

/// Something that must hold for the record.
#[derive(Debug, Clone)]
pub struct Check {
    pub chip: Chip,
    pub sentence: &'static str,
}

/// A record of the same story.
#[derive(Debug, Clone)]
pub struct Step {
    pub seq: i64,
    pub at: Moment,
    pub kind: String,
    pub words: String,
    pub is_this: bool,
}

impl RecordView {
    #[must_use]
    pub fn of(record: &Record, related: &[Related], now: Timestamp) -> Self {
        let parsed = record.payload.as_deref().and_then(|bytes| serde_json::from_slice::<Value>(bytes).ok());
        let payload = parsed.unwrap_or_default();
        let entry = entry_of(record);
        Self {
            seq: record.seq,
            kind: visible(&record.kind),
            kind_words: words::of_kind(&record.kind),
            at: Moment::in_record(record.at, now),
            actor: actor(record),
            members: Member::list(&payload, &["shown", "salt"]),
            shown: payload.get("shown").map(Fields::of),
            is_by_rule: payload.get("channel").and_then(Value::as_str) == Some(BY_RULE),
            approval: record.approval.map(|id| id.to_string()),
            story: related.iter().map(|step| Step::of(step, record.seq, now)).collect(),
            payload: record.payload.as_deref().map(|bytes| Said::whole(&String::from_utf8_lossy(bytes))),
            entry: entry.map(|entry| visible(&String::from_utf8_lossy(&entry.bytes()))).unwrap_or_default(),
            hash: hex::encode(&record.hash),
            prev: hex::encode(&record.prev),
            payload_hash: hex::encode(&record.payload_hash),
            checks: checks(record),
            previous: (record.seq > 1).then(|| record.seq - 1),
        }
    }
}

/// The entry, if its hashes have the length of hashes.
fn entry_of(record: &Record) -> Option<Entry<'_>> {
    let prev: &Hash = record.prev.as_slice().try_into().ok()?;
    let payload_hash: &Hash = record.payload_hash.as_slice().try_into().ok()?;
    Some(Entry { seq: record.seq, at: record.at, prev, kind: &record.kind, actor: &record.actor, payload_hash })
}

fn checks(record: &Record) -> Vec<Check> {
    let is_entry_right = entry_of(record).is_some_and(|entry| entry.hash()[..] == record.hash[..]);
    let is_link_right = match &record.before {
        Some(before) => *before == record.prev,
        None => record.seq == 1 && record.prev == [0; 32],
    };
    let mut checks = vec![
        check(is_entry_right, "The hash is that of the entry below.", "The hash is NOT that of the entry below."),
        check(
            is_link_right,
            "The previous hash is that of the record before.",
            "The previous hash is NOT that of the record before.",
        ),
    ];
    if let Some(bytes) = &record.payload {
        let is_right = sha256(bytes)[..] == record.payload_hash[..];
        checks.push(check(
            is_right,
            "The payload is the one the entry names.",
            "The payload is NOT the one the entry names.",
        ));
    }
    checks
}

fn check(holds: bool, yes: &'static str, no: &'static str) -> Check {
    let (tone, word) = if holds { (Tone::Good, "Holds") } else { (Tone::Bad, "Broken") };
    Check { chip: Chip::new(tone, word), sentence: if holds { yes } else { no } }
}

fn actor(record: &Record) -> String {
    match (&record.actor_name, record.actor.as_str()) {
        (Some(name), id) => format!("{} ({})", visible(name), visible(id)),
        (None, "system") => "the portal itself (system)".to_owned(),
        (None, "operator") => "the operator, by command (operator)".to_owned(),
        (None, "stranger") => "somebody who is not signed in (stranger)".to_owned(),
        (None, other) => visible(other),
    }
}

impl Step {
    fn of(related: &Related, this: i64, now: Timestamp) -> Self {
        Self {
            seq: related.seq,
            at: Moment::in_record(related.at, now),
            kind: visible(&related.kind),
            words: words::of_kind(&related.kind),
            is_this: related.seq == this,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::entry::GENESIS;

    fn record() -> Record {
        let at = "2026-11-21T10:00:00.000001Z".parse().unwrap();
        let payload = br#"{"salt":"00","verdict":"approved","shown":{"pipeline":"shop"}}"#.to_vec();
        let payload_hash = sha256(&payload);
        let entry = Entry {
            seq: 1,
            at,
            prev: &GENESIS,
            kind: "decision.intended",
            actor: "account:7",
            payload_hash: &payload_hash,
        };
        Record {
            seq: 1,
            at,
            prev: GENESIS.to_vec(),
            kind: "decision.intended".into(),
            actor: "account:7".into(),
            payload_hash: payload_hash.to_vec(),
            hash: entry.hash().to_vec(),
            payload: Some(payload),
            approval: None,
            decision: None,
            before: None,
            actor_name: Some("Ana".into()),
        }
    }

    fn broken(record: &Record) -> usize {
        let view = RecordView::of(record, &[], record.at);
        view.checks.iter().filter(|check| check.sentence.contains("NOT")).count()
    }

    #[test]
    fn a_sound_record_holds_and_each_change_to_it_shows() {
        assert_eq!(broken(&record()), 0);
        assert_eq!(broken(&Record { kind: "decision.accepted".into(), ..record() }), 1);
        assert_eq!(broken(&Record { payload: Some(b"{}".to_vec()), ..record() }), 1);
        assert_eq!(broken(&Record { before: Some(vec![1; 32]), ..record() }), 1);
        assert_eq!(broken(&Record { prev: vec![], ..record() }), 2);
    }

    #[test]
    fn what_was_shown_stands_apart_and_the_rest_is_whole() {
        let view = RecordView::of(&record(), &[], record().at);
        assert!(view.shown.is_some());
        assert_eq!(view.members.iter().map(|member| member.name.as_str()).collect::<Vec<_>>(), ["verdict"]);
        assert_eq!(view.actor, "Ana (account:7)");
        assert!(view.entry.starts_with("countersign-record/v1\n1\n2026-11-21T10:00:00.000001Z\n"));
    }
}
