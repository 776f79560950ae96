//! Chats and webhooks: which there are, changing and ending one, trying it, and sending a message again.

use askama::Template;
use askama_web::WebTemplate;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::admin;
use super::channel::{ChannelPage, Line};
use super::channel_new::SecretPage;
use crate::access::AccessError;
use crate::access::grants::Mistakes;
use crate::domain::access::GateFields;
use crate::domain::channels::Tells;
use crate::domain::ids::{ChannelGatesId, ChannelId, DeliveryId};
use crate::web::note::Note;
use crate::web::session::Nothing;
use crate::web::{AppState, CsrfForm, Failure, Segment, Shell, SignedIn};

/// The list.
#[derive(Debug, Template, WebTemplate)]
#[template(path = "admin/channels.html")]
pub struct ChannelsPage {
    shell: Shell,
    channels: Vec<Line>,
}

/// `GET /admin/channels`.
///
/// # Errors
/// 503 when the database does not answer.
pub async fn list(State(app): State<AppState>, shell: Shell) -> Result<ChannelsPage, Failure> {
    let now = app.clock.now();
    let all = app.channels.list().await?;
    let channels = all.iter().map(|(channel, gates)| Line::of(channel, gates, now)).collect();
    Ok(ChannelsPage { shell, channels })
}

pub(super) fn page_of(id: ChannelId) -> String {
    format!("/admin/channels/{id}")
}

/// What is ticked.
pub(super) fn tells([waiting, reminders, ends, blind]: [&String; 4]) -> Tells {
    Tells {
        waiting: !waiting.is_empty(),
        reminders: !reminders.is_empty(),
        ends: !ends.is_empty(),
        blind: !blind.is_empty(),
    }
}

/// `GET /admin/channels/{id}`.
///
/// # Errors
/// 404 when there is none, or it has ended.
pub async fn show(
    State(app): State<AppState>,
    Segment((id,)): Segment<(ChannelId,)>,
    shell: Shell,
) -> Result<ChannelPage, Failure> {
    let seen = app.channels.load(id).await?;
    Ok(ChannelPage::of(shell, (&seen, app.channels.hosts()), &Mistakes::default(), app.clock.now()))
}

/// The form that changes one. A box that is not ticked sends nothing; an empty address leaves it where it leads.
#[derive(Debug, Deserialize)]
pub struct Changed {
    name: String,
    address: String,
    #[serde(default)]
    waiting: String,
    #[serde(default)]
    reminders: String,
    #[serde(default)]
    ends: String,
    #[serde(default)]
    blind: String,
}

/// `POST /admin/channels/{id}`.
///
/// # Errors
/// 404 when there is none, or it has ended.
pub async fn change(
    State(app): State<AppState>,
    SignedIn(person): SignedIn,
    shell: Shell,
    Segment((id,)): Segment<(ChannelId,)>,
    form: CsrfForm<Changed>,
) -> Result<Response, Failure> {
    let typed = form.read();
    let tells = tells([&typed.waiting, &typed.reminders, &typed.ends, &typed.blind]);
    let done = app.channels.change(&admin(&person)?, id, (&typed.name, tells, &typed.address)).await;
    answer(&app, shell, id, done, |page| page.keeping(&typed.name, tells)).await
}

/// The form that adds gates.
#[derive(Debug, Deserialize)]
pub struct MoreGates {
    source: String,
    pipeline: String,
    stage: String,
    action: String,
    tag_key: String,
    tag_value: String,
}

/// `POST /admin/channels/{id}/gates`.
///
/// # Errors
/// 404 when there is none, or it has ended.
pub async fn add_gates(
    State(app): State<AppState>,
    SignedIn(person): SignedIn,
    shell: Shell,
    Segment((id,)): Segment<(ChannelId,)>,
    form: CsrfForm<MoreGates>,
) -> Result<Response, Failure> {
    let MoreGates { source, pipeline, stage, action, tag_key, tag_value } = form.read();
    let typed = GateFields { source, pipeline, stage, action, tag_key, tag_value };
    let done = app.channels.add_gates(&admin(&person)?, id, &typed).await;
    answer(&app, shell, id, done, |page| page.keeping_gates(&typed)).await
}

/// Back to the channel's page: with what was typed and what is wrong with it, if anything is.
async fn answer(
    app: &AppState,
    shell: Shell,
    id: ChannelId,
    done: Result<(), AccessError>,
    keep: impl FnOnce(ChannelPage) -> ChannelPage,
) -> Result<Response, Failure> {
    match done {
        Ok(()) => Ok(Note::ChannelChanged.at(&page_of(id), app.cookies())),
        Err(AccessError::BadField { field, problem }) => {
            let seen = app.channels.load(id).await?;
            let mistakes = Mistakes(vec![(field, problem)]);
            let page = ChannelPage::of(shell, (&seen, app.channels.hosts()), &mistakes, app.clock.now());
            Ok((StatusCode::UNPROCESSABLE_ENTITY, keep(page)).into_response())
        }
        Err(other) => Err(other.into()),
    }
}

/// `POST /admin/channels/{id}/gates/{gates}/end`.
///
/// # Errors
/// 404 when it is not told of them.
pub async fn end_gates(
    State(app): State<AppState>,
    SignedIn(person): SignedIn,
    Segment((id, gates)): Segment<(ChannelId, ChannelGatesId)>,
    _form: CsrfForm<Nothing>,
) -> Result<Response, Failure> {
    app.channels.end_gates(&admin(&person)?, id, gates).await?;
    Ok(Note::ChannelChanged.at(&page_of(id), app.cookies()))
}

/// `POST /admin/channels/{id}/secret`.
///
/// # Errors
/// 404 when there is none, or its messages are not signed.
pub async fn renew_secret(
    State(app): State<AppState>,
    SignedIn(person): SignedIn,
    shell: Shell,
    Segment((id,)): Segment<(ChannelId,)>,
    _form: CsrfForm<Nothing>,
) -> Result<Response, Failure> {
    let secret = app.channels.renew_secret(&admin(&person)?, id).await?;
    Ok(SecretPage::of(shell, id, &secret).into_response())
}

/// `POST /admin/channels/{id}/end`.
///
/// # Errors
/// 404 when there is none, or it has ended.
pub async fn end(
    State(app): State<AppState>,
    SignedIn(person): SignedIn,
    Segment((id,)): Segment<(ChannelId,)>,
    _form: CsrfForm<Nothing>,
) -> Result<Response, Failure> {
    app.channels.end(&admin(&person)?, id).await?;
    Ok(Note::ChannelEnded.at("/admin/channels", app.cookies()))
}

/// `POST /admin/channels/{id}/test`.
///
/// # Errors
/// 404 when there is none, or it has ended.
pub async fn test(
    State(app): State<AppState>,
    SignedIn(person): SignedIn,
    Segment((id,)): Segment<(ChannelId,)>,
    _form: CsrfForm<Nothing>,
) -> Result<Response, Failure> {
    app.channels.test(&admin(&person)?, id).await?;
    Ok(Note::ChannelTested.at(&page_of(id), app.cookies()))
}

/// `POST /admin/channels/{id}/deliveries/{delivery}/again`.
///
/// # Errors
/// 404 when there is nothing to send.
pub async fn send_again(
    State(app): State<AppState>,
    SignedIn(person): SignedIn,
    Segment((id, delivery)): Segment<(ChannelId, DeliveryId)>,
    _form: CsrfForm<Nothing>,
) -> Result<Response, Failure> {
    app.channels.send_again(&admin(&person)?, id, delivery).await?;
    Ok(Note::ChannelSentAgain.at(&page_of(id), app.cookies()))
}
