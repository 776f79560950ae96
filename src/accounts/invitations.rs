//! Invitations: an account without a password, and a link by which its person chooses how to sign in. Nobody else ever
//! knows a password of theirs (S-06).

use std::net::IpAddr;

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

use super::admin::{AdminError, lock_admins, lock_target};
use super::factors::{Added, InvitedPasskey, Made};
use super::identity::{self, Email, EmailKey};
use super::links::{Link, LinkError, Purpose, code_hash};
use super::password;
use super::records::{StillToTell, account_told};
use super::{Accounts, By, NewSession, Origin, Unavailable};
use crate::audit::Kind;
use crate::domain::ids::AccountId;
use crate::domain::people::{Factor, Roles};
use crate::store::accounts::{self, Account};
use crate::store::links;
use crate::store::throttle::clear_tries;

/// Somebody to be invited.
#[derive(Debug)]
pub struct NewPerson {
    pub email: String,
    /// As far as it is known; the person may change it when they accept.
    pub name: String,
    pub roles: Roles,
}

/// An invitation that was made.
#[derive(Debug)]
pub struct Invited {
    pub account: AccountId,
    /// To be handed to the person, if mail does not do that.
    pub link: SecretString,
    pub expires_at: Timestamp,
    /// Whether it is on its way by mail.
    pub mailed: bool,
}

/// An invitation as whoever holds its link sees it.
#[derive(Debug, Clone)]
pub struct Invitation {
    pub email: String,
    pub name: String,
    pub roles: Roles,
    /// The name of the person who invited; None for the operator.
    pub invited_by: Option<String>,
    pub expires_at: Timestamp,
}

/// What the invited person chooses.
#[derive(Debug)]
pub struct Acceptance {
    pub code: SecretString,
    pub name: String,
    pub means: Means,
    pub origin: Origin,
    /// The session cookie that came with the request, if any: that session ends when this one begins (S-25).
    pub replaces: Option<SecretString>,
}

/// How an invited person will sign in.
#[derive(Debug)]
pub enum Means {
    Password(SecretString),
    Passkey(InvitedPasskey),
}

/// An invitation that was accepted.
#[derive(Debug)]
pub struct Accepted {
    pub session: NewSession,
    /// Recovery codes, which come with a first passkey. Shown once.
    pub codes: Option<Vec<SecretString>>,
}

/// The same, checked and ready to be kept.
enum Kept {
    Password(String),
    Passkey(Box<Made>),
}

impl Accounts {
    /// Makes an account whose person is invited to it.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn invite(&self, by: &By, new: NewPerson) -> Result<Invited, AdminError> {
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        lock_admins(&mut tx, by).await?;
        let mut told = StillToTell::new();
        let invited = self.invite_within(&mut tx, by, new, &mut told).await?;
        self.record_all(&mut tx, by, told).await?;
        tx.commit().await?;
        Ok(invited)
    }

    /// The same within the caller's transaction, which has seen to it that `by` may. Recording it is the caller's last step.
    pub(super) async fn invite_within(
        &self,
        tx: &mut PgConnection,
        by: &By,
        new: NewPerson,
        told: &mut StillToTell,
    ) -> Result<Invited, AdminError> {
        if !self.0.settings.local_sign_in {
            return Err(AdminError::NoLocalSignIn);
        }
        let bad = |field| move |problem: String| AdminError::BadField { field, problem };
        let email = Email::parse(&new.email).map_err(bad("email"))?;
        let name = identity::parse_name(&new.name).map_err(bad("name"))?;
        let account = Account { password_changed_at: None, ..self.account(&email, name, new.roles, None) };
        accounts::withdraw_setup_secret(tx).await?;
        if !accounts::insert_account(tx, &account).await? {
            return Err(AdminError::EmailTaken);
        }
        let (invited, fields) = self.send_invitation(tx, by, &account).await?;
        told.extend([(Kind::AccountCreated, account_told(&account)), (Kind::AccountInvited, fields)]);
        Ok(invited)
    }

    /// Makes a new invitation for somebody who has not accepted the one before, which is dead from now on.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn invite_again(&self, by: &By, id: AccountId) -> Result<Invited, AdminError> {
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        let (account, _) = lock_target(&mut tx, by, id).await?;
        if account.disabled_at.is_some() {
            return Err(AdminError::Disabled);
        }
        if !links::is_invited(&mut tx, id).await? {
            return Err(AdminError::NotInvited);
        }
        if !self.signs_in_locally(&mut tx, id).await? {
            return Err(AdminError::NoLocalSignIn);
        }
        let (invited, fields) = self.send_invitation(&mut tx, by, &account).await?;
        self.record(&mut tx, Kind::AccountInvited, by, fields).await?;
        tx.commit().await?;
        Ok(invited)
    }

    /// The account with this e-mail, if its person was invited and has not accepted.
    pub async fn find_invited(&self, email: &str) -> Result<Option<AccountId>, Unavailable> {
        let mut conn = self.0.database.pages.acquire().await?;
        let found = accounts::find_by_email(&mut conn, EmailKey::of(email).as_str()).await?;
        match found {
            Some(account) if links::is_invited(&mut conn, account.id).await? => Ok(Some(account.id)),
            _ => Ok(None),
        }
    }

    /// Also what is to be recorded about it.
    async fn send_invitation(
        &self,
        conn: &mut PgConnection,
        by: &By,
        account: &Account,
    ) -> Result<(Invited, Value), Unavailable> {
        let Link { address, expires_at } = self.make_link(conn, Purpose::Invite, account.id, by).await?;
        let mailed = self.mail_invitation(conn, by, account, address.expose_secret()).await?;
        let fields = json!({ "person": account.id, "expires_at": expires_at, "mailed": mailed });
        Ok((Invited { account: account.id, link: address, expires_at, mailed }, fields))
    }

    /// What a link invites to. Looking at it changes nothing.
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn find_invitation(&self, code: &SecretString, address: IpAddr) -> Result<Invitation, LinkError> {
        let found = self.find_link(Purpose::Invite, code, address).await?;
        Ok(Invitation {
            email: found.email,
            name: found.name,
            roles: found.roles,
            invited_by: found.made_by,
            expires_at: found.expires_at,
        })
    }

    /// Accepts an invitation: the person has a name and a way to sign in from now on, and is signed in. Of two who use one
    /// link, one is.
    ///
    /// # Errors
    /// [`LinkError`]. A refused field does not use the link up.
    pub async fn accept_invitation(&self, acceptance: Acceptance) -> Result<Accepted, LinkError> {
        let Acceptance { code, name, means, origin, replaces } = acceptance;
        let found = self.find_link(Purpose::Invite, &code, origin.address).await?;
        let bad = |field| move |problem: String| LinkError::BadField { field, problem };
        let name = identity::parse_name(&name).map_err(bad("name"))?;
        let kept = match means {
            Means::Password(password) => {
                let about = self.about(&found.email, &name);
                let password = password::accept(&password, about).map_err(|why| bad("password")(why.to_string()))?;
                let (_, phc) = self.seat().await?.hash(&password, &self.0.random).await.map_err(Unavailable::from)?;
                Kept::Password(phc)
            }
            Means::Passkey(new) => Kept::Passkey(Box::new(self.judge_invited(found.account, &new).await?)),
        };
        let accepted = Box::pin(self.begin_invited((found.account, &code), name, &kept, (&origin, replaces.as_ref())));
        accepted.await?.ok_or_else(|| self.refuse_link())
    }

    async fn begin_invited(
        &self,
        (id, code): (AccountId, &SecretString),
        name: String,
        kept: &Kept,
        (origin, replaces): (&Origin, Option<&SecretString>),
    ) -> Result<Option<Accepted>, Unavailable> {
        let now = self.0.clock.now();
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        let account = accounts::lock_account(&mut tx, id).await?.filter(|account| account.disabled_at.is_none());
        let Some(account) = account else { return Ok(None) };
        if !self.signs_in_locally(&mut tx, id).await? {
            return Ok(None);
        }
        // Two callers meet at this row: the second finds it gone.
        if !links::delete_link(&mut tx, &code_hash(code), Purpose::Invite.name(), now).await? {
            return Ok(None);
        }
        links::delete_links(&mut tx, id).await?;
        accounts::mark_name(&mut tx, id, &name).await?;
        let passkey = match kept {
            Kept::Password(phc) => {
                accounts::mark_password(&mut tx, id, phc, Some((now, false))).await?;
                None
            }
            Kept::Passkey(made) => match self.keep_invited(&mut tx, (id, made), origin).await? {
                Some((passkey, codes)) => Some((made, passkey, codes)),
                // It was made for this account a moment ago: nobody can have it.
                None => return Ok(None),
            },
        };
        // What strangers tried while there was no password is no obstacle.
        clear_tries(&mut tx, &EmailKey::of(&account.email_key).hash()).await?;
        let account = Account { name, must_change_password: false, ..account };
        let begun = self.begun_now("invite", passkey.is_some().then_some(Factor::Passkey));
        let (new, replaced) = self.begin_unrecorded(&mut tx, &account, begun, (origin, replaces)).await?;
        if let Some((_, passkey, _)) = &passkey {
            self.inform_invited(&mut tx, passkey).await?;
        }
        self.record_begun(&mut tx, (&new, replaced.as_ref()), origin).await?;
        let by = By::person(&new.person);
        self.record(&mut tx, Kind::AccountInvitationAccepted, &by, account_told(&account)).await?;
        let mut shown = None;
        if let Some((made, passkey, codes)) = passkey {
            let added = Added { session: None, codes: Some(codes), ended: Vec::new() };
            self.tell_invited(&mut tx, (&new, &added), (&passkey, made), origin).await?;
            shown = added.codes;
        }
        tx.commit().await?;
        Ok(Some(Accepted { session: new, codes: shown }))
    }
}
