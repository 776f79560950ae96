//! An invited person's passkey in place of a password: made in the browser that has the link open, kept when they accept.

use std::net::IpAddr;

use secrecy::SecretString;
use serde_json::json;
use sqlx::PgConnection;
use webauthn_rs::prelude::PasskeyRegistration;

use super::inform::News;
use super::passkeys::{NOT_TAKEN, State, told};
use super::relying::Made;
use super::{Added, Asked, stored_passkeys};
use crate::accounts::ceremonies::{Holder, Purpose};
use crate::accounts::links::{self, LinkError};
use crate::accounts::{Accounts, NewSession, Origin, Unavailable};
use crate::domain::browser;
use crate::domain::ids::{AccountId, CeremonyId, PasskeyId};
use crate::store::factors::passkeys::Passkey;

/// A passkey that an invited person's browser has just made.
#[derive(Debug)]
pub struct InvitedPasskey {
    pub ceremony: CeremonyId,
    /// The browser's answer, as JSON.
    pub answer: String,
    pub holder: Holder,
}

const NOT_MADE: &str = "A passkey cannot be made for this account. Choose a password instead.";

impl Accounts {
    /// Asks the browser of an invited person to make a passkey. None: the portal's address has no host name, where there
    /// are none.
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn ask_invited_passkey(
        &self,
        code: &SecretString,
        holder: Holder,
        address: IpAddr,
    ) -> Result<Option<Asked>, LinkError> {
        let found = self.find_link(links::Purpose::Invite, code, address).await?;
        let Some(relying) = &self.0.relying else { return Ok(None) };
        let names = (found.email.as_str(), found.name.as_str());
        let asked = relying.ask_to_make(found.account, names, Vec::new());
        let (mut options, registration): (_, PasskeyRegistration) = asked.map_err(|_| bad(NOT_MADE))?;
        // There is no password to say who comes: only a passkey that is found without a name lets them in again.
        options["publicKey"]["authenticatorSelection"]["residentKey"] = json!("required");
        options["publicKey"]["authenticatorSelection"]["requireResidentKey"] = json!(true);
        let mut conn = self.0.database.pages.acquire().await.map_err(Unavailable::from)?;
        let about = (Purpose::InvitedPasskey, holder);
        let state = State { registration };
        let ceremony = self.begin_ceremony(&mut conn, about, Some(found.account), &state).await?;
        Ok(Some(Asked { ceremony, options }))
    }

    /// Looks at what the browser made.
    pub(in crate::accounts) async fn judge_invited(
        &self,
        account: AccountId,
        new: &InvitedPasskey,
    ) -> Result<Made, LinkError> {
        let mut conn = self.0.database.pages.acquire().await.map_err(Unavailable::from)?;
        let about = (Purpose::InvitedPasskey, new.holder);
        let begun = self.take_ceremony::<State>(&mut conn, new.ceremony, about).await?;
        let begun = begun.filter(|begun| begun.account == Some(account));
        let judged = begun
            .zip(self.0.relying.as_ref())
            .map(|(begun, relying)| relying.judge_made(&new.answer, &begun.state.registration));
        match judged {
            Some(Ok(made)) => Ok(made),
            Some(Err(_)) => Err(bad(NOT_TAKEN)),
            None => Err(bad("That took too long, or was begun in another browser. Make the passkey again.")),
        }
    }

    /// Keeps it, with recovery codes, in the transaction that accepts. None: it is somebody's already.
    pub(in crate::accounts) async fn keep_invited(
        &self,
        conn: &mut PgConnection,
        (account, made): (AccountId, &Made),
        origin: &Origin,
    ) -> Result<Option<(Passkey, Vec<SecretString>)>, Unavailable> {
        let now = self.0.clock.now();
        let passkey = Passkey {
            id: PasskeyId(self.0.random.uuid_v7(now)),
            account,
            name: browser::name_of(&origin.user_agent),
            credential: made.credential.clone(),
            created_at: now,
            last_used_at: None,
            suspect_at: None,
        };
        if !stored_passkeys::insert_passkey(conn, &passkey, &made.credential_id).await? {
            return Ok(None);
        }
        let codes = self.make_codes(conn, account).await?;
        Ok(Some((passkey, codes)))
    }

    /// The news of it to its person. Call before the records.
    pub(in crate::accounts) async fn inform_invited(
        &self,
        conn: &mut PgConnection,
        passkey: &Passkey,
    ) -> Result<(), Unavailable> {
        self.inform(conn, passkey.account, News::PasskeyAdded { name: &passkey.name }).await
    }

    /// The records of it.
    pub(in crate::accounts) async fn tell_invited(
        &self,
        conn: &mut PgConnection,
        (session, added): (&NewSession, &Added),
        (passkey, made): (&Passkey, &Made),
        origin: &Origin,
    ) -> Result<(), Unavailable> {
        let mut fields = told(passkey);
        fields["public_key"] = made.public_key.clone();
        fields["address"] = json!(origin.address);
        fields["user_agent"] = json!(origin.agent());
        self.record_added(conn, (&session.person, added), origin, fields).await
    }
}

fn bad(problem: &str) -> LinkError {
    LinkError::BadField { field: "passkey", problem: problem.to_owned() }
}
