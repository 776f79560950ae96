//! How a decision comes to be: what stands against it, the locks it is made under, its key, and the row together with its
//! record.

use std::time::Duration;

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::database::connect::STATEMENT_TIMEOUT;
use crate::domain::decision::{Maker, Verdict};
use crate::domain::ids::{AccountId, ApprovalId, DecisionId};
use crate::domain::shown::Fingerprint;
use crate::store::Inconsistent;

/// A decision about to be recorded, with the record that goes with it.
pub struct NewDecision<'a> {
    pub id: DecisionId,
    pub approval: ApprovalId,
    pub maker: Maker,
    pub signed_as: &'a str,
    pub summary: &'a str,
    pub fingerprint: Fingerprint,
    pub channel: &'a str,
    /// Whether its record holds fresh proof of who decides.
    pub proven: bool,
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
            state, lease_holder, lease_until, due_at, intent_seq, intent_hash, created_at, for_account, proven,
            gate_option_id)
        select $4, $5, $6, $7, $8, $9, $10, $11, 'intent', $12, $13, $14, o_seq, o_hash, $14, $16, $17, $18
        from appended, unlimited
        returning intent_seq, intent_hash"#,
        new.record_kind,
        new.record_actor,
        new.record_payload,
        new.id.0,
        new.approval.0,
        new.maker.account().map(|account| account.0),
        new.signed_as,
        new.maker.verdict().name(),
        new.summary,
        &new.fingerprint.0,
        new.channel,
        new.holder,
        new.held_until.to_sqlx(),
        new.now.to_sqlx(),
        STATEMENT_TIMEOUT,
        new.maker.for_account().map(|account| account.0),
        new.proven,
        new.maker.rule().map(|option| option.0),
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
