//! The first account, made with the secret from the operator's log (S-07). The guard hides both routes once an account
//! exists; `accounts` decides again inside its transaction.

use askama::Template;
use askama_web::WebTemplate;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use secrecy::SecretString;
use serde::Deserialize;

use super::{BUSY, From, again, begin, wait_text};
use crate::accounts::setup::{Setup, SetupError};
use crate::web::csrf::CsrfForm;
use crate::web::error::Failure;
use crate::web::note::Note;
use crate::web::parts::Field;
use crate::web::shell::Shell;
use crate::web::state::AppState;

#[derive(Template, WebTemplate)]
#[template(path = "session/setup.html")]
pub struct SetupPage {
    shell: Shell,
    secret: Field,
    email: Field,
    name: Field,
    password: Field,
    error: Option<String>,
}

impl SetupPage {
    fn new(shell: Shell, email: &str, name: &str) -> Self {
        Self {
            shell,
            secret: Field::password("secret", "Setup secret", "off")
                .hint("The portal wrote it to its log when it started. It works once, for an hour.")
                .focused(email.is_empty()),
            email: Field::email("email", "Email").value(email).autocomplete("username"),
            name: Field::text("name", "Name")
                .value(name)
                .autocomplete("name")
                .hint("As it shall stand in every record of what you decide."),
            password: Field::password("password", "Password", "new-password")
                .hint("At least 15 characters. A few words that nobody would guess are best."),
            error: None,
        }
    }

    fn wrong(&mut self, field: &str, problem: String) {
        let place = match field {
            "secret" => &mut self.secret,
            "email" => &mut self.email,
            "name" => &mut self.name,
            "password" => &mut self.password,
            _ => {
                self.error = Some(problem);
                return;
            }
        };
        *place = place.clone().error(Some(problem)).focused(true);
    }
}

/// `GET /setup`.
pub async fn show(shell: Shell) -> SetupPage {
    SetupPage::new(shell, "", "")
}

/// The form.
#[derive(Deserialize)]
pub struct Fields {
    secret: SecretString,
    email: String,
    name: String,
    password: SecretString,
}

/// `POST /setup`.
///
/// # Errors
/// 404 when somebody was quicker; 503 when the database does not answer.
pub async fn submit(
    State(app): State<AppState>,
    shell: Shell,
    From(origin): From,
    form: CsrfForm<Fields>,
) -> Result<Response, Failure> {
    let Fields { secret, email, name, password } = form.read();
    let mut page = SetupPage::new(shell, &email, &name);
    let (status, wait) = match app.accounts.complete_setup(Setup { secret, email, name, password, origin }).await {
        Ok(session) => return Ok(begin(Note::SetUp.at("/me/factors", app.cookies()), &app, &session)),
        Err(SetupError::AlreadySetUp) => return Err(Failure::not_found()),
        Err(SetupError::Unavailable(cause)) => return Err(cause.into()),
        Err(error @ SetupError::WrongSecret) => {
            page.wrong("secret", error.to_string());
            (StatusCode::FORBIDDEN, None)
        }
        Err(SetupError::BadField { field, problem }) => {
            page.wrong(field, problem);
            (StatusCode::UNPROCESSABLE_ENTITY, None)
        }
        Err(SetupError::TooMany { retry_after }) => {
            page.error = Some(wait_text(retry_after));
            (StatusCode::TOO_MANY_REQUESTS, Some(retry_after))
        }
        Err(SetupError::Busy { retry_after }) => {
            page.error = Some(BUSY.to_owned());
            (StatusCode::SERVICE_UNAVAILABLE, Some(retry_after))
        }
    };
    Ok(again(status, page, wait))
}
