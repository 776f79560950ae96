//! What the records of a decision say, member by member. The names are part of the record's format: add to them,
//! never rename or reorder. The first members are also the search columns.

use jiff::Timestamp;
use serde::Serialize;

use super::step_up::StepUp;
use super::{Ask, RULE, UNATTENDED_RULE};
use crate::access::right::Right;
use crate::approvals::Approval;
use crate::domain::decision::{BY_RULE, Maker, SIGNED_BY_RULE};
use crate::domain::ids::{DecisionId, Gate};
use crate::domain::people::Person;
use crate::domain::shown::Shown;
use crate::store::access::options::GateOption;
use crate::store::access::rights::Held;
use crate::store::decisions::Decision;
use crate::store::mailed_links::Used;

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
    /// With what.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proven_by: Option<&'a str>,
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
                proven_by: person.proven_by.as_deref(),
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
    /// Where the gate asks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) step_up: Option<StepUp<'a>>,
    /// Where it was decided with the code in a mail, by somebody who was not signed in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mail: Option<ByMail<'a>>,
}

/// The mail whose link and code were shown.
#[derive(Debug, Serialize)]
pub(super) struct ByMail<'a> {
    /// What proved who decides: always `mail`.
    pub factor: &'static str,
    pub link: String,
    pub mailed_to: &'a str,
    pub mailed_at: String,
}

/// The rule in force, with the voices that were heard under it.
#[derive(Debug, Serialize)]
pub struct Rule {
    pub text: &'static str,
    pub votes: Vec<Vote>,
    /// What the person's right rested on.
    pub grants: Vec<Relied>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stand_in: Option<StoodIn>,
}

/// A grant that was relied on.
#[derive(Debug, Serialize)]
pub struct Relied {
    pub grant: String,
    /// `decide`, or `stand_in`.
    pub lets: &'static str,
    pub gates: String,
    /// The group, or `the person` themselves, or the name of the one they stood in for.
    pub given_to: String,
}

/// For whom somebody decided.
#[derive(Debug, Serialize)]
pub struct StoodIn {
    pub stand_in: String,
    #[serde(rename = "for")]
    pub for_account: String,
    pub for_name: String,
    pub until: String,
}

impl Rule {
    fn of(person: &Person, verdict: &'static str, right: &Right) -> Self {
        let relied = |held: &Held| Relied {
            grant: held.grant.to_string(),
            lets: held.capability.name(),
            gates: held.gates.to_string(),
            given_to: match (&held.group, &held.lent) {
                (Some((_, group)), _) => format!("group {group}"),
                (None, Some(lender)) => lender.name.clone(),
                (None, None) => "the person".to_owned(),
            },
        };
        Self {
            text: RULE,
            votes: vec![Vote { person: person.account.to_string(), verdict }],
            grants: right.relied.iter().map(relied).collect(),
            stand_in: right.lent.as_ref().map(|lender| StoodIn {
                stand_in: lender.stand_in.to_string(),
                for_account: lender.account.to_string(),
                for_name: lender.name.clone(),
                until: lender.until.to_string(),
            }),
        }
    }
}

#[derive(Debug, Serialize)]
pub struct Vote {
    pub person: String,
    pub verdict: &'static str,
}

impl<'a> Intended<'a> {
    #[must_use]
    pub fn new(
        (id, person): (DecisionId, &'a Person),
        (ask, words): (&'a Ask, &'a str),
        live: &'a Approval,
        right: &Right,
    ) -> Self {
        Self {
            about: About::of(live),
            decision: id.to_string(),
            verdict: ask.verdict.name(),
            actor: Actor::of(person),
            summary: words,
            channel: ask.channel.name(),
            rule: Rule::of(person, ask.verdict.name(), right),
            fingerprint: ask.fingerprint.hex(),
            shown: &live.shown,
            step_up: None,
            mail: None,
        }
    }

    pub(super) fn mailed(self, used: Option<&'a Used>) -> Self {
        let mail = used.map(|used| ByMail {
            factor: "mail",
            link: used.id.to_string(),
            mailed_to: &used.mailed_to,
            mailed_at: used.mailed_at.to_string(),
        });
        Self { mail, ..self }
    }

    pub(super) fn proven(self, step_up: Option<StepUp<'a>>) -> Self {
        Self { step_up, ..self }
    }
}

/// `decision.intended`, where nobody decided in time and a rule says that the portal rejects it then.
#[derive(Debug, Serialize)]
pub(super) struct IntendedByRule<'a> {
    #[serde(flatten)]
    pub about: About<'a>,
    pub decision: String,
    pub verdict: &'static str,
    /// As whom it is signed at AWS. Nobody's name.
    pub name: &'static str,
    pub summary: &'a str,
    pub channel: &'static str,
    pub rule: UnattendedRule<'a>,
    pub fingerprint: String,
    pub shown: &'a Shown,
}

/// The option that was relied on, and what it came to.
#[derive(Debug, Serialize)]
pub(super) struct UnattendedRule<'a> {
    pub text: &'static str,
    pub option: String,
    pub gates: String,
    pub minutes: i32,
    /// When it was given, and by whom.
    pub given_at: String,
    pub given_by: &'a str,
    pub note: &'a str,
    pub opened_at: String,
    /// When the portal saw it first: the minutes count from then at the earliest.
    pub found_at: String,
    /// When it was to be rejected. The record's own time is when it was.
    pub due_at: String,
}

impl<'a> IntendedByRule<'a> {
    pub(super) fn new(
        (id, live): (DecisionId, &'a Approval),
        (option, due_at): (&'a GateOption, Timestamp),
        words: &'a str,
    ) -> Self {
        let maker = Maker::Rule(option.id);
        Self {
            about: About::of(live),
            decision: id.to_string(),
            verdict: maker.verdict().name(),
            name: SIGNED_BY_RULE,
            summary: words,
            channel: BY_RULE,
            rule: UnattendedRule {
                text: UNATTENDED_RULE,
                option: option.id.to_string(),
                gates: option.gates.to_string(),
                minutes: option.minutes,
                given_at: option.from.to_string(),
                given_by: option.given_by.as_deref().unwrap_or("the operator"),
                note: &option.note,
                opened_at: live.opened_at.to_string(),
                found_at: live.found_at.to_string(),
                due_at: due_at.to_string(),
            },
            fingerprint: live.fingerprint.hex(),
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

/// `decision.attempt_refused`, where somebody with the link of a mail typed a code that is not in it.
#[derive(Debug, Serialize)]
pub struct WrongCode<'a> {
    #[serde(flatten)]
    pub about: Option<About<'a>>,
    pub outcome: &'static str,
    pub channel: &'static str,
    pub asked_for: String,
    pub reason: &'static str,
    pub tries_left: i16,
    pub link: String,
    pub mailed_to: &'a str,
    pub address: String,
}

/// Everything that follows an intent: `decision.sent`, `.accepted`, `.refused`, `.elsewhere`, `.stale`, `.unsure`,
/// `.lapsed`, `.requeued`, `.needs_person`.
#[derive(Debug, Serialize)]
pub struct Followed<'a> {
    #[serde(flatten)]
    pub about: About<'a>,
    pub decision: String,
    pub verdict: &'a str,
    /// Absent where the portal decided under a rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
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
            verdict: decision.verdict().name(),
            person: decision.maker.account().map(|account| account.to_string()),
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
