//! Roles, and what a role lets a person do. Auditors read and never decide; admins do not decide unless they are
//! approvers too.

use std::fmt;
use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::ids::{AccountId, SessionId};

/// What an account may be. A person may hold any combination, also none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Decides approvals.
    Approver,
    /// Reads every record.
    Auditor,
    /// Manages people, rules and sources.
    Admin,
}

impl Role {
    pub const ALL: [Role; 3] = [Role::Approver, Role::Auditor, Role::Admin];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Role::Approver => "approver",
            Role::Auditor => "auditor",
            Role::Admin => "admin",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of roles, printed in one order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Roles {
    pub approver: bool,
    pub auditor: bool,
    pub admin: bool,
}

impl Roles {
    #[must_use]
    pub fn has(self, role: Role) -> bool {
        match role {
            Role::Approver => self.approver,
            Role::Auditor => self.auditor,
            Role::Admin => self.admin,
        }
    }

    #[must_use]
    pub fn with(mut self, role: Role) -> Self {
        match role {
            Role::Approver => self.approver = true,
            Role::Auditor => self.auditor = true,
            Role::Admin => self.admin = true,
        }
        self
    }

    pub fn iter(self) -> impl Iterator<Item = Role> {
        Role::ALL.into_iter().filter(move |role| self.has(*role))
    }

    /// The names, for the database and for records.
    #[must_use]
    pub fn names(self) -> Vec<String> {
        self.iter().map(|role| role.name().to_owned()).collect()
    }

    /// Whether this person may decide approvals at all.
    #[must_use]
    pub fn may_decide(self) -> bool {
        self.approver
    }
}

impl FromIterator<Role> for Roles {
    fn from_iter<I: IntoIterator<Item = Role>>(roles: I) -> Self {
        roles.into_iter().fold(Self::default(), Self::with)
    }
}

/// A signed-in person as one request sees them. Read afresh for every request; never kept between two (S-27).
#[derive(Debug, Clone)]
pub struct Person {
    pub account: AccountId,
    pub email: String,
    pub name: String,
    /// None at all while the password must be changed.
    pub roles: Roles,
    /// They must choose a password of their own before anything else.
    pub must_change_password: bool,
    pub session: SessionId,
    /// How they signed in: `password`, `setup`.
    pub method: String,
    pub signed_in_at: Timestamp,
    pub stepped_up_at: Option<Timestamp>,
    pub address: IpAddr,
    /// The first 16 hexadecimal digits of the session secret's hash, for records.
    pub session_mark: String,
}

impl Person {
    /// What somebody with these roles may do now. Who still uses a password that somebody else made may do nothing, so
    /// that no page has to think of it.
    #[must_use]
    pub fn rights(roles: Roles, must_change_password: bool) -> Roles {
        if must_change_password { Roles::default() } else { roles }
    }
}

/// Proof that a person held the approver role when the request came in. Decisions are made by an `Approver` and nobody
/// else; the right is checked again inside the transaction that commits the intent and before every send (S-32, D-11).
#[derive(Debug, Clone)]
pub struct Approver(Person);

impl Approver {
    /// The only way to become one.
    #[must_use]
    pub fn of(person: &Person) -> Option<Self> {
        person.roles.may_decide().then(|| Self(person.clone()))
    }

    #[must_use]
    pub fn person(&self) -> &Person {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_approvers_decide_whatever_else_they_are() {
        for bits in 0_u8..8 {
            let roles = Roles { approver: bits & 1 != 0, auditor: bits & 2 != 0, admin: bits & 4 != 0 };
            assert_eq!(roles.may_decide(), bits & 1 != 0);
            assert_eq!(roles.names().iter().filter_map(|n| Role::from_name(n)).collect::<Roles>(), roles);
        }
    }
}
