//! API tokens (S-29): a secret by which a program acts as the person it belongs to, until a set time. 256 random bits, shown
//! once and kept only as SHA-256, so that a dump of the database signs nobody in (S-23).
//!
//! Who a token stands for is read afresh with each request (S-27): the token of who is disabled, deleted, without a role or
//! told to change a password is as good as none. It carries what its person may do just then, but never admin rights:
//! those ask for a second factor, and a token has none.

use std::net::IpAddr;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use zeroize::Zeroizing;

use super::admin::{AdminError, lock_target};
use super::strangers::Deed;
use super::{Accounts, By, Unavailable, until};
use crate::audit::Kind;
use crate::domain::ids::{AccountId, TokenId, sha256};
use crate::domain::people::Person;
use crate::domain::text;
use crate::domain::tokens::{Lifetime, Scope, is_whole, write};
use crate::store::accounts;
use crate::store::tokens::{self as stored, NewRow, Token};

/// How often a token's last use is written.
const TOUCH: SignedDuration = SignedDuration::from_secs(60);
/// How many tokens of one person can be used at the same time.
const MOST: i64 = 50;

/// A token to be made.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// What its person tells it by.
    pub label: String,
    pub scope: Scope,
    pub serves: Lifetime,
}

/// A token that has just been made.
#[derive(Debug)]
pub struct MadeToken {
    /// The token. Goes to whoever asked for it, this once, and nowhere else.
    pub secret: SecretString,
    pub token: TokenView,
    /// Its person must choose a password of their own before it works.
    pub sleeps: bool,
}

/// A token as its person, admins and the operator see it.
#[derive(Debug, Clone)]
pub struct TokenView {
    pub id: TokenId,
    /// Whose it is.
    pub email: String,
    pub label: String,
    pub scope: Scope,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    /// To the minute.
    pub last_used_at: Option<Timestamp>,
    /// Its time is over.
    pub is_over: bool,
}

impl TokenView {
    fn of(token: Token, email: String, now: Timestamp) -> Self {
        Self {
            id: token.id,
            email,
            label: token.label,
            scope: token.scope,
            created_at: token.created_at,
            expires_at: token.expires_at,
            last_used_at: token.last_used_at,
            is_over: token.expires_at <= now,
        }
    }
}

/// Why no token was made.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The text says which rule the label breaks.
    #[error("{0}")]
    BadLabel(&'static str),
    #[error("There is no such account.")]
    NoSuchAccount,
    #[error("This account is disabled. Enable it first.")]
    Disabled,
    #[error("Choose a password of your own first.")]
    PasswordFirst,
    /// The session has not shown for a while who it is. No token ever has.
    #[error("Prove first that it is you.")]
    ProveFirst,
    #[error("There are 50 tokens already. Revoke one that nothing uses any more.")]
    TooMany,
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl From<sqlx::Error> for TokenError {
    fn from(error: sqlx::Error) -> Self {
        Self::Unavailable(error.into())
    }
}

impl Accounts {
    /// Makes a token for an account: its person does for themselves, or the operator for anybody.
    ///
    /// # Errors
    /// [`TokenError`].
    pub async fn create_token(&self, by: &By, account: AccountId, new: NewToken) -> Result<MadeToken, TokenError> {
        let label = parse_label(&new.label)?;
        let now = self.0.clock.now();
        let is_own = matches!(by, By::Person(_));
        match by {
            By::Person(person) if person.account != account => return Err(TokenError::NoSuchAccount),
            By::Person(person) if !person.is_fresh(now) => return Err(TokenError::ProveFirst),
            _ => {}
        }
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        // Locked, so that no token is made beside a deletion.
        let holder = accounts::lock_account(&mut tx, account).await?.filter(|account| !account.is_deleted());
        let holder = holder.ok_or(TokenError::NoSuchAccount)?;
        if holder.disabled_at.is_some() {
            return Err(TokenError::Disabled);
        }
        if is_own && holder.must_change_password {
            return Err(TokenError::PasswordFirst);
        }
        if stored::count_living(&mut tx, account, now).await? >= MOST {
            return Err(TokenError::TooMany);
        }
        let random: Zeroizing<[u8; 32]> = Zeroizing::new(self.0.random.bytes());
        let secret = write(&random);
        let token = Token {
            id: TokenId(self.0.random.uuid_v7(now)),
            account,
            label,
            scope: new.scope,
            created_at: now,
            expires_at: now.checked_add(new.serves.length()).unwrap_or(now),
            last_used_at: None,
        };
        stored::insert_token(&mut tx, &row_of(&token, &sha256(secret.as_bytes()))).await?;
        self.mail_token_made(&mut tx, &holder, &token, by).await?;
        self.record(&mut tx, Kind::TokenCreated, by, told(&token)).await?;
        tx.commit().await?;
        let secret = SecretString::from(secret.as_str());
        let sleeps = holder.must_change_password;
        Ok(MadeToken { secret, token: TokenView::of(token, holder.email, now), sleeps })
    }

    /// The tokens that were not revoked, of one account or of all; the newest first.
    ///
    /// # Errors
    /// The database did not answer.
    pub async fn list_tokens(&self, account: Option<AccountId>) -> Result<Vec<TokenView>, Unavailable> {
        let now = self.0.clock.now();
        let mut conn = self.0.database.pages.acquire().await?;
        let listed = stored::list_tokens(&mut conn, account).await?;
        Ok(listed.into_iter().map(|(token, email)| TokenView::of(token, email, now)).collect())
    }

    /// Revokes one of the person's own tokens. False: there is no such token of theirs that was not revoked before.
    ///
    /// # Errors
    /// The database did not answer.
    pub async fn revoke_token(&self, person: &Person, token: TokenId) -> Result<bool, Unavailable> {
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        let by = By::person(person);
        let revoked = self.revoke(&mut tx, &by, (Some(person.account), token), "revoked by its person").await?;
        tx.commit().await?;
        Ok(revoked)
    }

    /// Revokes a token of somebody else's. False: there is no such token of theirs that was not revoked before.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn revoke_token_of(&self, by: &By, account: AccountId, token: TokenId) -> Result<bool, AdminError> {
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        lock_target(&mut tx, by, account).await?;
        let revoked = self.revoke(&mut tx, by, (Some(account), token), "revoked by an admin").await?;
        tx.commit().await?;
        Ok(revoked)
    }

    /// Revokes a token, whoever's it is, on the operator's behalf. False: it was revoked before. None: there is no such
    /// token.
    ///
    /// # Errors
    /// The database did not answer.
    pub async fn revoke_any_token(&self, token: TokenId) -> Result<Option<bool>, Unavailable> {
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        if !stored::is_known(&mut tx, token).await? {
            return Ok(None);
        }
        let revoked = self.revoke(&mut tx, &By::Operator, (None, token), "revoked by the operator").await?;
        tx.commit().await?;
        Ok(Some(revoked))
    }

    async fn revoke(
        &self,
        conn: &mut PgConnection,
        by: &By,
        (account, token): (Option<AccountId>, TokenId),
        why: &str,
    ) -> Result<bool, Unavailable> {
        let revoked = stored::revoke_token(conn, account, token, self.0.clock.now()).await?;
        let Some(token) = revoked else { return Ok(false) };
        let mut fields = told(&token);
        fields["why"] = Value::from(why);
        self.record(conn, Kind::TokenRevoked, by, fields).await?;
        Ok(true)
    }

    /// Who a token stands for, read afresh. None: it is no token, its time is over, it was revoked, or its person may do
    /// nothing here; nobody is told which. What cannot be a token is refused without asking the database. A request that
    /// needs to decide is looked up over the connections kept for deciding (P-05).
    ///
    /// # Errors
    /// The database did not answer. Treat as 503, never as refused.
    pub async fn person_of_token(
        &self,
        token: &str,
        address: IpAddr,
        needs: Scope,
    ) -> Result<Option<(Person, TokenView)>, sqlx::Error> {
        if !is_whole(token) {
            return Ok(None);
        }
        let database = &self.0.database;
        let (looking, writing) = match needs {
            Scope::Read => (&database.reads, &database.pages),
            Scope::Decide => (&database.decisions, &database.decisions),
        };
        let now = self.0.clock.now();
        let mut conn = looking.acquire().await?;
        let found = stored::find_token(&mut conn, &sha256(token.as_bytes()), address, now).await?;
        drop(conn);
        let Some((person, token)) = found else { return Ok(None) };
        if token.last_used_at.is_none_or(|at| now.duration_since(at) >= TOUCH) {
            let used = match writing.acquire().await {
                Ok(mut conn) => stored::mark_used(&mut conn, token.id, now, token.last_used_at).await,
                Err(error) => Err(error),
            };
            match used {
                Ok(()) => {}
                // A server that cannot write, its disk full, still lets programs read (F-31).
                Err(error @ sqlx::Error::Database(_)) => tracing::warn!(%error, "a token's use could not be noted"),
                Err(error) => return Err(error),
            }
        }
        let view = TokenView::of(token, person.email.clone(), now);
        Ok(Some((person, view)))
    }

    /// Counts something that was shown as a token and let nobody in. Some: too many of those came from this address (S-13);
    /// how long to wait. What works is never asked for this, so that nobody's program is held back by a neighbour's.
    #[must_use]
    pub fn count_refused_token(&self, address: IpAddr) -> Option<Duration> {
        let now = self.0.clock.now();
        let then = self.0.tokens_refused.knock(address, now);
        self.0.strangers.count(if then.is_some() { Deed::TokenThrottled } else { Deed::TokenRefused });
        then.map(|then| until(then, now))
    }
}

/// Checks a label: 1 to 80 characters that can all be seen.
fn parse_label(text: &str) -> Result<String, TokenError> {
    let label = text.trim();
    if label.is_empty() || label.chars().count() > 80 {
        return Err(TokenError::BadLabel("A label has 1 to 80 characters."));
    }
    if label.chars().any(char::is_control) || text::has_deceptive(label) {
        return Err(TokenError::BadLabel("A label cannot hold line breaks or characters that cannot be seen."));
    }
    if label.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(is_whole) {
        return Err(TokenError::BadLabel("This label holds a token. A label is no secret: anybody may read it."));
    }
    Ok(label.to_owned())
}

fn row_of<'a>(token: &'a Token, token_hash: &'a [u8; 32]) -> NewRow<'a> {
    NewRow {
        id: token.id,
        account: token.account,
        label: &token.label,
        scope: token.scope,
        token_hash,
        created_at: token.created_at,
        expires_at: token.expires_at,
    }
}

/// What is recorded of a token: never the secret, nor its hash.
fn told(token: &Token) -> Value {
    json!({
        "person": token.account, "token": token.id, "label": token.label, "scope": token.scope.name(),
        "expires_at": token.expires_at,
    })
}
