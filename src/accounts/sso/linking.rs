//! Which identities are an account's: linked by their person while signed in, and never by an e-mail (S-21).

use jiff::Timestamp;
use serde_json::json;
use sqlx::{Connection as _, PgConnection};

use super::letting_in::identity_told;
use super::{Sso, SsoError, label};
use crate::accounts::records::with_ended;
use crate::accounts::{By, Unavailable};
use crate::audit::Kind;
use crate::domain::people::Person;
use crate::sso::{Provider, Witness};
use crate::store::accounts;
use crate::store::identities::{self, Identity, NewIdentity};
use crate::store::push::browsers;
use crate::store::sessions;

/// A provider, and whether somebody's account is linked with an identity there.
#[derive(Debug, Clone)]
pub struct IdentityView {
    pub provider: String,
    pub label: String,
    pub linked: Option<Linked>,
}

/// Since when, and when it was last used.
#[derive(Debug, Clone, Copy)]
pub struct Linked {
    pub at: Timestamp,
    pub last_used_at: Option<Timestamp>,
}

/// What is done in a session that has ended meanwhile is not done.
async fn hold_session(conn: &mut PgConnection, person: &Person) -> Result<(), SsoError> {
    let held = sessions::hold_session(conn, person.account, person.session).await?;
    if held { Ok(()) } else { Err(SsoError::SignedOut) }
}

impl Sso {
    /// Every provider, with what links this person to it.
    pub async fn list_identities(&self, person: &Person) -> Result<Vec<IdentityView>, Unavailable> {
        let mut conn = self.accounts.0.database.pages.acquire().await?;
        let mine = identities::list_identities(&mut conn, person.account).await?;
        let linked = |name: &str| {
            let found = mine.iter().find(|identity| identity.provider == name);
            found.map(|Identity { linked_at, last_used_at, .. }| Linked { at: *linked_at, last_used_at: *last_used_at })
        };
        let view = |(name, label): (&str, &str)| IdentityView {
            provider: name.to_owned(),
            label: label.to_owned(),
            linked: linked(name),
        };
        Ok(self.providers().map(view).collect())
    }

    pub(super) async fn link(&self, provider: &Provider, witness: &Witness, person: &Person) -> Result<(), SsoError> {
        let now = self.accounts.0.clock.now();
        let name = &provider.config().name;
        let mut conn = self.accounts.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        let account = accounts::lock_account(&mut tx, person.account).await?;
        account.filter(|account| account.disabled_at.is_none()).ok_or(SsoError::SignedOut)?;
        hold_session(&mut tx, person).await?;
        let mine = identities::list_identities(&mut tx, person.account).await?;
        let is_it = |it: &Identity| it.issuer == witness.issuer && it.subject == witness.subject;
        if mine.iter().any(is_it) {
            return Ok(());
        }
        if mine.iter().any(|it| it.provider == *name) {
            return Err(SsoError::HasAnother { label: label(provider) });
        }
        let new = NewIdentity {
            issuer: &witness.issuer,
            subject: &witness.subject,
            provider: name,
            account: person.account,
            now,
        };
        if !identities::insert_identity(&mut tx, &new).await? {
            return Err(SsoError::Taken { label: label(provider) });
        }
        let what = format!("An identity at {} was linked with your account: it can sign in as you.", label(provider));
        self.accounts.mail_sign_in_ways(&mut tx, (person.account, &person.email), &what).await?;
        let fields = identity_told(person.account, provider, witness);
        self.accounts.record(&mut tx, Kind::IdentityLinked, &By::person(person), fields).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Takes the link to a provider away, and ends the person's other sessions that were begun through it.
    ///
    /// # Errors
    /// [`SsoError`]: not if it is their only way in.
    pub async fn unlink(&self, person: &Person, name: &str) -> Result<(), SsoError> {
        let provider = self.provider(name)?;
        let mut conn = self.accounts.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        accounts::lock_account(&mut tx, person.account).await?.ok_or(SsoError::SignedOut)?;
        hold_session(&mut tx, person).await?;
        let ways = identities::load_ways_in(&mut tx, person.account).await?;
        let gone = identities::delete_identities(&mut tx, person.account, name).await?;
        let Some(identity) = gone.first() else { return Err(SsoError::NotLinked { label: label(&provider) }) };
        let locally = (ways.has_password || ways.usable_passkeys > 0) && (self.takes_passwords() || ways.break_glass);
        let others = ways.identities - i64::try_from(gone.len()).unwrap_or(i64::MAX);
        if !locally && others <= 0 {
            return Err(SsoError::OnlyWayIn { label: label(&provider) });
        }
        let ended = sessions::delete_begun_by(&mut tx, person.account, &provider.method(), person.session).await?;
        browsers::end_in(&mut tx, ended.iter().map(|session| session.id)).await?;
        let what = format!("Your identity at {} was unlinked from your account.", label(&provider));
        self.accounts.mail_sign_in_ways(&mut tx, (person.account, &person.email), &what).await?;
        let fields = json!({
            "person": person.account, "provider": name, "issuer": identity.issuer, "subject": identity.subject,
        });
        let fields = with_ended(fields, &ended);
        self.accounts.record(&mut tx, Kind::IdentityUnlinked, &By::person(person), fields).await?;
        tx.commit().await?;
        Ok(())
    }
}
