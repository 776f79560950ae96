//! The intent: one transaction that holds the right to decide, the approval, the form's key, the decision and its
//! record. If it cannot be committed nothing is sent; once it is committed, no crash can lose it; and where a lost answer
//! leaves that open, it is looked up before anything else (`lost`).

use sqlx::PgConnection;
use tokio::time::Instant;

use super::payload::Intended;
use super::step_up::Shown;
use super::{Ask, DecideError, Decisions, pace};
use crate::access::right::{AsWhom, Refusal, Tagged, Wanted, hold_right};
use crate::approvals::Approval;
use crate::audit::{Kind, Payload};
use crate::domain::approval::Standing;
use crate::domain::decision::{Maker, State};
use crate::domain::ids::{AccountId, DecisionId, sha256};
use crate::domain::people::Approver;
use crate::domain::summary::Summary;
use crate::store::approvals;
use crate::store::decisions as table;
use crate::store::decisions::intake::{self, KeptKey, LockedApproval, NewDecision};

impl Decisions {
    /// Commits the intent, with the right to it held until then (S-32). The flag is false when the same form had already
    /// been committed.
    pub(super) async fn commit_intent(
        &self,
        by: &Approver,
        (ask, words, shown): (&Ask, &Summary, &Shown),
        live: &Approval,
        tagged: &Tagged,
    ) -> Result<Result<(DecisionId, bool), Refusal>, DecideError> {
        let person = by.person();
        let now = self.0.clock.now();
        let id = DecisionId(self.0.random.uuid_v7(now));

        let until = Instant::now() + pace::WAITING;
        let mut tx = self.0.pool.begin().await?;
        limit(&mut tx, until).await?;
        let (account, name, as_whom) = (person.account, person.name.as_str(), AsWhom::Anybody);
        let wanted = Wanted { account, name, gate: &live.gate, tagged, as_whom };
        let right = match hold_right(&mut tx, wanted, now).await? {
            Ok(right) => right,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let locked = intake::lock_approval(&mut tx, ask.approval).await?.ok_or(DecideError::NoSuchApproval)?;
        // Under the approval's lock: of two posts of one form, the second sees the first's key here.
        if let Some(earlier) = find_own(&mut tx, person.account, ask).await? {
            return Ok(Ok((earlier, false)));
        }
        refuse_if_moved(&mut tx, &locked, ask).await?;
        if !intake::insert_key(&mut tx, person.account, (&key_hash(ask), &body_hash(ask)), id, now).await? {
            // The lock keeps posts of one form apart: this key was used for another approval, at the same instant.
            return Err(DecideError::KeyReused);
        }
        let step_up = match self.prove(&mut tx, (person, &live.gate), tagged, shown).await? {
            Ok(step_up) => step_up,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let mail = match self.use_mail(&mut tx, (id, person), ask, (live, tagged), now).await? {
            Ok(mail) => mail,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let proven = step_up.is_some();
        let intended =
            Intended::new((id, person), (ask, words.as_str()), live, &right).proven(step_up).mailed(mail.as_ref());
        let payload = Payload::new(&self.0.random, &intended).map_err(|error| unrecordable(&error))?;
        let new = NewDecision {
            id,
            approval: ask.approval,
            maker: Maker::Person {
                account: person.account,
                for_account: right.lent.as_ref().map(|lender| lender.account),
                verdict: ask.verdict,
            },
            signed_as: &person.name,
            summary: words.as_str(),
            fingerprint: ask.fingerprint,
            channel: ask.channel.name(),
            proven,
            now,
            holder: self.0.holder,
            held_until: now + pace::LEASE,
            record_kind: Kind::DecisionIntended.name(),
            record_actor: &format!("account:{}", person.account),
            record_payload: payload.as_bytes(),
        };
        limit(&mut tx, until).await?;
        intake::insert_with_record(&mut tx, &new).await?;
        match tx.commit().await {
            Ok(()) => Ok(Ok((id, true))),
            Err(error) => self.look_up_lost(person.account, ask, error).await.map(|id| Ok((id, true))),
        }
    }

    /// The decision this very form led to; refused when another keeps the approval, before AWS is bothered.
    pub(super) async fn find_own(&self, account: AccountId, ask: &Ask) -> Result<Option<DecisionId>, DecideError> {
        let mut conn = self.0.pool.acquire().await?;
        find_own(&mut conn, account, ask).await
    }

    /// Somebody's decision already keeps this approval: say whose.
    pub(super) async fn refuse_if_held(&self, ask: &Ask) -> Result<(), DecideError> {
        let mut conn = self.0.pool.acquire().await?;
        refuse_if_held(&mut conn, ask).await
    }
}

/// Lets no statement from here on wait beyond `until`. A limit of the server's own for each lock is not enough: there are
/// several, and of those who wait for one row, all but the first wait twice, for their turn and for the row (F-32).
pub(super) async fn limit(tx: &mut PgConnection, until: Instant) -> sqlx::Result<()> {
    let left = until.saturating_duration_since(Instant::now());
    intake::limit_statements(tx, left.max(pace::LEAST_WAITING)).await
}

/// The approval's row must still be open and be what was read a moment ago and shown before that.
async fn refuse_if_moved(tx: &mut PgConnection, locked: &LockedApproval, ask: &Ask) -> Result<(), DecideError> {
    if locked.open && locked.fingerprint == ask.fingerprint.0 {
        return Ok(());
    }
    let now = approvals::find(tx, ask.approval).await?.ok_or(DecideError::NoSuchApproval)?;
    if locked.open {
        return Err(DecideError::Changed { now: Box::new(now), differences: Vec::new() });
    }
    let standing = Standing::derive(now.at_aws, None);
    Err(DecideError::NotOpen { now: Box::new(now), standing })
}

async fn refuse_if_held(conn: &mut PgConnection, ask: &Ask) -> Result<(), DecideError> {
    match table::find_holding(conn, ask.approval).await? {
        None => Ok(()),
        Some(first) => {
            debug_assert!(first.state.holds_the_approval() && first.state != State::Lapsed);
            let verdict = first.verdict();
            Err(DecideError::AlreadyDeciding { decision: first.id, by: first.signed_as, verdict })
        }
    }
}

/// The decision that the same key already led to (D-03); refused when another keeps the approval. The form's own comes
/// first: it may be what keeps it.
async fn find_own(conn: &mut PgConnection, account: AccountId, ask: &Ask) -> Result<Option<DecisionId>, DecideError> {
    let earlier = intake::find_earlier(conn, (account, &key_hash(ask)), ask.approval).await?;
    if let Some(own) = same_post(earlier.key, ask)? {
        return Ok(Some(own));
    }
    match earlier.holding {
        None => Ok(None),
        Some(first) => Err(DecideError::AlreadyDeciding { decision: first.id, by: first.by, verdict: first.verdict }),
    }
}

/// The decision that the same key already led to (D-03).
pub(super) async fn find_by_key(
    conn: &mut PgConnection,
    account: AccountId,
    ask: &Ask,
) -> Result<Option<DecisionId>, DecideError> {
    same_post(intake::find_key(conn, account, &key_hash(ask)).await?, ask)
}

/// One key is for one content.
fn same_post(kept: Option<KeptKey>, ask: &Ask) -> Result<Option<DecisionId>, DecideError> {
    match kept {
        None => Ok(None),
        Some(kept) if kept.body_hash == body_hash(ask) => Ok(Some(kept.decision)),
        Some(_) => Err(DecideError::KeyReused),
    }
}

pub(super) fn key_hash(ask: &Ask) -> [u8; 32] {
    sha256(ask.key.as_bytes())
}

/// Over everything that makes two posts the same post.
fn body_hash(ask: &Ask) -> [u8; 32] {
    let body = [
        ask.approval.to_string(),
        ask.fingerprint.hex(),
        ask.verdict.name().to_owned(),
        ask.channel.name().to_owned(),
        ask.summary.clone(),
    ];
    sha256(body.join("\n").as_bytes())
}

fn unrecordable(error: &(dyn std::error::Error + 'static)) -> DecideError {
    tracing::error!(error, "a record could not be written as JSON, so nothing was sent");
    DecideError::Unavailable
}
