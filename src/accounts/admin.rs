//! Accounts made, changed and taken away, by an admin on a page or by the operator in a terminal. Taking away works at
//! once: the account's sessions end in the same transaction. The last enabled admin cannot be taken away (S-28, S-06).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use sqlx::{Connection as _, PgConnection};
use zeroize::Zeroizing;

use super::hasher::Busy;
use super::identity::{self, Email, EmailKey};
use super::password;
use super::records::{account_told, with_ended};
use super::sign_in::MOST_FAILURES;
use super::{Accounts, By, Unavailable};
use crate::audit::Kind;
use crate::domain::ids::{AccountId, SessionId};
use crate::domain::people::{Role, Roles};
use crate::store::access::rights;
use crate::store::accounts::{self, Account};
use crate::store::push::browsers;
use crate::store::throttle::clear_tries;
use crate::store::{links, sessions};

/// An account as admins and operators see it.
#[derive(Debug, Clone)]
pub struct AccountView {
    pub id: AccountId,
    pub email: String,
    pub name: String,
    pub roles: Roles,
    pub created_at: Timestamp,
    pub last_seen_at: Option<Timestamp>,
    pub disabled_at: Option<Timestamp>,
    pub must_change_password: bool,
    /// Too many failures in a row: no password is accepted until it is reset.
    pub password_off: bool,
}

/// An account to be made.
#[derive(Debug)]
pub struct NewAccount {
    pub email: String,
    pub name: String,
    pub roles: Roles,
    /// None: one is made up, to be changed at the first sign-in within 24 hours.
    pub password: Option<SecretString>,
}

/// Why an account was not made or changed. Nothing was.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// `field` is `email`, `name` or `password`.
    #[error("{problem}")]
    BadField { field: &'static str, problem: String },
    #[error("There is an account with this e-mail address already.")]
    EmailTaken,
    #[error("There is no such account.")]
    NoSuchAccount,
    #[error("This is the last enabled admin. Make somebody else an admin first.")]
    LastAdmin,
    /// Whoever asked is an admin no longer.
    #[error("Only an admin can do this.")]
    NotAllowed,
    #[error("This account is disabled. Enable it first.")]
    Disabled,
    #[error("This is your own account. Another admin has to do it.")]
    Oneself,
    #[error("This account has no password here.")]
    NoPassword,
    #[error("This person has not accepted their invitation yet. Invite them again instead.")]
    StillInvited,
    #[error(
        "This portal sends no mail, so there is no way to hand this person a link that nobody else sees. Ask its operator \
         for a new password: countersign account reset-password"
    )]
    NoMail,
    #[error(
        "Local sign-in is off here: people sign in by way of an identity provider, which makes their accounts too. Only \
         break-glass accounts have a password."
    )]
    NoLocalSignIn,
    #[error("This person has accepted their invitation already.")]
    NotInvited,
    #[error("Too many passwords are being set or checked at once. Try again in a few seconds.")]
    Busy(#[from] Busy),
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl From<sqlx::Error> for AdminError {
    fn from(error: sqlx::Error) -> Self {
        Self::Unavailable(error.into())
    }
}

/// A password to be set, and what its person must be told.
struct Chosen {
    phc: SecretString,
    /// Made up here: shown once to whoever asked for it.
    made_up: Option<SecretString>,
}

impl Accounts {
    /// All accounts, by e-mail.
    pub async fn list(&self) -> Result<Vec<AccountView>, Unavailable> {
        let mut conn = self.0.database.pages.acquire().await?;
        let view = |(account, password_off): (Account, bool)| AccountView {
            id: account.id,
            email: account.email,
            name: account.name,
            roles: account.roles,
            created_at: account.created_at,
            last_seen_at: account.last_seen_at,
            disabled_at: account.disabled_at,
            must_change_password: account.must_change_password,
            password_off,
        };
        Ok(accounts::list_accounts(&mut conn, MOST_FAILURES).await?.into_iter().map(view).collect())
    }

    /// The account with this e-mail, however it is typed.
    pub async fn find_by_email(&self, email: &str) -> Result<Option<AccountId>, Unavailable> {
        let mut conn = self.0.database.pages.acquire().await?;
        let found = accounts::find_by_email(&mut conn, EmailKey::of(email).as_str()).await?;
        Ok(found.map(|account| account.id))
    }

    /// Makes an account. Some: the password that was made up for it. The first approver the operator makes, while no grant
    /// was ever given, may decide everything.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn create(&self, by: &By, new: NewAccount) -> Result<(AccountId, Option<SecretString>), AdminError> {
        let bad = |field| move |problem: String| AdminError::BadField { field, problem };
        let email = Email::parse(&new.email).map_err(bad("email"))?;
        let name = identity::parse_name(&new.name).map_err(bad("name"))?;
        let chosen = self.choose(new.password, email.as_str(), &name).await?;
        let account = Account {
            must_change_password: chosen.made_up.is_some(),
            ..self.account(&email, name, new.roles, Some(chosen.phc))
        };
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        lock_admins(&mut tx, by).await?;
        // Whoever can make an account needs no set-up any more; a set-up under way meets us here.
        accounts::withdraw_setup_secret(&mut tx).await?;
        if !accounts::insert_account(&mut tx, &account).await? {
            return Err(AdminError::EmailTaken);
        }
        clear_tries(&mut tx, &email.key().hash()).await?;
        let grant = self.grant_first(&mut tx, by, &account).await?;
        self.record(&mut tx, Kind::AccountCreated, by, account_told(&account)).await?;
        if let Some(grant) = grant {
            self.record(&mut tx, Kind::GrantGiven, by, grant).await?;
        }
        tx.commit().await?;
        Ok((account.id, chosen.made_up))
    }

    /// Disables an account and ends its sessions. False: it was disabled already.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn disable(&self, by: &By, id: AccountId) -> Result<bool, AdminError> {
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        let (account, admins) = lock_target(&mut tx, by, id).await?;
        if account.disabled_at.is_some() {
            return Ok(false);
        }
        if self.is_last_admin(&mut tx, &admins, id).await? {
            return Err(AdminError::LastAdmin);
        }
        accounts::mark_disabled(&mut tx, id, true, self.0.clock.now()).await?;
        self.end_links(&mut tx, id).await?;
        let ended = self.end_all(&mut tx, &account).await?;
        self.record(&mut tx, Kind::AccountDisabled, by, with_ended(account_told(&account), &ended)).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Enables an account again, with the password it had. False: it was not disabled.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn enable(&self, by: &By, id: AccountId) -> Result<bool, AdminError> {
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        let (account, _) = lock_target(&mut tx, by, id).await?;
        if account.is_deleted() {
            return Err(AdminError::NoSuchAccount);
        }
        if account.disabled_at.is_none() {
            return Ok(false);
        }
        accounts::mark_disabled(&mut tx, id, false, self.0.clock.now()).await?;
        self.record(&mut tx, Kind::AccountEnabled, by, account_told(&account)).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Gives an account other roles. Its sessions end, so that no session carries more or less than it began with (S-25).
    /// False: it had exactly these.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn change_roles(&self, by: &By, id: AccountId, roles: Roles) -> Result<bool, AdminError> {
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        let (account, admins) = lock_target(&mut tx, by, id).await?;
        if account.roles == roles {
            return Ok(false);
        }
        if !roles.has(Role::Admin) && self.is_last_admin(&mut tx, &admins, id).await? {
            return Err(AdminError::LastAdmin);
        }
        accounts::mark_roles(&mut tx, id, roles, self.0.clock.now()).await?;
        let ended = self.end_all(&mut tx, &account).await?;
        let mut fields = account_told(&Account { roles, ..account.clone() });
        fields["roles_before"] = json!(account.roles.names());
        self.record(&mut tx, Kind::AccountChanged, by, with_ended(fields, &ended)).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Sets a password, forgets its failures and ends the account's sessions. Without a given one a password is made up,
    /// to be changed at the next sign-in within an hour, and returned.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn reset_password(
        &self,
        by: &By,
        id: AccountId,
        given: Option<SecretString>,
    ) -> Result<Option<SecretString>, AdminError> {
        let known = self.load(id).await?;
        let chosen = self.choose(given, &known.email, &known.name).await?;
        let must_change = chosen.made_up.is_some();
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        let (account, _) = lock_target(&mut tx, by, id).await?;
        let changed = Some((self.0.clock.now(), must_change));
        accounts::mark_password(&mut tx, id, chosen.phc.expose_secret(), changed).await?;
        clear_tries(&mut tx, &EmailKey::of(&account.email_key).hash()).await?;
        links::delete_links(&mut tx, id).await?;
        self.forget_browsers(&mut tx, id).await?;
        let ended = self.end_all(&mut tx, &account).await?;
        self.mail_password_reset(&mut tx, &account, None).await?;
        let fields = account_told(&Account { must_change_password: must_change, ..account });
        self.record(&mut tx, Kind::AccountPasswordReset, by, with_ended(fields, &ended)).await?;
        tx.commit().await?;
        Ok(chosen.made_up)
    }

    /// Ends every session of somebody else's account; says how many (S-28).
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn end_sessions_of(&self, by: &By, id: AccountId) -> Result<usize, AdminError> {
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        let (account, _) = lock_target(&mut tx, by, id).await?;
        let told = browsers::end_of(&mut tx, id, None).await?;
        let ended = self.end_all(&mut tx, &account).await?;
        if !ended.is_empty() || told > 0 {
            let fields = json!({ "person": id, "why": "ended by an admin", "browsers_ended": told });
            self.record(&mut tx, Kind::SessionEnded, by, with_ended(fields, &ended)).await?;
        }
        tx.commit().await?;
        Ok(ended.len())
    }

    /// Ends one session of somebody else's account. False: they have no such session.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn end_session_of(&self, by: &By, id: AccountId, session: SessionId) -> Result<bool, AdminError> {
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        lock_target(&mut tx, by, id).await?;
        let Some(ended) = sessions::delete_session(&mut tx, id, session).await? else { return Ok(false) };
        browsers::end_in(&mut tx, [session]).await?;
        self.record_ended(&mut tx, by, &ended, "ended by an admin").await?;
        tx.commit().await?;
        Ok(true)
    }

    /// An account that is made now.
    pub(super) fn account(&self, email: &Email, name: String, roles: Roles, phc: Option<SecretString>) -> Account {
        let now = self.0.clock.now();
        Account {
            id: AccountId(self.0.random.uuid_v7(now)),
            email: email.as_str().to_owned(),
            email_key: email.key().as_str().to_owned(),
            name,
            roles,
            password_phc: phc,
            password_changed_at: Some(now),
            must_change_password: false,
            password_compromised_at: None,
            disabled_at: None,
            last_seen_at: None,
            created_at: now,
            deleted_at: None,
            version: 1,
            time_zone: "UTC".to_owned(),
        }
    }

    /// Whether nobody could administer without this account. `admins` are all that are enabled, locked; of them only those
    /// count who have a way in: an admin who was invited and never comes is none.
    pub(super) async fn is_last_admin(
        &self,
        conn: &mut PgConnection,
        admins: &[AccountId],
        id: AccountId,
    ) -> Result<bool, sqlx::Error> {
        Ok(admins == [id] || accounts::list_with_way_in(conn, admins, self.0.settings.local_sign_in).await? == [id])
    }

    /// An account as it is just now; hashing takes too long to keep it locked.
    async fn load(&self, id: AccountId) -> Result<Account, AdminError> {
        let mut conn = self.0.database.pages.acquire().await?;
        accounts::lock_account(&mut conn, id).await?.ok_or(AdminError::NoSuchAccount)
    }

    /// Hashes the given password, or a made-up one of 256 random bits.
    async fn choose(&self, given: Option<SecretString>, email: &str, name: &str) -> Result<Chosen, AdminError> {
        let made_up = given.is_none().then(|| {
            let secret: Zeroizing<[u8; 32]> = Zeroizing::new(self.0.random.bytes());
            SecretString::from(URL_SAFE_NO_PAD.encode(secret.as_slice()))
        });
        let about = self.about(email, name);
        let typed = given.as_ref().or(made_up.as_ref()).expect("one of the two is there");
        let password = password::accept(typed, about)
            .map_err(|bad| AdminError::BadField { field: "password", problem: bad.to_string() })?;
        let (_, phc) = self.seat().await?.hash(&password, &self.0.random).await.map_err(Unavailable::from)?;
        Ok(Chosen { phc: SecretString::from(phc), made_up })
    }
}

/// Locks the enabled admins, and refuses a person who is none of them any more, or whose session has ended.
pub(super) async fn lock_admins(conn: &mut PgConnection, by: &By) -> Result<Vec<AccountId>, AdminError> {
    let admins = accounts::lock_enabled_admins(conn).await?;
    if let By::Person(person) = by
        && !(admins.contains(&person.account) && sessions::hold_session(conn, person.account, person.session).await?)
    {
        return Err(AdminError::NotAllowed);
    }
    Ok(admins)
}

/// Sees to it that a person stays an admin until the transaction ends, for what takes nobody's rights away.
pub(super) async fn hold_admin(conn: &mut PgConnection, by: &By) -> Result<(), AdminError> {
    let By::Person(person) = by else { return Ok(()) };
    let held = rights::lock_accounts(conn, &[person.account]).await?;
    let is_admin = held.iter().any(|one| !one.disabled && one.roles.iter().any(|role| role == Role::Admin.name()));
    let may = is_admin && sessions::hold_session(conn, person.account, person.session).await?;
    if may { Ok(()) } else { Err(AdminError::NotAllowed) }
}

/// Locks the enabled admins as [`lock_admins`] does, and the account that is to be changed.
pub(super) async fn lock_target(
    conn: &mut PgConnection,
    by: &By,
    id: AccountId,
) -> Result<(Account, Vec<AccountId>), AdminError> {
    let admins = lock_admins(conn, by).await?;
    let account = accounts::lock_account(conn, id).await?.ok_or(AdminError::NoSuchAccount)?;
    Ok((account, admins))
}
