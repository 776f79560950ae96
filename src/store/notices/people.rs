//! Who can be told by mail at all, and when their next letter is due.

use jiff::{SignedDuration, Timestamp};
use jiff_sqlx::ToSqlx as _;
use sqlx::PgConnection;
use uuid::Uuid;

use super::choices::{Columns, read_choices};
use crate::domain::ids::AccountId;
use crate::domain::notices::Choices;

/// Somebody who can be told: enabled, with a way in, by which they also showed that the address is theirs.
#[derive(Debug, Clone)]
pub struct Reachable {
    pub account: AccountId,
    pub email: String,
    pub email_key: String,
    pub roles: Vec<String>,
    pub time_zone: String,
    pub choices: Choices,
}

/// Everybody who can be told, or of them this one alone. Whoever was invited and has not come yet cannot: nobody knows
/// whether the address is theirs. Nor who must choose a password first: until then they may decide nothing.
///
/// # Errors
/// Whatever the database says, also of an impossible row.
pub async fn list_reachable(conn: &mut PgConnection, only: Option<AccountId>) -> sqlx::Result<Vec<Reachable>> {
    let rows = sqlx::query!(
        r#"select a.id, a.email, a.email_key, a.roles, a.time_zone, c.waiting as "waiting?", c.reminders as "reminders?",
            c.decided as "decided?", c.expired as "expired?", c.blind as "blind?", c.pace as "pace?",
            c.digest_hour as "digest_hour?", c.quiet_from, c.quiet_until, c.quiet_except as "quiet_except?"
        from portal.account a left join portal.notice_choice c on c.account_id = a.id
        where ($1::uuid is null or a.id = $1) and a.disabled_at is null and a.deleted_at is null and a.email <> ''
            and not a.must_change_password
            and (a.password_phc is not null
                or exists (select from portal.passkey p where p.account_id = a.id and p.suspect_at is null)
                or exists (select from portal.identity i where i.account_id = a.id))
        order by a.id"#,
        only.map(|account| account.0)
    );
    let mut found = Vec::new();
    for row in rows.fetch_all(conn).await? {
        let columns = Columns {
            waiting: row.waiting,
            reminders: row.reminders,
            decided: row.decided,
            expired: row.expired,
            blind: row.blind,
            pace: row.pace,
            digest_hour: row.digest_hour,
            quiet_from: row.quiet_from,
            quiet_until: row.quiet_until,
            quiet_except: row.quiet_except,
        };
        found.push(Reachable {
            account: AccountId(row.id),
            choices: read_choices(row.id, columns)?.unwrap_or_default(),
            email: row.email,
            email_key: row.email_key,
            roles: row.roles,
            time_zone: row.time_zone,
        });
    }
    Ok(found)
}

/// There is something for these people at these times. Whoever had nothing waits for `gather` longer, for what else comes;
/// and after a letter everybody waits for `spacing`, unless that letter is of a time that a clock has gone back behind. Rows
/// are locked in the order of the accounts.
///
/// # Errors
/// Whatever the database says.
pub async fn bring_forward(
    conn: &mut PgConnection,
    readers: &[(AccountId, Timestamp)],
    (gather, spacing): (SignedDuration, SignedDuration),
    now: Timestamp,
) -> sqlx::Result<()> {
    let mut readers = readers.to_vec();
    readers.sort_by_key(|(account, _)| account.0);
    let accounts: Vec<Uuid> = readers.iter().map(|(account, _)| account.0).collect();
    let dues: Vec<jiff_sqlx::Timestamp> =
        readers.iter().map(|(_, due)| due.checked_add(gather).unwrap_or(*due).to_sqlx()).collect();
    sqlx::query!(
        "insert into portal.notice_pace (account_id, due_at)
        select * from unnest($1::uuid[], $2::timestamptz[]) new (account_id, due_at) order by account_id
        on conflict (account_id) do update set due_at = greatest(
            least(portal.notice_pace.due_at, excluded.due_at),
            case when portal.notice_pace.last_letter_at <= $4
                then portal.notice_pace.last_letter_at + make_interval(secs => $3) end)",
        &accounts,
        &dues as _,
        spacing.as_secs_f64(),
        now.to_sqlx()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Looks at everything again that this person is still to be told, because they chose something else. Whoever writes their letter
/// locks their turn first, and then what is in it: so does this.
///
/// # Errors
/// Whatever the database says.
pub async fn look_again(conn: &mut PgConnection, account: AccountId, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query!(
        "update portal.notice_pace set due_at = least(due_at, $2) where account_id = $1 and due_at is not null",
        account.0,
        now.to_sqlx()
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "update portal.notice_to set due_at = least(due_at, $2) where account_id = $1 and due_at is not null",
        account.0,
        now.to_sqlx()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Holds somebody as they were read until the transaction ends: who changes, disables or deletes them meanwhile waits, and
/// then finds what this transaction leaves. False: they are another's by now, or may not be told any more.
///
/// # Errors
/// Whatever the database says.
pub async fn hold(conn: &mut PgConnection, reader: &Reachable) -> sqlx::Result<bool> {
    let held = sqlx::query_scalar!(
        r#"select true as "held!" from portal.account where id = $1 and email = $2 and roles = $3 and disabled_at is null
            and deleted_at is null and not must_change_password for share"#,
        reader.account.0,
        reader.email,
        &reader.roles
    );
    Ok(held.fetch_optional(conn).await?.is_some())
}

/// Somebody whose letter was taken to be written.
#[derive(Debug, Clone, Copy)]
pub struct Turn {
    pub account: AccountId,
    pub holder: Uuid,
    pub attempt: i32,
}

/// Takes up to `most` people whose letter is due and whom nobody holds, for `holder` until the second time. Nobody holds
/// anything for longer than that, so that a clock that was wrong holds up nobody.
///
/// # Errors
/// Whatever the database says.
pub async fn take_due(
    conn: &mut PgConnection,
    holder: Uuid,
    (now, until): (Timestamp, Timestamp),
    most: i64,
) -> sqlx::Result<Vec<Turn>> {
    let rows = sqlx::query!(
        "update portal.notice_pace set lease_holder = $1, lease_until = $3, attempts = attempts + 1
        where account_id in (
            select account_id from portal.notice_pace
            where due_at <= $2 and (lease_until is null or lease_until <= $2 or lease_until > $3)
            order by due_at, account_id limit $4 for update skip locked)
        returning account_id, attempts",
        holder,
        now.to_sqlx(),
        until.to_sqlx(),
        most
    );
    let rows = rows.fetch_all(conn).await?;
    Ok(rows.into_iter().map(|row| Turn { account: AccountId(row.account_id), holder, attempt: row.attempts }).collect())
}

/// Locks somebody's turn until the transaction ends, so that what comes for them meanwhile waits for what becomes of it.
/// False: somebody else has it by now.
///
/// # Errors
/// Whatever the database says.
pub async fn lock_turn(conn: &mut PgConnection, turn: Turn) -> sqlx::Result<bool> {
    let found = sqlx::query_scalar!(
        r#"select 1 as "one!" from portal.notice_pace
        where account_id = $1 and lease_holder = $2 and attempts = $3 for update"#,
        turn.account.0,
        turn.holder,
        turn.attempt
    );
    Ok(found.fetch_optional(conn).await?.is_some())
}

/// The turn is over; the next is when the next thing for them is due, and not before `spacing` after their last letter.
///
/// # Errors
/// Whatever the database says.
pub async fn end_turn(
    conn: &mut PgConnection,
    turn: Turn,
    (now, letter_at): (Timestamp, Option<Timestamp>),
    spacing: SignedDuration,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update portal.notice_pace p set lease_holder = null, lease_until = null,
            last_letter_at = coalesce($2, p.last_letter_at),
            due_at = case when next.due_at is not null then greatest(
                next.due_at, coalesce($2, case when p.last_letter_at <= $4 then p.last_letter_at end)
                    + make_interval(secs => $3)) end
        from (select min(t.due_at) as due_at from portal.notice_to t where t.account_id = $1) next
        where p.account_id = $1",
        turn.account.0,
        letter_at.map(jiff_sqlx::ToSqlx::to_sqlx) as _,
        spacing.as_secs_f64(),
        now.to_sqlx()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The letter could not be written: the turn comes again at `next`.
///
/// # Errors
/// Whatever the database says.
pub async fn put_off_turn(conn: &mut PgConnection, turn: Turn, next: Timestamp) -> sqlx::Result<()> {
    sqlx::query!(
        "update portal.notice_pace set lease_holder = null, lease_until = null, due_at = $4
        where account_id = $1 and lease_holder = $2 and attempts = $3",
        turn.account.0,
        turn.holder,
        turn.attempt,
        next.to_sqlx()
    )
    .execute(conn)
    .await?;
    Ok(())
}
