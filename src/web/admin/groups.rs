//! Groups of people: the list, one group, and everything that is done to them.

use askama::Template;
use askama_web::WebTemplate;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::admin;
use super::overview::GrantLine;
use crate::access::AccessError;
use crate::access::groups::Whole;
use crate::domain::ids::{AccountId, GroupId};
use crate::domain::people::Person;
use crate::domain::text::visible;
use crate::store::access::groups::{Listed, Member};
use crate::web::display::count;
use crate::web::note::Note;
use crate::web::parts::{Field, Moment};
use crate::web::session::Nothing;
use crate::web::{AppState, CsrfForm, Failure, Segment, Shell, SignedIn};

/// The list, with the form for another.
#[derive(Debug, Template, WebTemplate)]
#[template(path = "admin/groups.html")]
pub struct GroupsPage {
    shell: Shell,
    is_admin: bool,
    groups: Vec<GroupLine>,
    name: Field,
    note: Field,
}

/// A group in a line.
#[derive(Debug, Clone)]
pub struct GroupLine {
    pub href: String,
    pub name: String,
    pub note: String,
    pub members: String,
    pub grants: String,
}

/// One group.
#[derive(Debug, Template, WebTemplate)]
#[template(path = "admin/group.html")]
pub struct GroupPage {
    shell: Shell,
    is_admin: bool,
    id: String,
    name: String,
    note: String,
    members: Vec<MemberLine>,
    grants: Vec<GrantLine>,
    rename: Field,
    renote: Field,
    email: Field,
}

/// Somebody in it.
#[derive(Debug, Clone)]
pub struct MemberLine {
    pub account: String,
    pub name: String,
    pub email: String,
    /// What keeps the group's grants from being of use to them.
    pub caution: Option<&'static str>,
    /// Who put them there, where it was not an admin.
    pub by: Option<String>,
    pub since: Moment,
}

fn name_field(value: &str) -> Field {
    Field::text("name", "Name").value(visible(value))
}

fn note_field(value: &str) -> Field {
    Field::text("note", "Note").optional().value(visible(value)).hint("What the group is for")
}

impl GroupLine {
    fn of(listed: &Listed) -> Self {
        Self {
            href: format!("/admin/groups/{}", listed.group.id),
            name: visible(&listed.group.name),
            note: visible(&listed.group.note),
            members: count(listed.members.unsigned_abs(), "person", "people"),
            grants: count(listed.grants.unsigned_abs(), "grant", "grants"),
        }
    }
}

impl MemberLine {
    fn of(member: &Member, now: jiff::Timestamp) -> Self {
        let is_approver = member.roles.iter().any(|role| role == "approver");
        Self {
            account: member.account.to_string(),
            name: visible(&member.name),
            email: visible(&member.email),
            caution: match (member.disabled, is_approver) {
                (true, _) => Some("disabled: may decide nothing"),
                (_, false) => Some("no approver: may decide nothing"),
                _ => None,
            },
            by: member.given_by.strip_prefix("sso:").map(visible),
            since: Moment::new(member.from, now),
        }
    }
}

impl GroupsPage {
    async fn load(app: &AppState, shell: Shell, person: &Person) -> Result<Self, Failure> {
        let groups = app.access.list_groups().await?;
        Ok(Self {
            shell,
            is_admin: person.roles.admin,
            groups: groups.iter().map(GroupLine::of).collect(),
            name: name_field(""),
            note: note_field(""),
        })
    }
}

impl GroupPage {
    async fn load(app: &AppState, shell: Shell, person: &Person, id: GroupId) -> Result<Self, Failure> {
        let Whole { group, members, grants } = app.access.find_group(id).await?.ok_or_else(Failure::not_found)?;
        let picture = app.access.picture(None).await?;
        let now = app.clock.now();
        let line = |grant| GrantLine::of(grant, picture.fitting(&grant.gates).len(), now);
        Ok(Self {
            shell,
            is_admin: person.roles.admin,
            id: id.to_string(),
            name: visible(&group.name),
            note: visible(&group.note),
            members: members.iter().map(|member| MemberLine::of(member, now)).collect(),
            grants: grants.iter().map(line).collect(),
            rename: name_field(&group.name),
            renote: note_field(&group.note),
            email: Field::text("email", "Person").hint("An e-mail address"),
        })
    }
}

/// `GET /admin/groups`.
///
/// # Errors
/// 503 when the database does not answer.
pub async fn list(
    State(app): State<AppState>,
    SignedIn(person): SignedIn,
    shell: Shell,
) -> Result<GroupsPage, Failure> {
    GroupsPage::load(&app, shell, &person).await
}

/// A name and a note, as typed.
#[derive(Debug, Deserialize)]
pub struct Named {
    name: String,
    #[serde(default)]
    note: String,
}

/// `POST /admin/groups`.
///
/// # Errors
/// 503 when the database does not answer.
pub async fn create(
    State(app): State<AppState>,
    SignedIn(person): SignedIn,
    shell: Shell,
    form: CsrfForm<Named>,
) -> Result<Response, Failure> {
    let Named { name, note } = form.read();
    match app.access.create_group(&admin(&person)?, &name, &note).await {
        Ok(id) => Ok(Note::GroupCreated.at(&format!("/admin/groups/{id}"), app.cookies())),
        Err(AccessError::BadField { field, problem }) => {
            let mut page = GroupsPage::load(&app, shell, &person).await?;
            let (at_name, at_note) = at_fields(field, problem);
            page.name = name_field(&name).error(at_name);
            page.note = note_field(&note).error(at_note);
            Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
        }
        Err(other) => Err(other.into()),
    }
}

fn at_fields(field: &str, problem: String) -> (Option<String>, Option<String>) {
    if field == "note" { (None, Some(problem)) } else { (Some(problem), None) }
}

/// `GET /admin/groups/{id}`.
///
/// # Errors
/// 404 when there is none.
pub async fn show(
    State(app): State<AppState>,
    SignedIn(person): SignedIn,
    Segment((id,)): Segment<(GroupId,)>,
    shell: Shell,
) -> Result<GroupPage, Failure> {
    GroupPage::load(&app, shell, &person, id).await
}

/// `POST /admin/groups/{id}`: another name or note.
///
/// # Errors
/// 404 when there is none.
pub async fn change(
    State(app): State<AppState>,
    SignedIn(person): SignedIn,
    Segment((id,)): Segment<(GroupId,)>,
    shell: Shell,
    form: CsrfForm<Named>,
) -> Result<Response, Failure> {
    let Named { name, note } = form.read();
    match app.access.change_group(&admin(&person)?, id, (&name, &note)).await {
        Ok(_) => Ok(Note::GroupChanged.at(&format!("/admin/groups/{id}"), app.cookies())),
        Err(AccessError::BadField { field, problem }) => {
            let mut page = GroupPage::load(&app, shell, &person, id).await?;
            let (at_name, at_note) = at_fields(field, problem);
            page.rename = name_field(&name).error(at_name);
            page.renote = note_field(&note).error(at_note);
            Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
        }
        Err(other) => Err(other.into()),
    }
}

/// Somebody, as typed.
#[derive(Debug, Deserialize)]
pub struct Somebody {
    email: String,
}

/// `POST /admin/groups/{id}/members`.
///
/// # Errors
/// 404 when there is no such group.
pub async fn add_member(
    State(app): State<AppState>,
    SignedIn(person): SignedIn,
    Segment((id,)): Segment<(GroupId,)>,
    shell: Shell,
    form: CsrfForm<Somebody>,
) -> Result<Response, Failure> {
    let Somebody { email } = form.read();
    let problem = match app.access.add_member(&admin(&person)?, id, &email).await {
        Ok(true) => return Ok(Note::MemberAdded.at(&format!("/admin/groups/{id}"), app.cookies())),
        Ok(false) => "They are in the group already.".to_owned(),
        Err(AccessError::BadField { problem, .. }) => problem,
        Err(other) => return Err(other.into()),
    };
    let mut page = GroupPage::load(&app, shell, &person, id).await?;
    page.email = Field::text("email", "Person").value(visible(&email)).hint("An e-mail address").error(Some(problem));
    Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
}

/// `POST /admin/groups/{id}/members/{account}/end`.
///
/// # Errors
/// 404 when they are not in it.
pub async fn end_member(
    State(app): State<AppState>,
    SignedIn(person): SignedIn,
    Segment((id, account)): Segment<(GroupId, AccountId)>,
    _form: CsrfForm<Nothing>,
) -> Result<Response, Failure> {
    if !app.access.end_member(&admin(&person)?, id, account).await? {
        return Err(Failure::not_found());
    }
    Ok(Note::MemberEnded.at(&format!("/admin/groups/{id}"), app.cookies()))
}

/// `POST /admin/groups/{id}/remove`.
///
/// # Errors
/// 404 when there is none.
pub async fn remove(
    State(app): State<AppState>,
    SignedIn(person): SignedIn,
    Segment((id,)): Segment<(GroupId,)>,
    _form: CsrfForm<Nothing>,
) -> Result<Response, Failure> {
    app.access.remove_group(&admin(&person)?, id).await?;
    Ok(Note::GroupRemoved.at("/admin/groups", app.cookies()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::display::assert_inert;

    #[test]
    fn no_name_or_note_of_a_group_becomes_markup() {
        let hostile = "<img src=x onerror=alert(1)>\"'<script>";
        let now: jiff::Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();
        let text = || hostile.repeat(3);
        let group = GroupLine {
            href: "/admin/groups/1".into(),
            name: text(),
            note: text(),
            members: "1 person".into(),
            grants: "no grant".into(),
        };
        for count in [0, 1, 200] {
            let page = GroupsPage {
                shell: Shell::bare("/admin/groups"),
                is_admin: count > 0,
                groups: vec![group.clone(); count],
                name: name_field(hostile).error(Some(hostile.into())),
                note: note_field(hostile),
            };
            assert_inert("groups", &page.render().unwrap());
            let member = MemberLine {
                account: "1".into(),
                name: text(),
                email: text(),
                caution: Some("disabled: may decide nothing"),
                by: Some(text()),
                since: Moment::new(now, now),
            };
            let page = GroupPage {
                shell: Shell::bare("/admin/groups/1"),
                is_admin: count > 0,
                id: "1".into(),
                name: text(),
                note: text(),
                members: vec![member; count],
                grants: vec![],
                rename: name_field(hostile),
                renote: note_field(hostile),
                email: Field::text("email", "Person").value(hostile),
            };
            assert_inert("group", &page.render().unwrap());
        }
    }
}
