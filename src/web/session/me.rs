//! One's own account: who one is, how one signs in, where one is signed in, what one may decide. The only page for who must
//! change a password first.

use askama::Template;
use askama_web::WebTemplate;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use secrecy::SecretString;
use serde::Deserialize;

use super::my_access::Summary;
use super::sign_out::{Nothing, goodbye};
use super::{BUSY, From, again, begin, wait_text};
use crate::accounts::factors::FactorsView;
use crate::accounts::password::{SHORTEST, SHORTEST_BESIDE};
use crate::accounts::sessions::{ChangePasswordError, SessionView};
use crate::domain::browser;
use crate::domain::ids::SessionId;
use crate::domain::people::Person;
use crate::domain::text::visible;
use crate::domain::zone;
use crate::web::csrf::CsrfForm;
use crate::web::display::count;
use crate::web::error::Failure;
use crate::web::extract::{Segment, SignedIn};
use crate::web::note::Note;
use crate::web::parts::{Choice, Field, Moment};
use crate::web::shell::Shell;
use crate::web::state::AppState;

#[derive(Template, WebTemplate)]
#[template(path = "session/me.html")]
pub(super) struct MePage {
    shell: Shell,
    email: String,
    roles: String,
    name: Field,
    /// The zone that is kept.
    zone: String,
    time_zone: Choice,
    must_change_password: bool,
    factors: String,
    may_decide: bool,
    access: Summary,
    is_admin: bool,
    sends_mail: bool,
    /// Whether browsers can be told something.
    pushes: bool,
    /// Whether they have a password that is of any use.
    has_password: bool,
    /// Whether there is an identity provider to be linked with.
    has_providers: bool,
    sessions: Vec<SessionRow>,
    current: Field,
    new: Field,
    error: Option<String>,
}

struct SessionRow {
    id: SessionId,
    /// In a few words, where it is one that many people use.
    browser: String,
    user_agent: String,
    address: String,
    /// Where it was last seen, if elsewhere.
    last_address: Option<String>,
    started: Moment,
    last_seen: Moment,
    expires: Moment,
    is_current: bool,
}

impl MePage {
    pub(super) async fn load(app: &AppState, shell: Shell, person: &Person) -> Result<Self, Failure> {
        let now = app.clock.now();
        let sessions = app.accounts.list_sessions(person).await?;
        let factors = app.accounts.factors(person).await?;
        let least = if factors.any() { SHORTEST_BESIDE } else { SHORTEST };
        let row = |session: SessionView| SessionRow {
            id: session.id,
            browser: browser::name_of(&session.user_agent),
            user_agent: visible(&session.user_agent),
            address: session.address,
            last_address: session.last_address,
            started: Moment::new(session.started_at, now),
            last_seen: Moment::new(session.last_seen_at, now),
            expires: Moment::new(session.expires_at, now),
            is_current: session.current,
        };
        let mut roles = person.roles.names();
        if person.lacks_factor && !person.must_change_password {
            roles.push("admin, once this session has shown a second factor".to_owned());
        }
        let none =
            if person.must_change_password { "none before the password is changed" } else { "none yet: ask an admin" };
        Ok(Self {
            shell,
            name: Field::text("name", "Name").value(&person.name).autocomplete("name"),
            zone: zone::name_of(&person.zone).to_owned(),
            time_zone: zone_choice(zone::name_of(&person.zone)),
            email: visible(&person.email),
            roles: if roles.is_empty() { none.to_owned() } else { roles.join(", ") },
            must_change_password: person.must_change_password,
            may_decide: person.roles.may_decide(),
            access: Summary::read(app, person).await?,
            is_admin: person.roles.admin,
            sends_mail: app.accounts.sends_mail(),
            pushes: app.push.is_on(),
            has_password: app.accounts.has_password(person.account).await?,
            has_providers: app.sso.providers().next().is_some(),
            sessions: sessions.into_iter().map(row).collect(),
            current: Field::password("current", "Current password", "current-password"),
            new: Field::password("new", "New password", "new-password")
                .hint(format!("At least {least} characters. A few words that nobody would guess are best.")),
            factors: factors_line(&factors),
            error: None,
        })
    }

    /// With the name as typed and what is wrong with it.
    pub(super) fn with_name(mut self, typed: &str, problem: String) -> Self {
        self.name = self.name.value(typed).error(Some(problem)).focused(true);
        self
    }

    /// With what is wrong with the zone that was chosen.
    pub(super) fn with_zone(mut self, problem: String) -> Self {
        self.time_zone = self.time_zone.error(Some(problem));
        self
    }
}

fn zone_choice(chosen: &str) -> Choice {
    let words = |name: &String| (name.clone(), name.replace('_', " "));
    Choice::new("time_zone", "Time zone", chosen, zone::list_names().iter().map(words))
}

/// What somebody has, in a sentence.
fn factors_line(factors: &FactorsView) -> String {
    let mut have = Vec::new();
    if !factors.passkeys.is_empty() {
        have.push(count(factors.passkeys.len() as u64, "passkey", "passkeys"));
    }
    if factors.totp.is_some() {
        have.push("an authenticator app".to_owned());
    }
    if have.is_empty() {
        return "You have none: whoever learns your password is you.".to_owned();
    }
    have.push(count(factors.recovery as u64, "recovery code", "recovery codes"));
    format!("You have {}.", have.join(", "))
}

/// `GET /me`.
///
/// # Errors
/// 503 when the database does not answer.
pub async fn show(State(app): State<AppState>, shell: Shell, SignedIn(person): SignedIn) -> Result<Response, Failure> {
    Ok(MePage::load(&app, shell, &person).await?.into_response())
}

/// The form of the password.
#[derive(Deserialize)]
pub struct Passwords {
    current: SecretString,
    new: SecretString,
}

/// `POST /me/password`.
///
/// # Errors
/// 401 when the session ended meanwhile; 503 when the database does not answer.
pub async fn change_password(
    State(app): State<AppState>,
    shell: Shell,
    SignedIn(person): SignedIn,
    From(origin): From,
    form: CsrfForm<Passwords>,
) -> Result<Response, Failure> {
    let Passwords { current, new } = form.read();
    let error = match app.accounts.change_password(&person, current, new, origin).await {
        Ok(session) => return Ok(begin(Note::PasswordChanged.at("/me", app.cookies()), &app, &session)),
        Err(error) => error,
    };
    let mut page = MePage::load(&app, shell, &person).await?;
    let (status, wait) = match error {
        ChangePasswordError::WrongCurrent => {
            page.current = page.current.error(Some("The current password is wrong.".into())).focused(true);
            (StatusCode::UNPROCESSABLE_ENTITY, None)
        }
        ChangePasswordError::Refused(why) => {
            page.new = page.new.error(Some(why)).focused(true);
            (StatusCode::UNPROCESSABLE_ENTITY, None)
        }
        ChangePasswordError::TooMany { retry_after } => {
            page.error = Some(wait_text(retry_after));
            (StatusCode::TOO_MANY_REQUESTS, Some(retry_after))
        }
        ChangePasswordError::Busy { retry_after } => {
            page.error = Some(BUSY.to_owned());
            (StatusCode::SERVICE_UNAVAILABLE, Some(retry_after))
        }
        ChangePasswordError::SignedOut => {
            return Err(Failure::new(StatusCode::UNAUTHORIZED).with_next("Sign in", "/sign-in"));
        }
        ChangePasswordError::Unavailable(cause) => return Err(cause.into()),
    };
    Ok(again(status, page, wait))
}

/// `POST /me/sessions/{id}/end`. Ending the session one is in is signing out.
///
/// # Errors
/// 404 for a session that is not one's own (S-31).
pub async fn end_session(
    State(app): State<AppState>,
    SignedIn(person): SignedIn,
    Segment((id,)): Segment<(SessionId,)>,
    _form: CsrfForm<Nothing>,
) -> Result<Response, Failure> {
    if !app.accounts.end_session(&person, id).await? {
        return Err(Failure::not_found());
    }
    Ok(if id == person.session { goodbye(&app) } else { Note::SessionEnded.at("/me", app.cookies()) })
}

/// `POST /me/sessions/end-others`.
///
/// # Errors
/// 503 when the database does not answer.
pub async fn end_others(
    State(app): State<AppState>,
    SignedIn(person): SignedIn,
    _form: CsrfForm<Nothing>,
) -> Result<Response, Failure> {
    app.accounts.end_other_sessions(&person).await?;
    Ok(Note::OtherSessionsEnded.at("/me", app.cookies()))
}

/// `POST /me/sessions/end-all`: sign out everywhere.
///
/// # Errors
/// 503 when the database does not answer.
pub async fn end_all(
    State(app): State<AppState>,
    SignedIn(person): SignedIn,
    _form: CsrfForm<Nothing>,
) -> Result<Response, Failure> {
    app.accounts.sign_out_everywhere(&person).await?;
    Ok(goodbye(&app))
}
