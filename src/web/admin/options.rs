//! Options of gates, that mail decides them and that the portal rejects what nobody decides: choosing the gates, with what the
//! choice would fit, and taking it back.

use askama::Template;
use askama_web::WebTemplate;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::admin;
use super::overview::in_words;
use super::pattern::{self, Preview};
use crate::access::grants::Mistakes;
use crate::access::options::{Chosen, USUAL_MINUTES};
use crate::domain::access::{GateFields, OptionKind};
use crate::domain::ids::GateOptionId;
use crate::domain::text::visible;
use crate::web::note::Note;
use crate::web::parts::Field;
use crate::web::session::Nothing;
use crate::web::{AppState, CsrfForm, Failure, Query, Segment, Shell, SignedIn};

/// The form, as it is typed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Typed {
    kind: String,
    source: String,
    pipeline: String,
    stage: String,
    action: String,
    tag_key: String,
    tag_value: String,
    minutes: String,
    note: String,
    look: String,
}

/// The form that chooses them: all its fields, or it is not ours (S-34). Empty patterns are every gate, so a form that lost
/// them must not count.
#[derive(Debug, Deserialize)]
pub struct Posted {
    kind: String,
    source: String,
    pipeline: String,
    stage: String,
    action: String,
    tag_key: String,
    tag_value: String,
    minutes: String,
    note: String,
}

impl From<Posted> for Typed {
    fn from(it: Posted) -> Self {
        let Posted { kind, source, pipeline, stage, action, tag_key, tag_value, minutes, note } = it;
        Self { kind, source, pipeline, stage, action, tag_key, tag_value, minutes, note, look: String::new() }
    }
}

impl Typed {
    /// Which option. A page of a kind that there is not, is not there; the form says which it is.
    fn kind(&self) -> Result<OptionKind, Failure> {
        OptionKind::from_name(&self.kind).ok_or_else(Failure::not_found)
    }

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
#[template(path = "admin/option.html")]
pub struct OptionPage {
    shell: Shell,
    kind: OptionKind,
    patterns: Vec<Field>,
    tags: Vec<Field>,
    minutes: Field,
    note: Field,
    preview: Option<Preview>,
    /// Whether this portal sends any mail.
    sends_mail: bool,
}

impl OptionPage {
    fn new(app: &AppState, shell: Shell, (kind, typed): (OptionKind, &Typed), mistakes: &Mistakes) -> Self {
        let range = kind.minutes();
        let (label, counted) = match kind {
            OptionKind::DecideByMail => ("Minutes a mail decides", "counted from when it was written"),
            OptionKind::RejectUnattended => ("Minutes until it is rejected", "which is seven days"),
        };
        let (patterns, tags) = pattern::fields(&typed.gates(), mistakes);
        let minutes = Field::text("minutes", label)
            .digits()
            .value(visible(&typed.minutes))
            .error(mistakes.at("minutes"))
            .hint(format!("From {} to {}, {counted}.", range.start(), range.end()));
        let note = pattern::note(&typed.note, mistakes);
        let sends_mail = app.accounts.sends_mail();
        Self { shell, kind, patterns, tags, minutes, note, preview: None, sends_mail }
    }

    fn rejects(&self) -> bool {
        self.kind == OptionKind::RejectUnattended
    }

    fn button(&self) -> &'static str {
        if self.rejects() { "Reject what nobody decides" } else { "Let mail decide these" }
    }
}

/// `GET /admin/access/options/new`.
///
/// # Errors
/// 503 when the database does not answer.
pub async fn new(
    State(app): State<AppState>,
    Query(mut typed): Query<Typed>,
    shell: Shell,
) -> Result<Response, Failure> {
    if typed.kind.is_empty() {
        typed.kind = OptionKind::DecideByMail.name().to_owned();
    }
    let kind = typed.kind()?;
    if typed.look != "1" {
        if typed.minutes.is_empty() {
            typed.minutes = USUAL_MINUTES.to_string();
        }
        return Ok(OptionPage::new(&app, shell, (kind, &typed), &Mistakes::default()).into_response());
    }
    match app.access.check_option(kind, &typed.gates(), &typed.minutes, &typed.note)? {
        Err(mistakes) => Ok(wrong(&app, shell, (kind, &typed), &mistakes)),
        Ok(chosen) => {
            let mut page = OptionPage::new(&app, shell, (kind, &typed), &Mistakes::default());
            let mut hidden = pattern::hidden(typed.gates(), &typed.note);
            hidden.push(("minutes", typed.minutes.clone()));
            hidden.push(("kind", kind.name().to_owned()));
            let picture = app.access.picture(None).await?;
            page.preview = Some(Preview::of(in_a_sentence(&chosen), &chosen.gates, &picture, hidden));
            Ok(page.into_response())
        }
    }
}

fn in_a_sentence(chosen: &Chosen) -> String {
    let (gates, minutes) = (in_words(&chosen.gates), chosen.minutes);
    match chosen.kind {
        OptionKind::DecideByMail => format!(
            "Whoever is mailed about {gates} decides with the code in that mail, without signing in, for {minutes} minutes."
        ),
        OptionKind::RejectUnattended => format!(
            "What nobody has decided at {gates} within {minutes} minutes of its opening, Countersign rejects at AWS. What waits \
             already has {minutes} minutes from now."
        ),
    }
}

/// `POST /admin/access/options`.
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
    let kind = typed.kind()?;
    match app.access.check_option(kind, &typed.gates(), &typed.minutes, &typed.note)? {
        Err(mistakes) => Ok(wrong(&app, shell, (kind, &typed), &mistakes)),
        Ok(chosen) => {
            app.access.set_option(&admin(&person)?, &chosen).await?;
            let note = match kind {
                OptionKind::DecideByMail => Note::OptionSet,
                OptionKind::RejectUnattended => Note::UnattendedSet,
            };
            Ok(note.at("/admin/access", app.cookies()))
        }
    }
}

fn wrong(app: &AppState, shell: Shell, typed: (OptionKind, &Typed), mistakes: &Mistakes) -> Response {
    (StatusCode::UNPROCESSABLE_ENTITY, OptionPage::new(app, shell, typed, mistakes)).into_response()
}

/// `POST /admin/access/options/{id}/end`.
///
/// # Errors
/// 404 when there is none, or it was ended already.
pub async fn end(
    State(app): State<AppState>,
    SignedIn(person): SignedIn,
    Segment((id,)): Segment<(GateOptionId,)>,
    _form: CsrfForm<Nothing>,
) -> Result<Response, Failure> {
    let note = match app.access.end_option(&admin(&person)?, id).await? {
        OptionKind::DecideByMail => Note::OptionEnded,
        OptionKind::RejectUnattended => Note::UnattendedEnded,
    };
    Ok(note.at("/admin/access", app.cookies()))
}
