//! Roles, and what a role lets a person do. Auditors read and never decide; admins do not decide unless they are
//! approvers too.

use std::fmt;
use std::net::IpAddr;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization as _;

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

/// What a group is found by, however its name is typed: single spaces, NFKC, lower case.
#[must_use]
pub fn group_key(name: &str) -> String {
    name.split_whitespace().collect::<Vec<_>>().join(" ").nfkc().flat_map(char::to_lowercase).collect()
}

/// How long a proof of who one is counts as fresh (S-18).
pub const FRESH: SignedDuration = SignedDuration::from_mins(5);

/// What somebody can prove themselves with beside, or in place of, a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Factor {
    Passkey,
    /// A code from an authenticator app.
    Totp,
    /// A recovery code: in place of one of the others, once.
    Recovery,
    /// Whatever an identity provider asked for, and vouches for.
    Provider,
}

impl Factor {
    const ALL: [Self; 4] = [Self::Passkey, Self::Totp, Self::Recovery, Self::Provider];

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|factor| factor.name() == name)
    }

    /// The stable name, for sessions and records.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Passkey => "passkey",
            Self::Totp => "totp",
            Self::Recovery => "recovery",
            Self::Provider => "sso",
        }
    }
}

/// A signed-in person as one request sees them. Read afresh for every request; never kept between two (S-27).
#[derive(Debug, Clone)]
pub struct Person {
    pub account: AccountId,
    pub email: String,
    pub name: String,
    /// None at all while the password must be changed; not that of an admin without a second factor.
    pub roles: Roles,
    /// They must choose a password of their own before anything else.
    pub must_change_password: bool,
    pub session: SessionId,
    /// How they signed in: `password`, `setup`.
    pub method: String,
    pub signed_in_at: Timestamp,
    /// The second factor this session was begun or last stepped up with: the name of a [`Factor`], or `sso` where the
    /// identity provider vouches for one.
    pub factor: Option<String>,
    /// An admin whose session has shown no second factor: it has no admin rights until it does (S-15).
    pub lacks_factor: bool,
    /// When they last proved who they are: at sign-in, or since.
    pub stepped_up_at: Option<Timestamp>,
    /// With what they did: the name of a [`Factor`], or how they signed in when that alone was the proof.
    pub proven_by: Option<String>,
    pub address: IpAddr,
    /// The time zone that pages show them times in.
    pub zone: TimeZone,
    /// The first 16 hexadecimal digits of the session secret's hash, for records.
    pub session_mark: String,
}

impl Person {
    /// What somebody with these roles may do now. Who still uses a password that somebody else made may do nothing, so
    /// that no page has to think of it; an admin whose session has shown no second factor is none for now.
    #[must_use]
    pub fn rights(roles: Roles, must_change_password: bool, lacks_factor: bool) -> Roles {
        if must_change_password { Roles::default() } else { Roles { admin: roles.admin && !lacks_factor, ..roles } }
    }

    /// Whether they proved who they are a moment ago.
    #[must_use]
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        self.stepped_up_at.is_some_and(|at| now.duration_since(at) <= FRESH)
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
    fn an_admin_without_a_second_factor_keeps_every_other_right() {
        // S-15
        let all: Roles = Role::ALL.into_iter().collect();
        assert_eq!(Person::rights(all, false, true).names(), ["approver", "auditor"]);
        assert_eq!(Person::rights(all, false, false), all);
        assert_eq!(Person::rights(all, true, false), Roles::default());
    }

    #[test]
    fn only_approvers_decide_whatever_else_they_are() {
        for bits in 0_u8..8 {
            let roles = Roles { approver: bits & 1 != 0, auditor: bits & 2 != 0, admin: bits & 4 != 0 };
            assert_eq!(roles.may_decide(), bits & 1 != 0);
            assert_eq!(roles.names().iter().filter_map(|n| Role::from_name(n)).collect::<Roles>(), roles);
        }
    }
}
