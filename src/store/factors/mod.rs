//! What people prove themselves with beside a password: codes of an app and recovery codes here, passkeys in their own
//! file. Secrets are sealed or hashed before they come here.

pub mod passkeys;

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgConnection;

use super::accounts::exactly_one;
use crate::domain::ids::AccountId;

/// Which factors an account has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Kinds {
    /// Passkeys, also those that are not taken any more.
    pub passkeys: i64,
    /// Of those, the ones that are taken.
    pub usable_passkeys: i64,
    pub totp: bool,
    /// Recovery codes that are left. They are no factor by themselves.
    pub recovery: i64,
}

impl Kinds {
    #[must_use]
    pub fn any(self) -> bool {
        self.passkeys > 0 || self.totp
    }

    /// How many can be used.
    #[must_use]
    pub fn usable(self) -> i64 {
        self.usable_passkeys + i64::from(self.totp)
    }

    /// Whether this is all there is.
    #[must_use]
    pub fn is_one(self) -> bool {
        self.passkeys + i64::from(self.totp) == 1
    }
}

pub async fn load_kinds(conn: &mut PgConnection, account: AccountId) -> Result<Kinds, sqlx::Error> {
    let row = sqlx::query!(
        r#"select (select count(*) from portal.passkey where account_id = $1) as "passkeys!",
            (select count(*) from portal.passkey where account_id = $1 and suspect_at is null) as "usable!",
            exists (select from portal.totp where account_id = $1) as "totp!",
            (select count(*) from portal.recovery_code where account_id = $1 and used_at is null) as "recovery!""#,
        account.0
    );
    let row = row.fetch_one(conn).await?;
    Ok(Kinds { passkeys: row.passkeys, usable_passkeys: row.usable, totp: row.totp, recovery: row.recovery })
}

/// An authenticator app, as its person may see it.
#[derive(Debug, Clone)]
pub struct Totp {
    pub created_at: Timestamp,
    pub last_used_at: Option<Timestamp>,
}

pub async fn find_totp(conn: &mut PgConnection, account: AccountId) -> Result<Option<Totp>, sqlx::Error> {
    let row = sqlx::query!("select created_at, last_used_at from portal.totp where account_id = $1", account.0);
    Ok(row.fetch_optional(conn).await?.map(|row| Totp {
        created_at: row.created_at.to_jiff(),
        last_used_at: row.last_used_at.map(jiff_sqlx::Timestamp::to_jiff),
    }))
}

/// Keeps an app's secret, in place of any before it. `last_step` is that of the code it was confirmed with.
pub async fn put_totp(
    conn: &mut PgConnection,
    account: AccountId,
    sealed: &[u8],
    last_step: i64,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    let done = sqlx::query!(
        "insert into portal.totp (account_id, sealed, created_at, last_step, last_used_at) values ($1, $2, $3, $4, $3)
         on conflict (account_id) do update set sealed = $2, created_at = $3, last_step = $4, last_used_at = $3,
            failures = 0, next_try_at = null",
        account.0,
        sealed,
        now.to_sqlx() as jiff_sqlx::Timestamp,
        last_step
    );
    exactly_one(done.execute(conn).await?.rows_affected())
}

/// A try at a code, counted as failed before the code is looked at.
#[derive(Debug)]
pub enum CodeTry {
    Heard {
        failures: i32,
        sealed: Vec<u8>,
        last_step: i64,
    },
    Waits {
        until: Timestamp,
    },
    /// There is no app.
    None,
}

/// Counts a try. `waits[n - 1]` are the seconds to wait after the n-th in a row; the last holds for all beyond.
pub async fn begin_code_try(
    conn: &mut PgConnection,
    account: AccountId,
    waits: &[i32],
    now: Timestamp,
) -> Result<CodeTry, sqlx::Error> {
    let counted = sqlx::query!(
        "update portal.totp set failures = failures + 1,
            next_try_at = $2::timestamptz + ($3::int4[])[least(failures + 1, cardinality($3::int4[]))] * interval '1 second'
         where account_id = $1 and (next_try_at is null or next_try_at <= $2)
         returning failures, sealed, last_step",
        account.0,
        now.to_sqlx() as jiff_sqlx::Timestamp,
        waits
    );
    if let Some(row) = counted.fetch_optional(&mut *conn).await? {
        return Ok(CodeTry::Heard { failures: row.failures, sealed: row.sealed, last_step: row.last_step });
    }
    let until = sqlx::query_scalar!("select next_try_at from portal.totp where account_id = $1", account.0);
    Ok(match until.fetch_optional(conn).await? {
        Some(until) => CodeTry::Waits { until: until.map_or(now, jiff_sqlx::Timestamp::to_jiff) },
        None => CodeTry::None,
    })
}

/// Uses a step up. False: it, or a later one, was used already; of two at once, one gets true.
pub async fn use_step(
    conn: &mut PgConnection,
    account: AccountId,
    step: i64,
    now: Timestamp,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update portal.totp set last_step = $2, last_used_at = $3, failures = 0, next_try_at = null
         where account_id = $1 and last_step < $2",
        account.0,
        step,
        now.to_sqlx() as jiff_sqlx::Timestamp
    );
    Ok(done.execute(conn).await?.rows_affected() == 1)
}

/// Forgets wrong codes: their person has proven otherwise who they are.
pub async fn clear_code_tries(conn: &mut PgConnection, account: AccountId) -> Result<(), sqlx::Error> {
    sqlx::query!("update portal.totp set failures = 0, next_try_at = null where account_id = $1", account.0)
        .execute(conn)
        .await
        .map(|_| ())
}

pub async fn delete_totp(conn: &mut PgConnection, account: AccountId) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!("delete from portal.totp where account_id = $1", account.0);
    Ok(done.execute(conn).await?.rows_affected() == 1)
}

/// Keeps these codes in place of all before them.
pub async fn replace_codes(
    conn: &mut PgConnection,
    account: AccountId,
    hashes: &[Vec<u8>],
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    delete_codes(&mut *conn, account).await?;
    sqlx::query!(
        "insert into portal.recovery_code (code_hash, account_id, created_at) select unnest($2::bytea[]), $1, $3",
        account.0,
        hashes,
        now.to_sqlx() as jiff_sqlx::Timestamp
    )
    .execute(conn)
    .await
    .map(|_| ())
}

pub async fn delete_codes(conn: &mut PgConnection, account: AccountId) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from portal.recovery_code where account_id = $1", account.0).execute(conn).await.map(|_| ())
}

/// Whether an account has this code and has not used it.
pub async fn is_unused_code(conn: &mut PgConnection, account: AccountId, hash: &[u8; 32]) -> Result<bool, sqlx::Error> {
    let found = sqlx::query_scalar!(
        r#"select exists (select from portal.recovery_code
            where code_hash = $2 and account_id = $1 and used_at is null) as "found!""#,
        account.0,
        hash.as_slice()
    );
    found.fetch_one(conn).await
}

/// Uses a code up. False: it was used already; of two at once, one gets true.
pub async fn use_code(
    conn: &mut PgConnection,
    account: AccountId,
    hash: &[u8; 32],
    now: Timestamp,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update portal.recovery_code set used_at = $3 where code_hash = $2 and account_id = $1 and used_at is null",
        account.0,
        hash.as_slice(),
        now.to_sqlx() as jiff_sqlx::Timestamp
    );
    Ok(done.execute(conn).await?.rows_affected() == 1)
}

/// Whether somebody has another way in: an identity of another provider.
pub async fn has_identity(conn: &mut PgConnection, account: AccountId) -> Result<bool, sqlx::Error> {
    let found = sqlx::query_scalar!(
        r#"select exists (select from portal.identity where account_id = $1) as "found!""#,
        account.0
    );
    found.fetch_one(conn).await
}
