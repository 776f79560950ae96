//! The history check. After quiet, effects at AWS, records, rows and what people were told must be one story (section
//! by section below); every way in which they are not is a [`Violation`]. It trusts no state the portal derived: an
//! effect counts because AWS has it, a record because the chain has it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use countersign::simulator::{Effect, Receipt};
use jiff::SignedDuration;

use super::deeds::Deed;
use super::history::{History, Record, Row};
use super::index::{Index, group};
use super::person::Told;

/// A claim on a decision lasts this long; nothing of it may reach AWS afterwards.
const LEASE: SignedDuration = SignedDuration::from_secs(15);
const FINAL: [&str; 5] = ["accepted", "refused", "elsewhere", "stale", "lapsed"];

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wrong {
    /// AWS has an effect that no accepted record stands for.
    EffectWithoutRecord,
    /// A record says accepted, and AWS has nothing.
    RecordWithoutEffect,
    TwoAccepted,
    TwoEffects,
    OtherPerson,
    OtherVerdict,
    /// The effect is on another request than the record's.
    OtherApproval,
    /// What was recorded as shown is not what the person was shown.
    OtherFingerprint,
    /// A person read "approved at AWS", and it is not.
    DoneWithoutEffect,
    /// A person read that nothing was done, and it was.
    NotWithEffect,
    /// One form became two decisions, or a decision is nobody's.
    Intents,
    /// Two sends of one token were under way at once.
    Overlap,
    /// AWS received what no record says was sent.
    SendWithoutRecord,
    AfterRevocation,
    LeftBehind,
    /// A decision's row and its records tell different ends.
    RowAgainstRecords,
    /// The approval's row does not say what became of it.
    Approval,
    Chain,
}

#[derive(Debug, Clone)]
pub struct Violation {
    pub what: Wrong,
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.what, self.text)
    }
}

/// Everything wrong with a history. Empty: no decision was lost, doubled or false.
pub fn judge(history: &History) -> Vec<Violation> {
    let mut judge = Judge { history, index: Index::of(history), found: Vec::new() };
    judge.effects();
    judge.accepted_records();
    judge.deeds();
    judge.sends();
    judge.overlaps();
    judge.revocations();
    judge.rows();
    judge.approvals();
    if let Some(said) = &history.broken {
        judge.wrong(Wrong::Chain, said.clone());
    }
    judge.found
}

struct Judge<'a> {
    history: &'a History,
    index: Index<'a>,
    found: Vec<Violation>,
}

impl<'a> Judge<'a> {
    fn wrong(&mut self, what: Wrong, text: impl Into<String>) {
        self.found.push(Violation { what, text: text.into() });
    }

    /// Every effect is one accepted decision's, with the same person, verdict, request and fingerprint.
    fn effects(&mut self) {
        for effect in &self.history.effects {
            let told = format!("{} of {} with {:?}", effect.verdict, effect.pipeline, effect.summary);
            let Some(intent) = self.index.intent_of(&effect.summary) else {
                self.wrong(Wrong::EffectWithoutRecord, format!("{told} names no intent"));
                continue;
            };
            if intent.text("verdict") != effect.verdict.to_lowercase() {
                self.wrong(Wrong::OtherVerdict, format!("{told}, intended {}", intent.text("verdict")));
            }
            if self.index.token_of(intent) != effect.token {
                self.wrong(Wrong::OtherApproval, told.clone());
            }
            match self.index.accepted.get(intent.text("decision")).map(Vec::as_slice) {
                Some([accepted]) => self.same_decision(intent, accepted),
                Some([_, _, ..]) => self.wrong(Wrong::TwoAccepted, told),
                _ => self.wrong(Wrong::EffectWithoutRecord, format!("{told} is nowhere recorded as accepted")),
            }
        }
        let doubled: Vec<String> =
            self.index.effects_of_token.values().filter(|it| it.len() > 1).map(several).collect();
        doubled.into_iter().for_each(|text| self.wrong(Wrong::TwoEffects, text));
    }

    fn same_decision(&mut self, intent: &Record, accepted: &Record) {
        let told = format!("records {} and {}", intent.seq, accepted.seq);
        if intent.text("person") != accepted.text("person") {
            self.wrong(Wrong::OtherPerson, told.clone());
        }
        if intent.text("verdict") != accepted.text("verdict") {
            self.wrong(Wrong::OtherVerdict, told.clone());
        }
        if intent.text("approval") != accepted.text("approval") {
            self.wrong(Wrong::OtherApproval, told);
        }
    }

    /// Every accepted record has its effect at AWS.
    fn accepted_records(&mut self) {
        let there: BTreeSet<&str> = self
            .history
            .effects
            .iter()
            .filter_map(|effect| self.index.intent_of(&effect.summary))
            .map(|intent| intent.text("decision"))
            .collect();
        let missing: Vec<String> = self.index.accepted.keys().filter(|it| !there.contains(**it)).map(said).collect();
        missing.into_iter().for_each(|text| self.wrong(Wrong::RecordWithoutEffect, text));
    }

    /// What people were told is true, and each form was at most one decision, of theirs and of what they saw.
    fn deeds(&mut self) {
        for deed in &self.history.deeds {
            let intents = self.index.intents.get(deed.words.as_str()).cloned().unwrap_or_default();
            if intents.len() > 1 {
                self.wrong(Wrong::Intents, format!("{} became {} decisions", deed.words, intents.len()));
            }
            for intent in intents {
                self.is_of(deed, intent);
            }
            let has_effect = self.index.effects_of_words.contains_key(deed.words.as_str());
            for told in &deed.told {
                match told {
                    Told::Done if !has_effect => self.wrong(Wrong::DoneWithoutEffect, format!("{deed:?}")),
                    Told::NotNow(_) if has_effect && deed.sent == 1 => {
                        self.wrong(Wrong::NotWithEffect, format!("{deed:?}"));
                    }
                    Told::Not(_) if has_effect => self.wrong(Wrong::NotWithEffect, format!("{deed:?}")),
                    _ => {}
                }
            }
        }
        let known: BTreeSet<&str> = self.history.deeds.iter().map(|deed| deed.words.as_str()).collect();
        let invented: Vec<String> = self.index.intents.keys().filter(|it| !known.contains(**it)).map(said).collect();
        invented.into_iter().for_each(|text| self.wrong(Wrong::Intents, format!("nobody wrote {text}")));
    }

    fn is_of(&mut self, deed: &Deed, intent: &Record) {
        let told = format!("{} and record {}", deed.words, intent.seq);
        if intent.text("person") != deed.person {
            self.wrong(Wrong::OtherPerson, told.clone());
        }
        if intent.text("verdict") != deed.verdict {
            self.wrong(Wrong::OtherVerdict, told.clone());
        }
        if intent.text("approval") != deed.approval {
            self.wrong(Wrong::OtherApproval, told.clone());
        }
        if intent.text("fingerprint") != deed.fingerprint {
            self.wrong(Wrong::OtherFingerprint, told);
        }
    }

    /// Whatever reached AWS was recorded as sent before, word for word, and not oftener than that.
    fn sends(&mut self) {
        let mut recorded: BTreeMap<&str, usize> = BTreeMap::new();
        for sent in self.history.records.iter().filter(|record| record.kind == "decision.sent") {
            *recorded.entry(sent.text("sent_summary")).or_default() += 1;
        }
        let mut received: BTreeMap<&str, usize> = BTreeMap::new();
        for receipt in &self.history.receipts {
            *received.entry(&receipt.summary).or_default() += 1;
        }
        for (summary, times) in received {
            let known = recorded.get(summary).copied().unwrap_or(0);
            if times > known {
                self.wrong(Wrong::SendWithoutRecord, format!("{summary:?}: received {times}, recorded {known}"));
            }
        }
    }

    /// At most one send of a token is under way at any moment.
    fn overlaps(&mut self) {
        for (token, mut receipts) in group(self.history.receipts.iter(), |receipt| &receipt.token) {
            receipts.sort_by_key(|receipt| receipt.started_order);
            let overlap = |pair: &[&Receipt]| pair[0].ended_order.is_none_or(|ended| ended > pair[1].started_order);
            if receipts.windows(2).any(overlap) {
                let sends: Vec<_> = receipts.iter().map(|it| (&it.summary, it.started_order, it.ended_order)).collect();
                self.wrong(Wrong::Overlap, format!("{token}: {sends:?}"));
            }
        }
    }

    /// Nothing is sent for somebody whose account was disabled before.
    fn revocations(&mut self) {
        let mut disabled: HashMap<&str, &Record> = HashMap::new();
        for record in &self.history.records {
            let person = record.text("person");
            match record.kind.as_str() {
                "account.disabled" => _ = disabled.insert(person, record),
                "account.enabled" => _ = disabled.remove(person),
                "decision.sent" | "decision.intended" if disabled.contains_key(person) => {
                    self.wrong(Wrong::AfterRevocation, format!("record {}: {}", record.seq, record.kind));
                }
                _ => {}
            }
        }
        for effect in &self.history.effects {
            let Some(intent) = self.index.intent_of(&effect.summary) else { continue };
            let Some(revoked) = disabled.get(intent.text("person")) else { continue };
            if effect.at.duration_since(revoked.at) > LEASE {
                self.wrong(Wrong::AfterRevocation, format!("{:?}, revoked at {}", effect.summary, revoked.at));
            }
        }
    }

    /// Nothing is left on its way, and each row ends as its one last record says.
    fn rows(&mut self) {
        for row in &self.history.rows {
            if !FINAL.contains(&row.state.as_str()) {
                self.wrong(Wrong::LeftBehind, format!("decision {} is {}", row.id, row.state));
                continue;
            }
            let records = self.index.followed.get(row.id.as_str()).cloned().unwrap_or_default();
            if let Err(why) = agree(row, &records) {
                self.wrong(Wrong::RowAgainstRecords, format!("decision {}: {why}", row.id));
            }
        }
        let rows: BTreeSet<&str> = self.history.rows.iter().map(|row| row.id.as_str()).collect();
        let orphans: Vec<String> =
            self.index.followed.keys().filter(|id| !id.is_empty() && !rows.contains(**id)).map(said).collect();
        orphans.into_iter().for_each(|text| self.wrong(Wrong::RowAgainstRecords, format!("{text} has no row")));
    }

    /// An approval with an effect of ours is closed as decided here, and never told as decided elsewhere.
    fn approvals(&mut self) {
        for known in &self.history.approvals {
            let effects = self.index.effects_of_token.get(known.token.as_str());
            let expected = effects.and_then(|effects| effects.first()).map(|effect| effect.verdict.to_lowercase());
            let here = known.decided.as_deref() == Some("here");
            let right = expected.as_ref().map_or(!here, |verdict| here && known.at_aws == *verdict);
            if !right {
                let text = format!("{} is {} ({:?}), at AWS {expected:?}", known.id, known.at_aws, known.decided);
                self.wrong(Wrong::Approval, text);
            }
        }
        for record in self.history.records.iter().filter(|record| record.kind == "approval.decided_elsewhere") {
            if self.index.effects_of_token.contains_key(self.index.token_of(record)) {
                self.wrong(Wrong::Approval, format!("record {} gives our effect to somebody else", record.seq));
            }
        }
    }
}

/// A row and its records: one intent with the same content, and exactly one end, which is the row's.
fn agree(row: &Row, records: &[&Record]) -> Result<(), String> {
    let of = |kind: &str| records.iter().filter(|record| record.kind == kind).copied().collect::<Vec<_>>();
    let intents = of("decision.intended");
    let [intent] = intents.as_slice() else { return Err(format!("{} intents", intents.len())) };
    for (what, row, record) in [
        ("person", &row.account, intent.text("person")),
        ("verdict", &row.verdict, intent.text("verdict")),
        ("approval", &row.approval, intent.text("approval")),
        ("fingerprint", &row.fingerprint, intent.text("fingerprint")),
    ] {
        if row != record {
            return Err(format!("{what} {row}, recorded {record}"));
        }
    }
    let ends: Vec<&str> = records
        .iter()
        .filter_map(|record| record.kind.strip_prefix("decision."))
        .filter(|end| FINAL.contains(end))
        .collect();
    if ends == [row.state.as_str()] { Ok(()) } else { Err(format!("{}, recorded {ends:?}", row.state)) }
}

fn several(effects: &Vec<&Effect>) -> String {
    let summaries: Vec<&str> = effects.iter().map(|effect| effect.summary.as_str()).collect();
    format!("{summaries:?}")
}

fn said(text: &&str) -> String {
    (*text).to_owned()
}
