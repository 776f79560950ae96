//! What the records of a decision say, member by member. The names are part of the record's format: add to them,
//! never rename or reorder. The first members are also the search columns.

use serde::Serialize;

use super::{Ask, RULE};
use crate::approvals::Approval;
use crate::domain::ids::{DecisionId, Gate};
use crate::domain::people::Person;
use crate::domain::shown::Shown;
use crate::store::decisions::Decision;

/// Which approval a record is about.
#[derive(Debug, Serialize)]
pub struct About<'a> {
    #[serde(flatten)]
    pub gate: &'a Gate,
    pub execution: &'a str,
    pub approval: String,
}

impl<'a> About<'a> {
    #[must_use]
    pub fn of(approval: &'a Approval) -> Self {
        Self { gate: &approval.gate, execution: approval.execution.as_str(), approval: approval.id.to_string() }
    }
}

/// Who acts: as they were then.
#[derive(Debug, Serialize)]
pub struct Actor<'a> {
    pub person: String,
    pub name: &'a str,
    pub email: &'a str,
    pub roles: Vec<String>,
    pub signed_in: SignedIn<'a>,
    pub address: String,
    pub session: &'a str,
}

#[derive(Debug, Serialize)]
pub struct SignedIn<'a> {
    pub method: &'a str,
    pub at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stepped_up_at: Option<String>,
}

impl<'a> Actor<'a> {
    #[must_use]
    pub fn of(person: &'a Person) -> Self {
        Self {
            person: person.account.to_string(),
            name: &person.name,
            email: &person.email,
            roles: person.roles.names(),
            signed_in: SignedIn {
                method: &person.method,
                at: person.signed_in_at.to_string(),
                stepped_up_at: person.stepped_up_at.map(|at| at.to_string()),
            },
            address: person.address.to_string(),
            session: &person.session_mark,
        }
    }
}

/// `decision.intended`
#[derive(Debug, Serialize)]
pub struct Intended<'a> {
    #[serde(flatten)]
    pub about: About<'a>,
    pub decision: String,
    pub verdict: &'a str,
    #[serde(flatten)]
    pub actor: Actor<'a>,
    pub summary: &'a str,
    pub channel: &'a str,
    pub rule: Rule,
    pub fingerprint: String,
    pub shown: &'a Shown,
}

/// The rule in force, with the voices that were heard under it.
#[derive(Debug, Serialize)]
pub struct Rule {
    pub text: &'static str,
    pub votes: Vec<Vote>,
}

#[derive(Debug, Serialize)]
pub struct Vote {
    pub person: String,
    pub verdict: &'static str,
}

impl<'a> Intended<'a> {
    #[must_use]
    pub fn new(id: DecisionId, person: &'a Person, ask: &'a Ask, words: &'a str, live: &'a Approval) -> Self {
        Self {
            about: About::of(live),
            decision: id.to_string(),
            verdict: ask.verdict.name(),
            actor: Actor::of(person),
            summary: words,
            channel: ask.channel.name(),
            rule: Rule {
                text: RULE,
                votes: vec![Vote { person: person.account.to_string(), verdict: ask.verdict.name() }],
            },
            fingerprint: ask.fingerprint.hex(),
            shown: &live.shown,
        }
    }
}

/// `decision.attempt_refused`
#[derive(Debug, Serialize)]
pub struct AttemptRefused<'a> {
    #[serde(flatten)]
    pub about: Option<About<'a>>,
    #[serde(flatten)]
    pub actor: Actor<'a>,
    pub outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<&'static str>,
    /// The approval that was asked for, also where there is none.
    pub asked_for: String,
    pub reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fingerprint_now: Option<String>,
}

/// Everything that follows an intent: `decision.sent`, `.accepted`, `.refused`, `.elsewhere`, `.stale`, `.unsure`,
/// `.lapsed`, `.requeued`, `.needs_person`.
#[derive(Debug, Serialize)]
pub struct Followed<'a> {
    #[serde(flatten)]
    pub about: About<'a>,
    pub decision: String,
    pub verdict: &'a str,
    pub person: String,
    pub outcome: &'a str,
    /// The record that holds the intent.
    pub intent: i64,
    pub attempt: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_hash: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent_summary: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Aws::is_empty")]
    pub aws: Aws<'a>,
}

/// What AWS answered, or was read to say.
#[derive(Debug, Default, Serialize)]
pub struct Aws<'a> {
    /// `answer`: the answer to the send itself; `read_back`: found by reading afterwards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approved_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
}

impl Aws<'_> {
    fn is_empty(&self) -> bool {
        self.by.is_none() && self.code.is_none()
    }
}

impl<'a> Followed<'a> {
    #[must_use]
    pub fn new(approval: &'a Approval, decision: &Decision, outcome: &'a str) -> Self {
        Self {
            about: About::of(approval),
            decision: decision.id.to_string(),
            verdict: decision.verdict.name(),
            person: decision.account.to_string(),
            outcome,
            intent: decision.intent_seq,
            attempt: decision.attempt,
            token_hash: None,
            sent_summary: None,
            reason: None,
            aws: Aws::default(),
        }
    }
}
