//! Groups that are told when nobody decides: choosing one, with the gates it would be about, and ending it.

use askama::Template;
use askama_web::WebTemplate;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::admin;
use super::overview::{in_words, when_told};
use super::pattern::{self, Hidden, Preview};
use crate::access::AccessError;
use crate::access::escalations::{Asked, Checked};
use crate::access::grants::Mistakes;
use crate::domain::access::GateFields;
use crate::domain::ids::EscalationId;
use crate::domain::text::visible;
use crate::store::access::groups::Listed;
use crate::web::note::Note;
use crate::web::parts::{Choice, Field};
use crate::web::session::Nothing;
use crate::web::{AppState, CsrfForm, Failure, Query, Segment, Shell, SignedIn};

/// The form, as it is typed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Typed {
    group: String,
    after: String,
    source: String,
    pipeline: String,
    stage: String,
    action: String,
    tag_key: String,
    tag_value: String,
    note: String,
    look: String,
}

/// The form that makes it: all its fields, or it is not ours (S-34).
#[derive(Debug, Deserialize)]
pub struct Posted {
    group: String,
    after: String,
    source: String,
    pipeline: String,
    stage: String,
    action: String,
    tag_key: String,
    tag_value: String,
    note: String,
}

impl From<Posted> for Typed {
    fn from(it: Posted) -> Self {
        let Posted { group, after, source, pipeline, stage, action, tag_key, tag_value, note } = it;
        Self { group, after, source, pipeline, stage, action, tag_key, tag_value, note, look: String::new() }
    }
}

impl Typed {
    fn gates(&self) -> GateFields {
        GateFields {
            source: self.source.clone(),
            pipeline: self.pipeline.clone(),
            stage: self.stage.clone(),
            action: self.action.clone(),
            tag_key: self.tag_key.clone(),
            tag_value: self.tag_value.clone(),
        }
    }

    fn asked(&self) -> Asked {
        let (group, after, note) = (self.group.clone(), self.after.clone(), self.note.clone());
        Asked { group, after, gates: self.gates(), note }
    }

    fn hidden(&self) -> Hidden {
        let whom = [("group", self.group.clone()), ("after", self.after.clone())];
        whom.into_iter().chain(pattern::hidden(self.gates(), &self.note)).collect()
    }
}

/// The page.
#[derive(Debug, Template, WebTemplate)]
#[template(path = "admin/escalation.html")]
pub struct EscalationPage {
    shell: Shell,
    sends_mail: bool,
    has_groups: bool,
    group: Choice,
    after: Field,
    patterns: Vec<Field>,
    tags: Vec<Field>,
    note: Field,
    preview: Option<Preview>,
    problem: Option<String>,
}

impl EscalationPage {
    fn new(shell: Shell, typed: &Typed, mistakes: &Mistakes, (groups, sends_mail): (&[Listed], bool)) -> Self {
        let (patterns, tags) = pattern::fields(&typed.gates(), mistakes);
        let names = groups.iter().map(|it| (it.group.name.clone(), visible(&it.group.name)));
        let none = [(String::new(), "Choose a group".to_owned())];
        Self {
            shell,
            sends_mail,
            has_groups: !groups.is_empty(),
            group: Choice::new("group", "Group", &typed.group, none.into_iter().chain(names))
                .error(mistakes.at("group")),
            after: Field::text("after", "Minutes")
                .optional()
                .value(visible(&typed.after))
                .hint("So many minutes after an approval opened; empty is half of its time")
                .error(mistakes.at("after")),
            patterns,
            tags,
            note: pattern::note(&typed.note, mistakes).hint("Why, for whoever reads it later"),
            preview: None,
            problem: None,
        }
    }
}

/// `GET /admin/access/escalations/new`: the form, and what it would be about.
///
/// # Errors
/// 503 when the database does not answer.
pub async fn new(State(app): State<AppState>, Query(typed): Query<Typed>, shell: Shell) -> Result<Response, Failure> {
    let groups = app.access.list_groups().await?;
    let known = (groups.as_slice(), app.accounts.sends_mail());
    if typed.look != "1" {
        return Ok(EscalationPage::new(shell, &typed, &Mistakes::default(), known).into_response());
    }
    match app.access.check_escalation(&typed.asked()).await? {
        Err(mistakes) => {
            let page = EscalationPage::new(shell, &typed, &mistakes, known);
            Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
        }
        Ok(checked) => {
            let mut page = EscalationPage::new(shell, &typed, &Mistakes::default(), known);
            let picture = app.access.picture(None).await?;
            page.preview = Some(Preview::of(sentence(&checked), &checked.gates, &picture, typed.hidden()));
            Ok(page.into_response())
        }
    }
}

fn sentence(checked: &Checked) -> String {
    let (group, gates) = (visible(&checked.group_name), in_words(&checked.gates));
    format!("Everybody in {group} is told when nobody has decided what waits at {gates} {}.", when_told(checked.after))
}

/// `POST /admin/access/escalations`.
///
/// # Errors
/// 503 when the database does not answer.
pub async fn submit(
    State(app): State<AppState>,
    SignedIn(person): SignedIn,
    shell: Shell,
    form: CsrfForm<Posted>,
) -> Result<Response, Failure> {
    let typed = Typed::from(form.read());
    let (status, mistakes, problem) = match app.access.escalate(&admin(&person)?, &typed.asked()).await {
        Ok(_) => return Ok(Note::EscalationMade.at("/admin/access", app.cookies())),
        Err(AccessError::BadField { field, problem }) => {
            (StatusCode::UNPROCESSABLE_ENTITY, Mistakes(vec![(field, problem)]), None)
        }
        Err(AccessError::Gone(why)) => (StatusCode::CONFLICT, Mistakes::default(), Some(why.to_owned())),
        Err(other) => return Err(other.into()),
    };
    let groups = app.access.list_groups().await?;
    let mut page = EscalationPage::new(shell, &typed, &mistakes, (&groups, app.accounts.sends_mail()));
    page.problem = problem;
    Ok((status, page).into_response())
}

/// `POST /admin/access/escalations/{id}/end`.
///
/// # Errors
/// 404 when there is none, or it has ended already.
pub async fn end(
    State(app): State<AppState>,
    SignedIn(person): SignedIn,
    Segment((id,)): Segment<(EscalationId,)>,
    _form: CsrfForm<Nothing>,
) -> Result<Response, Failure> {
    app.access.end_escalation(&admin(&person)?, id).await?;
    Ok(Note::EscalationEnded.at("/admin/access", app.cookies()))
}
