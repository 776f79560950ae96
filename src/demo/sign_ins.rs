//! The people of the demo and their passwords, made for one data directory and never the same in another.

use serde::{Deserialize, Serialize};

use crate::access::grants::{Asked, Whom};
use crate::domain::access::{Capability, GateFields};
use crate::domain::people::Role;
use crate::random::Random;

/// Without letters and digits that look alike.
const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// One person who may sign in.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    pub name: String,
    pub email: String,
    pub roles: Vec<Role>,
    /// As made at the first start. Whoever changes theirs in the portal knows the new one.
    pub password: String,
}

impl SignIn {
    /// Everybody, with new passwords.
    #[must_use]
    pub fn make_all(random: &Random) -> Vec<Self> {
        let people = [
            ("Ana Ruiz", "ana@demo.example", vec![Role::Approver]),
            ("Tomas Lindqvist", "tomas@demo.example", vec![Role::Auditor]),
            ("Ingrid Berg", "ingrid@demo.example", vec![Role::Admin, Role::Approver]),
            ("Lee Park", "lee@demo.example", vec![Role::Approver]),
        ];
        let made = people.into_iter().map(|(name, email, roles)| Self {
            name: name.to_owned(),
            email: email.to_owned(),
            roles,
            password: password(random),
        });
        made.collect()
    }

    /// Whether they are there to show somebody who may decide some gates only.
    fn is_of_payments(&self) -> bool {
        self.email.starts_with("lee@")
    }

    /// What the person may decide: everything, or what their team owns. Ingrid may also be named as a stand-in there.
    #[must_use]
    pub fn grants(&self) -> Vec<Asked> {
        let asked = |capability, source: &str, note: &str| Asked {
            capability,
            whom: Whom::Email(self.email.clone()),
            gates: GateFields { source: source.to_owned(), ..GateFields::default() },
            note: note.to_owned(),
        };
        match self.roles[..] {
            [Role::Auditor] => Vec::new(),
            _ if self.is_of_payments() => vec![asked(Capability::Decide, "payments", "Lee's team owns payments.")],
            _ => vec![
                asked(Capability::Decide, "*", "Leads every team."),
                asked(Capability::StandIn, "*", "Stands in for whoever is away."),
            ],
        }
    }

    /// What the person is in the demo.
    #[must_use]
    pub fn part(&self) -> &'static str {
        match self.roles[..] {
            _ if self.is_of_payments() => "approves payments",
            [Role::Auditor] => "auditor",
            [Role::Approver] => "team lead, approves",
            _ => "admin, approves too",
        }
    }
}

/// Twenty letters in four groups: 100 bits, and possible to type from a screen.
fn password(random: &Random) -> String {
    let letters: Vec<char> =
        random.bytes::<20>().iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect();
    letters.chunks(5).map(|group| group.iter().collect::<String>()).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_long_and_never_the_same() {
        let everybody = SignIn::make_all(&Random::system());
        assert_eq!(everybody.len(), 4);
        for one in &everybody {
            assert_eq!(one.password.len(), 23, "{}", one.password);
            assert_eq!(everybody.iter().filter(|other| other.password == one.password).count(), 1);
        }
    }
}
