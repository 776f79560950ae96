//! How a decision moves on: who takes its next step, and every change of its state. Each is compare-and-set on (state,
//! attempt), so that a late worker changes nothing.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgConnection;
use uuid::Uuid;

use super::Expected;
use crate::domain::decision::State;
use crate::domain::ids::DecisionId;

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
