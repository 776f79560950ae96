//! What an admin sees of the outbox, and trying a mail again that was not delivered.

use jiff::SignedDuration;
use serde_json::json;
use sqlx::{Connection as _, PgConnection};

use super::Notices;
use crate::accounts::records::append;
use crate::accounts::{By, Unavailable};
use crate::audit::Kind;
use crate::domain::ids::MailId;
use crate::domain::people::Role;
use crate::store::access::rights;
use crate::store::mail::{self, Overview, Troubled};
use crate::store::notices::{self, Backlog};
use crate::store::sessions;

/// How many mails that are in trouble are shown.
const SHOWN: i64 = 50;
/// How long a mail is tried at least when an admin wants it to be.
const TRIED_FOR: SignedDuration = SignedDuration::from_hours(1);

/// How telling people is going.
#[derive(Debug, Clone)]
pub struct System {
    /// Whether there is a mail server at all.
    pub sends_mail: bool,
    pub mail: Overview,
    pub troubled: Vec<Troubled>,
    pub backlog: Backlog,
}

/// Why a mail was not tried again.
#[derive(Debug, thiserror::Error)]
pub enum AgainError {
    #[error("Only an admin can do this.")]
    NotAllowed,
    #[error("There is no such mail to send again: it was delivered, is being delivered, or what it said is erased.")]
    Gone,
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl From<sqlx::Error> for AgainError {
    fn from(error: sqlx::Error) -> Self {
        Self::Unavailable(error.into())
    }
}

impl Notices {
    /// # Errors
    /// [`Unavailable`].
    pub async fn system(&self) -> Result<System, Unavailable> {
        let mut conn = self.0.database.pages.acquire().await?;
        Ok(System {
            sends_mail: self.0.outbox.is_open(),
            mail: mail::count(&mut conn).await?,
            troubled: mail::list_troubled(&mut conn, SHOWN).await?,
            backlog: notices::count_backlog(&mut conn, self.0.clock.now()).await?,
        })
    }

    /// Tries a mail again now, and for an hour at least.
    ///
    /// # Errors
    /// [`AgainError`].
    pub async fn send_again(&self, by: &By, id: MailId) -> Result<(), AgainError> {
        let parts = &*self.0;
        let now = parts.clock.now();
        let mut conn = parts.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        if !is_admin_still(&mut tx, by).await? {
            return Err(AgainError::NotAllowed);
        }
        let until = now.checked_add(TRIED_FOR).unwrap_or(now);
        let Some((kind, account)) = mail::send_again(&mut tx, id, (now, until)).await? else {
            return Err(AgainError::Gone);
        };
        let fields = json!({ "mail": id, "mail_kind": kind, "person": account });
        append(&mut tx, &parts.random, (Kind::MailSentAgain, by), fields).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// Locks who asks against change until the transaction ends. False: they are no admin any more, or not signed in.
async fn is_admin_still(conn: &mut PgConnection, by: &By) -> sqlx::Result<bool> {
    let By::Person(person) = by else { return Ok(false) };
    let locked = rights::lock_accounts(conn, &[person.account]).await?;
    let may = |one: &rights::Standing| !one.disabled && one.roles.iter().any(|role| role == Role::Admin.name());
    Ok(locked.iter().any(may) && sessions::hold_session(conn, person.account, person.session).await?)
}
