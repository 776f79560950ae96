//! An invitation: who invites whom, and how they will sign in. Looking at it neither uses it up nor changes anything;
//! mail scanners look at everything.
//!
//! A password needs no script; a passkey in its place does.

use askama::Template;
use askama_web::WebTemplate;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::sign_out::Nothing;
use super::{BUSY, From, Replaces, again, begin, refused};
use crate::accounts::factors::InvitedPasskey;
use crate::accounts::invitations::{Acceptance, Accepted, Invitation, Means};
use crate::accounts::links::LinkError;
use crate::domain::text::visible;
use crate::web::csrf::CsrfForm;
use crate::web::error::Failure;
use crate::web::extract::{Beginning, Segment};
use crate::web::factors::CodesPage;
use crate::web::note::Note;
use crate::web::parts::{Field, Moment};
use crate::web::shell::Shell;
use crate::web::state::AppState;
use crate::web::step_up::asked;

#[derive(Template, WebTemplate)]
#[template(path = "session/invite.html")]
struct InvitePage {
    shell: Shell,
    /// Where the form goes: this page.
    action: String,
    invited_by: String,
    email: String,
    roles: String,
    expires: Moment,
    name: Field,
    password: Field,
    /// Whether there are passkeys at this portal's address.
    takes_passkeys: bool,
    error: Option<String>,
}

impl InvitePage {
    fn new(app: &AppState, shell: Shell, code: &SecretString, invitation: &Invitation) -> Self {
        let roles = invitation.roles.names();
        Self {
            action: format!("/invite/{}", code.expose_secret()),
            invited_by: invitation.invited_by.as_deref().map_or_else(|| "The operator".to_owned(), visible),
            email: invitation.email.clone(),
            roles: if roles.is_empty() { "none yet".to_owned() } else { roles.join(", ") },
            expires: Moment::new(invitation.expires_at, app.clock.now()),
            name: Field::text("name", "Name")
                .value(&invitation.name)
                .autocomplete("name")
                .hint("As it shall stand in every record of what you decide."),
            password: Field::password("password", "Password", "new-password")
                .hint("At least 15 characters. A few words that nobody would guess are best.")
                .focused(true),
            takes_passkeys: app.accounts.takes_passkeys(),
            error: None,
            shell,
        }
    }

    fn wrong(&mut self, field: &str, problem: String) {
        if field == "passkey" {
            self.error = Some(problem);
            return;
        }
        let place = if field == "name" { &mut self.name } else { &mut self.password };
        *place = place.clone().error(Some(problem)).focused(true);
        if field == "name" {
            self.password = self.password.clone().focused(false);
        }
    }
}

/// `GET /invite/{code}`.
///
/// # Errors
/// 404 for every code that does not work; 429 for who tries too many.
pub async fn show(
    State(app): State<AppState>,
    shell: Shell,
    From(origin): From,
    Segment((code,)): Segment<(String,)>,
) -> Result<Response, Failure> {
    let code = SecretString::from(code);
    let invitation = app.accounts.find_invitation(&code, origin.address).await.map_err(refused)?;
    Ok(again(StatusCode::OK, InvitePage::new(&app, shell, &code, &invitation), None))
}

/// The form.
#[derive(Deserialize)]
pub struct Fields {
    name: String,
    #[serde(default)]
    password: SecretString,
    #[serde(default)]
    ceremony: String,
    #[serde(default)]
    credential: String,
}

/// `POST /invite/{code}/challenge`, by the page's script: a passkey in place of a password.
///
/// # Errors
/// 404 for every code that does not work, and where the portal has no host name.
pub async fn challenge(
    State(app): State<AppState>,
    Beginning(holder): Beginning,
    From(origin): From,
    Segment((code,)): Segment<(String,)>,
    _form: CsrfForm<Nothing>,
) -> Result<Response, Failure> {
    let code = SecretString::from(code);
    asked(app.accounts.ask_invited_passkey(&code, holder, origin.address).await.map_err(refused)?)
}

/// `POST /invite/{code}`.
///
/// # Errors
/// 404 for every code that does not work, or does so no longer; 503 when the database does not answer.
pub async fn submit(
    State(app): State<AppState>,
    shell: Shell,
    From(origin): From,
    Beginning(holder): Beginning,
    Replaces(replaces): Replaces,
    Segment((code,)): Segment<(String,)>,
    form: CsrfForm<Fields>,
) -> Result<Response, Failure> {
    let Fields { name, password, ceremony, credential } = form.read();
    let (code, address) = (SecretString::from(code), origin.address);
    let means = match ceremony.parse() {
        Ok(ceremony) => Means::Passkey(InvitedPasskey { ceremony, answer: credential, holder }),
        Err(_) => Means::Password(password),
    };
    let acceptance = Acceptance { code: code.clone(), name: name.clone(), means, origin, replaces };
    let error = match app.accounts.accept_invitation(acceptance).await {
        Ok(Accepted { session, codes }) => {
            let response = match codes {
                Some(codes) => CodesPage::new(Shell::of(Some(&session.person), String::new(), "/"), &codes, Some(0))
                    .into_response(),
                None => Note::Accepted.at("/", app.cookies()),
            };
            return Ok(begin(response, &app, &session));
        }
        Err(error) => error,
    };
    if !matches!(error, LinkError::BadField { .. } | LinkError::Busy { .. }) {
        return Err(refused(error));
    }
    let invitation = app.accounts.find_invitation(&code, address).await.map_err(refused)?;
    let mut page = InvitePage::new(&app, shell, &code, &Invitation { name, ..invitation });
    match error {
        LinkError::BadField { field, problem } => {
            page.wrong(field, problem);
            Ok(again(StatusCode::UNPROCESSABLE_ENTITY, page, None))
        }
        LinkError::Busy { retry_after } => {
            page.error = Some(BUSY.to_owned());
            Ok(again(StatusCode::SERVICE_UNAVAILABLE, page, Some(retry_after)))
        }
        other => Err(refused(other)),
    }
}
