//! Who people are elsewhere: issuer and subject, never an e-mail (S-21). And what ways in an account has.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgConnection;

use super::accounts::exactly_one;
use crate::domain::ids::{AccountId, sha256};

/// An identity to be kept.
#[derive(Debug)]
pub struct NewIdentity<'a> {
    pub issuer: &'a str,
    pub subject: &'a str,
    pub provider: &'a str,
    pub account: AccountId,
    pub now: Timestamp,
}

/// An identity of an account.
#[derive(Debug, Clone)]
pub struct Identity {
    pub issuer: String,
    pub subject: String,
    pub provider: String,
    pub linked_at: Timestamp,
    pub last_used_at: Option<Timestamp>,
}

struct Row {
    issuer: String,
    subject: String,
    provider: String,
    linked_at: jiff_sqlx::Timestamp,
    last_used_at: Option<jiff_sqlx::Timestamp>,
}

impl From<Row> for Identity {
    fn from(row: Row) -> Self {
        Self {
            issuer: row.issuer,
            subject: row.subject,
            provider: row.provider,
            linked_at: row.linked_at.to_jiff(),
            last_used_at: row.last_used_at.map(jiff_sqlx::Timestamp::to_jiff),
        }
    }
}

/// What an account can be entered by.
#[derive(Debug, Clone, Copy)]
pub struct WaysIn {
    pub has_password: bool,
    pub break_glass: bool,
    /// Passkeys, also those that are not taken any more.
    pub passkeys: i64,
    /// Of those, the ones that are taken.
    pub usable_passkeys: i64,
    pub has_totp: bool,
    pub identities: i64,
}

/// Whose identity this is. One of somebody deleted is found too, by its SHA-256, unless somebody else has linked it since.
pub async fn find_holder(
    conn: &mut PgConnection,
    issuer: &str,
    subject: &str,
) -> Result<Option<AccountId>, sqlx::Error> {
    let found = sqlx::query_scalar!(
        "select account_id from portal.identity where issuer = $1 and subject in ($2, $3)
         order by subject = $2 desc limit 1",
        issuer,
        subject,
        hashed(subject)
    );
    Ok(found.fetch_optional(conn).await?.map(AccountId))
}

/// What the subject of somebody deleted is replaced by. Many a subject is a name or an e-mail; none has to be kept to be
/// known again.
fn hashed(subject: &str) -> String {
    format!("sha256:{}", hex::encode(sha256(subject.as_bytes())))
}

/// Forgets who the account's identities were, and keeps that they are taken: whoever was deleted here and is still known to
/// a provider comes to the account that is deleted, and makes no new one.
pub async fn hash_identities(conn: &mut PgConnection, account: AccountId) -> Result<(), sqlx::Error> {
    for identity in list_identities(conn, account).await? {
        let done = sqlx::query!(
            "update portal.identity set subject = $3, last_used_at = null where issuer = $1 and subject = $2",
            identity.issuer,
            identity.subject,
            hashed(&identity.subject)
        );
        exactly_one(done.execute(&mut *conn).await?.rows_affected())?;
    }
    Ok(())
}

/// Keeps an identity. False: it is somebody's already.
pub async fn insert_identity(conn: &mut PgConnection, new: &NewIdentity<'_>) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "insert into portal.identity (issuer, subject, provider, account_id, linked_at) values ($1, $2, $3, $4, $5)
         on conflict (issuer, subject) do nothing",
        new.issuer,
        new.subject,
        new.provider,
        new.account.0,
        new.now.to_sqlx() as jiff_sqlx::Timestamp
    );
    Ok(done.execute(conn).await?.rows_affected() == 1)
}

/// Notes that an identity was used. False: it is the account's no longer.
pub async fn mark_used(
    conn: &mut PgConnection,
    (issuer, subject): (&str, &str),
    account: AccountId,
    now: Timestamp,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update portal.identity set last_used_at = $4 where issuer = $1 and subject = $2 and account_id = $3",
        issuer,
        subject,
        account.0,
        now.to_sqlx() as jiff_sqlx::Timestamp
    );
    Ok(done.execute(conn).await?.rows_affected() == 1)
}

/// The identities of an account, the oldest first.
pub async fn list_identities(conn: &mut PgConnection, account: AccountId) -> Result<Vec<Identity>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        "select issuer, subject, provider, linked_at, last_used_at from portal.identity where account_id = $1
         order by linked_at, provider",
        account.0
    );
    Ok(rows.fetch_all(conn).await?.into_iter().map(Identity::from).collect())
}

/// Takes the account's identities at one provider away.
pub async fn delete_identities(
    conn: &mut PgConnection,
    account: AccountId,
    provider: &str,
) -> Result<Vec<Identity>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        "delete from portal.identity where account_id = $1 and provider = $2
         returning issuer, subject, provider, linked_at, last_used_at",
        account.0,
        provider
    );
    Ok(rows.fetch_all(conn).await?.into_iter().map(Identity::from).collect())
}

pub async fn load_ways_in(conn: &mut PgConnection, account: AccountId) -> Result<WaysIn, sqlx::Error> {
    sqlx::query_as!(
        WaysIn,
        r#"select a.password_phc is not null as "has_password!", a.break_glass,
            (select count(*) from portal.passkey where account_id = a.id) as "passkeys!",
            (select count(*) from portal.passkey where account_id = a.id and suspect_at is null) as "usable_passkeys!",
            exists (select from portal.totp where account_id = a.id) as "has_totp!",
            (select count(*) from portal.identity where account_id = a.id) as "identities!"
         from portal.account a where a.id = $1"#,
        account.0
    )
    .fetch_one(conn)
    .await
}

/// Whether the account with this e-mail may use its password where others may not. The same work whether there is one or
/// not (S-10).
pub async fn is_break_glass(conn: &mut PgConnection, email_key: &str) -> Result<bool, sqlx::Error> {
    let found = sqlx::query_scalar!(
        r#"select exists (select from portal.account where email_key = $1 and break_glass) as "found!""#,
        email_key
    );
    found.fetch_one(conn).await
}

/// Whether anybody could sign in with a password where only break-glass accounts may.
pub async fn any_break_glass(conn: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let found = sqlx::query_scalar!(
        r#"select exists (select from portal.account
            where break_glass and disabled_at is null and password_phc is not null) as "found!""#
    );
    found.fetch_one(conn).await
}

/// Marks an account as break-glass, or as that no longer. False: it was so already.
pub async fn mark_break_glass(conn: &mut PgConnection, id: AccountId, is_it: bool) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update portal.account set break_glass = $2, version = version + 1 where id = $1 and break_glass <> $2",
        id.0,
        is_it
    );
    Ok(done.execute(conn).await?.rows_affected() == 1)
}

/// Drops a password that somebody else made and that was never changed: its person came in by another way.
pub async fn drop_made_up_password(conn: &mut PgConnection, id: AccountId) -> Result<(), sqlx::Error> {
    let done = sqlx::query!(
        "update portal.account set password_phc = null, must_change_password = false, password_compromised_at = null,
            version = version + 1
         where id = $1 and must_change_password",
        id.0
    );
    exactly_one(done.execute(conn).await?.rows_affected())
}
