//! Beginning a session for somebody whom a provider knows, in one transaction: their account as it is now (or a new one),
//! the roles and groups that the provider's claim gives and takes, the session, and the records of all of it.

use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

use super::{Arriving, Became, Sso, SsoError, label, mapping, vouched};
use crate::accounts::beginning::Begun;
use crate::accounts::identity::{Email, parse_name};
use crate::accounts::records::{StillToTell, account_told, with_ended};
use crate::accounts::{By, NewSession, Unavailable};
use crate::audit::Kind;
use crate::config::EmailVerified;
use crate::domain::ids::AccountId;
use crate::sso::{Provider, Witness};
use crate::store::accounts::{self, Account};
use crate::store::factors::load_kinds;
use crate::store::identities::{self, NewIdentity};

/// Somebody is not let in: whose account it is, if anybody's, and why. For the record.
pub(super) struct NotIn(Option<AccountId>, &'static str);

impl Sso {
    pub(super) async fn let_in(
        &self,
        (provider, witness): (&Provider, &Witness),
        arriving: &Arriving<'_>,
        return_to: &str,
    ) -> Result<Became, SsoError> {
        let mut conn = self.accounts.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        match Box::pin(self.admit(&mut tx, (provider, witness), arriving, return_to)).await? {
            Ok(became) => {
                tx.commit().await?;
                Ok(became)
            }
            Err(NotIn(account, why)) => {
                tx.rollback().await?;
                drop(conn);
                tracing::warn!(
                    provider = provider.config().name,
                    why,
                    "somebody an identity provider knows is not let in"
                );
                self.accounts.tell_failure(account, &arriving.origin, why, 0).await?;
                Err(SsoError::NotLetIn { label: label(provider) })
            }
        }
    }

    async fn admit(
        &self,
        conn: &mut PgConnection,
        (provider, witness): (&Provider, &Witness),
        arriving: &Arriving<'_>,
        return_to: &str,
    ) -> Result<Result<Became, NotIn>, Unavailable> {
        // In the order in which admins take locks: all admins first, then one account.
        let admins = match provider.config().mapped_roles().admin {
            true => accounts::lock_enabled_admins(conn).await?,
            false => Vec::new(),
        };
        let mut told = StillToTell::new();
        let found = match identities::find_holder(conn, &witness.issuer, &witness.subject).await? {
            Some(id) => self.find_account(conn, id, witness).await?,
            None => self.make_account(conn, provider, witness, &mut told).await?,
        };
        let account = match found {
            Ok(account) => account,
            Err(not_in) => return Ok(Err(not_in)),
        };
        let account = self.follow_roles(conn, (provider, witness), (account, &admins), &mut told).await?;
        self.follow_groups(conn, (provider, witness), &account, &mut told).await?;
        let account = forget_made_up_password(conn, account, &mut told).await?;
        // Whoever has a second factor here shows it, unless the provider says that they showed one there (S-22).
        if !witness.vouches_factor && load_kinds(conn, account.id).await?.any() {
            let account = accounts::lock_account(conn, account.id).await?.ok_or(sqlx::Error::RowNotFound)?;
            let wanted = (arriving.holder, return_to);
            self.accounts.ask_second(conn, &account, &provider.method(), wanted).await?;
            self.accounts.record_all(conn, &By::System, told).await?;
            return Ok(Ok(Became::NeedsSecond));
        }
        let new = self.begin(conn, (provider, witness), &account, (arriving, told)).await?;
        Ok(Ok(Became::SignedIn(new)))
    }

    /// The account an identity belongs to, locked, if it is enabled and the identity is still its own.
    async fn find_account(
        &self,
        conn: &mut PgConnection,
        id: AccountId,
        witness: &Witness,
    ) -> Result<Result<Account, NotIn>, Unavailable> {
        let Some(account) = accounts::lock_account(conn, id).await? else {
            return Ok(Err(NotIn(None, "its account is gone")));
        };
        if account.disabled_at.is_some() {
            return Ok(Err(NotIn(Some(id), "disabled")));
        }
        let now = self.accounts.0.clock.now();
        let identity = (witness.issuer.as_str(), witness.subject.as_str());
        let is_still = identities::mark_used(conn, identity, id, now).await?;
        Ok(if is_still { Ok(account) } else { Err(NotIn(Some(id), "its identity was unlinked meanwhile")) })
    }

    /// An account for somebody new. Never one that exists: an e-mail is no proof of who somebody is (S-21).
    async fn make_account(
        &self,
        conn: &mut PgConnection,
        provider: &Provider,
        witness: &Witness,
        told: &mut StillToTell,
    ) -> Result<Result<Account, NotIn>, Unavailable> {
        let account = match self.draft(provider, witness) {
            Ok(account) => account,
            Err(why) => return Ok(Err(NotIn(None, why))),
        };
        // The first account is made at /setup and nowhere else (S-07).
        if !accounts::any_account(conn).await? {
            return Ok(Err(NotIn(None, "the portal is not set up yet")));
        }
        if !accounts::insert_account(conn, &account).await? {
            return Ok(Err(NotIn(None, "its e-mail is another account's")));
        }
        let identity = NewIdentity {
            issuer: &witness.issuer,
            subject: &witness.subject,
            provider: &provider.config().name,
            account: account.id,
            now: account.created_at,
        };
        if !identities::insert_identity(conn, &identity).await? {
            return Ok(Err(NotIn(None, "its identity was linked meanwhile")));
        }
        let used = (witness.issuer.as_str(), witness.subject.as_str());
        identities::mark_used(conn, used, account.id, account.created_at).await?;
        let mut fields = account_told(&account);
        fields["provider"] = json!(provider.config().name);
        told.push((Kind::AccountCreated, fields));
        told.push((Kind::IdentityLinked, identity_told(account.id, provider, witness)));
        Ok(Ok(account))
    }

    /// The account somebody new would have, or why they get none.
    fn draft(&self, provider: &Provider, witness: &Witness) -> Result<Account, &'static str> {
        let config = provider.config();
        if !config.create_accounts {
            return Err("nobody here, and no accounts are made");
        }
        let is_in_a_group = config.groups.keys().any(|group| witness.groups.contains(group));
        let roles = config.roles_of(&witness.groups);
        if config.maps_anything() && !is_in_a_group && roles.names().is_empty() {
            return Err("nobody here, and in none of the groups that are mapped");
        }
        let is_believed = witness.is_email_verified || config.email_verified == EmailVerified::Assumed;
        let email = witness.email.as_deref().filter(|_| is_believed).ok_or("nobody here, and no verified e-mail")?;
        let email = Email::parse(email).map_err(|_| "nobody here, and an e-mail that is none")?;
        let local = email.as_str().split('@').next().unwrap_or_default();
        let name = parse_name(witness.name.as_deref().unwrap_or_default()).or_else(|_| parse_name(local));
        let name = name.map_err(|_| "nobody here, and no name that can be shown")?;
        let account = self.accounts.account(&email, name, roles, None);
        Ok(Account { password_changed_at: None, ..account })
    }

    /// The session and all the records.
    async fn begin(
        &self,
        conn: &mut PgConnection,
        (provider, witness): (&Provider, &Witness),
        account: &Account,
        (arriving, told): (&Arriving<'_>, StillToTell),
    ) -> Result<NewSession, Unavailable> {
        let method = provider.method();
        // A session that they still had at the provider is no fresh proof of anything.
        let factor = vouched(witness);
        let by = factor.map_or(method.as_str(), |factor| factor.name());
        let begun = Begun { method: &method, factor, proven: witness.proven_anew_at.map(|at| (at, by)) };
        let from = (&arriving.origin, arriving.replaces.as_ref());
        let (new, replaced) = self.accounts.begin_unrecorded(conn, account, begun, from).await?;
        self.accounts.record_all(conn, &By::System, told).await?;
        self.accounts.record_begun(conn, (&new, replaced.as_ref()), &arriving.origin).await?;
        Ok(new)
    }

    async fn follow_roles(
        &self,
        conn: &mut PgConnection,
        (provider, witness): (&Provider, &Witness),
        (account, admins): (Account, &[AccountId]),
        told: &mut StillToTell,
    ) -> Result<Account, Unavailable> {
        let config = provider.config();
        let mut roles = mapping::follow(account.roles, config.mapped_roles(), config.roles_of(&witness.groups));
        let loses_admin = account.roles.admin && !roles.admin;
        if loses_admin && self.accounts.is_last_admin(conn, admins, account.id).await? {
            tracing::warn!(
                account = %account.id,
                provider = config.name,
                "the provider no longer says that this person is an admin, but there is no other; they stay one"
            );
            roles.admin = true;
        }
        if roles == account.roles {
            return Ok(account);
        }
        accounts::mark_roles(conn, account.id, roles, self.accounts.0.clock.now()).await?;
        // No session carries more or less than it began with (S-25).
        let ended = self.accounts.end_all(conn, &account).await?;
        let after = Account { roles, ..account.clone() };
        let mut fields = account_told(&after);
        fields["roles_before"] = json!(account.roles.names());
        fields["provider"] = json!(config.name);
        told.push((Kind::AccountChanged, with_ended(fields, &ended)));
        Ok(after)
    }
}

/// A password that an admin had made up was never taken into use, and one that others may know is of no use: neither is asked
/// for. Its person has come in without it.
async fn forget_made_up_password(
    conn: &mut PgConnection,
    account: Account,
    told: &mut StillToTell,
) -> Result<Account, Unavailable> {
    if !account.must_change_password {
        return Ok(account);
    }
    identities::drop_made_up_password(conn, account.id).await?;
    let which = if account.is_compromised() { "compromised" } else { "made-up" };
    let account = Account { must_change_password: false, password_phc: None, ..account };
    let mut fields = account_told(&account);
    fields["why"] = json!(format!("signed in by an identity provider: the {which} password is gone"));
    told.push((Kind::AccountChanged, fields));
    Ok(account)
}

pub(super) fn identity_told(account: AccountId, provider: &Provider, witness: &Witness) -> Value {
    json!({
        "person": account, "provider": provider.config().name, "issuer": witness.issuer, "subject": witness.subject,
    })
}
