//! The two questions as their pages print the answers: who could decide a gate, and what somebody could decide.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::overview::in_words;
use crate::access::picture::{Decider, Picture, Via};
use crate::domain::ids::{AccountId, Gate};
use crate::domain::text::visible;
use crate::store::access::grants::To;
use crate::store::access::past::{PersonThen, Use};
use crate::web::parts::{Choice, Field, Moment};
use crate::web::{moment_field, page_zone};

/// A gate as one value of a form: no name at AWS holds a slash.
#[must_use]
pub fn gate_key(gate: &Gate) -> String {
    format!("{}/{}/{}/{}", gate.source, gate.pipeline, gate.stage, gate.action)
}

fn gate_words(gate: &Gate) -> String {
    visible(&format!("{} › {} › {} › {}", gate.source, gate.pipeline, gate.stage, gate.action))
}

/// The choice of a gate.
#[must_use]
pub fn gate_choice(gates: &[Gate], chosen: &str) -> Choice {
    let nothing = [(String::new(), "Choose a gate".to_owned())];
    let all = gates.iter().map(|gate| (gate_key(gate), gate_words(gate)));
    Choice::new("gate", "Gate", chosen, nothing.into_iter().chain(all))
}

/// The field for a person.
#[must_use]
pub fn person_field(typed: &str) -> Field {
    Field::text("email", "Person").value(visible(typed)).hint("An e-mail address")
}

/// The field for the moment.
#[must_use]
pub fn at_field(typed: &str, mistake: Option<String>) -> Field {
    Field::moment("at", "At (UTC)").optional().value(visible(typed)).hint("Empty is now").error(mistake)
}

/// When somebody wants to know about.
///
/// # Errors
/// A sentence for the field.
pub fn read_at(typed: &str, now: Timestamp) -> Result<Option<Timestamp>, String> {
    match moment_field::parse(typed, &TimeZone::UTC)? {
        Some(at) if at > now => Err("This is in the future. What holds now may have ended by then.".to_owned()),
        at => Ok(at),
    }
}

/// How somebody could decide: `grant of the group Payments for every gate`.
#[must_use]
pub fn way(via: &Via<'_>, zone: &TimeZone) -> String {
    let grant = via.grant;
    let held = match grant.to {
        To::Group(_) => format!("grant of the group {} for {}", visible(&grant.to_name), in_words(&grant.gates)),
        To::Person(_) => format!("grant for {}", in_words(&grant.gates)),
    };
    match via.stand_in {
        None => held,
        Some(stand_in) => {
            let until = moment_field::words(stand_in.until, zone);
            format!("in place of {} until {until}: their {held}", visible(&stand_in.for_name))
        }
    }
}

/// Somebody who could decide the gate.
#[derive(Debug, Clone)]
pub struct DeciderLine {
    pub name: String,
    pub email: String,
    pub ways: Vec<String>,
}

impl DeciderLine {
    #[must_use]
    pub fn of(decider: &Decider<'_>) -> Self {
        Self {
            name: visible(&decider.person.name),
            email: visible(&decider.person.email),
            ways: decider.by.iter().map(|via| way(via, &page_zone::current())).collect(),
        }
    }
}

/// A gate somebody could decide.
#[derive(Debug, Clone)]
pub struct GateLine {
    pub gate: String,
    pub ways: Vec<String>,
    pub last: Option<Moment>,
    pub times: i64,
}

/// When a gate was last decided by somebody, in whosever place.
#[must_use]
pub fn last_use<'a>(uses: &'a [Use], gate: &Gate) -> (Option<Timestamp>, i64) {
    let own = |it: &&'a Use| it.gate == *gate;
    (uses.iter().filter(own).map(|it| it.last).max(), uses.iter().filter(own).map(|it| it.times).sum())
}

impl GateLine {
    /// `gates`: what somebody could decide, with by what; `uses`: what they decided.
    #[must_use]
    pub fn list(gates: &[(&Gate, Vec<Via<'_>>)], uses: &[Use], now: Timestamp) -> Vec<Self> {
        let zone = page_zone::current();
        let line = |(gate, ways): &(&Gate, Vec<Via<'_>>)| {
            let (last, times) = last_use(uses, gate);
            Self {
                gate: gate_words(gate),
                ways: ways.iter().map(|via| way(via, &zone)).collect(),
                last: last.map(|at| Moment::new(at, now)),
                times,
            }
        };
        gates.iter().map(line).collect()
    }
}

/// What somebody was at the time, in a sentence.
#[must_use]
pub fn state_then(person: &PersonThen) -> String {
    let roles = if person.roles.is_empty() { "no role".to_owned() } else { person.roles.join(", ") };
    if person.enabled { format!("enabled; {roles}") } else { format!("disabled; {roles}") }
}

/// Somebody of a picture, by e-mail address as it is now.
#[must_use]
pub fn find_person(picture: &Picture, account: Option<AccountId>) -> Option<&PersonThen> {
    picture.people.iter().find(|person| Some(person.account) == account)
}
