//! One's own account: the password, and where one is signed in. The only page for who must change a password first.

use askama::Template;
use askama_web::WebTemplate;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use secrecy::SecretString;
use serde::Deserialize;

use super::sign_out::{Nothing, goodbye};
use super::{BUSY, From, again, begin, wait_text};
use crate::accounts::sessions::{ChangePasswordError, SessionView};
use crate::domain::ids::SessionId;
use crate::domain::people::Person;
use crate::domain::text::visible;
use crate::web::csrf::CsrfForm;
use crate::web::error::Failure;
use crate::web::extract::{Segment, SignedIn};
use crate::web::note::Note;
use crate::web::parts::{Field, Moment};
use crate::web::shell::Shell;
use crate::web::state::AppState;

#[derive(Template, WebTemplate)]
#[template(path = "session/me.html")]
struct MePage {
    shell: Shell,
    name: String,
    email: String,
    roles: String,
    must_change_password: bool,
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
    started: Moment,
    last_seen: Moment,
    expires: Moment,
    is_current: bool,
}

impl MePage {
    async fn load(app: &AppState, shell: Shell, person: &Person) -> Result<Self, Failure> {
        let now = app.clock.now();
        let sessions = app.accounts.list_sessions(person).await?;
        let row = |session: SessionView| SessionRow {
            id: session.id,
            browser: browser_name(&session.user_agent),
            user_agent: visible(&session.user_agent),
            address: session.address,
            started: Moment::new(session.started_at, now),
            last_seen: Moment::new(session.last_seen_at, now),
            expires: Moment::new(session.expires_at, now),
            is_current: session.current,
        };
        let roles = person.roles.names();
        let none =
            if person.must_change_password { "none before the password is changed" } else { "none yet: ask an admin" };
        Ok(Self {
            shell,
            name: visible(&person.name),
            email: visible(&person.email),
            roles: if roles.is_empty() { none.to_owned() } else { roles.join(", ") },
            must_change_password: person.must_change_password,
            sessions: sessions.into_iter().map(row).collect(),
            current: Field::password("current", "Current password", "current-password"),
            new: Field::password("new", "New password", "new-password")
                .hint("At least 15 characters. A few words that nobody would guess are best."),
            error: None,
        })
    }
}

/// "Firefox on Windows". Browsers claim to be each other, so the order matters; nothing depends on the answer.
fn browser_name(user_agent: &str) -> String {
    let first = |names: &[(&str, &'static str)]| {
        names.iter().find(|(mark, _)| user_agent.contains(mark)).map_or("another", |(_, name)| *name)
    };
    let browser = first(&[
        ("Edg", "Edge"),
        ("OPR/", "Opera"),
        ("Firefox/", "Firefox"),
        ("Chrome/", "Chrome"),
        ("CriOS/", "Chrome"),
        ("Safari/", "Safari"),
    ]);
    let system = first(&[
        ("Android", "Android"),
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Windows", "Windows"),
        ("Mac OS X", "macOS"),
        ("Linux", "Linux"),
    ]);
    match (browser, system) {
        ("another", "another") => "A program of another kind".to_owned(),
        ("another", system) => format!("Another browser on {system}"),
        (browser, "another") => browser.to_owned(),
        (browser, system) => format!("{browser} on {system}"),
    }
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
    app.accounts.end_other_sessions(&person).await?;
    app.accounts.sign_out(&person).await?;
    Ok(goodbye(&app))
}

#[cfg(test)]
mod tests {
    use super::browser_name;

    #[test]
    fn browsers_are_named_in_a_few_words() {
        let edge = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/156.0 Safari/537.36 Edg/156.0";
        let phone = "Mozilla/5.0 (iPhone; CPU iPhone OS 20_0 like Mac OS X) AppleWebKit/605 Version/20.0 Safari/604.1";
        assert_eq!(browser_name(edge), "Edge on Windows");
        assert_eq!(browser_name(phone), "Safari on iPhone");
        assert_eq!(browser_name("curl/8.1"), "A program of another kind");
        assert_eq!(browser_name("<script>"), "A program of another kind");
    }
}
