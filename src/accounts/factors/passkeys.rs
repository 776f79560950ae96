//! Passkeys: added, named, removed, and used in place of a password. The person is verified by their device each time, so
//! that a passkey alone is two factors. A portal reached by an IP address has none: browsers know none there.

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::Connection as _;
use webauthn_rs::prelude::PasskeyRegistration;

use super::inform::News;
use super::proving::{Challenge, Checked, Refused, Showing};
use super::relying::Answer;
use super::{Added, Asked, FactorError, holder, stored, stored_passkeys};
use crate::accounts::ceremonies::{Holder, Purpose};
use crate::accounts::sign_in::SignInError;
use crate::accounts::strangers::Deed;
use crate::accounts::{Accounts, By, NewSession, Origin, Unavailable};
use crate::audit::Kind;
use crate::domain::ids::{CeremonyId, PasskeyId};
use crate::domain::people::{Factor, Person};
use crate::domain::text;
use crate::store::accounts;
use crate::store::factors::passkeys::Passkey;

/// A passkey that a browser has just made.
#[derive(Debug)]
pub struct NewPasskey {
    pub ceremony: CeremonyId,
    /// The browser's answer, as JSON.
    pub answer: String,
    pub name: String,
    pub origin: Origin,
}

/// A try to sign in with a passkey alone.
#[derive(Debug)]
pub struct PasskeySignIn {
    pub ceremony: CeremonyId,
    /// The browser's answer, as JSON.
    pub answer: String,
    pub holder: Holder,
    pub origin: Origin,
    /// The session cookie that came with the request, if any: that session ends when this one begins (S-25).
    pub replaces: Option<SecretString>,
}

/// What the answer will be judged by. Sealed.
#[derive(Serialize, Deserialize)]
pub(super) struct State {
    pub registration: PasskeyRegistration,
}

/// 1 to 80 characters that can all be seen.
fn parse_name(text: &str) -> Result<String, FactorError> {
    let name = text.trim();
    if name.is_empty() || name.chars().count() > 80 {
        return Err(FactorError::BadName("A passkey's name has 1 to 80 characters.".to_owned()));
    }
    if name.chars().any(char::is_control) || text::has_deceptive(name) {
        let problem = "A passkey's name cannot hold line breaks or characters that cannot be seen.";
        return Err(FactorError::BadName(problem.to_owned()));
    }
    Ok(name.to_owned())
}

fn not_made(_: webauthn_rs::prelude::WebauthnError) -> FactorError {
    FactorError::Wrong("A passkey cannot be made for this account.")
}

impl Accounts {
    /// Asks the browser to make a passkey.
    ///
    /// # Errors
    /// [`FactorError`].
    pub async fn ask_new_passkey(&self, person: &Person) -> Result<Asked, FactorError> {
        let relying = self.relying()?;
        let mut conn = self.0.database.pages.acquire().await?;
        let kinds = stored::load_kinds(&mut conn, person.account).await?;
        self.refuse_unproven(person, kinds)?;
        let known = stored_passkeys::list_passkeys(&mut conn, person.account).await?;
        let known = known.iter().filter_map(|passkey| credential_id(&passkey.credential)).collect();
        let names = (person.email.as_str(), person.name.as_str());
        let (options, registration) = relying.ask_to_make(person.account, names, known).map_err(not_made)?;
        let about = (Purpose::AddPasskey, holder(person));
        let ceremony = self.begin_ceremony(&mut conn, about, Some(person.account), &State { registration }).await?;
        Ok(Asked { ceremony, options })
    }

    /// Keeps a passkey that the browser made.
    ///
    /// # Errors
    /// [`FactorError`].
    pub async fn add_passkey(&self, person: &Person, new: NewPasskey) -> Result<Added, FactorError> {
        let name = parse_name(&new.name)?;
        let relying = self.relying()?;
        let mut conn = self.0.database.pages.acquire().await?;
        let about = (Purpose::AddPasskey, holder(person));
        let begun = self.take_ceremony::<State>(&mut conn, new.ceremony, about).await?;
        let begun = begun.filter(|begun| begun.account == Some(person.account)).ok_or(FactorError::Over)?;
        let made = match relying.judge_made(&new.answer, &begun.state.registration) {
            Ok(made) => made,
            Err(bad) => {
                let refused = Refused { factor: Factor::Passkey, why: bad.why(), text: NOT_TAKEN };
                let by = By::person(person);
                let showing = Showing { account: person.account, about, by: &by, origin: &new.origin, at: "adding it" };
                self.tell_refused(&mut conn, showing, &refused).await?;
                return Err(FactorError::Wrong(NOT_TAKEN));
            }
        };
        let now = self.0.clock.now();
        let passkey = Passkey {
            id: PasskeyId(self.0.random.uuid_v7(now)),
            account: person.account,
            name,
            credential: made.credential,
            created_at: now,
            last_used_at: None,
            suspect_at: None,
        };
        let mut tx = conn.begin().await?;
        let (account, kinds) = self.lock_for_change(&mut tx, person).await?;
        if !stored_passkeys::insert_passkey(&mut tx, &passkey, &made.credential_id).await? {
            return Err(FactorError::Wrong("This passkey is in use already."));
        }
        let added = self.welcome(&mut tx, (person, &account), (kinds, Factor::Passkey)).await?;
        let mut fields = told(&passkey);
        fields["public_key"] = made.public_key;
        fields["address"] = json!(new.origin.address);
        fields["user_agent"] = json!(new.origin.agent());
        let news = News::PasskeyAdded { name: &passkey.name };
        self.tell_added(&mut tx, (person, &added), (&new.origin, fields), news).await?;
        tx.commit().await?;
        Ok(added)
    }

    /// Gives a passkey another name.
    ///
    /// # Errors
    /// [`FactorError`].
    pub async fn rename_passkey(&self, person: &Person, id: PasskeyId, name: &str) -> Result<(), FactorError> {
        let name = parse_name(name)?;
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        self.lock_for_change(&mut tx, person).await?;
        let renamed = stored_passkeys::rename_passkey(&mut tx, person.account, id, &name).await?;
        let before = renamed.ok_or(FactorError::NoSuchPasskey)?;
        if before == name {
            return Ok(());
        }
        let fields = json!({
            "person": person.account, "factor": Factor::Passkey.name(), "passkey": id, "name": name,
            "name_before": before,
        });
        self.record(&mut tx, Kind::FactorRenamed, &By::person(person), fields).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Removes a passkey.
    ///
    /// # Errors
    /// [`FactorError`].
    pub async fn remove_passkey(&self, person: &Person, id: PasskeyId) -> Result<(), FactorError> {
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        let (account, kinds) = self.lock_for_change(&mut tx, person).await?;
        let removed = stored_passkeys::delete_passkey(&mut tx, person.account, id).await?;
        let passkey = removed.ok_or(FactorError::NoSuchPasskey)?;
        let left = kinds.usable() - i64::from(passkey.suspect_at.is_none());
        self.refuse_last(&mut tx, &account, left).await?;
        let news = News::PasskeyRemoved { name: &passkey.name };
        self.tell_removed(&mut tx, (person, kinds), told(&passkey), news).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Asks a browser in which nobody is signed in for whatever passkey its person has here. None: the portal's address has
    /// no host name.
    ///
    /// # Errors
    /// [`SignInError`].
    pub async fn ask_sign_in(&self, holder: Holder, origin: &Origin) -> Result<Option<Asked>, SignInError> {
        self.pass_address(origin.address).await?;
        let mut conn = self.0.database.pages.acquire().await.map_err(Unavailable::from)?;
        Ok(self.ask_passkey(&mut conn, (Purpose::SignIn, holder), None).await?)
    }

    /// Signs in with a passkey alone. Failed passwords are no obstacle (S-11).
    ///
    /// # Errors
    /// [`SignInError`]. Whatever was wrong, it is `Wrong` (S-10).
    pub async fn sign_in_with_passkey(&self, ask: PasskeySignIn) -> Result<NewSession, SignInError> {
        let mut conn = self.0.database.pages.acquire().await.map_err(Unavailable::from)?;
        let about = (Purpose::SignIn, ask.holder);
        let begun = self.take_ceremony::<Challenge>(&mut conn, ask.ceremony, about).await?;
        let (Some(begun), Ok(answer)) = (begun, Answer::parse(&ask.answer)) else {
            self.0.strangers.count(Deed::SignInFailed);
            return Err(SignInError::Wrong);
        };
        let found = stored_passkeys::find_by_credential(&mut conn, answer.credential_id()).await;
        // Nobody said before whom to expect, so the answer must.
        let found = found.map_err(Unavailable::from)?.filter(|passkey| answer.account() == Some(passkey.account));
        let Some(passkey) = found else {
            self.0.strangers.count(Deed::SignInFailed);
            return Err(SignInError::Wrong);
        };
        let showing =
            Showing { account: passkey.account, about, by: &By::Stranger, origin: &ask.origin, at: "signing in" };
        let known = (passkey.account, ask.answer.as_str());
        let checked = match self.check_passkey(&mut conn, known, (&begun.state.challenge, begun.begun_at)).await {
            Ok(Ok(checked)) => checked,
            Ok(Err(refused)) => {
                self.tell_refused(&mut conn, showing, &refused).await?;
                return Err(SignInError::Wrong);
            }
            Err(error) => return Err(error.into()),
        };
        self.begin_by_passkey(&checked, showing, ask.replaces.as_ref()).await
    }

    async fn begin_by_passkey(
        &self,
        checked: &Checked,
        showing: Showing<'_>,
        replaces: Option<&SecretString>,
    ) -> Result<NewSession, SignInError> {
        let refused = |why| Refused { factor: Factor::Passkey, why, text: NOT_TAKEN };
        let mut conn = self.0.database.pages.acquire().await.map_err(Unavailable::from)?;
        let mut tx = conn.begin().await.map_err(Unavailable::from)?;
        let account = accounts::lock_account(&mut tx, showing.account).await.map_err(Unavailable::from)?;
        let Some(account) = account.filter(|account| account.disabled_at.is_none()) else {
            drop(tx);
            self.tell_refused(&mut conn, showing, &refused("disabled")).await?;
            return Err(SignInError::Wrong);
        };
        if !self.signs_in_locally(&mut tx, account.id).await.map_err(Unavailable::from)? {
            drop(tx);
            self.tell_refused(&mut conn, showing, &refused("local sign-in is off")).await?;
            return Err(SignInError::Wrong);
        }
        if !self.use_up(&mut tx, account.id, checked).await? {
            drop(tx);
            self.tell_refused(&mut conn, showing, &refused("it was used elsewhere at the same time")).await?;
            return Err(SignInError::Wrong);
        }
        let begun = self.begun_now("passkey", Some(Factor::Passkey));
        let new = self.begin_in(&mut tx, &account, begun, (showing.origin, replaces)).await?;
        tx.commit().await.map_err(Unavailable::from)?;
        Ok(new)
    }
}

pub(super) const NOT_TAKEN: &str =
    "The passkey that your browser made was not accepted. Try again, or use another device.";

pub(super) fn told(passkey: &Passkey) -> Value {
    json!({
        "person": passkey.account, "factor": Factor::Passkey.name(), "passkey": passkey.id, "name": passkey.name,
        "credential": passkey.credential["cred"]["cred_id"],
    })
}

fn credential_id(credential: &Value) -> Option<Vec<u8>> {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(credential["cred"]["cred_id"].as_str()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passkeys_name_can_be_seen_whole() {
        assert_eq!(parse_name("  Key on my ring ").unwrap(), "Key on my ring");
        for name in ["", "  ", "a\nb", "a\u{202e}b", &"x".repeat(81)] {
            assert!(parse_name(name).is_err(), "{name:?}");
        }
    }
}
