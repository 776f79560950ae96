//! Gates that ask for fresh proof of who decides: marking them, with what the mark would fit, and lifting a mark.

use askama::Template;
use askama_web::WebTemplate;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::admin;
use super::overview::in_words;
use super::pattern::{self, Preview};
use crate::access::AccessError;
use crate::access::grants::Mistakes;
use crate::domain::access::GateFields;
use crate::domain::ids::StepUpGateId;
use crate::web::note::Note;
use crate::web::parts::Field;
use crate::web::session::Nothing;
use crate::web::{AppState, CsrfForm, Failure, Query, Segment, Shell, SignedIn};

/// The form, as it is typed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Typed {
    source: String,
    pipeline: String,
    stage: String,
    action: String,
    tag_key: String,
    tag_value: String,
    note: String,
    look: String,
}

/// The form that marks them: all its fields, or it is not ours (S-34). Empty patterns are every gate, so a form that lost
/// them must not count.
#[derive(Debug, Deserialize)]
pub struct Posted {
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
        let Posted { source, pipeline, stage, action, tag_key, tag_value, note } = it;
        Self { source, pipeline, stage, action, tag_key, tag_value, note, look: String::new() }
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
}

/// The page.
#[derive(Debug, Template, WebTemplate)]
#[template(path = "admin/mark.html")]
pub struct MarkPage {
    shell: Shell,
    patterns: Vec<Field>,
    tags: Vec<Field>,
    note: Field,
    preview: Option<Preview>,
}

impl MarkPage {
    fn new(shell: Shell, typed: &Typed, mistakes: &Mistakes) -> Self {
        let (patterns, tags) = pattern::fields(&typed.gates(), mistakes);
        Self { shell, patterns, tags, note: pattern::note(&typed.note, mistakes), preview: None }
    }
}

/// `GET /admin/access/marks/new`.
///
/// # Errors
/// 503 when the database does not answer.
pub async fn new(State(app): State<AppState>, Query(typed): Query<Typed>, shell: Shell) -> Result<Response, Failure> {
    if typed.look != "1" {
        return Ok(MarkPage::new(shell, &typed, &Mistakes::default()).into_response());
    }
    match app.access.check_mark(&typed.gates(), &typed.note)? {
        Err(mistakes) => {
            Ok((StatusCode::UNPROCESSABLE_ENTITY, MarkPage::new(shell, &typed, &mistakes)).into_response())
        }
        Ok(gates) => {
            let sentence = format!("Deciding {} asks for fresh proof of who decides.", in_words(&gates));
            let mut page = MarkPage::new(shell, &typed, &Mistakes::default());
            let hidden = pattern::hidden(typed.gates(), &typed.note);
            page.preview = Some(Preview::of(sentence, &gates, &app.access.picture(None).await?, hidden));
            Ok(page.into_response())
        }
    }
}

/// `POST /admin/access/marks`.
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
    match app.access.require_proof(&admin(&person)?, &typed.gates(), &typed.note).await {
        Ok(_) => Ok(Note::GatesMarked.at("/admin/access", app.cookies())),
        Err(AccessError::BadField { field, problem }) => {
            let page = MarkPage::new(shell, &typed, &Mistakes(vec![(field, problem)]));
            Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
        }
        Err(other) => Err(other.into()),
    }
}

/// `POST /admin/access/marks/{id}/lift`.
///
/// # Errors
/// 404 when there is none, or it was lifted already.
pub async fn lift(
    State(app): State<AppState>,
    SignedIn(person): SignedIn,
    Segment((id,)): Segment<(StepUpGateId,)>,
    _form: CsrfForm<Nothing>,
) -> Result<Response, Failure> {
    app.access.lift(&admin(&person)?, id).await?;
    Ok(Note::MarkLifted.at("/admin/access", app.cookies()))
}
