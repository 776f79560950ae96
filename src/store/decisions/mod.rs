//! The decision table: decisions on their way to AWS, and the keys that make a form count once. This file owns the row;
//! how one comes to be is in `intake`, how it moves on in `moves`.

pub mod intake;
pub mod moves;
pub mod unattended;

use jiff::{SignedDuration, Timestamp};
use sqlx::PgConnection;
use uuid::Uuid;

use super::Inconsistent;
use crate::domain::decision::{Maker, State, Verdict};
use crate::domain::ids::{AccountId, ApprovalId, DecisionId, GateOptionId};
use crate::domain::shown::Fingerprint;

/// A decision as it stands.
#[derive(Debug, Clone)]
pub struct Decision {
    pub id: DecisionId,
    pub approval: ApprovalId,
    pub maker: Maker,
    /// The person's name when they decided, or the rule's, as it stands in the marker.
    pub signed_as: String,
    /// The person's own words, or the rule's.
    pub summary: String,
    pub fingerprint: Fingerprint,
    pub channel: String,
    /// Whether its record holds fresh proof of who decided.
    pub proven: bool,
    pub state: State,
    pub attempt: i32,
    pub intent_seq: i64,
    pub intent_hash: [u8; 32],
    pub created_at: Timestamp,
    pub sent_at: Option<Timestamp>,
    pub due_at: Option<Timestamp>,
    pub doubt: Option<String>,
    pub unsure_since: Option<Timestamp>,
    pub open_read_at: Option<Timestamp>,
    pub open_reads: i32,
    pub steps: i32,
    pub needs_person_since: Option<Timestamp>,
    pub settled_at: Option<Timestamp>,
    pub reason: Option<String>,
    pub aws_code: Option<String>,
    pub approved_at: Option<Timestamp>,
}

struct Row {
    id: Uuid,
    approval_id: Uuid,
    account_id: Option<Uuid>,
    for_account: Option<Uuid>,
    gate_option_id: Option<Uuid>,
    signed_as: String,
    verdict: String,
    summary: String,
    fingerprint: Vec<u8>,
    channel: String,
    proven: bool,
    state: String,
    attempt: i32,
    intent_seq: i64,
    intent_hash: Vec<u8>,
    created_at: jiff_sqlx::Timestamp,
    sent_at: Option<jiff_sqlx::Timestamp>,
    due_at: Option<jiff_sqlx::Timestamp>,
    doubt: Option<String>,
    unsure_since: Option<jiff_sqlx::Timestamp>,
    open_read_at: Option<jiff_sqlx::Timestamp>,
    open_reads: i32,
    steps: i32,
    needs_person_since: Option<jiff_sqlx::Timestamp>,
    settled_at: Option<jiff_sqlx::Timestamp>,
    reason: Option<String>,
    aws_code: Option<String>,
    approved_at: Option<jiff_sqlx::Timestamp>,
}

impl TryFrom<Row> for Decision {
    type Error = Inconsistent;

    fn try_from(row: Row) -> Result<Self, Inconsistent> {
        let impossible = |problem: &str| Inconsistent {
            table: "portal.decision",
            row: row.id.to_string(),
            problem: problem.to_owned(),
        };
        Ok(Self {
            id: DecisionId(row.id),
            approval: ApprovalId(row.approval_id),
            maker: maker(&row).map_err(impossible)?,
            fingerprint: Fingerprint(
                row.fingerprint.as_slice().try_into().map_err(|_| impossible("fingerprint is not 32 bytes"))?,
            ),
            state: State::from_name(&row.state).ok_or_else(|| impossible("unknown state"))?,
            intent_hash: row.intent_hash.as_slice().try_into().map_err(|_| impossible("hash is not 32 bytes"))?,
            signed_as: row.signed_as,
            summary: row.summary,
            channel: row.channel,
            proven: row.proven,
            attempt: row.attempt,
            intent_seq: row.intent_seq,
            created_at: row.created_at.to_jiff(),
            sent_at: row.sent_at.map(jiff_sqlx::Timestamp::to_jiff),
            due_at: row.due_at.map(jiff_sqlx::Timestamp::to_jiff),
            doubt: row.doubt,
            unsure_since: row.unsure_since.map(jiff_sqlx::Timestamp::to_jiff),
            open_read_at: row.open_read_at.map(jiff_sqlx::Timestamp::to_jiff),
            open_reads: row.open_reads,
            steps: row.steps,
            needs_person_since: row.needs_person_since.map(jiff_sqlx::Timestamp::to_jiff),
            settled_at: row.settled_at.map(jiff_sqlx::Timestamp::to_jiff),
            reason: row.reason,
            aws_code: row.aws_code,
            approved_at: row.approved_at.map(jiff_sqlx::Timestamp::to_jiff),
        })
    }
}

/// Who made it. A row in which nobody approved, or in which a person and a rule did, is impossible.
fn maker(row: &Row) -> Result<Maker, &'static str> {
    let verdict = Verdict::from_name(&row.verdict).ok_or("unknown verdict")?;
    match (row.account_id, row.gate_option_id) {
        (Some(account), None) => {
            Ok(Maker::Person { account: AccountId(account), for_account: row.for_account.map(AccountId), verdict })
        }
        (None, Some(option)) if verdict == Verdict::Rejected => Ok(Maker::Rule(GateOptionId(option))),
        _ => Err("neither a person's nor a rejection under a rule"),
    }
}

macro_rules! decisions {
    ($where:literal $(, $arg:expr)*) => {
        sqlx::query_as!(
            Row,
            "select id, approval_id, account_id, for_account, gate_option_id, signed_as, verdict, summary, fingerprint, channel, proven, state, attempt, intent_seq, \
             intent_hash, created_at, sent_at, due_at, doubt, unsure_since, open_read_at, open_reads, steps, \
             needs_person_since, settled_at, reason, aws_code, approved_at from portal.decision " + $where
            $(, $arg)*
        )
    };
}

/// The decision, if there is one of this id.
///
/// # Errors
/// Whatever the database says, also of an impossible row.
pub async fn find(conn: &mut PgConnection, id: DecisionId) -> sqlx::Result<Option<Decision>> {
    let row = decisions!("where id = $1", id.0).fetch_optional(conn).await?;
    Ok(row.map(Decision::try_from).transpose()?)
}

/// The decision that keeps this approval to itself: live, or accepted.
///
/// # Errors
/// Whatever the database says, also of an impossible row.
pub async fn find_holding(conn: &mut PgConnection, approval: ApprovalId) -> sqlx::Result<Option<Decision>> {
    let row =
        decisions!("where approval_id = $1 and state in ('intent', 'submitting', 'unsure', 'accepted')", approval.0)
            .fetch_optional(conn)
            .await?;
    Ok(row.map(Decision::try_from).transpose()?)
}

/// Where a decision must be for a change to count: anything else means somebody was quicker.
#[derive(Debug, Clone, Copy)]
pub struct Expected {
    pub id: DecisionId,
    pub state: State,
    pub attempt: i32,
}

impl Decision {
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.maker.verdict()
    }

    /// This decision as the point a change starts from.
    #[must_use]
    pub fn expected(&self) -> Expected {
        Expected { id: self.id, state: self.state, attempt: self.attempt }
    }

    /// Whether an attempt of this decision may have taken effect, as far as the answers tell. Never when the first attempt
    /// ever was answered with "too late", nor when everything sent so far was surely not taken.
    #[must_use]
    pub fn may_have_landed(&self) -> bool {
        match self.state {
            State::Intent => self.doubt.is_some(),
            State::Unsure => self.was_left_in_doubt(),
            _ => self.attempt > 0,
        }
    }

    /// Whether an attempt was never answered. "Too late" is an answer, unless an earlier attempt may be what it was too
    /// late for.
    #[must_use]
    pub fn was_left_in_doubt(&self) -> bool {
        self.doubt.as_deref().is_some_and(|doubt| doubt != "too_late" || self.attempt > 1)
    }

    /// How long it has been waiting since it was made.
    #[must_use]
    pub fn age(&self, now: Timestamp) -> SignedDuration {
        now.duration_since(self.created_at)
    }
}
