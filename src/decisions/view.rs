//! A decision as pages tell it.

use jiff::Timestamp;
use sqlx::PgConnection;

use super::send::sent_summary;
use crate::domain::decision::{State, Verdict};
use crate::domain::ids::{ApprovalId, DecisionId};
use crate::store::accounts;
use crate::store::decisions as table;

/// Everything a page tells about a decision.
#[derive(Debug, Clone)]
pub struct DecisionView {
    pub id: DecisionId,
    pub approval: ApprovalId,
    /// Made by the portal under a rule, and nobody's.
    pub is_by_rule: bool,
    /// The person's name when they decided, or the rule's.
    pub person_name: String,
    /// For whom, when they stood in for somebody.
    pub for_name: Option<String>,
    pub verdict: Verdict,
    /// The person's own words, or the rule's.
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
    let for_name = match decision.maker.for_account() {
        Some(account) => accounts::find_name(conn, account).await?,
        None => None,
    };
    let verdict = decision.verdict();
    Ok(Some(DecisionView {
        sent_summary: sent_summary(&decision),
        may_have_arrived: decision.state == State::Stale && decision.was_left_in_doubt(),
        id: decision.id,
        approval: decision.approval,
        is_by_rule: decision.maker.rule().is_some(),
        person_name: decision.signed_as,
        for_name,
        verdict,
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
