//! Who may decide an approval: the person who looks, and everybody else, a few of them by name. Read for a page; a decision
//! finds out for itself, under locks.

use jiff::Timestamp;
use sqlx::PgConnection;

use crate::access::right::{Rights, TAGS_LAST};
use crate::domain::access::{Capability, Tags};
use crate::domain::ids::{Gate, GrantId};
use crate::domain::people::{Person, Role};
use crate::domain::text::visible;
use crate::store::access::rights::{self, Alike, Lender, Named, StandingIn};
use crate::store::access::tags;
use crate::web::AppState;
use crate::web::display::thousands;
use crate::web::parts::Moment;

/// So many people are named; how many more there are is said.
const NAMED: i64 = 12;
/// So many admins are named as whom to ask.
pub const ADMINS: i64 = 3;

/// Whether the person who looks may decide.
#[derive(Debug, Clone, Default)]
pub enum May {
    Yes,
    /// In somebody's place.
    For(Lender),
    #[default]
    No,
    /// A grant about tags may let them, and the tags were not read lately.
    NotKnown,
}

/// Who may decide.
#[derive(Debug, Clone, Default)]
pub struct WhoMay {
    pub may: May,
    pub people: Named,
    pub groups: Vec<String>,
    pub standing_in: Vec<StandingIn>,
    /// Whom to ask for a grant. Empty where nobody has to.
    pub admins: Named,
    /// Some grant hangs on tags that were not read lately.
    pub tags_missing: bool,
}

impl WhoMay {
    /// Reads it for `person`, in a handful of queries however many grants there are.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn read(app: &AppState, conn: &mut PgConnection, gate: &Gate, person: &Person) -> sqlx::Result<Self> {
        let now = app.clock.now();
        let live = rights::list_alike(conn).await?;
        let hangs_on_tags = live.iter().any(|grant| grant.gates.tag.is_some() && grant.gates.fits_names(gate));
        let known: Option<Tags> =
            if hangs_on_tags { tags::find(conn, (&gate.source, &gate.pipeline), now - TAGS_LAST).await? } else { None };
        let rights = if person.roles.may_decide() {
            app.access.list_rights(conn, person.account).await?
        } else {
            Rights::default()
        };
        let may = may(&rights, gate, known.as_ref());
        let fitting = |capability| -> Vec<&Alike> {
            live.iter().filter(|it| it.capability == capability && it.gates.fits(gate, known.as_ref())).collect()
        };
        let decide = fitting(Capability::Decide);
        let ids = |alike: &[&Alike]| alike.iter().flat_map(|it| it.grants.iter().copied()).collect::<Vec<GrantId>>();
        let (deciding, standing) = (ids(&decide), ids(&fitting(Capability::StandIn)));
        let standing_in = if standing.is_empty() {
            Vec::new()
        } else {
            rights::list_standing_in(conn, (&deciding, &standing), now, NAMED).await?
        };
        let may_not = matches!(may, May::No | May::NotKnown) || !person.roles.has(Role::Approver);
        Ok(Self {
            may,
            people: rights::list_holders(conn, &deciding, NAMED).await?,
            groups: groups(&decide),
            standing_in,
            admins: if may_not { rights::list_admins(conn, ADMINS).await? } else { Named::default() },
            tags_missing: hangs_on_tags && known.is_none(),
        })
    }

    /// Whom to ask: `Ask an admin of this portal: Adam, Berta and 2 more.`
    #[must_use]
    pub fn whom_to_ask(&self) -> String {
        whom_to_ask(&self.admins)
    }
}

/// Whom to ask for a grant, in a sentence.
#[must_use]
pub fn whom_to_ask(admins: &Named) -> String {
    match list(admins) {
        None => "Ask the operator of this portal: it has no admin just now.".to_owned(),
        Some(names) => format!("Ask an admin of this portal: {names}."),
    }
}

fn may(rights: &Rights, gate: &Gate, tags: Option<&Tags>) -> May {
    match rights.find(gate, tags) {
        Some(right) => right.lent.map_or(May::Yes, May::For),
        None if tags.is_none() && rights.may_hang_on_tags(gate) => May::NotKnown,
        None => May::No,
    }
}

fn groups(alike: &[&Alike]) -> Vec<String> {
    let mut names: Vec<String> = alike.iter().flat_map(|it| it.groups.iter().map(|name| visible(name))).collect();
    names.sort();
    names.dedup();
    names
}

/// `Ana, Ben and 12 more`; nothing for nobody.
fn list(named: &Named) -> Option<String> {
    let names: Vec<String> = named.names.iter().map(|name| visible(name)).collect();
    let more = named.all.saturating_sub(names.len() as u64);
    match (&names[..], more) {
        ([], _) => None,
        ([one], 0) => Some(one.clone()),
        ([first @ .., last], 0) => Some(format!("{} and {last}", first.join(", "))),
        (all, more) => Some(format!("{} and {} more", all.join(", "), thousands(more))),
    }
}

/// The same as the page prints it.
#[derive(Debug, Clone)]
pub struct WhoView {
    /// `Ana, Ben and 12 more`. Nobody, when absent.
    pub people: Option<String>,
    pub groups: String,
    pub standing_in: Vec<StandingInLine>,
    pub tags_missing: bool,
    /// In whose place the person who looks decides.
    pub in_place_of: Option<(String, Moment)>,
}

/// Somebody in another's place.
#[derive(Debug, Clone)]
pub struct StandingInLine {
    pub by: String,
    pub lender: String,
    pub until: Moment,
}

impl WhoView {
    #[must_use]
    pub fn of(who: &WhoMay, now: Timestamp) -> Self {
        let line = |it: &StandingIn| StandingInLine {
            by: visible(&it.by_name),
            lender: visible(&it.for_name),
            until: Moment::new(it.until, now),
        };
        Self {
            people: list(&who.people),
            groups: who.groups.join(", "),
            standing_in: who.standing_in.iter().map(line).collect(),
            tags_missing: who.tags_missing,
            in_place_of: match &who.may {
                May::For(lender) => Some((visible(&lender.name), Moment::new(lender.until, now))),
                _ => None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_are_named_and_the_rest_counted() {
        let named = |names: &[&str], all| Named { names: names.iter().map(|name| (*name).to_owned()).collect(), all };
        assert_eq!(list(&named(&[], 0)), None);
        assert_eq!(list(&named(&["Ana"], 1)).unwrap(), "Ana");
        assert_eq!(list(&named(&["Ana", "Ben", "Cleo"], 3)).unwrap(), "Ana, Ben and Cleo");
        assert_eq!(list(&named(&["Ana", "Ben"], 1_014)).unwrap(), "Ana, Ben and 1,012 more");
        assert_eq!(
            WhoMay { admins: named(&["Adam"], 1), ..WhoMay::default() }.whom_to_ask(),
            "Ask an admin of this portal: Adam."
        );
    }
}
