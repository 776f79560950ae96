//! The chain, checked row by row in memory that grows with the keys of people and not with the log. Owns what "intact" means; knows nothing of where rows come from, so
//! the live table and an offline export are judged by the same code.
//!
//! What a chain alone cannot find: a tail that was cut off together with the head, and a change after which every later
//! record was hashed anew. Both leave a perfect chain; only a checkpoint kept outside the database shows them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use uuid::Uuid;

use super::entry::{Entry, GENESIS, Hash, sha256};
use super::kind::Kind;
use super::proof::Keys;

/// A stored record, as untrusted as it was read. Borrowed from what was read, since a verification takes millions apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row<'a> {
    pub seq: i64,
    /// `None`: a time no clock shows (infinity, the year 20000).
    pub at: Option<Timestamp>,
    pub prev: Cow<'a, [u8]>,
    pub kind: Cow<'a, str>,
    pub actor: Cow<'a, str>,
    pub payload_hash: Cow<'a, [u8]>,
    pub hash: Cow<'a, [u8]>,
    /// `None`: erased, which a later record must tell.
    pub payload: Option<StoredPayload<'a>>,
}

/// The payload's bytes and the copies beside them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoredPayload<'a> {
    pub bytes: Cow<'a, [u8]>,
    pub kind: Cow<'a, str>,
    pub source: Option<Cow<'a, str>>,
    pub pipeline: Option<Cow<'a, str>>,
    pub stage: Option<Cow<'a, str>>,
    pub action: Option<Cow<'a, str>>,
    pub execution: Option<Cow<'a, str>>,
    pub approval: Option<Uuid>,
    pub decision: Option<Uuid>,
    pub person: Option<Uuid>,
    pub verdict: Option<Cow<'a, str>>,
    pub outcome: Option<Cow<'a, str>>,
}

/// The newest record as the log itself names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    pub seq: i64,
    pub at: Option<Timestamp>,
    pub hash: Vec<u8>,
}

/// What the verifier found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Intact(Intact),
    Broken(Broken),
}

/// A log without a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intact {
    /// How many records there are; also the newest one's number.
    pub rows: i64,
    pub head: Hash,
    /// Records written while the clock stood behind the record before.
    pub clock_held: u64,
    /// Records whose payload was erased, each told by a later record.
    pub redacted: Vec<i64>,
}

/// The first fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    pub seq: i64,
    pub why: Why,
}

/// The kinds of fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// Numbers are missing from `expected` on.
    Gap { expected: i64 },
    /// The number was there before.
    Order { expected: i64 },
    /// It does not continue the record before it.
    Link,
    /// It was changed: its fields do not have its hash.
    Hash,
    /// Its payload was changed.
    PayloadHash,
    /// The passkey's signature that it holds is none under its decision, or none of its person's (S-18).
    Proof(&'static str),
    /// Its payload cannot be read.
    Payload(String),
    /// A copy for searching differs from the payload.
    Column(&'static str),
    /// Its time is not after the one before it.
    Clock,
    /// Its payload is gone and no record tells why.
    MissingPayload,
    /// A payload that belongs to no record.
    OrphanPayload,
    /// The head does not name the last record: records were cut off, or added by hand.
    Head,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seq = self.seq;
        match &self.why {
            Why::Gap { expected } => write!(f, "gap: record {expected} is missing; the next one found is {seq}"),
            Why::Order { expected } => write!(f, "order: record {seq} stands where {expected} belongs"),
            Why::Link => write!(f, "link: record {seq} does not continue the record before it"),
            Why::Hash => write!(f, "hash: record {seq} was changed; its fields do not have its hash"),
            Why::PayloadHash => write!(f, "hash: the payload of record {seq} was changed"),
            Why::Proof(reason) => write!(f, "proof: that of record {seq} does not hold: {reason}"),
            Why::Payload(reason) => write!(f, "payload: that of record {seq} cannot be read: {reason}"),
            Why::Column(name) => write!(f, "column: {name} of record {seq} differs from its payload"),
            Why::Clock => write!(f, "clock: record {seq} is not later than the record before it"),
            Why::MissingPayload => write!(f, "payload: that of record {seq} is gone and no record tells why"),
            Why::OrphanPayload => write!(f, "payload: there is one for {seq}, which is no record"),
            Why::Head => write!(f, "head: it does not name the last record, {seq}"),
        }
    }
}

/// The verifier's memory between rows: the record before, and the erasures not yet told.
#[derive(Debug, Clone)]
pub struct Chain {
    seq: i64,
    at: Timestamp,
    hash: Hash,
    clock_held: u64,
    redacted: Vec<i64>,
    untold: BTreeMap<i64, Hash>,
    keys: Keys,
    /// Where entries are spelt.
    spelling: Vec<u8>,
}

impl Default for Chain {
    fn default() -> Self {
        let (redacted, untold, keys, spelling) = (Vec::new(), BTreeMap::new(), Keys::default(), Vec::new());
        Self { seq: 0, at: Timestamp::UNIX_EPOCH, hash: GENESIS, clock_held: 0, redacted, untold, keys, spelling }
    }
}

impl Chain {
    /// Checks the next record, in order of numbers.
    pub fn check(&mut self, row: &Row<'_>) -> Result<(), Broken> {
        self.check_row(row).map_err(|why| Broken { seq: row.seq, why })
    }

    /// After the last record. An export has no head of its own.
    pub fn finish(self, head: Option<&Head>) -> Verdict {
        if let Some(seq) = self.untold.keys().next() {
            return Verdict::Broken(Broken { seq: *seq, why: Why::MissingPayload });
        }
        let named = |head: &Head| head.seq == self.seq && head.hash == self.hash && head.at == Some(self.at);
        if head.is_some_and(|head| !named(head)) {
            return Verdict::Broken(Broken { seq: self.seq, why: Why::Head });
        }
        let Self { seq, hash, clock_held, redacted, .. } = self;
        Verdict::Intact(Intact { rows: seq, head: hash, clock_held, redacted })
    }

    fn check_row(&mut self, row: &Row<'_>) -> Result<(), Why> {
        let expected = self.seq + 1;
        match row.seq.cmp(&expected) {
            std::cmp::Ordering::Greater => return Err(Why::Gap { expected }),
            std::cmp::Ordering::Less => return Err(Why::Order { expected }),
            std::cmp::Ordering::Equal => {}
        }
        if *row.prev != self.hash {
            return Err(Why::Link);
        }
        let at = row.at.ok_or(Why::Hash)?;
        let payload_hash: Hash = row.payload_hash.as_ref().try_into().map_err(|_| Why::Hash)?;
        if row.kind.contains('\n') || row.actor.contains('\n') {
            return Err(Why::Hash);
        }
        let (kind, actor) = (&*row.kind, &*row.actor);
        let entry = Entry { seq: row.seq, at, prev: &self.hash, kind, actor, payload_hash: &payload_hash };
        let hash = entry.hash_in(&mut self.spelling);
        if *row.hash != hash {
            return Err(Why::Hash);
        }
        if at <= self.at {
            return Err(Why::Clock);
        }
        self.check_payload(row, payload_hash)?;
        self.clock_held += u64::from(at.duration_since(self.at) == SignedDuration::from_micros(1));
        (self.seq, self.at, self.hash) = (row.seq, at, hash);
        Ok(())
    }

    fn check_payload(&mut self, row: &Row<'_>, payload_hash: Hash) -> Result<(), Why> {
        let telling = row.kind == Kind::RecordRedacted.name();
        let Some(stored) = &row.payload else {
            if telling {
                return Err(Why::MissingPayload);
            }
            if row.kind == Kind::FactorAdded.name() {
                self.keys.miss();
            }
            self.untold.insert(row.seq, payload_hash);
            return Ok(());
        };
        if sha256(&stored.bytes) != payload_hash {
            return Err(Why::PayloadHash);
        }
        let text = std::str::from_utf8(&stored.bytes).map_err(|error| Why::Payload(error.to_string()))?;
        let members: Members<'_> = serde_json::from_str(text).map_err(|error| Why::Payload(error.to_string()))?;
        compare(row, stored, &members)?;
        self.check_proof(&row.kind, text).map_err(Why::Proof)?;
        if telling {
            self.settle_erasure(&members);
        }
        Ok(())
    }

    /// What a signature needs: the keys that people have, and at a decision that was signed, all of it.
    fn check_proof(&mut self, kind: &str, payload: &str) -> Result<(), &'static str> {
        if kind == Kind::DecisionIntended.name() && payload.contains("\"step_up\"") {
            return self.keys.check(payload);
        }
        let about_factors = [Kind::FactorAdded, Kind::FactorRemoved].into_iter().find(|it| it.name() == kind);
        about_factors.map_or(Ok(()), |kind| self.keys.note(kind, payload))
    }

    /// An erasure is told when a later record names it and the digest of what was erased.
    fn settle_erasure(&mut self, members: &Members<'_>) {
        let Some(seq) = members.redacts else { return };
        let told = members.payload_hash.as_deref();
        if self.untold.get(&seq).is_some_and(|hash| told == Some(hex::encode(hash).as_str())) {
            self.untold.remove(&seq);
            self.redacted.push(seq);
        }
    }
}

/// The members of a payload that have copies, and those that tell of an erasure. Everything else is skipped; a key that
/// comes twice is an error.
#[derive(Debug, Deserialize)]
struct Members<'a> {
    #[serde(borrow, default)]
    source: Text<'a>,
    #[serde(borrow, default)]
    pipeline: Text<'a>,
    #[serde(borrow, default)]
    stage: Text<'a>,
    #[serde(borrow, default)]
    action: Text<'a>,
    #[serde(borrow, default)]
    execution: Text<'a>,
    #[serde(borrow, default)]
    approval: Text<'a>,
    #[serde(borrow, default)]
    decision: Text<'a>,
    #[serde(borrow, default)]
    person: Text<'a>,
    #[serde(borrow, default)]
    verdict: Text<'a>,
    #[serde(borrow, default)]
    outcome: Text<'a>,
    redacts: Option<i64>,
    #[serde(borrow, default)]
    payload_hash: Text<'a>,
}

/// Borrowed from the payload where it has no escapes.
#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Option<Borrowed<'a>>);

#[derive(Debug, Deserialize)]
#[serde(transparent)]
struct Borrowed<'a>(#[serde(borrow)] Cow<'a, str>);

impl Text<'_> {
    fn as_deref(&self) -> Option<&str> {
        self.0.as_ref().map(|text| text.0.as_ref())
    }
}

fn compare(row: &Row<'_>, stored: &StoredPayload<'_>, members: &Members<'_>) -> Result<(), Why> {
    if stored.kind != row.kind {
        return Err(Why::Column("kind"));
    }
    let texts = [
        ("source", &stored.source, &members.source),
        ("pipeline", &stored.pipeline, &members.pipeline),
        ("stage", &stored.stage, &members.stage),
        ("action", &stored.action, &members.action),
        ("execution", &stored.execution, &members.execution),
        ("verdict", &stored.verdict, &members.verdict),
        ("outcome", &stored.outcome, &members.outcome),
    ];
    for (name, column, member) in texts {
        if column.as_deref() != member.as_deref() {
            return Err(Why::Column(name));
        }
    }
    let ids = [
        ("approval", stored.approval, &members.approval),
        ("decision", stored.decision, &members.decision),
        ("person", stored.person, &members.person),
    ];
    for (name, column, member) in ids {
        let mut buffer = Uuid::encode_buffer();
        let column = column.map(|id| &*id.hyphenated().encode_lower(&mut buffer));
        if column != member.as_deref() {
            return Err(Why::Column(name));
        }
    }
    Ok(())
}
