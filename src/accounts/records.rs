//! What is recorded about people, and who is said to have done it. Payload members are stable once written; secrets are
//! never among them.

use serde::Serialize;
use serde_json::{Value, json};
use sqlx::PgConnection;

use super::{Accounts, Origin, Unavailable};
use crate::audit::{self, Kind, Payload};
use crate::domain::access::{Capability, GatePattern};
use crate::domain::ids::{AccountId, GrantId};
use crate::domain::people::{Person, Role};
use crate::random::Random;
use crate::store::access::groups::Group;
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

    /// The name of the person, if it is one.
    pub(super) fn name(&self) -> Option<&str> {
        if let Self::Person(person) = self { Some(&person.name) } else { None }
    }

    /// The account of the person, if it is one.
    #[must_use]
    pub fn account(&self) -> Option<AccountId> {
        if let Self::Person(person) = self { Some(person.account) } else { None }
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

/// Appends a record of what somebody did. The last thing before the caller commits.
pub(crate) async fn append(
    conn: &mut PgConnection,
    random: &Random,
    (kind, by): (Kind, &By),
    fields: Value,
) -> Result<(), Unavailable> {
    let payload = Payload::new(random, &Told { by: by.told(), fields })?;
    audit::append(conn, kind, &by.actor(), &payload).await?;
    Ok(())
}

/// What has been done and is still to be recorded: records are a transaction's last statements, because from the first of
/// them on nobody else can append.
pub(super) type StillToTell = Vec<(Kind, Value)>;

impl Accounts {
    /// Appends all of these records in one statement. The last thing before the caller commits.
    pub(super) async fn record_all(
        &self,
        conn: &mut PgConnection,
        by: &By,
        told: StillToTell,
    ) -> Result<(), Unavailable> {
        if told.is_empty() {
            return Ok(());
        }
        let told_by = by.told();
        let record = |(kind, fields)| {
            let payload = Payload::new(&self.0.random, &Told { by: told_by.clone(), fields })?;
            Ok((kind, by.actor(), payload))
        };
        let records = told.into_iter().map(record).collect::<Result<Vec<_>, Unavailable>>()?;
        Ok(audit::append_all(conn, &records).await?)
    }

    /// Appends a record. The last thing before the caller commits.
    pub(super) async fn record(
        &self,
        conn: &mut PgConnection,
        kind: Kind,
        by: &By,
        fields: Value,
    ) -> Result<(), Unavailable> {
        append(conn, &self.0.random, (kind, by), fields).await
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
            "method": person.method, "factor": person.factor, "session": person.session_mark,
            "must_change_password": person.must_change_password, "address": origin.address, "user_agent": origin.agent(),
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

/// A group as records tell of it.
pub(crate) fn group_told(group: &Group) -> Value {
    json!({ "group": group.id, "name": group.name, "note": group.note })
}

/// What is told about a grant: `to` is the group or person as it is called then.
pub(crate) fn grant_told(
    (id, capability): (GrantId, Capability),
    to: &Value,
    gates: &GatePattern,
    note: &str,
) -> Value {
    json!({
        "grant": id, "capability": capability.name(), "given_to": to, "gates": gates.to_string(),
        "pattern": gates.fields(), "note": note,
    })
}

/// `fields` with the sessions that ended along with the change: how many, and the first hundred by their marks.
pub(super) fn with_ended(mut fields: Value, ended: &[Ended]) -> Value {
    let marks: Vec<String> = ended.iter().take(100).map(|session| mark_of(&session.token_hash)).collect();
    fields["sessions_ended"] = Value::from(ended.len());
    fields["sessions"] = Value::from(marks);
    fields
}
