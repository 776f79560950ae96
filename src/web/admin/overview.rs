//! `GET /admin/access`: what holds now, and the two questions.

use askama::Template;
use askama_web::WebTemplate;
use axum::extract::State;
use jiff::Timestamp;

use crate::domain::access::{Capability, GatePattern, OptionKind};
use crate::domain::text::visible;
use crate::store::access::escalations::{After, Escalation};
use crate::store::access::grants::{Grant, To};
use crate::store::access::marks::Mark;
use crate::store::access::options::{GateOption, UnknownOption};
use crate::store::access::stand_ins::StandIn;
use crate::web::parts::{Choice, Field, Moment};
use crate::web::{AppState, Failure, Shell, SignedIn};

/// The page.
#[derive(Debug, Template, WebTemplate)]
#[template(path = "admin/access.html")]
pub struct AccessPage {
    pub shell: Shell,
    pub is_admin: bool,
    pub grants: Vec<GrantLine>,
    pub marks: Vec<MarkLine>,
    /// Each with the minutes that a mail decides.
    pub options: Vec<(MarkLine, i32)>,
    /// Each with the minutes after which the portal rejects.
    pub unattended: Vec<(MarkLine, i32)>,
    /// Options that a newer release gave and this one does not know.
    pub unknown: Vec<UnknownLine>,
    pub escalations: Vec<EscalationLine>,
    pub stand_ins: Vec<StandInLine>,
    pub gate: Choice,
    pub person: Field,
    pub at: Field,
}

/// A grant in a line.
#[derive(Debug, Clone)]
pub struct GrantLine {
    pub id: String,
    pub to: String,
    /// The group's page.
    pub group: Option<String>,
    pub email: Option<String>,
    pub lets: &'static str,
    pub gates: String,
    pub fits: usize,
    pub note: String,
    pub since: Moment,
    pub by: String,
}

/// A mark, or an option of gates, in a line.
#[derive(Debug, Clone)]
pub struct MarkLine {
    pub id: String,
    pub gates: String,
    pub note: String,
    pub since: Moment,
    pub by: String,
}

/// An option of a kind that this release does not know.
#[derive(Debug, Clone)]
pub struct UnknownLine {
    pub kind: String,
    pub gates: String,
    pub since: Moment,
}

/// A group that is told when nobody decides, in a line.
#[derive(Debug, Clone)]
pub struct EscalationLine {
    pub id: String,
    pub group: String,
    /// The group's page.
    pub page: String,
    pub gates: String,
    pub when: String,
    pub note: String,
    pub since: Moment,
    pub by: String,
}

/// A stand-in in a line.
#[derive(Debug, Clone)]
pub struct StandInLine {
    pub id: String,
    pub by: String,
    pub lender: String,
    pub from: Moment,
    pub until: Moment,
    pub note: String,
}

/// What a grant lets people do, in words.
#[must_use]
pub fn lets(capability: Capability) -> &'static str {
    match capability {
        Capability::Decide => "decide",
        Capability::StandIn => "be named as a stand-in",
    }
}

/// When a group is told, as the end of a sentence.
#[must_use]
pub fn when_told(after: After) -> String {
    match after {
        After::Minutes(1) => "within a minute".to_owned(),
        After::Minutes(minutes) => format!("within {minutes} minutes"),
        After::HalfTime => "by half of its time".to_owned(),
    }
}

fn by(name: Option<&str>) -> String {
    name.map_or_else(|| "the operator".to_owned(), visible)
}

impl GrantLine {
    #[must_use]
    pub fn of(grant: &Grant, fits: usize, now: Timestamp) -> Self {
        let group = match grant.to {
            To::Group(id) => Some(format!("/admin/groups/{id}")),
            To::Person(_) => None,
        };
        Self {
            id: grant.id.to_string(),
            to: visible(&grant.to_name),
            group,
            email: grant.to_email.as_deref().map(visible),
            lets: lets(grant.capability),
            gates: in_words(&grant.gates),
            fits,
            note: visible(&grant.note),
            since: Moment::new(grant.from, now),
            by: by(grant.given_by.as_deref()),
        }
    }
}

/// A pattern as a page says it.
#[must_use]
pub fn in_words(gates: &GatePattern) -> String {
    visible(&gates.to_string())
}

impl MarkLine {
    fn of(mark: &Mark, now: Timestamp) -> Self {
        Self {
            id: mark.id.to_string(),
            gates: in_words(&mark.gates),
            note: visible(&mark.note),
            since: Moment::new(mark.from, now),
            by: by(mark.given_by.as_deref()),
        }
    }
}

impl MarkLine {
    fn of_option(option: &GateOption, now: Timestamp) -> Self {
        Self {
            id: option.id.to_string(),
            gates: in_words(&option.gates),
            note: visible(&option.note),
            since: Moment::new(option.from, now),
            by: by(option.given_by.as_deref()),
        }
    }
}

impl UnknownLine {
    fn of(option: &UnknownOption, now: Timestamp) -> Self {
        Self { kind: visible(&option.kind), gates: in_words(&option.gates), since: Moment::new(option.from, now) }
    }
}

impl EscalationLine {
    fn of(one: &Escalation, now: Timestamp) -> Self {
        Self {
            id: one.id.to_string(),
            group: visible(&one.group_name),
            page: format!("/admin/groups/{}", one.group),
            gates: in_words(&one.gates),
            when: when_told(one.after),
            note: visible(&one.note),
            since: Moment::new(one.from, now),
            by: by(one.given_by.as_deref()),
        }
    }
}

impl StandInLine {
    fn of(one: &StandIn, now: Timestamp) -> Self {
        Self {
            id: one.id.to_string(),
            by: visible(&one.by_name),
            lender: visible(&one.for_name),
            from: Moment::new(one.from, now),
            until: Moment::new(one.until, now),
            note: visible(&one.note),
        }
    }
}

/// Shows it.
///
/// # Errors
/// 503 when the database does not answer.
pub async fn show(
    State(app): State<AppState>,
    SignedIn(person): SignedIn,
    shell: Shell,
) -> Result<AccessPage, Failure> {
    let now = app.clock.now();
    let picture = app.access.picture(None).await?;
    let marks = app.access.list_marks().await?;
    let (options, unknown) = app.access.list_options().await?;
    let escalations = app.access.list_escalations().await?;
    let stand_ins = app.access.list_stand_ins().await?;
    let of_kind = |kind: OptionKind| {
        let fitting = options.iter().filter(move |option| option.kind == kind);
        fitting.map(|option| (MarkLine::of_option(option, now), option.minutes)).collect()
    };
    let line = |grant: &Grant| GrantLine::of(grant, picture.fitting(&grant.gates).len(), now);
    Ok(AccessPage {
        shell,
        is_admin: person.roles.admin,
        grants: picture.grants.iter().map(line).collect(),
        marks: marks.iter().map(|mark| MarkLine::of(mark, now)).collect(),
        options: of_kind(OptionKind::DecideByMail),
        unattended: of_kind(OptionKind::RejectUnattended),
        unknown: unknown.iter().map(|option| UnknownLine::of(option, now)).collect(),
        escalations: escalations.iter().map(|one| EscalationLine::of(one, now)).collect(),
        stand_ins: stand_ins.iter().map(|one| StandInLine::of(one, now)).collect(),
        gate: super::asking_view::gate_choice(&picture.gates, ""),
        person: super::asking_view::person_field(""),
        at: super::asking_view::at_field("", None),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::admin::asking_view;
    use crate::web::display::assert_inert;

    const HOSTILE: &str = "<img src=x onerror=alert(1)>\"'<script>";

    fn page(count: usize, is_admin: bool) -> String {
        let now: Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();
        let at = Moment::new(now, now);
        let text = || HOSTILE.repeat(5);
        let grant = GrantLine {
            id: "1".into(),
            to: text(),
            group: Some("/admin/groups/1".into()),
            email: Some(text()),
            lets: "decide",
            gates: text(),
            fits: 7,
            note: text(),
            since: at.clone(),
            by: text(),
        };
        let mark = MarkLine { id: "1".into(), gates: text(), note: text(), since: at.clone(), by: text() };
        let escalation = EscalationLine {
            id: "1".into(),
            group: text(),
            page: "/admin/groups/1".into(),
            gates: text(),
            when: when_told(After::Minutes(30)),
            note: text(),
            since: at.clone(),
            by: text(),
        };
        let stand_in = StandInLine {
            id: "1".into(),
            by: text(),
            lender: text(),
            from: at.clone(),
            until: at.clone(),
            note: text(),
        };
        let page = AccessPage {
            shell: Shell::bare("/admin/access"),
            is_admin,
            grants: vec![grant; count],
            options: vec![(mark.clone(), 60); count],
            unattended: vec![(mark.clone(), 60); count],
            unknown: vec![UnknownLine { kind: text(), gates: text(), since: at.clone() }; count],
            marks: vec![mark; count],
            escalations: vec![escalation; count],
            stand_ins: vec![stand_in; count],
            gate: asking_view::gate_choice(&[], HOSTILE),
            person: asking_view::person_field(HOSTILE),
            at: asking_view::at_field(HOSTILE, Some(HOSTILE.into())),
        };
        page.render().unwrap()
    }

    #[test]
    fn no_sample_lets_text_become_markup_and_only_admins_get_buttons() {
        for count in [0, 1, 300] {
            assert_inert("admin", &page(count, true));
            assert!(!page(count, false).contains("method=\"post\""));
        }
        assert!(page(1, true).contains("End this grant"));
        assert!(page(0, true).contains("Nobody may decide anything"));
    }
}
