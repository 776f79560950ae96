//! The judge must be able to find guilty: each way in which a history can be wrong, made wrong by hand.

use countersign::simulator::{Effect, Receipt};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::harness::deeds::Deed;
use crate::harness::history::{Known, Record, Row};
use crate::harness::{History, Told, Wrong, judge};

const HASH: &str = "9f2c61d04b7e83aa0000000000000000000000000000000000000000000000aa";

fn at(second: i64) -> Timestamp {
    let start: Timestamp = "2026-11-21T08:00:00Z".parse().unwrap();
    start + SignedDuration::from_secs(second)
}

fn record(seq: i64, kind: &str, more: &serde_json::Value) -> Record {
    let mut payload = json!({ "decision": "d1", "approval": "a1", "verdict": "approved", "person": "ana" });
    let members = payload.as_object_mut().unwrap();
    members.extend(more.as_object().unwrap().clone());
    Record { seq, at: at(seq), kind: kind.to_owned(), hash: HASH.to_owned(), payload }
}

/// What AWS got for the intent in record `seq`.
fn summary(seq: i64) -> String {
    format!("deed 000001 [Ana, rec {seq} {}]", &HASH[..16])
}

fn receipt(started_order: u64) -> Receipt {
    Receipt {
        number: 1,
        account: String::new(),
        region: String::new(),
        pipeline: "shop".into(),
        stage: "Production".into(),
        action: "Release".into(),
        token: "t1".into(),
        verdict: "Approved".into(),
        summary: summary(10),
        caller: String::new(),
        access_key: String::new(),
        started: at(11),
        ended: Some(at(12)),
        started_order,
        ended_order: Some(started_order + 2),
        applied: true,
        answer: Some("200".into()),
    }
}

fn effect() -> Effect {
    Effect {
        at: at(11),
        account: String::new(),
        region: String::new(),
        pipeline: "shop".into(),
        stage: "Production".into(),
        action: "Release".into(),
        execution: String::new(),
        action_execution: String::new(),
        token: "t1".into(),
        verdict: "Approved".into(),
        summary: summary(10),
        caller: String::new(),
        access_key: String::new(),
        receipt: 1,
    }
}

/// One approval, decided by Ana, sent once, accepted: everything agrees.
fn sound() -> History {
    let deed = Deed {
        words: "deed 000001".into(),
        person: "ana".into(),
        approval: "a1".into(),
        verdict: "approved",
        fingerprint: "f1".into(),
        sent: 2,
        told: vec![Told::Unknown("no answer".into()), Told::Done],
        result: None,
    };
    let row = Row {
        id: "d1".into(),
        state: "accepted".into(),
        verdict: "approved".into(),
        account: "ana".into(),
        approval: "a1".into(),
        fingerprint: "f1".into(),
    };
    History {
        deeds: vec![deed],
        effects: vec![effect()],
        receipts: vec![receipt(1)],
        records: vec![
            record(10, "decision.intended", &json!({ "summary": "deed 000001", "fingerprint": "f1" })),
            record(11, "decision.sent", &json!({ "sent_summary": summary(10) })),
            record(12, "decision.accepted", &json!({})),
        ],
        rows: vec![row],
        approvals: vec![Known {
            id: "a1".into(),
            token: "t1".into(),
            at_aws: "approved".into(),
            decided: Some("here".into()),
        }],
        broken: None,
    }
}

/// What the judge says of the sound history after `spoil`, each kind once.
fn found(spoil: impl FnOnce(&mut History)) -> Vec<Wrong> {
    let mut history = sound();
    spoil(&mut history);
    let mut found: Vec<Wrong> = judge(&history).into_iter().map(|violation| violation.what).collect();
    found.sort();
    found.dedup();
    found
}

#[test]
fn a_history_in_which_everything_agrees_is_acquitted() {
    assert_eq!(found(|_| {}), []);
}

#[test]
fn an_effect_that_no_record_stands_for_is_found() {
    let invisible = found(|it| it.effects[0].summary = "deed 000001".into());
    assert_eq!(invisible, [Wrong::EffectWithoutRecord, Wrong::RecordWithoutEffect]);
    let forged = found(|it| it.effects[0].summary = summary(10).replace("9f2c", "0000"));
    assert!(forged.contains(&Wrong::EffectWithoutRecord), "{forged:?}");
    let unrecorded = found(|it| _ = it.records.pop());
    assert_eq!(unrecorded, [Wrong::EffectWithoutRecord, Wrong::RowAgainstRecords]);
}

#[test]
fn a_record_without_an_effect_is_found_and_so_is_the_page_that_told_it() {
    let lost = found(|it| it.effects.clear());
    assert_eq!(lost, [Wrong::RecordWithoutEffect, Wrong::DoneWithoutEffect, Wrong::Approval]);
}

#[test]
fn what_happened_twice_is_found() {
    assert_eq!(found(|it| it.effects.push(effect())), [Wrong::TwoEffects]);
    let twice = found(|it| it.records.push(record(13, "decision.accepted", &json!({}))));
    assert_eq!(twice, [Wrong::TwoAccepted, Wrong::RowAgainstRecords]);
    let intents = found(|it| {
        let second = json!({ "summary": "deed 000001", "fingerprint": "f1", "decision": "d2" });
        it.records.push(record(13, "decision.intended", &second));
    });
    assert_eq!(intents, [Wrong::Intents, Wrong::RowAgainstRecords]);
}

#[test]
fn another_person_verdict_request_or_fingerprint_is_found() {
    assert_eq!(found(|it| it.records[2].payload["person"] = "ben".into()), [Wrong::OtherPerson]);
    assert_eq!(found(|it| it.deeds[0].person = "ben".into()), [Wrong::OtherPerson]);
    assert_eq!(found(|it| it.effects[0].verdict = "Rejected".into()), [Wrong::OtherVerdict, Wrong::Approval]);
    assert_eq!(found(|it| it.deeds[0].verdict = "rejected"), [Wrong::OtherVerdict]);
    assert_eq!(found(|it| it.effects[0].token = "t2".into()), [Wrong::OtherApproval, Wrong::Approval]);
    assert_eq!(found(|it| it.deeds[0].fingerprint = "f2".into()), [Wrong::OtherFingerprint]);
}

#[test]
fn a_page_that_said_nothing_was_done_about_a_decision_that_was_is_found() {
    assert_eq!(found(|it| it.deeds[0].told.push(Told::Not("503".into()))), [Wrong::NotWithEffect]);
    let not_now = |sent| found(|it| (it.deeds[0].sent, it.deeds[0].told) = (sent, vec![Told::NotNow("503".into())]));
    assert_eq!(not_now(1), [Wrong::NotWithEffect], "it was sent this time and no other");
    assert_eq!(not_now(2), [], "the other time");
}

#[test]
fn a_decision_nobody_made_is_found() {
    assert_eq!(found(|it| it.deeds.clear()), [Wrong::Intents]);
}

#[test]
fn sends_that_overlap_and_sends_without_a_record_are_found() {
    let again = |order| move |it: &mut History| it.receipts.push(receipt(order));
    assert_eq!(found(again(2)), [Wrong::Overlap, Wrong::SendWithoutRecord]);
    assert_eq!(found(again(4)), [Wrong::SendWithoutRecord]);
    let recorded = json!({ "sent_summary": summary(10) });
    let unended = found(|it| {
        it.receipts[0].ended_order = None;
        it.receipts.push(receipt(4));
        it.records.push(record(13, "decision.sent", &recorded));
    });
    assert_eq!(unended, [Wrong::Overlap]);
}

#[test]
fn whatever_is_done_for_somebody_who_was_disabled_before_is_found() {
    let early = |it: &mut History| it.records.insert(1, record(9, "account.disabled", &json!({})));
    assert_eq!(found(early), [Wrong::AfterRevocation]);
    let between = |it: &mut History| it.records.push(record(13, "account.disabled", &json!({})));
    assert_eq!(found(between), [], "sent before the account was disabled");
    let late = found(|it| {
        it.records.push(record(13, "account.disabled", &json!({})));
        it.effects[0].at = at(40);
    });
    assert_eq!(late, [Wrong::AfterRevocation], "nothing may arrive that long after");
}

#[test]
fn a_decision_left_on_its_way_is_found() {
    assert_eq!(found(|it| it.rows[0].state = "unsure".into()), [Wrong::LeftBehind]);
}

#[test]
fn rows_that_tell_another_story_than_the_records_are_found() {
    assert_eq!(found(|it| it.rows[0].state = "stale".into()), [Wrong::RowAgainstRecords]);
    assert_eq!(found(|it| it.rows[0].account = "ben".into()), [Wrong::RowAgainstRecords]);
    assert_eq!(found(|it| it.rows.clear()), [Wrong::RowAgainstRecords]);
    assert_eq!(found(|it| it.approvals[0].at_aws = "rejected".into()), [Wrong::Approval]);
    assert_eq!(found(|it| it.approvals[0].decided = Some("elsewhere".into())), [Wrong::Approval]);
    let elsewhere = record(13, "approval.decided_elsewhere", &json!({ "decision": "" }));
    assert_eq!(found(|it| it.records.push(elsewhere)), [Wrong::Approval]);
}

#[test]
fn a_broken_chain_is_found() {
    assert_eq!(found(|it| it.broken = Some("BROKEN at record 3".into())), [Wrong::Chain]);
}
