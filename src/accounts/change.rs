//! An account's name, e-mail and roles, changed by an admin. Of two admins who change one account at once, the second is
//! told what the first one did, and nothing of theirs is done until they have seen it.

use serde_json::json;
use sqlx::Connection as _;

use super::admin::{AdminError, lock_target};
use super::identity::{self, Email, EmailKey};
use super::records::{account_told, with_ended};
use super::{Accounts, By};
use crate::audit::Kind;
use crate::domain::ids::AccountId;
use crate::domain::people::{Role, Roles};
use crate::store::accounts::{self, Account};
use crate::store::directory;
use crate::store::mailed_links;
use crate::store::push::browsers;
use crate::store::throttle::clear_tries;

/// What an account says of its person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Particulars {
    pub email: String,
    pub name: String,
    pub roles: Roles,
}

impl Particulars {
    fn of(account: &Account) -> Self {
        Self { email: account.email.clone(), name: account.name.clone(), roles: account.roles }
    }
}

/// What came of asking for a change.
#[derive(Debug, PartialEq, Eq)]
pub enum Changed {
    /// It was so already.
    Nothing,
    Done {
        sessions_ended: usize,
    },
    /// Since the form was made somebody else changed the account to this. Nothing was done.
    Meanwhile {
        now: Particulars,
    },
}

impl Accounts {
    /// Changes an account from what a form showed to what it was made to say. New roles end the person's sessions, so that
    /// no session carries more or less than it began with (S-25); a new e-mail is told to both addresses.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn change(
        &self,
        by: &By,
        id: AccountId,
        shown: &Particulars,
        wanted: &Particulars,
    ) -> Result<Changed, AdminError> {
        let bad = |field| move |problem: String| AdminError::BadField { field, problem };
        let email = Email::parse(&wanted.email).map_err(bad("email"))?;
        let name = identity::parse_name(&wanted.name).map_err(bad("name"))?;
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        let (account, admins) = lock_target(&mut tx, by, id).await?;
        if account.is_deleted() {
            return Err(AdminError::NoSuchAccount);
        }
        let wanted = Particulars { email: email.as_str().to_owned(), name, roles: wanted.roles };
        let before = Particulars::of(&account);
        if before == wanted {
            return Ok(Changed::Nothing);
        }
        if before != *shown {
            return Ok(Changed::Meanwhile { now: before });
        }
        if !wanted.roles.has(Role::Admin) && self.is_last_admin(&mut tx, &admins, id).await? {
            return Err(AdminError::LastAdmin);
        }
        let key = email.key().as_str();
        if !directory::mark_identity(&mut tx, id, (&wanted.email, key), &wanted.name).await? {
            return Err(AdminError::EmailTaken);
        }
        let after = Account {
            email: wanted.email.clone(),
            email_key: key.to_owned(),
            name: wanted.name.clone(),
            roles: wanted.roles,
            ..account.clone()
        };
        if account.email_key != after.email_key {
            // What strangers tried at either address is no matter of this account any more.
            clear_tries(&mut tx, &EmailKey::of(&account.email_key).hash()).await?;
            clear_tries(&mut tx, &email.key().hash()).await?;
            self.end_links(&mut tx, id).await?;
            mailed_links::delete_of(&mut tx, id).await?;
            browsers::end_of(&mut tx, id, None).await?;
            self.mail_email_changed(&mut tx, &after, &account.email).await?;
            let (name, from, to) = (&after.name, &account.email, &after.email);
            let what = format!(
                "changed the e-mail address of {name} from {from} to {to}. Whoever reads mail there can sign in as them."
            );
            self.tell_other_admins(&mut tx, by, &what).await?;
        }
        let mut ended = Vec::new();
        if before.roles != wanted.roles {
            accounts::mark_roles(&mut tx, id, wanted.roles, self.0.clock.now()).await?;
            ended = self.end_all(&mut tx, &account).await?;
            if by.account() == Some(id) {
                let what = format!("gave themselves other roles: {}.", wanted.roles.names().join(", "));
                self.tell_other_admins(&mut tx, by, &what).await?;
            }
        }
        let mut fields = with_ended(account_told(&after), &ended);
        fields["before"] = json!({ "email": before.email, "name": before.name, "roles": before.roles.names() });
        self.record(&mut tx, Kind::AccountChanged, by, fields).await?;
        tx.commit().await?;
        Ok(Changed::Done { sessions_ended: ended.len() })
    }
}
