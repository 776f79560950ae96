//! What is recorded about people, and who is said to have done it. Payload members are stable once written; secrets are
//! never among them.

use serde::Serialize;
use serde_json::{Value, json};
use sqlx::PgConnection;

use super::{Accounts, Origin, Unavailable};
use crate::audit::{self, Kind, Payload};
use crate::domain::ids::AccountId;
use crate::domain::people::{Person, Role};
use crate::store::accounts::Account;
use crate::store::sessions::{Ended, mark_of};

/// On whose behalf something is done.
#[derive(Debug, Clone)]
pub enum By {
    /// A signed-in person, for themselves or as an admin.
    Person(Box<Person>),
    /// Whoever can run commands on the server.
    Operator,
    /// Nobody asked for it: time went by.
    System,
    /// Somebody who is not signed in.
    Stranger,
}

impl By {
    /// A person in charge of other people's accounts. None for who is no admin.
    #[must_use]
    pub fn admin(person: &Person) -> Option<Self> {
        person.roles.has(Role::Admin).then(|| Self::Person(Box::new(person.clone())))
    }

    pub(super) fn person(person: &Person) -> Self {
        Self::Person(Box::new(person.clone()))
    }

    /// The opaque id that the record is chained with.
    fn actor(&self) -> String {
        match self {
            Self::Person(person) => actor_of(person.account),
            Self::Operator => "operator".to_owned(),
            Self::System => "system".to_owned(),
            Self::Stranger => "stranger".to_owned(),
        }
    }

    fn told(&self) -> Value {
        match self {
            Self::Person(person) => json!({
                "account": person.account, "name": person.name, "email": person.email, "roles": person.roles.names(),
                "method": person.method, "session": person.session_mark, "address": person.address,
            }),
            _ => Value::from(self.actor()),
        }
    }
}

fn actor_of(account: AccountId) -> String {
    format!("account:{account}")
}

#[derive(Serialize)]
struct Told {
    by: Value,
    #[serde(flatten)]
    fields: Value,
}

impl Accounts {
    /// Appends a record. The last thing before the caller commits.
    pub(super) async fn record(
        &self,
        conn: &mut PgConnection,
        kind: Kind,
        by: &By,
        fields: Value,
    ) -> Result<(), Unavailable> {
        let payload = Payload::new(&self.0.random, &Told { by: by.told(), fields })?;
        audit::append(conn, kind, &by.actor(), &payload).await?;
        Ok(())
    }

    /// Records that a session ended: by its person, an admin, a new session in its place, or time.
    pub(super) async fn record_ended(
        &self,
        conn: &mut PgConnection,
        by: &By,
        ended: &Ended,
        why: &str,
    ) -> Result<(), Unavailable> {
        let fields = json!({ "person": ended.account, "why": why, "last_seen_at": ended.last_seen_at });
        let fields = with_ended(fields, std::slice::from_ref(ended));
        self.record(conn, Kind::SessionEnded, by, fields).await
    }

    /// Records that a session began, and who its person was then.
    pub(super) async fn record_started(
        &self,
        conn: &mut PgConnection,
        person: &Person,
        origin: &Origin,
    ) -> Result<(), Unavailable> {
        let fields = json!({
            "person": person.account, "name": person.name, "email": person.email, "roles": person.roles.names(),
            "method": person.method, "session": person.session_mark, "must_change_password": person.must_change_password,
            "address": origin.address, "user_agent": origin.agent(),
        });
        self.record(conn, Kind::SessionStarted, &By::person(person), fields).await
    }
}

/// What is told about an account that was made or changed.
pub(super) fn account_told(account: &Account) -> Value {
    json!({
        "person": account.id, "email": account.email, "name": account.name, "roles": account.roles.names(),
        "must_change_password": account.must_change_password,
    })
}

/// `fields` with the sessions that ended along with the change: how many, and the first hundred by their marks.
pub(super) fn with_ended(mut fields: Value, ended: &[Ended]) -> Value {
    let marks: Vec<String> = ended.iter().take(100).map(|session| mark_of(&session.token_hash)).collect();
    fields["sessions_ended"] = Value::from(ended.len());
    fields["sessions"] = Value::from(marks);
    fields
}
