//! A new password, by a link that was mailed. Looking at it neither uses it up nor changes anything. Nobody is signed in by
//! it: the sign-in page comes next, with whatever else it asks for.

use askama::Template;
use askama_web::WebTemplate;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::Response;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::{BUSY, From, again, refused};
use crate::accounts::links::LinkError;
use crate::accounts::resets::ResetView;
use crate::web::cookie::Cookie;
use crate::web::csrf::CsrfForm;
use crate::web::error::Failure;
use crate::web::extract::Segment;
use crate::web::note::Note;
use crate::web::parts::{Field, Moment};
use crate::web::shell::Shell;
use crate::web::state::AppState;

#[derive(Template, WebTemplate)]
#[template(path = "session/reset.html")]
struct ResetPage {
    shell: Shell,
    /// Where the form goes: this page.
    action: String,
    email: String,
    expires: Moment,
    password: Field,
    error: Option<String>,
}

impl ResetPage {
    fn new(app: &AppState, shell: Shell, code: &SecretString, reset: ResetView) -> Self {
        Self {
            shell,
            action: format!("/reset/{}", code.expose_secret()),
            email: reset.email,
            expires: Moment::new(reset.expires_at, app.clock.now()),
            password: Field::password("password", "New password", "new-password")
                .hint("At least 15 characters. A few words that nobody would guess are best.")
                .focused(true),
            error: None,
        }
    }
}

/// `GET /reset/{code}`.
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
    let reset = app.accounts.find_reset(&code, origin.address).await.map_err(refused)?;
    Ok(again(StatusCode::OK, ResetPage::new(&app, shell, &code, reset), None))
}

/// The form.
#[derive(Deserialize)]
pub struct Fields {
    password: SecretString,
}

/// `POST /reset/{code}`.
///
/// # Errors
/// 404 for every code that does not work, or does so no longer; 503 when the database does not answer.
pub async fn submit(
    State(app): State<AppState>,
    shell: Shell,
    From(origin): From,
    Segment((code,)): Segment<(String,)>,
    form: CsrfForm<Fields>,
) -> Result<Response, Failure> {
    let (code, Fields { password }) = (SecretString::from(code), form.read());
    let (status, problem, wait) = match app.accounts.reset_by_link(&code, &password, &origin).await {
        Ok(()) => {
            let mut response = Note::PasswordReset.at("/sign-in", app.cookies());
            // Whoever is signed in here has just been signed out, or is somebody else who does not mean to go on.
            response.headers_mut().append(header::SET_COOKIE, app.cookies().clear(Cookie::Session));
            return Ok(response);
        }
        Err(LinkError::BadField { problem, .. }) => (StatusCode::UNPROCESSABLE_ENTITY, Some(problem), None),
        Err(LinkError::Busy { retry_after }) => (StatusCode::SERVICE_UNAVAILABLE, None, Some(retry_after)),
        Err(error) => return Err(refused(error)),
    };
    let reset = app.accounts.find_reset(&code, origin.address).await.map_err(refused)?;
    let mut page = ResetPage::new(&app, shell, &code, reset);
    page.error = problem.is_none().then(|| BUSY.to_owned());
    page.password = page.password.error(problem);
    Ok(again(status, page, wait))
}
