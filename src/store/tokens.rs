//! API tokens. Secrets are known here only by their SHA-256.

use std::net::IpAddr;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgConnection;

use super::Inconsistent;
use super::accounts::{exactly_one, roles};
use super::sessions::mark_of;
use crate::domain::ids::{AccountId, SessionId, TokenId};
use crate::domain::people::Person;
use crate::domain::tokens::Scope;

/// A token to be kept.
#[derive(Debug)]
pub struct NewRow<'a> {
    pub id: TokenId,
    pub account: AccountId,
    pub label: &'a str,
    pub scope: Scope,
    pub token_hash: &'a [u8; 32],
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
}

/// A token as it is stored, without what it is found by.
#[derive(Debug, Clone)]
pub struct Token {
    pub id: TokenId,
    pub account: AccountId,
    pub label: String,
    pub scope: Scope,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    pub last_used_at: Option<Timestamp>,
}

struct Row {
    id: uuid::Uuid,
    account_id: uuid::Uuid,
    label: String,
    scope: String,
    created_at: jiff_sqlx::Timestamp,
    expires_at: jiff_sqlx::Timestamp,
    last_used_at: Option<jiff_sqlx::Timestamp>,
}

impl TryFrom<Row> for Token {
    type Error = Inconsistent;

    fn try_from(row: Row) -> Result<Self, Inconsistent> {
        let scope = Scope::from_name(&row.scope).ok_or_else(|| Inconsistent {
            table: "portal.api_token",
            row: row.id.to_string(),
            problem: format!("has the unknown scope {:?}", row.scope),
        })?;
        Ok(Self {
            id: TokenId(row.id),
            account: AccountId(row.account_id),
            label: row.label,
            scope,
            created_at: row.created_at.to_jiff(),
            expires_at: row.expires_at.to_jiff(),
            last_used_at: row.last_used_at.map(jiff_sqlx::Timestamp::to_jiff),
        })
    }
}

pub async fn insert_token(conn: &mut PgConnection, new: &NewRow<'_>) -> Result<(), sqlx::Error> {
    let done = sqlx::query!(
        "insert into portal.api_token (id, account_id, label, scope, token_hash, created_at, expires_at)
         values ($1, $2, $3, $4, $5, $6, $7)",
        new.id.0,
        new.account.0,
        new.label,
        new.scope.name(),
        new.token_hash.as_slice(),
        new.created_at.to_sqlx() as jiff_sqlx::Timestamp,
        new.expires_at.to_sqlx() as jiff_sqlx::Timestamp
    );
    exactly_one(done.execute(conn).await?.rows_affected())
}

/// How many tokens of an account can still be used.
pub async fn count_living(conn: &mut PgConnection, account: AccountId, now: Timestamp) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from portal.api_token
         where account_id = $1 and revoked_at is null and expires_at > $2"#,
        account.0,
        now.to_sqlx() as jiff_sqlx::Timestamp
    )
    .fetch_one(conn)
    .await
}

/// Finds a token that can be used at this moment, with its person as they are at this moment: an account that is enabled,
/// has a role, and a password of its own if any. The person has no admin rights: no token has shown a second factor.
pub async fn find_token(
    conn: &mut PgConnection,
    token_hash: &[u8; 32],
    address: IpAddr,
    now: Timestamp,
) -> Result<Option<(Person, Token)>, sqlx::Error> {
    let row = sqlx::query!(
        "select t.id, t.account_id, t.label, t.scope, t.created_at, t.expires_at, t.last_used_at, a.email, a.name, a.roles
         from portal.api_token t join portal.account a on a.id = t.account_id
         where t.token_hash = $1 and t.revoked_at is null and t.expires_at > $2
            and a.disabled_at is null and a.roles <> '{}' and not a.must_change_password",
        token_hash.as_slice(),
        now.to_sqlx() as jiff_sqlx::Timestamp
    );
    let Some(row) = row.fetch_optional(conn).await? else { return Ok(None) };
    let held = roles(&row.account_id.to_string(), &row.roles)?;
    let token = Token::try_from(Row {
        id: row.id,
        account_id: row.account_id,
        label: row.label,
        scope: row.scope,
        created_at: row.created_at,
        expires_at: row.expires_at,
        last_used_at: row.last_used_at,
    })?;
    let person = Person {
        account: token.account,
        email: row.email,
        name: row.name,
        roles: Person::rights(held, false, held.admin),
        must_change_password: false,
        // No session has a token's id, so nothing of a session can be done with it.
        session: SessionId(token.id.0),
        method: "token".to_owned(),
        signed_in_at: token.created_at,
        factor: None,
        lacks_factor: held.admin,
        stepped_up_at: None,
        proven_by: None,
        zone: TimeZone::UTC,
        address,
        session_mark: mark_of(token_hash),
    };
    Ok(Some((person, token)))
}

/// Notes that a token is used. Whoever notes the same just now is not waited for.
pub async fn mark_used(
    conn: &mut PgConnection,
    token: TokenId,
    now: Timestamp,
    before: Option<Timestamp>,
) -> Result<(), sqlx::Error> {
    let used = sqlx::query!(
        "update portal.api_token set last_used_at = $2 where id = (
            select id from portal.api_token where id = $1 and last_used_at is not distinct from $3
            for no key update skip locked)",
        token.0,
        now.to_sqlx() as jiff_sqlx::Timestamp,
        before.map(jiff_sqlx::ToSqlx::to_sqlx) as Option<jiff_sqlx::Timestamp>
    );
    used.execute(conn).await.map(|_| ())
}

/// The tokens that were not revoked, of one account or of all, each with its person's e-mail; the newest first.
pub async fn list_tokens(
    conn: &mut PgConnection,
    account: Option<AccountId>,
) -> Result<Vec<(Token, String)>, sqlx::Error> {
    let rows = sqlx::query!(
        "select t.id, t.account_id, t.label, t.scope, t.created_at, t.expires_at, t.last_used_at, a.email
         from portal.api_token t join portal.account a on a.id = t.account_id
         where t.revoked_at is null and ($1::uuid is null or t.account_id = $1)
         order by t.created_at desc, t.id desc",
        account.map(|account| account.0) as Option<uuid::Uuid>
    );
    let listed = rows.fetch_all(conn).await?.into_iter().map(|row| {
        let token = Token::try_from(Row {
            id: row.id,
            account_id: row.account_id,
            label: row.label,
            scope: row.scope,
            created_at: row.created_at,
            expires_at: row.expires_at,
            last_used_at: row.last_used_at,
        })?;
        Ok((token, row.email))
    });
    listed.collect()
}

/// Whether there is such a token at all, revoked or not.
pub async fn is_known(conn: &mut PgConnection, token: TokenId) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(r#"select exists (select from portal.api_token where id = $1) as "known!""#, token.0)
        .fetch_one(conn)
        .await
}

/// Revokes a token, of this account or of any. None: there is no such token that was not revoked before.
pub async fn revoke_token(
    conn: &mut PgConnection,
    account: Option<AccountId>,
    token: TokenId,
    now: Timestamp,
) -> Result<Option<Token>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        "update portal.api_token set revoked_at = $3
         where id = $1 and ($2::uuid is null or account_id = $2) and revoked_at is null
         returning id, account_id, label, scope, created_at, expires_at, last_used_at",
        token.0,
        account.map(|account| account.0) as Option<uuid::Uuid>,
        now.to_sqlx() as jiff_sqlx::Timestamp
    );
    Ok(row.fetch_optional(conn).await?.map(Token::try_from).transpose()?)
}

/// Revokes all tokens of an account and takes their labels away, which may say who it was. Those that could be used.
pub async fn revoke_all(
    conn: &mut PgConnection,
    account: AccountId,
    now: Timestamp,
) -> Result<Vec<TokenId>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"with living as (
            select id from portal.api_token where account_id = $1 and revoked_at is null and expires_at > $2)
         update portal.api_token t set revoked_at = coalesce(t.revoked_at, $2), label = 'deleted'
         where t.account_id = $1
         returning t.id, t.id in (select id from living) as "was_living!""#,
        account.0,
        now.to_sqlx() as jiff_sqlx::Timestamp
    );
    let all = rows.fetch_all(conn).await?.into_iter();
    Ok(all.filter(|row| row.was_living).map(|row| TokenId(row.id)).collect())
}
