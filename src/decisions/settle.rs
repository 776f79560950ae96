//! Settling: every step of a decision that its first sender did not finish. Any replica may take any step; the lease
//! keeps them out of each other's way, and compare-and-set keeps the record right when it does not (H-02).

use futures::StreamExt as _;

use super::payload::Followed;
use super::send::Trouble;
use super::{Decisions, pace};
use crate::approvals::{Approval, Fate};
use crate::audit::Kind;
use crate::codepipeline::observed::ReadError;
use crate::domain::decision::State;
use crate::domain::ids::DecisionId;
use crate::store::decisions::Decision;
use crate::store::decisions::moves::{self, ReadBack};

/// How many decisions one pass takes. All at a time: each step may wait for AWS for as long as its lease lasts, and a source
/// that hangs must not hold up the others (D-12). Steps hold no connection to the database while they wait.
const PER_PASS: i64 = 64;

impl Decisions {
    /// Takes every step that is due and nobody else is taking: sends intents, gives up on senders that never came back,
    /// reads back what is unsure. Returns how many steps were taken.
    ///
    /// # Errors
    /// Whatever the database says about finding them. Trouble with a single decision is logged and tried again.
    pub async fn step(&self) -> sqlx::Result<usize> {
        let due = self.0.reader.database().pulse.or_dead(self.take_due()).await?;
        let count = due.len();
        futures::stream::iter(due).for_each_concurrent(None, |id| self.take_step(id)).await;
        Ok(count)
    }

    async fn take_due(&self) -> sqlx::Result<Vec<DecisionId>> {
        let now = self.0.clock.now();
        let mut conn = self.0.pool.acquire().await?;
        moves::take_due(&mut conn, self.0.holder, now, now + pace::LEASE, PER_PASS).await
    }

    async fn take_step(&self, id: DecisionId) {
        if let Err(error) = self.try_step(id).await {
            tracing::error!(error = &*error, decision = %id, "a step of a decision could not be taken; it will be tried again");
        }
        self.tell_moved(id);
    }

    async fn try_step(&self, id: DecisionId) -> Result<(), Trouble> {
        let pulse = self.0.reader.database().pulse.clone();
        let Some((decision, approval)) = pulse.or_dead(self.load(id)).await? else { return Ok(()) };
        if decision.state == State::Intent {
            self.send(id).await;
            return Ok(());
        }
        pulse.or_dead(self.settle(&decision, &approval)).await
    }

    async fn settle(&self, decision: &Decision, approval: &Approval) -> Result<(), Trouble> {
        match decision.state {
            // Its lease ran out: the sender died, or its answer is very late. Either way nobody knows.
            State::Submitting => {
                let reason = "The program that sent it did not come back with an answer. Reading back.";
                self.doubt(decision, approval, "unanswered", None, reason, "").await
            }
            State::Unsure => self.read_back(decision, approval).await,
            _ => Ok(()),
        }
    }

    /// What became of the approval. The likeliest reading is enough where it cannot have been this decision.
    pub(super) async fn read_fate(&self, decision: &Decision, approval: &Approval) -> Result<Fate, ReadError> {
        if decision.may_have_landed() {
            Box::pin(self.0.reader.fate(approval)).await
        } else {
            Box::pin(self.0.reader.likely_fate(approval)).await
        }
    }

    async fn read_back(&self, decision: &Decision, approval: &Approval) -> Result<(), Trouble> {
        let began = self.0.clock.now();
        match self.read_fate(decision, approval).await {
            Ok(Fate::Open) => self.still_open(decision, approval, began).await,
            Ok(fate) => self.conclude_fate(decision, approval, fate).await,
            Err(why) => {
                self.keep_asking(decision, approval, &format!("AWS could not be read back: {why}."), None).await
            }
        }
    }

    /// Seen open after a send whose fate is unknown. That alone settles nothing: the request may land late (D-07).
    async fn still_open(
        &self,
        decision: &Decision,
        approval: &Approval,
        read_at: jiff::Timestamp,
    ) -> Result<(), Trouble> {
        let sent_at = decision.sent_at.unwrap_or(decision.created_at);
        let not_applied = match decision.doubt.as_deref() {
            Some("answered") => {
                decision.open_read_at.is_some_and(|first| read_at.duration_since(first) >= pace::BETWEEN_READS)
            }
            // AWS contradicts itself. An earlier attempt may be what closed the token: then only the marker settles it,
            // for as long as a read could possibly lag behind.
            Some("too_late") if decision.attempt > 1 => read_at.duration_since(sent_at) >= pace::ASK_A_PERSON,
            _ => read_at.duration_since(sent_at) >= pace::QUARANTINE,
        };
        if !not_applied {
            let why =
                "AWS still shows the approval as waiting. The request may yet arrive, so nothing is sent again so far.";
            return self.keep_asking(decision, approval, why, Some(read_at)).await;
        }
        if decision.doubt.as_deref() == Some("too_late") {
            return self.refused_token(decision, approval).await;
        }
        let reason = "AWS still shows the approval as waiting, so the request had no effect. It will be sent again.";
        self.requeue(decision, approval, None, reason, State::Unsure).await
    }

    /// Nothing is settled: reads back again later, and asks for a person when that has gone on for too long.
    pub(super) async fn keep_asking(
        &self,
        decision: &Decision,
        approval: &Approval,
        reason: &str,
        open_at: Option<jiff::Timestamp>,
    ) -> Result<(), Trouble> {
        if decision.state == State::Intent {
            // It was to be sent again, but what AWS shows may be what an earlier attempt did.
            return self.doubt(decision, approval, "unanswered", None, reason, "").await;
        }
        let now = self.0.clock.now();
        let since = decision.unsure_since.unwrap_or(decision.created_at);
        let needs_person = now.duration_since(since) >= pace::ASK_A_PERSON && decision.needs_person_since.is_none();
        let read = ReadBack {
            due: now + pace::read_again_after(decision.steps),
            open_at,
            needs_person: needs_person.then_some(now),
            reason,
        };
        let mut tx = self.0.pool.begin().await?;
        if !moves::mark_read_back(&mut tx, decision.expected(), &read).await? {
            return Ok(());
        }
        if needs_person {
            tracing::error!(
                decision = %decision.id, record = decision.intent_seq, pipeline = %approval.gate.pipeline, reason,
                "a decision could not be settled for 15 minutes: a person must look at the pipeline in AWS"
            );
            let followed = Followed { reason: Some(reason), ..Followed::new(approval, decision, "needs_person") };
            self.append(&mut tx, Kind::DecisionNeedsPerson, &followed).await?;
        }
        tx.commit().await?;
        Ok(())
    }
}
