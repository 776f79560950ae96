//! What somebody wants to be told, and when: kept with a record, like everything else that people change about their account.

use serde_json::{Value, json};
use sqlx::Connection as _;

use super::Notices;
use crate::accounts::records::append;
use crate::accounts::{By, Unavailable};
use crate::audit::Kind;
use crate::domain::notices::Choices;
use crate::domain::people::Person;
use crate::store::access::rights;
use crate::store::notices::{choices, people};
use crate::store::sessions;

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ChooseError {
    #[error("Choose a password of your own first.")]
    PasswordFirst,
    #[error("You are no longer signed in.")]
    SignedOut,
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl From<sqlx::Error> for ChooseError {
    fn from(error: sqlx::Error) -> Self {
        Self::Unavailable(error.into())
    }
}

impl Notices {
    /// What this person chose, or what holds for who never chose.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn find_choices(&self, person: &Person) -> Result<Choices, Unavailable> {
        let mut conn = self.0.database.pages.acquire().await?;
        Ok(choices::find(&mut conn, person.account).await?.unwrap_or_default())
    }

    /// From now on the person is told this. False: it was so already. What they are still to be told is looked at again.
    ///
    /// # Errors
    /// [`ChooseError`].
    pub async fn choose(&self, person: &Person, new: &Choices) -> Result<bool, ChooseError> {
        let parts = &*self.0;
        let mut conn = parts.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        let now = parts.clock.now();
        let Some(account) = rights::lock_accounts(&mut tx, &[person.account]).await?.pop() else {
            return Err(ChooseError::SignedOut);
        };
        if account.disabled || !sessions::hold_session(&mut tx, person.account, person.session).await? {
            return Err(ChooseError::SignedOut);
        }
        if account.must_change_password {
            return Err(ChooseError::PasswordFirst);
        }
        let before = choices::find(&mut tx, person.account).await?.unwrap_or_default();
        if before == *new {
            return Ok(false);
        }
        choices::keep(&mut tx, person.account, new, now).await?;
        people::look_again(&mut tx, person.account, now).await?;
        let fields = json!({
            "person": account.account, "email": account.email, "name": account.name, "roles": account.roles,
            "notifications": told(new), "before": { "notifications": told(&before) },
        });
        append(&mut tx, &parts.random, (Kind::AccountChanged, &By::Person(Box::new(person.clone()))), fields).await?;
        tx.commit().await?;
        Ok(true)
    }
}

fn told(choices: &Choices) -> Value {
    let Choices { waiting, reminders, decided, expired, blind, pace, digest_hour, quiet, except_expiring } = choices;
    let time = |time: jiff::civil::Time| time.strftime("%H:%M").to_string();
    json!({
        "waiting": waiting, "reminders": reminders, "decided": decided, "expired": expired, "blind": blind,
        "pace": pace.name(), "digest_hour": digest_hour,
        "quiet": quiet.map(|quiet| format!("{}-{}", time(quiet.from), time(quiet.until))),
        "except_expiring": except_expiring,
    })
}
