//! Giving grants and ending them.

use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

use super::{Access, AccessError, bad, holds, lock_people, parse_note};
use crate::accounts::identity::EmailKey;
use crate::accounts::records::grant_told;
use crate::accounts::{By, Unavailable};
use crate::audit::Kind;
use crate::domain::access::{Capability, GateFields, GatePattern};
use crate::domain::ids::{AccountId, GrantId, GroupId};
use crate::domain::people::Role;
use crate::domain::text::visible;
use crate::store::access::grants::{self, Grant, NewGrant, To};
use crate::store::access::groups;
use crate::store::accounts;

/// To whom, as somebody typed it.
#[derive(Debug, Clone)]
pub enum Whom {
    Email(String),
    Group(String),
}

/// A grant as somebody typed it.
#[derive(Debug, Clone)]
pub struct Asked {
    pub capability: Capability,
    pub whom: Whom,
    pub gates: GateFields,
    pub note: String,
}

/// The same, checked, with whom it is for found.
#[derive(Debug, Clone)]
pub struct Checked {
    pub capability: Capability,
    pub to: To,
    pub to_name: String,
    pub gates: GatePattern,
    pub note: String,
}

/// What is wrong with what was typed, field by field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mistakes(pub Vec<(&'static str, String)>);

impl Mistakes {
    /// Fit for a page: it may quote what was typed.
    #[must_use]
    pub fn at(&self, field: &str) -> Option<String> {
        self.0.iter().find(|(name, _)| *name == field).map(|(_, problem)| visible(problem))
    }

    pub fn take<T>(&mut self, result: Result<T, AccessError>) -> Result<Option<T>, AccessError> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(AccessError::BadField { field, problem }) => {
                self.0.push((field, problem));
                Ok(None)
            }
            Err(other) => Err(other),
        }
    }
}

impl Access {
    /// Every grant that holds, newest first.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn list_grants(&self) -> Result<Vec<Grant>, Unavailable> {
        let mut conn = self.0.database.pages.acquire().await?;
        Ok(grants::list_live(&mut conn).await?)
    }

    /// Checks what was typed and gives nothing yet. Every mistake is told, not only the first.
    ///
    /// # Errors
    /// [`AccessError::Unavailable`].
    pub async fn check(&self, asked: &Asked) -> Result<Result<Checked, Mistakes>, AccessError> {
        let mut conn = self.0.database.pages.acquire().await?;
        let mut mistakes = Mistakes::default();
        let to = mistakes.take(find_whom(&mut conn, &asked.whom).await)?;
        let gates = mistakes.take(GatePattern::parse(&asked.gates).map_err(AccessError::from))?;
        let note = mistakes.take(parse_note(&asked.note))?;
        Ok(match (to, gates, note) {
            (Some((to, to_name)), Some(gates), Some(note)) => {
                Ok(Checked { capability: asked.capability, to, to_name, gates, note })
            }
            _ => Err(mistakes),
        })
    }

    /// Gives a grant.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn give(&self, by: &By, asked: &Asked) -> Result<GrantId, AccessError> {
        let checked = match self.check(asked).await? {
            Ok(checked) => checked,
            Err(mistakes) => {
                let (field, problem) = mistakes.0.into_iter().next().expect("what is wrong was said");
                return Err(bad(field, problem));
            }
        };
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        let (to, is_own) = self.lock_whom(&mut tx, by, &checked).await?;
        let at = self.0.clock.now();
        let id = GrantId(self.0.random.uuid_v7(at));
        let (gates, note) = (&checked.gates, checked.note.as_str());
        let new =
            NewGrant { id, capability: checked.capability, to: checked.to, gates, note, at, given_by: by.account() };
        grants::insert(&mut tx, &new).await?;
        let mut told = grant_told((id, checked.capability), &to, gates, note);
        if let (true, By::Person(admin)) = (is_own, by) {
            told["to_themselves"] = Value::Bool(true);
            let what = match checked.capability {
                Capability::Decide => "decide",
                Capability::StandIn => "stand in at",
            };
            let text = format!("{} gave {} a grant to {what} {gates}.", admin.name, themselves(&checked));
            self.tell_admins(&mut tx, admin.account, text).await?;
        }
        self.record(&mut tx, Kind::GrantGiven, by, told).await?;
        tx.commit().await?;
        Ok(id)
    }

    /// Ends a grant: from the commit on it lets nobody do anything.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn end_grant(&self, by: &By, id: GrantId) -> Result<(), AccessError> {
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        lock_people(&mut tx, by, None).await?;
        let gone = AccessError::Gone("There is no such grant, or it has ended already.");
        let Some(grant) = grants::find(&mut tx, id).await? else { return Err(gone) };
        if !grants::mark_ended(&mut tx, id, self.0.clock.now(), by.account()).await? {
            return Err(gone);
        }
        self.record(&mut tx, Kind::GrantEnded, by, ended_told(&grant)).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Locks whom a grant is for, and says who that is and whether whoever gives it gives it to themselves.
    async fn lock_whom(
        &self,
        conn: &mut PgConnection,
        by: &By,
        checked: &Checked,
    ) -> Result<(Value, bool), AccessError> {
        match checked.to {
            To::Person(person) => {
                let one = lock_people(conn, by, Some(person)).await?.expect("the person was asked for");
                if !holds(&one, Role::Approver) {
                    return Err(bad("email", not_an_approver(&one.name)));
                }
                let to = json!({ "person": person, "name": one.name, "email": one.email });
                Ok((to, by.account() == Some(person)))
            }
            To::Group(group) => {
                lock_people(conn, by, None).await?;
                let locked = groups::lock(conn, group).await?.ok_or(AccessError::Gone("There is no such group."))?;
                let is_own = match by.account() {
                    Some(admin) => groups::is_member(conn, group, admin).await?,
                    None => false,
                };
                Ok((json!({ "group": group, "name": locked.name }), is_own))
            }
        }
    }
}

fn not_an_approver(name: &str) -> String {
    format!("{name} does not have the role approver, so a grant would let them do nothing. Give them the role first.")
}

fn themselves(checked: &Checked) -> String {
    match checked.to {
        To::Person(_) => "themselves".to_owned(),
        To::Group(_) => format!("the group {}, which they are in,", checked.to_name),
    }
}

/// What is told about a grant that ends.
pub(super) fn ended_told(grant: &Grant) -> Value {
    let to = match grant.to {
        To::Group(group) => json!({ "group": group, "name": grant.to_name }),
        To::Person(person) => json!({ "person": person, "name": grant.to_name, "email": grant.to_email }),
    };
    let mut told = grant_told((grant.id, grant.capability), &to, &grant.gates, &grant.note);
    told["given_at"] = json!(grant.from);
    told
}

async fn find_whom(conn: &mut PgConnection, whom: &Whom) -> Result<(To, String), AccessError> {
    match whom {
        Whom::Email(email) => {
            let account = find_approver(conn, "email", email).await?;
            Ok((To::Person(account.0), account.1))
        }
        Whom::Group(name) => {
            let (id, name) = find_group(conn, name).await?;
            Ok((To::Group(id), name))
        }
    }
}

/// The approver with this e-mail, however it is typed.
pub(super) async fn find_approver(
    conn: &mut PgConnection,
    field: &'static str,
    email: &str,
) -> Result<(AccountId, String), AccessError> {
    let found = accounts::find_by_email(conn, EmailKey::of(email).as_str()).await?;
    match found {
        _ if email.trim().is_empty() => Err(bad(field, "Give the e-mail address of a person.")),
        None => Err(bad(field, "There is no account with this e-mail address.")),
        Some(account) if account.disabled_at.is_some() => {
            Err(bad(field, format!("The account of {} is disabled.", account.name)))
        }
        Some(account) if !account.roles.has(Role::Approver) => Err(bad(field, not_an_approver(&account.name))),
        Some(account) => Ok((account.id, account.name)),
    }
}

/// The account with this e-mail, whatever its roles: a group may hold people whose role comes later.
pub(super) async fn find_anybody(conn: &mut PgConnection, email: &str) -> Result<AccountId, AccessError> {
    if email.trim().is_empty() {
        return Err(bad("email", "Give the e-mail address of a person."));
    }
    let found = accounts::find_by_email(conn, EmailKey::of(email).as_str()).await?;
    found.map(|account| account.id).ok_or_else(|| bad("email", "There is no account with this e-mail address."))
}

pub(super) async fn find_group(conn: &mut PgConnection, name: &str) -> Result<(GroupId, String), AccessError> {
    let key = crate::domain::people::group_key(name);
    if key.is_empty() {
        return Err(bad("group", "Choose a group."));
    }
    let Some(id) = groups::find_by_key(conn, &key).await? else {
        return Err(bad("group", "There is no group of this name."));
    };
    let group = groups::find(conn, id).await?.ok_or_else(|| bad("group", "There is no group of this name."))?;
    Ok((id, group.name))
}
