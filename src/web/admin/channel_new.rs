//! Making a channel: with what it would be told of shown first, and where it leads typed last. An address goes from the form (by the
//! page that asks for proof, if it does) to where it is sealed, and no page shows it again; a secret is shown once.

use askama::Template;
use askama_web::WebTemplate;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use secrecy::ExposeSecret as _;
use serde::Deserialize;

use super::admin;
use super::channel;
use super::channels::{page_of, tells};
use super::overview::in_words;
use super::pattern::{self, Preview};
use crate::access::AccessError;
use crate::access::grants::Mistakes;
use crate::channels::{Asked, Checked, Secret};
use crate::domain::access::GateFields;
use crate::domain::channels::{Kind, Tells};
use crate::domain::ids::ChannelId;
use crate::domain::text::visible;
use crate::web::note::Note;
use crate::web::parts::{Choice, Field};
use crate::web::{AppState, CsrfForm, Failure, Query, Shell, SignedIn};

/// The form, as it is typed: everything but the address, because this form's fields stand in the page's own address.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Typed {
    kind: String,
    name: String,
    source: String,
    pipeline: String,
    stage: String,
    action: String,
    tag_key: String,
    tag_value: String,
    waiting: String,
    reminders: String,
    ends: String,
    blind: String,
    look: String,
}

/// The form that makes one: all its fields, or it is not ours (S-34). Empty patterns are every gate, so a form that lost them
/// must not count. What is not told is empty.
#[derive(Debug, Deserialize)]
pub struct Posted {
    kind: String,
    name: String,
    source: String,
    pipeline: String,
    stage: String,
    action: String,
    tag_key: String,
    tag_value: String,
    waiting: String,
    reminders: String,
    ends: String,
    blind: String,
    address: String,
}

impl Posted {
    fn split(self) -> (Typed, String) {
        let Self { kind, name, source, pipeline, stage, action, tag_key, tag_value, .. } = self;
        let Self { waiting, reminders, ends, blind, address, .. } = self;
        let look = String::new();
        let typed = Typed {
            kind,
            name,
            source,
            pipeline,
            stage,
            action,
            tag_key,
            tag_value,
            waiting,
            reminders,
            ends,
            blind,
            look,
        };
        (typed, address)
    }
}

impl Typed {
    /// What is offered: told of all that people are told of.
    fn usual() -> Self {
        let on = || "on".to_owned();
        Self { kind: Kind::Slack.name().to_owned(), waiting: on(), reminders: on(), ends: on(), ..Self::default() }
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

    fn tells(&self) -> Tells {
        tells([&self.waiting, &self.reminders, &self.ends, &self.blind])
    }

    /// None: it is none of the kinds.
    fn asked(&self) -> Option<Asked> {
        let kind = Kind::from_name(&self.kind)?;
        Some(Asked { kind, name: self.name.clone(), tells: self.tells(), gates: self.gates() })
    }

    fn hidden(&self) -> pattern::Hidden {
        let mut hidden = pattern::hidden(self.gates(), "");
        hidden.retain(|(name, _)| *name != "note");
        let more = [
            ("kind", &self.kind),
            ("name", &self.name),
            ("waiting", &self.waiting),
            ("reminders", &self.reminders),
            ("ends", &self.ends),
            ("blind", &self.blind),
        ];
        hidden.extend(more.map(|(name, value)| (name, value.clone())));
        hidden
    }
}

/// The page that makes one.
#[derive(Debug, Template, WebTemplate)]
#[template(path = "admin/channel_new.html")]
pub struct NewChannelPage {
    shell: Shell,
    kind: Choice,
    name: Field,
    ticks: Vec<channel::Tick>,
    nothing_ticked: Option<String>,
    patterns: Vec<Field>,
    tags: Vec<Field>,
    preview: Option<Preview>,
    address: Field,
}

impl NewChannelPage {
    fn new(app: &AppState, shell: Shell, typed: &Typed, mistakes: &Mistakes) -> Self {
        let (patterns, tags) = pattern::fields(&typed.gates(), mistakes);
        let kinds = Kind::ALL.iter().map(|kind| (kind.name().to_owned(), kind.in_words().to_owned()));
        Self {
            shell,
            kind: Choice::new("kind", "Kind", &typed.kind, kinds).error(mistakes.at("kind")),
            name: channel::name(&typed.name, mistakes),
            ticks: channel::ticks(typed.tells()),
            nothing_ticked: mistakes.at("waiting"),
            patterns,
            tags,
            preview: None,
            address: channel::address(Kind::from_name(&typed.kind), app.channels.hosts(), mistakes, None),
        }
    }

    async fn previewed(mut self, app: &AppState, typed: &Typed, checked: &Checked) -> Result<Self, Failure> {
        let sentence = format!(
            "{} is told of {}: {}.",
            visible(&checked.name),
            in_words(&checked.gates),
            channel::in_words(checked.tells)
        );
        let picture = app.access.picture(None).await?;
        self.preview = Some(Preview::of(sentence, &checked.gates, &picture, typed.hidden()));
        Ok(self)
    }
}

/// `GET /admin/channels/new`: the form, and what it would be told of.
///
/// # Errors
/// 503 when the database does not answer.
pub async fn new(State(app): State<AppState>, Query(typed): Query<Typed>, shell: Shell) -> Result<Response, Failure> {
    if typed.look != "1" {
        return Ok(NewChannelPage::new(&app, shell, &Typed::usual(), &Mistakes::default()).into_response());
    }
    match check(&app, &typed)? {
        Err(mistakes) => Ok(wrong(NewChannelPage::new(&app, shell, &typed, &mistakes))),
        Ok(checked) => {
            let page = NewChannelPage::new(&app, shell, &typed, &Mistakes::default());
            Ok(page.previewed(&app, &typed, &checked).await?.into_response())
        }
    }
}

fn check(app: &AppState, typed: &Typed) -> Result<Result<Checked, Mistakes>, Failure> {
    let Some(asked) = typed.asked() else {
        return Ok(Err(Mistakes(vec![("kind", "Choose one of these.".to_owned())])));
    };
    Ok(app.channels.check(&asked)?)
}

fn wrong(page: NewChannelPage) -> Response {
    (StatusCode::UNPROCESSABLE_ENTITY, page).into_response()
}

/// The answer to making a webhook: what its messages are signed with, this once.
#[derive(Template, WebTemplate)]
#[template(path = "admin/channel_secret.html")]
pub(super) struct SecretPage {
    shell: Shell,
    page: String,
    secret: String,
}

impl SecretPage {
    pub(super) fn of(shell: Shell, id: ChannelId, secret: &Secret) -> Self {
        Self { shell, page: page_of(id), secret: secret.0.expose_secret().to_owned() }
    }
}

/// `POST /admin/channels`.
///
/// # Errors
/// 503 when the database does not answer.
pub async fn submit(
    State(app): State<AppState>,
    SignedIn(person): SignedIn,
    shell: Shell,
    form: CsrfForm<Posted>,
) -> Result<Response, Failure> {
    let (typed, address) = form.read().split();
    let checked = match check(&app, &typed)? {
        Err(mistakes) => return Ok(wrong(NewChannelPage::new(&app, shell, &typed, &mistakes))),
        Ok(checked) => checked,
    };
    let made = match app.channels.check_address(&address, checked.kind) {
        Ok(address) => app.channels.make(&admin(&person)?, &checked, &address).await,
        Err(error) => Err(error),
    };
    match made {
        Ok((id, None)) => Ok(Note::ChannelMade.at(&page_of(id), app.cookies())),
        Ok((id, Some(secret))) => Ok(SecretPage::of(shell, id, &secret).into_response()),
        Err(AccessError::BadField { field, problem }) => {
            let page = NewChannelPage::new(&app, shell, &typed, &Mistakes(vec![(field, problem)]));
            // Where only the address is wrong, the step it is typed in stays.
            Ok(wrong(if field == "address" { page.previewed(&app, &typed, &checked).await? } else { page }))
        }
        Err(other) => Err(other.into()),
    }
}
