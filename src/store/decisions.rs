//! The decision table: decisions on their way to AWS, and the keys that make a form count once. Every change of state is
//! compare-and-set on (state, attempt), so that a late worker changes nothing.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use jiff_sqlx::ToSqlx as _;
use sqlx::PgConnection;
use uuid::Uuid;

use super::Inconsistent;
use crate::database::connect::STATEMENT_TIMEOUT;
use crate::domain::decision::{State, Verdict};
use crate::domain::ids::{AccountId, ApprovalId, DecisionId};
use crate::domain::shown::Fingerprint;

/// A decision as it stands.
#[derive(Debug, Clone)]
pub struct Decision {
    pub id: DecisionId,
    pub approval: ApprovalId,
    pub account: AccountId,
    /// The person's name when they decided, as it stands in the marker.
    pub signed_as: String,
    pub verdict: Verdict,
    /// The person's own words.
    pub summary: String,
    pub fingerprint: Fingerprint,
    pub channel: String,
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
    account_id: Uuid,
    signed_as: String,
    verdict: String,
    summary: String,
    fingerprint: Vec<u8>,
    channel: String,
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
            account: AccountId(row.account_id),
            verdict: Verdict::from_name(&row.verdict).ok_or_else(|| impossible("unknown verdict"))?,
            fingerprint: Fingerprint(
                row.fingerprint.as_slice().try_into().map_err(|_| impossible("fingerprint is not 32 bytes"))?,
            ),
            state: State::from_name(&row.state).ok_or_else(|| impossible("unknown state"))?,
            intent_hash: row.intent_hash.as_slice().try_into().map_err(|_| impossible("hash is not 32 bytes"))?,
            signed_as: row.signed_as,
            summary: row.summary,
            channel: row.channel,
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

macro_rules! decisions {
    ($where:literal $(, $arg:expr)*) => {
        sqlx::query_as!(
            Row,
            "select id, approval_id, account_id, signed_as, verdict, summary, fingerprint, channel, state, attempt, intent_seq, \
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

/// A decision about to be recorded, with the record that goes with it.
pub struct NewDecision<'a> {
    pub id: DecisionId,
    pub approval: ApprovalId,
    pub account: AccountId,
    pub signed_as: &'a str,
    pub verdict: Verdict,
    pub summary: &'a str,
    pub fingerprint: Fingerprint,
    pub channel: &'a str,
    pub now: Timestamp,
    /// Who will send it, and until when nobody else will.
    pub holder: Uuid,
    pub held_until: Timestamp,
    pub record_kind: &'a str,
    pub record_actor: &'a str,
    pub record_payload: &'a [u8],
}

/// Limits what each statement of this transaction may take, up to [`insert_with_record`].
///
/// # Errors
/// Whatever the database says.
pub async fn limit_statements(conn: &mut PgConnection, to: Duration) -> sqlx::Result<()> {
    sqlx::query_scalar!("select set_config('statement_timeout', $1, true)", to.as_millis().to_string())
        .fetch_one(conn)
        .await?;
    Ok(())
}

/// Appends the record and inserts the decision that carries its number and hash, in one statement and therefore in one
/// round trip: the head of the chain is locked from here to the commit, which must follow at once (A-09) and has the
/// session's own limit again.
///
/// # Errors
/// A unique violation on `decision_one_live` when somebody else was first; otherwise whatever the database says.
pub async fn insert_with_record(conn: &mut PgConnection, new: &NewDecision<'_>) -> sqlx::Result<(i64, [u8; 32])> {
    let row = sqlx::query!(
        r#"with appended as materialized (select o_seq, o_hash from audit.append($1, $2, $3)),
        unlimited as materialized (select set_config('statement_timeout', $15, true))
        insert into portal.decision (id, approval_id, account_id, signed_as, verdict, summary, fingerprint, channel,
            state, lease_holder, lease_until, due_at, intent_seq, intent_hash, created_at)
        select $4, $5, $6, $7, $8, $9, $10, $11, 'intent', $12, $13, $14, o_seq, o_hash, $14 from appended, unlimited
        returning intent_seq, intent_hash"#,
        new.record_kind,
        new.record_actor,
        new.record_payload,
        new.id.0,
        new.approval.0,
        new.account.0,
        new.signed_as,
        new.verdict.name(),
        new.summary,
        &new.fingerprint.0,
        new.channel,
        new.holder,
        new.held_until.to_sqlx(),
        new.now.to_sqlx(),
        STATEMENT_TIMEOUT,
    )
    .fetch_one(conn)
    .await?;
    let hash = row.intent_hash.as_slice().try_into().map_err(|_| Inconsistent {
        table: "audit.record",
        row: row.intent_seq.to_string(),
        problem: "hash is not 32 bytes".into(),
    })?;
    Ok((row.intent_seq, hash))
}

/// What was kept under a form's key.
pub struct KeptKey {
    pub body_hash: Vec<u8>,
    pub decision: DecisionId,
}

/// Who keeps an approval.
pub struct Holding {
    pub id: DecisionId,
    pub by: String,
    pub verdict: Verdict,
}

/// What stands against a form's being a decision of its own: what its key was kept for, and who keeps the approval.
#[derive(Default)]
pub struct Earlier {
    pub key: Option<KeptKey>,
    pub holding: Option<Holding>,
}

/// Both in one round trip, because every decision asks, and asks again under the approval's lock.
///
/// # Errors
/// Whatever the database says, also of an impossible row.
pub async fn find_earlier(
    conn: &mut PgConnection,
    (account, key_hash): (AccountId, &[u8; 32]),
    approval: ApprovalId,
) -> sqlx::Result<Earlier> {
    let row = sqlx::query!(
        r#"select k.body_hash as "body_hash?", k.decision_id as "kept?", d.id as "held?", d.signed_as as "by?",
            d.verdict as "verdict?"
        from (select 1) one
        left join portal.decision_key k on k.account_id = $1 and k.key_hash = $2
        left join portal.decision d
            on d.approval_id = $3 and d.state in ('intent', 'submitting', 'unsure', 'accepted')"#,
        account.0,
        key_hash,
        approval.0
    )
    .fetch_one(conn)
    .await?;
    let holding = match (row.held, row.by, row.verdict) {
        (Some(id), Some(by), Some(verdict)) => Some(Holding {
            id: DecisionId(id),
            by,
            verdict: Verdict::from_name(&verdict).ok_or_else(|| Inconsistent {
                table: "portal.decision",
                row: id.to_string(),
                problem: "unknown verdict".to_owned(),
            })?,
        }),
        _ => None,
    };
    let key = row.body_hash.zip(row.kept).map(|(body_hash, id)| KeptKey { body_hash, decision: DecisionId(id) });
    Ok(Earlier { key, holding })
}

/// # Errors
/// Whatever the database says.
pub async fn find_key(
    conn: &mut PgConnection,
    account: AccountId,
    key_hash: &[u8; 32],
) -> sqlx::Result<Option<KeptKey>> {
    let row = sqlx::query!(
        "select body_hash, decision_id from portal.decision_key where account_id = $1 and key_hash = $2",
        account.0,
        key_hash
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| KeptKey { body_hash: row.body_hash, decision: DecisionId(row.decision_id) }))
}

/// Keeps a form's key. The decision it names is inserted later in the same transaction. False: it is kept already; of two
/// at once, the second waits for the first.
///
/// # Errors
/// Whatever the database says.
pub async fn insert_key(
    conn: &mut PgConnection,
    account: AccountId,
    (key_hash, body_hash): (&[u8; 32], &[u8; 32]),
    decision: DecisionId,
    now: Timestamp,
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "insert into portal.decision_key (account_id, key_hash, body_hash, decision_id, created_at)
        values ($1, $2, $3, $4, $5) on conflict (account_id, key_hash) do nothing",
        account.0,
        key_hash,
        body_hash,
        decision.0,
        now.to_sqlx()
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Forgets keys older than `before`. Returns how many.
///
/// # Errors
/// Whatever the database says.
pub async fn delete_keys_before(conn: &mut PgConnection, before: Timestamp) -> sqlx::Result<u64> {
    let done =
        sqlx::query!("delete from portal.decision_key where created_at < $1", before.to_sqlx()).execute(conn).await?;
    Ok(done.rows_affected())
}

/// What an account may do, locked against change until the transaction ends (S-32).
pub struct Standing {
    pub name: String,
    pub email: String,
    pub roles: Vec<String>,
    pub disabled: bool,
    /// Until it is changed, nothing but changing it is allowed.
    pub must_change_password: bool,
}

/// # Errors
/// Whatever the database says.
pub async fn lock_account(conn: &mut PgConnection, account: AccountId) -> sqlx::Result<Option<Standing>> {
    let row = sqlx::query!(
        r#"select name, email, roles, disabled_at is not null as "disabled!", must_change_password
            from portal.account where id = $1 for share"#,
        account.0
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| Standing {
        name: row.name,
        email: row.email,
        roles: row.roles,
        disabled: row.disabled,
        must_change_password: row.must_change_password,
    }))
}

/// What an approval looks like under lock: the fingerprint, and whether AWS was last seen to say it is open.
pub struct LockedApproval {
    pub fingerprint: Vec<u8>,
    pub open: bool,
    pub seen_open_at: Timestamp,
}

/// # Errors
/// Whatever the database says.
pub async fn lock_approval(conn: &mut PgConnection, approval: ApprovalId) -> sqlx::Result<Option<LockedApproval>> {
    let row = sqlx::query!(
        r#"select fingerprint, at_aws = 'open' as "open!", seen_open_at from portal.approval where id = $1 for update"#,
        approval.0
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| LockedApproval {
        fingerprint: row.fingerprint,
        open: row.open,
        seen_open_at: row.seen_open_at.to_jiff(),
    }))
}

/// Takes up to `limit` decisions whose next step is due and nobody is holding, for `holder` until `until`.
///
/// # Errors
/// Whatever the database says.
pub async fn take_due(
    conn: &mut PgConnection,
    holder: Uuid,
    now: Timestamp,
    until: Timestamp,
    limit: i64,
) -> sqlx::Result<Vec<DecisionId>> {
    let ids = sqlx::query_scalar!(
        "update portal.decision set lease_holder = $1, lease_until = $3
        where id in (select id from portal.decision
            where state in ('intent', 'submitting', 'unsure') and due_at <= $2
            and (lease_until is null or lease_until <= $2)
            order by due_at limit $4 for update skip locked)
        returning id",
        holder,
        now.to_sqlx(),
        until.to_sqlx(),
        limit
    )
    .fetch_all(conn)
    .await?;
    Ok(ids.into_iter().map(DecisionId).collect())
}

/// Where a decision must be for a change to count: anything else means somebody was quicker.
#[derive(Debug, Clone, Copy)]
pub struct Expected {
    pub id: DecisionId,
    pub state: State,
    pub attempt: i32,
}

impl Decision {
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

/// intent → submitting: one more attempt is about to leave. False: somebody was quicker.
///
/// # Errors
/// Whatever the database says.
pub async fn mark_submitting(
    conn: &mut PgConnection,
    from: Expected,
    now: Timestamp,
    (holder, until): (Uuid, Timestamp),
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "update portal.decision set state = 'submitting', attempt = attempt + 1, sent_at = $4, lease_holder = $5,
            lease_until = $6, due_at = $6, reason = null, aws_code = null
        where id = $1 and state = $2 and attempt = $3",
        from.id.0,
        from.state.name(),
        from.attempt,
        now.to_sqlx(),
        holder,
        until.to_sqlx()
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Back to intent: what was sent is taken to have had no effect; the next send is due at `due`. A doubt stays on the row:
/// what was once unanswered may still land. False: somebody was quicker.
///
/// # Errors
/// Whatever the database says.
pub async fn mark_requeued(
    conn: &mut PgConnection,
    from: Expected,
    due: Timestamp,
    code: Option<&str>,
    reason: &str,
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "update portal.decision set state = 'intent', due_at = $4, lease_holder = null, lease_until = null,
            unsure_since = null, open_read_at = null, open_reads = 0, needs_person_since = null, aws_code = $5, reason = $6
        where id = $1 and state = $2 and attempt = $3",
        from.id.0,
        from.state.name(),
        from.attempt,
        due.to_sqlx(),
        code,
        reason
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// submitting → unsure: nothing is sent until reading back settles it. False: somebody was quicker.
///
/// # Errors
/// Whatever the database says.
pub async fn mark_unsure(
    conn: &mut PgConnection,
    from: Expected,
    now: Timestamp,
    doubt: &str,
    (code, reason): (Option<&str>, &str),
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "update portal.decision set state = 'unsure', doubt = $4, unsure_since = $5, due_at = $5, steps = 0,
            open_read_at = null, open_reads = 0, lease_holder = null, lease_until = null, aws_code = $6, reason = $7
        where id = $1 and state = $2 and attempt = $3",
        from.id.0,
        from.state.name(),
        from.attempt,
        doubt,
        now.to_sqlx(),
        code,
        reason
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// What a read-back that settled nothing leaves behind.
pub struct ReadBack<'a> {
    pub due: Timestamp,
    /// Whether the approval was seen open, and when the read began.
    pub open_at: Option<Timestamp>,
    pub needs_person: Option<Timestamp>,
    pub reason: &'a str,
}

/// Still unsure; the next read-back is due later. False: somebody was quicker.
///
/// # Errors
/// Whatever the database says.
pub async fn mark_read_back(conn: &mut PgConnection, from: Expected, read: &ReadBack<'_>) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "update portal.decision set due_at = $4, steps = steps + 1, lease_holder = null, lease_until = null,
            open_read_at = coalesce(open_read_at, $5), open_reads = open_reads + (case when $5::timestamptz is null then 0 else 1 end),
            needs_person_since = coalesce(needs_person_since, $6), reason = $7
        where id = $1 and state = $2 and attempt = $3",
        from.id.0,
        from.state.name(),
        from.attempt,
        read.due.to_sqlx(),
        read.open_at.map(jiff_sqlx::ToSqlx::to_sqlx) as Option<jiff_sqlx::Timestamp>,
        read.needs_person.map(jiff_sqlx::ToSqlx::to_sqlx) as Option<jiff_sqlx::Timestamp>,
        read.reason
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// How a decision ends.
pub struct Ending<'a> {
    pub state: State,
    pub now: Timestamp,
    pub code: Option<&'a str>,
    pub reason: Option<&'a str>,
    pub approved_at: Option<Timestamp>,
}

/// Any live state → a final one. False: somebody was quicker.
///
/// # Errors
/// Whatever the database says.
pub async fn mark_settled(conn: &mut PgConnection, from: Expected, end: &Ending<'_>) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "update portal.decision set state = $4, settled_at = $5, due_at = null, lease_holder = null, lease_until = null,
            unsure_since = null, needs_person_since = null, aws_code = coalesce($6, aws_code), reason = $7, approved_at = $8
        where id = $1 and state = $2 and attempt = $3",
        from.id.0,
        from.state.name(),
        from.attempt,
        end.state.name(),
        end.now.to_sqlx(),
        end.code,
        end.reason,
        end.approved_at.map(jiff_sqlx::ToSqlx::to_sqlx) as Option<jiff_sqlx::Timestamp>
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Gives a decision back before its time, so that its next step is taken by whoever comes first.
///
/// # Errors
/// Whatever the database says.
pub async fn release(conn: &mut PgConnection, holder: Uuid) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "update portal.decision set lease_holder = null, lease_until = null
        where lease_holder = $1 and state in ('intent', 'unsure')",
        holder
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}
