//! The form on an approval's page: what a person may write, what is added behind it, or why they cannot decide. And what
//! the page says when a decision was not taken: nothing was sent, what is different, what to do.

use crate::access::right::in_words;
use crate::domain::approval::Standing;
use crate::domain::people::Person;
use crate::domain::shown::Difference;
use crate::domain::summary::{Marker, Summary, room_for};
use crate::domain::text::visible;
use crate::web::display::Caller;

use super::approval_view::Known;
use super::who_may::May;

/// Whether, and how, this person may decide.
#[derive(Debug, Clone)]
pub enum Deciding {
    Form(DecisionForm),
    /// Why not, a sentence each.
    Closed(Vec<String>),
}

/// What the form holds.
#[derive(Debug, Clone)]
pub struct DecisionForm {
    /// The one-use key (D-03).
    pub key: String,
    /// What was typed before, when the page is shown again.
    pub summary: String,
    pub error: Option<String>,
    /// How many UTF-16 units fit, which is what `maxlength` counts.
    pub limit: usize,
    /// An example of what AWS sees behind the summary.
    pub marker: String,
    pub proof: Option<ProofAsked>,
}

/// The gate asks for fresh proof of who decides (S-18).
#[derive(Debug, Clone, Copy)]
pub struct ProofAsked {
    /// The person has a passkey to sign with.
    pub signs: bool,
    /// They gave proof a moment ago.
    pub is_fresh: bool,
}

impl DecisionForm {
    /// Whether a passkey is to sign what is decided.
    #[must_use]
    pub fn signs(&self) -> bool {
        self.proof.is_some_and(|proof| proof.signs)
    }
}

impl Deciding {
    /// The form, or why there is none.
    #[must_use]
    pub fn of(known: &Known, person: &Person, key: String) -> Self {
        let why = why_not(known, person);
        if !why.is_empty() {
            return Self::Closed(why);
        }
        Self::Form(DecisionForm {
            key,
            summary: String::new(),
            error: None,
            limit: room_for(&person.name),
            marker: marker_example(&person.name),
            proof: None,
        })
    }

    /// Says that the gate asks for proof.
    #[must_use]
    pub fn asking(mut self, proof: Option<ProofAsked>) -> Self {
        if let Self::Form(form) = &mut self {
            form.proof = proof;
        }
        self
    }

    /// Keeps what was typed, and says what is wrong with it.
    #[must_use]
    pub fn with_typed(mut self, summary: &str, error: Option<String>) -> Self {
        if let Self::Form(form) = &mut self {
            summary.clone_into(&mut form.summary);
            form.error = error;
        }
        self
    }
}

fn why_not(known: &Known, person: &Person) -> Vec<String> {
    let mut why = Vec::new();
    if !person.roles.may_decide() {
        why.push("Your account does not have the approver role. An admin of this portal can give it.".to_owned());
    } else {
        why.extend(no_grant(known));
    }
    match known.standing() {
        Standing::Open => {}
        Standing::Submitting | Standing::Unsure => {
            why.push("A decision is already on its way; nobody else can decide until it is settled.".to_owned());
        }
        _ => why.push("It no longer waits for a decision.".to_owned()),
    }
    if !known.approval.details.answerable {
        why.push(
            "AWS would not take an answer through the portal: the approval's token has not the form its API asks for. \
             Decide in the CodePipeline console."
                .to_owned(),
        );
    }
    if !known.is_configured {
        why.push("Its source is no longer configured, so the portal cannot send anything there.".to_owned());
    }
    why
}

/// Why none of an approver's grants lets them decide this, and whom to ask.
fn no_grant(known: &Known) -> Option<String> {
    let ask = known.who.whom_to_ask();
    match known.who.may {
        May::Yes | May::For(_) => None,
        May::No => Some(format!("No grant lets you decide {}. {ask}", in_words(&known.approval.gate))),
        May::NotKnown => Some(format!(
            "Only a grant that is about tags could let you decide this, and the tags of pipeline {} were not read lately. \
             The portal reads them by itself every few minutes; if this stays, it may not: {ask}",
            known.approval.gate.pipeline
        )),
    }
}

fn marker_example(name: &str) -> String {
    let marker = Marker { seq: 1234, hash: "9f2c61d04b7e83aa".to_owned() };
    Summary::parse("", 0, false).map(|empty| marker.sign(&empty, name)).unwrap_or_default()
}

/// Why a decision was not taken.
#[derive(Debug, Clone, Default)]
pub struct Problem {
    pub headline: String,
    pub explanation: String,
    pub differences: Vec<Difference>,
    /// Where to look: label and path.
    pub next: Option<(String, String)>,
}

impl Problem {
    #[must_use]
    pub fn new(headline: impl Into<String>, explanation: impl Into<String>) -> Self {
        Self { headline: headline.into(), explanation: explanation.into(), ..Self::default() }
    }

    /// What waits is not what was shown.
    #[must_use]
    pub fn changed(differences: Vec<Difference>, known: &Known) -> Self {
        let visible = |it: Difference| Difference { what: it.what, was: visible(&it.was), is: visible(&it.is) };
        Self {
            differences: differences.into_iter().map(visible).collect(),
            next: Some(("Look again at what waits now".to_owned(), format!("/approvals/{}", known.approval.id))),
            ..Self::new(
                "What waits has changed since you looked. Nothing was sent.",
                "Below is how it is now, with what you wrote kept. Read it again before you decide.",
            )
        }
    }

    /// It no longer waits.
    #[must_use]
    pub fn not_open(standing: Standing, known: &Known) -> Self {
        let by =
            known.approval.decided_by.as_deref().map(|by| format!(" It was decided by {}.", Caller::read(by).name));
        Self::new(
            format!("It no longer waits for a decision: it is {standing}. Nothing was sent."),
            format!("What you see below is how it ended.{}", by.unwrap_or_default()),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::approval::AtAws;
    use crate::web::approver::samples::{known, person};

    #[test]
    fn an_approver_of_an_open_approval_gets_a_form_and_nobody_else() {
        assert!(matches!(Deciding::of(&known(), &person("approver"), "k".into()), Deciding::Form(_)));
        let Deciding::Closed(why) = Deciding::of(&known(), &person("auditor"), "k".into()) else { panic!("a form") };
        assert_eq!(why, ["Your account does not have the approver role. An admin of this portal can give it."]);
    }

    #[test]
    fn every_reason_that_holds_is_told() {
        let mut known = known();
        known.approval.at_aws = AtAws::Expired;
        known.approval.details.answerable = false;
        known.is_configured = false;
        let Deciding::Closed(why) = Deciding::of(&known, &person("admin"), "k".into()) else { panic!("a form") };
        assert_eq!(why.len(), 4, "{why:?}");
    }

    #[test]
    fn who_has_no_grant_for_the_gate_is_told_which_is_missing_and_whom_to_ask() {
        let mut known = known();
        known.who.may = May::No;
        let Deciding::Closed(why) = Deciding::of(&known, &person("approver"), "k".into()) else { panic!("a form") };
        assert_eq!(
            why,
            ["No grant lets you decide action Release of stage Production of pipeline shop (source prod). \
              Ask the operator of this portal: it has no admin just now."]
        );
        known.who.may = May::NotKnown;
        let Deciding::Closed(why) = Deciding::of(&known, &person("approver"), "k".into()) else { panic!("a form") };
        assert!(why[0].contains("were not read lately"), "{why:?}");
    }

    #[test]
    fn the_field_takes_no_more_than_fits_with_the_marker() {
        let Deciding::Form(form) = Deciding::of(&known(), &person("approver"), "k".into()) else { panic!("closed") };
        assert_eq!(form.limit, room_for("Ana Silva"));
        assert_eq!(form.marker, "[Ana Silva, rec 1234 9f2c61d04b7e83aa]");
    }
}
