//! What people chose to be told, and when.

use jiff::Timestamp;
use jiff::civil::Time;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::ids::AccountId;
use crate::domain::notices::{Choices, Pace, Quiet};
use crate::store::Inconsistent;

/// A row of the table, or none.
pub(super) struct Columns {
    pub waiting: Option<bool>,
    pub reminders: Option<bool>,
    pub decided: Option<bool>,
    pub expired: Option<bool>,
    pub blind: Option<bool>,
    pub pace: Option<String>,
    pub digest_hour: Option<i16>,
    pub quiet_from: Option<i16>,
    pub quiet_until: Option<i16>,
    pub quiet_except: Option<bool>,
}

/// None: they never chose.
pub(super) fn read_choices(account: Uuid, row: Columns) -> Result<Option<Choices>, Inconsistent> {
    let Some(pace) = row.pace else { return Ok(None) };
    let bad = |problem: String| Inconsistent { table: "portal.notice_choice", row: account.to_string(), problem };
    let whole = || -> Option<Choices> {
        let quiet = match (row.quiet_from, row.quiet_until) {
            (Some(from), Some(until)) => Some(Quiet { from: time_of(from)?, until: time_of(until)? }),
            _ => None,
        };
        Some(Choices {
            waiting: row.waiting?,
            reminders: row.reminders?,
            decided: row.decided?,
            expired: row.expired?,
            blind: row.blind?,
            pace: Pace::from_name(&pace)?,
            digest_hour: i8::try_from(row.digest_hour?).ok()?,
            quiet,
            except_expiring: row.quiet_except?,
        })
    };
    whole().map(Some).ok_or_else(|| bad(format!("pace {pace}, or something beside it")))
}

fn time_of(minute: i16) -> Option<Time> {
    Time::new(i8::try_from(minute / 60).ok()?, i8::try_from(minute % 60).ok()?, 0, 0).ok()
}

fn minute_of(time: Time) -> i16 {
    i16::from(time.hour()) * 60 + i16::from(time.minute())
}

/// What somebody chose; None: nothing yet.
///
/// # Errors
/// Whatever the database says, also of an impossible row.
pub async fn find(conn: &mut PgConnection, account: AccountId) -> sqlx::Result<Option<Choices>> {
    let row = sqlx::query!(
        "select waiting, reminders, decided, expired, blind, pace, digest_hour, quiet_from, quiet_until, quiet_except
        from portal.notice_choice where account_id = $1",
        account.0
    );
    let Some(row) = row.fetch_optional(conn).await? else { return Ok(None) };
    let columns = Columns {
        waiting: Some(row.waiting),
        reminders: Some(row.reminders),
        decided: Some(row.decided),
        expired: Some(row.expired),
        blind: Some(row.blind),
        pace: Some(row.pace),
        digest_hour: Some(row.digest_hour),
        quiet_from: row.quiet_from,
        quiet_until: row.quiet_until,
        quiet_except: Some(row.quiet_except),
    };
    Ok(read_choices(account.0, columns)?)
}

/// Keeps what somebody chose.
///
/// # Errors
/// Whatever the database says.
pub async fn keep(conn: &mut PgConnection, account: AccountId, new: &Choices, at: Timestamp) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into portal.notice_choice (account_id, waiting, reminders, decided, expired, blind, pace, digest_hour,
            quiet_from, quiet_until, quiet_except, changed_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
        on conflict (account_id) do update set waiting = excluded.waiting, reminders = excluded.reminders,
            decided = excluded.decided, expired = excluded.expired, blind = excluded.blind, pace = excluded.pace,
            digest_hour = excluded.digest_hour, quiet_from = excluded.quiet_from, quiet_until = excluded.quiet_until,
            quiet_except = excluded.quiet_except, changed_at = excluded.changed_at",
        account.0,
        new.waiting,
        new.reminders,
        new.decided,
        new.expired,
        new.blind,
        new.pace.name(),
        i16::from(new.digest_hour),
        new.quiet.map(|quiet| minute_of(quiet.from)),
        new.quiet.map(|quiet| minute_of(quiet.until)),
        new.except_expiring,
        at.to_sqlx()
    )
    .execute(conn)
    .await?;
    Ok(())
}
