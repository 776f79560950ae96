//! The right to decide. Read without locks for pages; held under locks of exactly the rows it rests on for a decision, so
//! that a revocation which committed first always wins (S-32).

use jiff::{SignedDuration, Timestamp};
use sqlx::PgConnection;

use super::{Access, holds};
use crate::domain::access::{Capability, Tags};
use crate::domain::ids::{AccountId, Gate};
use crate::domain::people::Role;
use crate::store::access::rights::{self, Grounds, Held, Lender, Standing};

/// What was found out about the tags of a gate's pipeline.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Tagged {
    /// Nobody asked yet: most grants are not about tags.
    #[default]
    Unasked,
    Are(Tags),
    /// They cannot be read, and why. Lets nobody in.
    Unreadable(String),
}

impl Tagged {
    #[must_use]
    pub fn known(&self) -> Option<&Tags> {
        match self {
            Self::Are(tags) => Some(tags),
            _ => None,
        }
    }
}

/// What somebody's right to decide a gate rests on.
#[derive(Debug, Clone)]
pub struct Right {
    /// The grant that lets them decide, or the one of those they stand in for and the one that lets them stand in.
    pub relied: Vec<Held>,
    pub lent: Option<Lender>,
}

/// Why somebody may not decide a gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// A grant that is about tags may let them: ask AWS what the pipeline is tagged with, and try again.
    AskForTags,
    /// A sentence for them.
    No(String),
}

/// What is asked for: somebody wants to decide a gate.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    pub account: AccountId,
    /// What they are called, for sentences.
    pub name: &'a str,
    pub gate: &'a Gate,
    pub tagged: &'a Tagged,
    pub as_whom: AsWhom,
}

/// In whose right somebody decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsWhom {
    /// Their own, or else somebody's they stand in for.
    Anybody,
    Themselves,
    StandInFor(AccountId),
}

/// Everything one person may do just now.
#[derive(Debug, Clone, Default)]
pub struct Rights(Vec<Held>);

/// How long tags that were read count as known on pages. They are read every ten minutes; what was last read longer ago than
/// this, the sweep could not read again.
pub const TAGS_LAST: SignedDuration = SignedDuration::from_mins(30);

impl Rights {
    /// What lets them decide this gate.
    #[must_use]
    pub fn find(&self, gate: &Gate, tags: Option<&Tags>) -> Option<Right> {
        self.find_as(gate, tags, AsWhom::Anybody)
    }

    fn find_as(&self, gate: &Gate, tags: Option<&Tags>, as_whom: AsWhom) -> Option<Right> {
        self.pick(as_whom, |held| held.gates.fits(gate, tags))
    }

    /// Whether they might be let in by a tag that the pipeline may carry.
    #[must_use]
    pub fn may_hang_on_tags(&self, gate: &Gate) -> bool {
        self.hangs_on_tags(gate, AsWhom::Anybody)
    }

    fn hangs_on_tags(&self, gate: &Gate, as_whom: AsWhom) -> bool {
        self.pick(as_whom, |held| held.gates.fits_names(gate)).is_some()
    }

    fn pick(&self, as_whom: AsWhom, fits: impl Fn(&Held) -> bool) -> Option<Right> {
        let own =
            |capability| self.0.iter().find(|held| held.lent.is_none() && held.capability == capability && fits(held));
        if matches!(as_whom, AsWhom::Anybody | AsWhom::Themselves)
            && let Some(held) = own(Capability::Decide)
        {
            return Some(Right { relied: vec![held.clone()], lent: None });
        }
        let is_meant = |lender: &Lender| match as_whom {
            AsWhom::Anybody => true,
            AsWhom::Themselves => false,
            AsWhom::StandInFor(account) => lender.account == account,
        };
        let theirs = self.0.iter().find(|held| held.lent.as_ref().is_some_and(is_meant) && fits(held))?;
        let as_stand_in = own(Capability::StandIn)?;
        Some(Right { relied: vec![theirs.clone(), as_stand_in.clone()], lent: theirs.lent.clone() })
    }

    /// Whether they may decide every gate by themselves.
    #[must_use]
    pub fn are_everything(&self) -> bool {
        let all = |held: &Held| held.capability == Capability::Decide && held.gates.is_everything();
        self.0.iter().any(|held| held.lent.is_none() && all(held))
    }

    /// Whether no gate at all can be theirs to decide.
    #[must_use]
    pub fn are_nothing(&self) -> bool {
        let holds = |capability| self.own().any(|held| held.capability == capability);
        let stands_in = holds(Capability::StandIn) && self.lenders().next().is_some();
        !holds(Capability::Decide) && !stands_in
    }

    /// The grants they hold themselves.
    pub fn own(&self) -> impl Iterator<Item = &Held> {
        self.0.iter().filter(|held| held.lent.is_none())
    }

    /// For whom they stand in, each as often as that person has grants.
    pub fn lenders(&self) -> impl Iterator<Item = &Lender> {
        self.0.iter().filter_map(|held| held.lent.as_ref())
    }
}

impl From<Vec<Held>> for Rights {
    fn from(held: Vec<Held>) -> Self {
        Self(held)
    }
}

impl Access {
    /// Everything this person may do just now, for pages. One query; nothing is locked, and nothing may be decided by it.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn list_rights(&self, conn: &mut PgConnection, account: AccountId) -> sqlx::Result<Rights> {
        Ok(Rights(rights::list_held(conn, account, self.0.clock.now()).await?))
    }
}

/// Finds the right that was asked for and holds it until the transaction ends: from here on nobody can take away what it
/// rests on before this transaction is over. Locks nobody else's rows.
///
/// # Errors
/// Whatever the database says.
pub async fn hold_right(
    conn: &mut PgConnection,
    wanted: Wanted<'_>,
    now: Timestamp,
) -> sqlx::Result<Result<Right, Refusal>> {
    // Whoever loses a race against a revocation looks again: another grant may do.
    for _ in 0..4 {
        let held = Rights(rights::list_held(conn, wanted.account, now).await?);
        let right = held.find_as(wanted.gate, wanted.tagged.known(), wanted.as_whom);
        let lender = right.as_ref().and_then(|right| right.lent.as_ref());
        let ids: Vec<AccountId> = [wanted.account].into_iter().chain(lender.map(|lender| lender.account)).collect();
        let people = rights::lock_accounts(conn, &ids).await?;
        if let Some(why) = why_not_at_all(&people, wanted.account) {
            return Ok(Err(Refusal::No(why)));
        }
        let Some(right) = right else { return Ok(Err(refuse(&held, &wanted))) };
        let lender_is_out = right.lent.as_ref().is_some_and(|lender| !may_lend(&people, lender.account));
        if !lender_is_out && rights::lock_grounds(conn, &right.grounds()).await? {
            return Ok(Ok(right));
        }
    }
    Ok(Err(Refusal::No("Who may decide this is being changed just now. Try again in a moment.".into())))
}

impl Right {
    fn grounds(&self) -> Grounds {
        let mut members: Vec<_> = self.relied.iter().filter_map(|held| held.member).collect();
        members.sort_unstable();
        members.dedup();
        let mut grants: Vec<_> = self.relied.iter().map(|held| held.grant.0).collect();
        grants.sort_unstable();
        grants.dedup();
        Grounds { members, grants, stand_ins: self.lent.iter().map(|lender| lender.stand_in.0).collect() }
    }
}

/// Why this person may not decide anything just now.
fn why_not_at_all(people: &[Standing], account: AccountId) -> Option<String> {
    let Some(now) = people.iter().find(|one| one.account == account) else {
        return Some("The account no longer exists.".into());
    };
    if now.disabled {
        return Some(format!("The account of {} is disabled.", now.name));
    }
    if now.must_change_password {
        return Some(format!("{} must choose a new password first.", now.name));
    }
    (!holds(now, Role::Approver)).then(|| format!("{} is not an approver.", now.name))
}

fn may_lend(people: &[Standing], lender: AccountId) -> bool {
    people.iter().any(|one| one.account == lender && !one.disabled && holds(one, Role::Approver))
}

fn refuse(held: &Rights, wanted: &Wanted<'_>) -> Refusal {
    let gate = in_words(wanted.gate);
    let hangs_on_tags = held.hangs_on_tags(wanted.gate, wanted.as_whom);
    Refusal::No(match (wanted.tagged, wanted.as_whom) {
        (Tagged::Unasked, _) if hangs_on_tags => return Refusal::AskForTags,
        (Tagged::Unreadable(why), _) if hangs_on_tags => format!(
            "Only a grant that is about the tags of pipeline {} could let {} decide it, and they cannot be read: {why}",
            wanted.gate.pipeline, wanted.name
        ),
        (_, AsWhom::StandInFor(_)) => {
            format!("{} no longer stands in for somebody who may decide {gate}.", wanted.name)
        }
        _ => format!("No grant lets {} decide {gate}.", wanted.name),
    })
}

/// `action Release of stage Production of pipeline shop (source prod)`
#[must_use]
pub fn in_words(gate: &Gate) -> String {
    format!("action {} of stage {} of pipeline {} (source {})", gate.action, gate.stage, gate.pipeline, gate.source)
}
