//! A decision as pages tell it.

use jiff::Timestamp;
use sqlx::PgConnection;

use super::send::sent_summary;
use crate::domain::decision::{State, Verdict};
use crate::domain::ids::{AccountId, ApprovalId, DecisionId};
use crate::store::decisions as table;

/// Everything a page tells about a decision.
#[derive(Debug, Clone)]
pub struct DecisionView {
    pub id: DecisionId,
    pub approval: ApprovalId,
    pub account: AccountId,
    /// The person's name when they decided.
    pub person_name: String,
    pub verdict: Verdict,
    /// The person's own words.
    pub summary: String,
    /// What AWS is, or was, told.
    pub sent_summary: String,
    pub state: State,
    pub attempt: i32,
    /// An attempt was never answered, and it was never found out whether it arrived.
    pub may_have_arrived: bool,
    /// The number of the record that holds the intent.
    pub intent_seq: i64,
    /// Why it stands as it does, in a sentence for people.
    pub reason: Option<String>,
    pub created_at: Timestamp,
    pub sent_at: Option<Timestamp>,
    pub due_at: Option<Timestamp>,
    pub unsure_since: Option<Timestamp>,
    pub needs_person_since: Option<Timestamp>,
    pub settled_at: Option<Timestamp>,
    /// AWS's own time of the decision, where it gave one.
    pub approved_at: Option<Timestamp>,
}

impl DecisionView {
    /// Whether there is something to tell: it is settled, or it is known to be unsure.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        self.state.is_final() || self.state == State::Unsure
    }
}

pub(super) async fn find(conn: &mut PgConnection, id: DecisionId) -> sqlx::Result<Option<DecisionView>> {
    let Some(decision) = table::find(conn, id).await? else { return Ok(None) };
    Ok(Some(DecisionView {
        sent_summary: sent_summary(&decision),
        may_have_arrived: decision.state == State::Stale && decision.was_left_in_doubt(),
        id: decision.id,
        approval: decision.approval,
        account: decision.account,
        person_name: decision.signed_as,
        verdict: decision.verdict,
        summary: decision.summary,
        state: decision.state,
        attempt: decision.attempt,
        intent_seq: decision.intent_seq,
        reason: decision.reason,
        created_at: decision.created_at,
        sent_at: decision.sent_at,
        due_at: decision.due_at,
        unsure_since: decision.unsure_since,
        needs_person_since: decision.needs_person_since,
        settled_at: decision.settled_at,
        approved_at: decision.approved_at,
    }))
}
