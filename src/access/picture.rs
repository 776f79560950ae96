//! Who could decide what at a moment, now or in the past, put together from everything that was only ever ended. Reads;
//! decides nothing.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use sqlx::PgConnection;

use super::Access;
use crate::accounts::Unavailable;
use crate::domain::access::{Capability, GatePattern, OptionKind, Tags};
use crate::domain::ids::{AccountId, Gate, GroupId};
use crate::domain::people::Role;
use crate::store::access::grants::{self, Grant, To};
use crate::store::access::marks;
use crate::store::access::options::{self, GateOption};
use crate::store::access::past::{self, PersonThen, Use};
use crate::store::access::stand_ins::{self, StandIn};
use crate::store::access::tags::{self, Place};

/// Everything that says who could decide what at one moment.
#[derive(Debug, Clone)]
pub struct Picture {
    pub at: Timestamp,
    /// Since when anything is known.
    pub beginning: Option<Timestamp>,
    pub people: Vec<PersonThen>,
    pub grants: Vec<Grant>,
    pub stand_ins: Vec<StandIn>,
    pub gates: Vec<Gate>,
    options: Vec<GateOption>,
    /// Gates that asked for fresh proof.
    marks: Vec<GatePattern>,
    members: HashSet<(GroupId, AccountId)>,
    tags: HashMap<Place, Tags>,
}

/// What else became of what waited at a gate than that somebody signed in and decided.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Besides {
    /// A mail about it decided for so many minutes, without signing in.
    pub mail: Option<i32>,
    /// What nobody decided was rejected after so many minutes.
    pub unattended: Option<i32>,
}

/// By what somebody could decide a gate.
#[derive(Debug, Clone)]
pub struct Via<'a> {
    pub grant: &'a Grant,
    /// Whose grant it is, where it is not theirs.
    pub stand_in: Option<&'a StandIn>,
}

/// Somebody who could decide a gate.
#[derive(Debug, Clone)]
pub struct Decider<'a> {
    pub person: &'a PersonThen,
    pub by: Vec<Via<'a>>,
}

impl PersonThen {
    /// Whether they could use a grant at all.
    #[must_use]
    pub fn could_decide(&self) -> bool {
        self.enabled && self.roles.iter().any(|role| role == Role::Approver.name())
    }
}

impl Picture {
    /// # Errors
    /// Whatever the database says.
    pub async fn load(conn: &mut PgConnection, at: Timestamp) -> sqlx::Result<Self> {
        Ok(Self {
            at,
            beginning: past::find_beginning(conn).await?,
            people: past::list_people(conn, at).await?,
            grants: grants::list_at(conn, at).await?,
            stand_ins: stand_ins::list_at(conn, at).await?,
            gates: past::list_gates(conn, at).await?,
            options: options::list_at(conn, at).await?,
            marks: marks::list_gates_at(conn, at).await?,
            members: past::list_memberships(conn, at).await?.into_iter().collect(),
            tags: tags::list_at(conn, at).await?,
        })
    }

    /// Whether nothing is known about that time.
    #[must_use]
    pub fn is_before_everything(&self) -> bool {
        self.beginning.is_none_or(|beginning| self.at < beginning)
    }

    #[must_use]
    pub fn is_member(&self, group: GroupId, account: AccountId) -> bool {
        self.members.contains(&(group, account))
    }

    fn tags_of(&self, gate: &Gate) -> Option<&Tags> {
        self.tags.get(&(gate.source.to_string(), gate.pipeline.to_string()))
    }

    /// Whether a pattern fitted a gate, by the tags its pipeline had.
    #[must_use]
    pub fn fits(&self, gates: &GatePattern, gate: &Gate) -> bool {
        gates.fits(gate, self.tags_of(gate))
    }

    /// Whether a pattern fitted a gate, or would by tags that nobody could read.
    #[must_use]
    pub fn may_fit(&self, gates: &GatePattern, gate: &Gate) -> bool {
        self.fits(gates, gate) || (self.tags_of(gate).is_none() && gates.fits_names(gate))
    }

    /// The gates that a pattern fitted.
    #[must_use]
    pub fn fitting(&self, gates: &GatePattern) -> Vec<&Gate> {
        self.gates.iter().filter(|gate| self.fits(gates, gate)).collect()
    }

    /// What else held of a gate. Of several options the shortest time for a mail, which decides nothing where proof was asked
    /// for, and the longest for what nobody decided.
    #[must_use]
    pub fn besides(&self, gate: &Gate) -> Besides {
        let minutes = |kind| {
            let fitting = self.options.iter().filter(move |option| option.kind == kind);
            fitting.filter(|option| self.fits(&option.gates, gate)).map(|option| option.minutes)
        };
        let asks_for_proof = self.marks.iter().any(|gates| self.may_fit(gates, gate));
        Besides {
            mail: minutes(OptionKind::DecideByMail).min().filter(|_| !asks_for_proof),
            unattended: minutes(OptionKind::RejectUnattended).max(),
        }
    }

    /// Every grant that this person held, by themselves or as a member of a group.
    pub fn held_by(&self, account: AccountId) -> impl Iterator<Item = &Grant> {
        self.grants.iter().filter(move |grant| match grant.to {
            To::Person(person) => person == account,
            To::Group(group) => self.members.contains(&(group, account)),
        })
    }

    fn find_person(&self, account: AccountId) -> Option<&PersonThen> {
        self.people.iter().find(|person| person.account == account)
    }

    fn own(&self, account: AccountId, capability: Capability, gate: &Gate) -> impl Iterator<Item = &Grant> {
        let fits = move |grant: &&Grant| grant.capability == capability && self.fits(&grant.gates, gate);
        self.held_by(account).filter(fits)
    }

    /// By what this person could decide this gate. Empty: they could not.
    #[must_use]
    pub fn ways(&self, person: &PersonThen, gate: &Gate) -> Vec<Via<'_>> {
        if !person.could_decide() {
            return Vec::new();
        }
        let own = self.own(person.account, Capability::Decide, gate);
        let mut ways: Vec<Via<'_>> = own.map(|grant| Via { grant, stand_in: None }).collect();
        if self.own(person.account, Capability::StandIn, gate).next().is_none() {
            return ways;
        }
        for stand_in in self.stand_ins.iter().filter(|it| it.by_account == person.account) {
            let lender = self.find_person(stand_in.for_account).filter(|lender| lender.could_decide());
            let theirs = lender.and_then(|lender| self.own(lender.account, Capability::Decide, gate).next());
            ways.extend(theirs.map(|grant| Via { grant, stand_in: Some(stand_in) }));
        }
        ways
    }

    /// Everybody who could decide this gate, by name.
    #[must_use]
    pub fn deciders(&self, gate: &Gate) -> Vec<Decider<'_>> {
        let decider = |person| Decider { person, by: self.ways(person, gate) };
        self.people.iter().map(decider).filter(|decider| !decider.by.is_empty()).collect()
    }

    /// Every gate that this person could decide, with by what.
    #[must_use]
    pub fn gates_of(&self, person: &PersonThen) -> Vec<(&Gate, Vec<Via<'_>>)> {
        let with_ways = self.gates.iter().map(|gate| (gate, self.ways(person, gate)));
        with_ways.filter(|(_, ways)| !ways.is_empty()).collect()
    }

    /// Who may be named by this person as a stand-in: enabled approvers whom a grant lets stand in at a gate that this
    /// person may decide by themselves.
    #[must_use]
    pub fn possible_stand_ins(&self, account: AccountId) -> Vec<&PersonThen> {
        let decides = |gate: &&Gate| self.own(account, Capability::Decide, gate).next().is_some();
        let theirs: Vec<&Gate> = self.gates.iter().filter(decides).collect();
        let may = |person: &&PersonThen| {
            person.account != account
                && person.could_decide()
                && theirs.iter().any(|gate| self.own(person.account, Capability::StandIn, gate).next().is_some())
        };
        self.people.iter().filter(may).collect()
    }
}

impl Access {
    /// Who could decide what at a moment; absent, now.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn picture(&self, at: Option<Timestamp>) -> Result<Picture, Unavailable> {
        let mut conn = self.0.database.pages.acquire().await?;
        Ok(Picture::load(&mut conn, at.unwrap_or_else(|| self.0.clock.now())).await?)
    }

    /// What this person decided until a moment, gate by gate.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn list_uses(&self, account: AccountId, until: Timestamp) -> Result<Vec<Use>, Unavailable> {
        let mut conn = self.0.database.pages.acquire().await?;
        Ok(past::list_uses(&mut conn, account, until).await?)
    }
}
