//! One send: claimed, committed as under way, sent once, and its answer written down. Between the claim and the answer
//! no transaction is open.

use jiff::Timestamp;
use sqlx::PgConnection;

use super::payload::Followed;
use super::step_up::find_missing_proof;
use super::unattended::find_bar_to_rule;
use super::{Decisions, pace};
use crate::access::right::{AsWhom, Refusal, Tagged, Wanted, hold_right};
use crate::approvals::{Approval, Fate, RefreshError};
use crate::audit::{self, Kind, Payload};
use crate::codepipeline::observed::ReadError;
use crate::codepipeline::{Answer, NotApplied, Submission};
use crate::domain::decision::{Maker, State, Verdict};
use crate::domain::ids::DecisionId;
use crate::domain::summary::{Marker, Summary};
use crate::store::approvals;
use crate::store::decisions::{self as table, Decision, moves};

/// What goes wrong between the database and AWS. Whoever sees it can only log: the decision stays as it was committed,
/// and the next step finds it there.
pub(super) type Trouble = Box<dyn std::error::Error + Send + Sync>;

/// What came of claiming an attempt.
enum Claim {
    Claimed(Box<Decision>),
    /// It may not leave, or somebody was quicker.
    Lost,
    /// Whether it may hangs on the pipeline's tags.
    AskForTags,
}

/// A send in a task of its own, known as such until it ends, however it ends.
struct Sending {
    decisions: Decisions,
    id: DecisionId,
}

impl Sending {
    fn of(decisions: &Decisions, id: DecisionId) -> Self {
        decisions.sending().insert(id);
        Self { decisions: decisions.clone(), id }
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.decisions.sending().remove(&self.id);
        // Those who wait look at it now.
        self.decisions.tell_moved(self.id);
    }
}

impl Decisions {
    /// Sends in a task of its own, which no request's end can stop (D-04).
    pub(super) fn send_in_background(&self, id: DecisionId) {
        let sending = Sending::of(self, id);
        self.0.sends.spawn(async move {
            sending.decisions.send(sending.id).await;
        });
    }

    /// Makes one attempt at sending a decision that is an intent and that this process holds.
    pub(super) async fn send(&self, id: DecisionId) {
        if let Err(error) = self.try_send(id).await {
            tracing::error!(error = &*error, decision = %id, "a step of a decision could not be written; it will be taken again");
        }
        self.tell_moved(id);
    }

    async fn try_send(&self, id: DecisionId) -> Result<(), Trouble> {
        let pulse = self.0.reader.database().pulse.clone();
        let Some((decision, approval)) = pulse.or_dead(self.prepare(id)).await? else { return Ok(()) };
        let held_up = decision.sent_at.is_none_or(|at| self.0.clock.now() >= at + pace::LEASE);
        let answer = match self.0.reader.gateway(&approval.gate.source) {
            // A process that was stopped in between: others count on nothing leaving after the lease, and the person's
            // right may be gone by now.
            _ if held_up => Answer::NotApplied {
                why: NotApplied::NeverLeft,
                code: "HeldUp".into(),
                message: "the program was held up before it could send".into(),
            },
            Some(gateway) => Box::pin(gateway.submit(&submission(&decision, &approval))).await,
            None => Answer::NotApplied {
                why: NotApplied::NeverLeft,
                code: "SourceNotConfigured".into(),
                message: format!("the source {} is no longer configured", approval.gate.source),
            },
        };
        pulse.or_dead(self.conclude_answer(&decision, &approval, answer)).await
    }

    /// Everything up to the moment from which AWS may be called. `None`: it may not.
    async fn prepare(&self, id: DecisionId) -> Result<Option<(Decision, Approval)>, Trouble> {
        let Some((decision, approval)) = self.load(id).await? else { return Ok(None) };
        if decision.state != State::Intent || !self.is_still_open(&decision, &approval).await? {
            return Ok(None);
        }
        match self.claim(&decision, &approval, &Tagged::Unasked).await? {
            Claim::Claimed(claimed) => Ok(Some((*claimed, approval))),
            Claim::Lost => Ok(None),
            Claim::AskForTags => self.claim_by_tags(decision, approval).await,
        }
    }

    /// The person's right, or whether the gate asks for proof, hangs on what the pipeline is tagged with now.
    async fn claim_by_tags(
        &self,
        decision: Decision,
        approval: Approval,
    ) -> Result<Option<(Decision, Approval)>, Trouble> {
        let tagged = match Box::pin(self.0.reader.read_tags(&approval.gate)).await {
            Ok(tags) => Tagged::Are(tags),
            Err(RefreshError::Unreadable(why)) if why.is_passing() => {
                self.hold_back(&decision, &approval, &why).await?;
                return Ok(None);
            }
            Err(RefreshError::Unreadable(why)) => Tagged::Unreadable(why.explain()),
            Err(other) => return Err(other.into()),
        };
        match self.claim(&decision, &approval, &tagged).await? {
            Claim::Claimed(claimed) => Ok(Some((*claimed, approval))),
            Claim::Lost | Claim::AskForTags => Ok(None),
        }
    }

    /// D-11: nothing leaves unless the approval was seen open within the last seconds.
    async fn is_still_open(&self, decision: &Decision, approval: &Approval) -> Result<bool, Trouble> {
        let now = self.0.clock.now();
        if approval.at_aws == crate::domain::approval::AtAws::Open
            && now.duration_since(approval.seen_open_at) <= pace::FRESH_READ
        {
            return Ok(true);
        }
        match self.read_fate(decision, approval).await {
            Ok(Fate::Open) => {
                let mut conn = self.0.pool.acquire().await?;
                approvals::mark_seen_open(&mut conn, approval.id, now).await?;
                Ok(true)
            }
            Ok(fate) => {
                self.conclude_fate(decision, approval, fate).await?;
                Ok(false)
            }
            Err(why) => {
                self.hold_back(decision, approval, &why).await?;
                Ok(false)
            }
        }
    }

    /// AWS cannot be read just now: tries again later, or gives up where that would not help.
    async fn hold_back(&self, decision: &Decision, approval: &Approval, why: &ReadError) -> Result<(), Trouble> {
        let reason = format!("The approval could not be read before sending: {why}.");
        match self.find_obstacle(decision, approval, why).await? {
            None => self.postpone(decision, &reason).await,
            Some(_) if decision.may_have_landed() => self.keep_asking(decision, approval, &reason, None).await,
            Some(obstacle) => self.lapse(decision, approval, &obstacle).await,
        }
    }

    /// Why a decision would not be sent even if AWS could be read again. Without this, nobody else could decide for as
    /// long as it cannot.
    async fn find_obstacle(
        &self,
        decision: &Decision,
        approval: &Approval,
        unreadable: &ReadError,
    ) -> Result<Option<String>, Trouble> {
        if let ReadError::NotConfigured(_) = unreadable {
            return Ok(Some("Its source is no longer configured.".into()));
        }
        let now = self.0.clock.now();
        if decision.verdict() == Verdict::Rejected && now >= approval.expires_at {
            return Ok(Some("It could not be sent before the approval's deadline.".into()));
        }
        let mut conn = self.0.pool.acquire().await?;
        Ok(match find_bar(&mut conn, (decision, approval), &Tagged::Unasked, now).await? {
            Some(Refusal::No(why)) => Some(why),
            // What its tags say is found out once AWS can be read.
            Some(Refusal::AskForTags) | None => too_old(decision, now),
        })
    }

    /// Commits that an attempt is about to leave, after checking once more that it may (D-02, D-10, D-11).
    async fn claim(&self, decision: &Decision, approval: &Approval, tagged: &Tagged) -> Result<Claim, Trouble> {
        let now = self.0.clock.now();
        let mut tx = self.0.pool.begin().await?;
        match find_bar(&mut tx, (decision, approval), tagged, now).await? {
            None => {}
            Some(Refusal::AskForTags) => return Ok(Claim::AskForTags),
            Some(Refusal::No(why)) => {
                tx.rollback().await?;
                return self.lapse(decision, approval, &why).await.map(|()| Claim::Lost);
            }
        }
        let held = (self.0.holder, now + pace::LEASE);
        if !moves::mark_submitting(&mut tx, decision.expected(), now, held).await? {
            return Ok(Claim::Lost);
        }
        let claimed = Decision {
            state: State::Submitting,
            attempt: decision.attempt + 1,
            sent_at: Some(now),
            ..decision.clone()
        };
        let sent_summary = sent_summary(&claimed);
        let sent = Followed {
            token_hash: Some(&approval.shown.token_hash),
            sent_summary: Some(&sent_summary),
            ..Followed::new(approval, &claimed, "sent")
        };
        let payload = Payload::new(&self.0.random, &sent)?;
        audit::append(&mut tx, Kind::DecisionSent, "system", &payload).await?;
        tx.commit().await?;
        Ok(Claim::Claimed(Box::new(claimed)))
    }

    pub(super) async fn load(&self, id: DecisionId) -> Result<Option<(Decision, Approval)>, Trouble> {
        let mut conn = self.0.pool.acquire().await?;
        let Some(decision) = table::find(&mut conn, id).await? else { return Ok(None) };
        let Some(approval) = approvals::find(&mut conn, decision.approval).await? else { return Ok(None) };
        Ok(Some((decision, approval)))
    }
}

/// Why this decision must not be sent any more (D-10, D-11), with the right it was made in, and what its gate asks for, held
/// until the transaction ends.
async fn find_bar(
    conn: &mut PgConnection,
    (decision, approval): (&Decision, &Approval),
    tagged: &Tagged,
    now: Timestamp,
) -> sqlx::Result<Option<Refusal>> {
    let (account, as_whom) = match decision.maker {
        Maker::Person { account, for_account, .. } => {
            (account, for_account.map_or(AsWhom::Themselves, AsWhom::StandInFor))
        }
        Maker::Rule(option) => return find_bar_to_rule(conn, option, &approval.gate, tagged).await,
    };
    let name = decision.signed_as.as_str();
    let wanted = Wanted { account, name, gate: &approval.gate, tagged, as_whom };
    if let Err(refusal) = hold_right(conn, wanted, now).await? {
        return Ok(Some(refusal));
    }
    if let Some(refusal) = find_missing_proof(conn, decision.proven, &approval.gate, tagged).await? {
        return Ok(Some(refusal));
    }
    Ok(too_old(decision, now).map(Refusal::No))
}

fn too_old(decision: &Decision, now: Timestamp) -> Option<String> {
    let too_old = decision.verdict() == Verdict::Approved && decision.age(now) > pace::APPROVAL_LASTS;
    too_old.then(|| "It could not be sent within 10 minutes. Please look again and decide afresh.".into())
}

fn submission(decision: &Decision, approval: &Approval) -> Submission {
    Submission {
        pipeline: approval.gate.pipeline.clone(),
        stage: approval.gate.stage.clone(),
        action: approval.gate.action.clone(),
        token: approval.token.clone(),
        verdict: decision.verdict(),
        summary: sent_summary(decision),
        session_name: format!("countersign-rec-{}", decision.intent_seq),
    }
}

/// What AWS is told: the person's words, or the rule's, then who and which record (D-08).
pub(super) fn sent_summary(decision: &Decision) -> String {
    let words = Summary::from_record(&decision.summary);
    marker(decision).sign(&words, &decision.signed_as)
}

pub(super) fn marker(decision: &Decision) -> Marker {
    Marker::new(decision.intent_seq, &decision.intent_hash)
}
