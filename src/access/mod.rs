//! Who may decide what, and who is told when nobody does. The only writer of groups, grants, marks, options of gates, stand-ins
//! and escalations, each change with its record in the same
//! transaction; and the one place that says whether somebody may decide a gate, and why not.
//!
//! What was given is only ever ended, never changed (docs/decisions/0016), so any past moment can be asked about. Nobody may
//! decide anything until a grant says so. This module must never decide an approval, and never hold a lock on what a
//! decision does not rely on.

pub mod escalations;
pub mod grants;
pub mod groups;
pub mod marks;
mod notices;
pub mod options;
pub mod picture;
pub mod review;
pub mod right;
pub mod stand_ins;
pub mod unattended;

use std::sync::Arc;

use serde_json::Value;
use sqlx::PgConnection;

use crate::accounts::records::append;
use crate::accounts::{By, Unavailable};
use crate::audit::Kind;
use crate::clock::Clock;
use crate::database::Database;
use crate::domain::access::BadPattern;
use crate::domain::ids::AccountId;
use crate::domain::people::{Person, Role};
use crate::domain::text;
use crate::mail::{Letter, Outbox};
use crate::random::Random;
use crate::store::access::rights::{self, Standing};
use crate::store::sessions;

/// The service for who may decide what. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Access(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    database: Database,
    clock: Clock,
    random: Random,
    /// Where letters are put. None: nobody is mailed.
    outbox: Option<Outbox>,
}

/// Why something was not done. Nothing was.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// `field` is the form's.
    #[error("{problem}")]
    BadField { field: &'static str, problem: String },
    /// What it is about is not there, or not there any more.
    #[error("{0}")]
    Gone(&'static str),
    /// Whoever asked may not, or not any more.
    #[error("{0}")]
    NotAllowed(&'static str),
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl From<sqlx::Error> for AccessError {
    fn from(error: sqlx::Error) -> Self {
        Self::Unavailable(error.into())
    }
}

impl From<BadPattern> for AccessError {
    fn from(bad: BadPattern) -> Self {
        Self::BadField { field: bad.field, problem: bad.problem }
    }
}

fn bad(field: &'static str, problem: impl Into<String>) -> AccessError {
    AccessError::BadField { field, problem: problem.into() }
}

const NOT_ADMIN: AccessError = AccessError::NotAllowed("Only an admin can do this.");

impl Access {
    #[must_use]
    pub fn new(database: Database, clock: Clock, random: Random) -> Self {
        Self(Arc::new(Parts { database, clock, random, outbox: None }))
    }

    /// Mails people by way of this outbox what they should hear of.
    #[must_use]
    pub fn mailing(self, outbox: &Outbox) -> Self {
        let Parts { database, clock, random, .. } = &*self.0;
        let (database, clock, random) = (database.clone(), clock.clone(), random.clone());
        Self(Arc::new(Parts { database, clock, random, outbox: Some(outbox.clone()) }))
    }

    /// Puts a letter into the outbox within the caller's transaction, if there is one.
    async fn put(
        &self,
        conn: &mut PgConnection,
        to: (AccountId, &str),
        letter: impl FnOnce(&Outbox) -> Letter,
    ) -> sqlx::Result<()> {
        if let Some(outbox) = &self.0.outbox {
            outbox.put(conn, to, &letter(outbox)).await?;
        }
        Ok(())
    }

    /// Appends a record. The last thing before the caller commits.
    async fn record(&self, conn: &mut PgConnection, kind: Kind, by: &By, fields: Value) -> Result<(), Unavailable> {
        append(conn, &self.0.random, (kind, by), fields).await
    }
}

/// Locks who asks and whom it is about against change, and refuses who asks for being no admin any more. The person it is
/// about, if any, must exist.
async fn lock_people(
    conn: &mut PgConnection,
    by: &By,
    about: Option<AccountId>,
) -> Result<Option<Standing>, AccessError> {
    let asks = by.account();
    let ids: Vec<AccountId> = asks.into_iter().chain(about).collect();
    let locked = rights::lock_accounts(conn, &ids).await?;
    if let Some(asks) = asks {
        let may = |one: &Standing| one.account == asks && !one.disabled && holds(one, Role::Admin);
        if !locked.iter().any(may) {
            return Err(NOT_ADMIN);
        }
        if let By::Person(person) = by {
            hold_session(conn, person).await?;
        }
    } else if !matches!(by, By::Operator) {
        return Err(NOT_ADMIN);
    }
    match about {
        None => Ok(None),
        Some(id) => {
            let found = locked.into_iter().find(|one| one.account == id);
            found.map(Some).ok_or(AccessError::Gone("There is no such person."))
        }
    }
}

/// Locks who asks against change until the transaction ends, for what admins do elsewhere.
///
/// # Errors
/// [`AccessError::NotAllowed`] where they are no admin any more, or not signed in.
pub async fn lock_admin(conn: &mut PgConnection, by: &By) -> Result<(), AccessError> {
    lock_people(conn, by, None).await.map(drop)
}

/// What is done in a session that has ended meanwhile is not done.
async fn hold_session(conn: &mut PgConnection, person: &Person) -> Result<(), AccessError> {
    let held = sessions::hold_session(conn, person.account, person.session).await?;
    if held { Ok(()) } else { Err(AccessError::NotAllowed("You are no longer signed in.")) }
}

fn holds(one: &Standing, role: Role) -> bool {
    one.roles.iter().any(|name| name == role.name())
}

/// Checks what somebody writes beside something they give: at most 500 characters that can all be seen.
fn parse_note(typed: &str) -> Result<String, AccessError> {
    let note = typed.trim();
    if note.chars().count() > 500 {
        return Err(bad("note", "A note has at most 500 characters."));
    }
    if note.chars().any(|c| c.is_control() && c != '\n' && c != '\r') || text::has_deceptive(note) {
        return Err(bad("note", "A note cannot hold characters that cannot be seen."));
    }
    Ok(note.to_owned())
}
