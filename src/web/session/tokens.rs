//! One's own API tokens: which there are, making one, which is shown once, and revoking. Both acts ask for fresh proof first
//! (the route table).

use askama::Template;
use askama_web::WebTemplate;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use serde::Deserialize;

use super::Nothing;
use crate::accounts::By;
use crate::accounts::tokens::{MadeToken, NewToken, TokenError, TokenView};
use crate::domain::ids::TokenId;
use crate::domain::people::Person;
use crate::domain::text::visible;
use crate::domain::tokens::{Lifetime, Scope};
use crate::web::note::Note;
use crate::web::parts::{Chip, Choice, Field, Moment, Tone};
use crate::web::{AppState, CsrfForm, Failure, Segment, Shell, SignedIn, step_up};

/// How long a token may serve, as the page offers it.
const SERVES: [(&str, &str); 5] =
    [("1d", "One day"), ("7d", "7 days"), ("30d", "30 days"), ("90d", "90 days"), ("365d", "365 days")];
const SERVES_UNLESS_TOLD: &str = "30d";

/// A token as pages show it.
#[derive(Debug)]
pub struct TokenRow {
    pub id: TokenId,
    pub label: String,
    /// Its time is over.
    pub over: Option<Chip>,
    pub may: &'static str,
    pub made: Moment,
    pub expires: Moment,
    pub used: Option<Moment>,
}

impl TokenRow {
    #[must_use]
    pub fn of(token: &TokenView, now: Timestamp) -> Self {
        Self {
            id: token.id,
            label: visible(&token.label),
            over: token.is_over.then(|| Chip::new(Tone::Over, "Expired")),
            may: in_words(token.scope),
            made: Moment::new(token.created_at, now),
            expires: Moment::new(token.expires_at, now),
            used: token.last_used_at.map(|at| Moment::new(at, now)),
        }
    }
}

fn in_words(scope: Scope) -> &'static str {
    match scope {
        Scope::Read => "read",
        Scope::Decide => "read and decide",
    }
}

#[derive(Debug, Template, WebTemplate)]
#[template(path = "session/tokens.html")]
struct TokensPage {
    shell: Shell,
    tokens: Vec<TokenRow>,
    /// Why a token made now would not work yet.
    asleep: Option<&'static str>,
    label: Field,
    scope: Choice,
    expires: Choice,
    error: Option<String>,
}

/// The answer to making one: the token, this once.
#[derive(Template, WebTemplate)]
#[template(path = "session/token_made.html")]
struct TokenMadePage {
    shell: Shell,
    secret: String,
    token: TokenRow,
}

/// The form.
#[derive(Debug, Clone, Deserialize)]
pub struct Typed {
    label: String,
    scope: String,
    expires: String,
}

impl Default for Typed {
    fn default() -> Self {
        let (scope, expires) = (Scope::Read.name().to_owned(), SERVES_UNLESS_TOLD.to_owned());
        Self { label: String::new(), scope, expires }
    }
}

impl TokensPage {
    async fn load(app: &AppState, shell: Shell, person: &Person, typed: &Typed) -> Result<Self, Failure> {
        let tokens = app.accounts.list_tokens(Some(person.account)).await?;
        let mut page = Self::of(shell, &tokens, typed, app.clock.now());
        page.asleep = if person.must_change_password {
            Some("Choose a password of your own first: until then no token of yours works.")
        } else if !person.lacks_factor && person.roles.names().is_empty() {
            Some("You have no role yet: until an admin gives you one, no token of yours works.")
        } else {
            None
        };
        Ok(page)
    }

    fn of(shell: Shell, tokens: &[TokenView], typed: &Typed, now: Timestamp) -> Self {
        let words = |(value, words): (&str, &str)| (value.to_owned(), words.to_owned());
        let scopes = [(Scope::Read.name(), "Read only"), (Scope::Decide.name(), "Read and decide")];
        Self {
            shell,
            tokens: tokens.iter().map(|token| TokenRow::of(token, now)).collect(),
            asleep: None,
            label: Field::text("label", "Label").value(&typed.label).hint(
                "What will use it: the nightly report, my terminal. Everybody who sees the record can read this.",
            ),
            scope: Choice::new("scope", "It may", &typed.scope, scopes.map(words)),
            expires: Choice::new("expires", "It expires after", &typed.expires, SERVES.map(words)),
            error: None,
        }
    }

    /// Says why no token was made, at the field it is about.
    fn refuse(mut self, error: &TokenError) -> Self {
        let text = Some(error.to_string());
        match error {
            TokenError::BadLabel(_) => self.label = self.label.error(text).focused(true),
            _ => self.error = text,
        }
        self
    }
}

/// `GET /me/tokens`.
///
/// # Errors
/// 503 when the database does not answer.
pub async fn show(State(app): State<AppState>, shell: Shell, SignedIn(person): SignedIn) -> Result<Response, Failure> {
    Ok(TokensPage::load(&app, shell, &person, &Typed::default()).await?.into_response())
}

/// `POST /me/tokens`: the answer shows the token, and nothing shows it again.
///
/// # Errors
/// 503 when the database does not answer.
pub async fn submit(
    State(app): State<AppState>,
    shell: Shell,
    SignedIn(person): SignedIn,
    form: CsrfForm<Typed>,
) -> Result<Response, Failure> {
    let typed = form.read();
    let (Some(scope), Ok(serves)) = (Scope::from_name(&typed.scope), typed.expires.parse::<Lifetime>()) else {
        let mut page = TokensPage::load(&app, shell, &person, &typed).await?;
        if Scope::from_name(&typed.scope).is_none() {
            page.scope = page.scope.error(Some("Choose one of these.".to_owned()));
        }
        if let Err(bad) = typed.expires.parse::<Lifetime>() {
            page.expires = page.expires.error(Some(format!("Choose one of these: {bad}.")));
        }
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response());
    };
    let new = NewToken { label: typed.label.clone(), scope, serves };
    let by = By::Person(Box::new(person.clone()));
    let error = match app.accounts.create_token(&by, person.account, new).await {
        Ok(made) => return Ok(TokenMadePage::of(shell, &made, app.clock.now()).into_response()),
        Err(error) => error,
    };
    let status = match error {
        TokenError::BadLabel(_) => StatusCode::UNPROCESSABLE_ENTITY,
        TokenError::PasswordFirst | TokenError::TooMany => StatusCode::CONFLICT,
        TokenError::ProveFirst => return Ok(Redirect::to(&step_up::first("/me/tokens")).into_response()),
        TokenError::NoSuchAccount | TokenError::Disabled => {
            return Err(Failure::new(StatusCode::UNAUTHORIZED).with_next("Sign in", "/sign-in"));
        }
        TokenError::Unavailable(cause) => return Err(cause.into()),
    };
    let page = TokensPage::load(&app, shell, &person, &typed).await?.refuse(&error);
    Ok((status, page).into_response())
}

impl TokenMadePage {
    fn of(shell: Shell, made: &MadeToken, now: Timestamp) -> Self {
        Self { shell, secret: made.secret.expose_secret().to_owned(), token: TokenRow::of(&made.token, now) }
    }
}

/// `POST /me/tokens/{id}/revoke`.
///
/// # Errors
/// 404 for a token that is not one's own (S-31) or was revoked before.
pub async fn revoke(
    State(app): State<AppState>,
    SignedIn(person): SignedIn,
    Segment((id,)): Segment<(TokenId,)>,
    _form: CsrfForm<Nothing>,
) -> Result<Response, Failure> {
    if !app.accounts.revoke_token(&person, id).await? {
        return Err(Failure::not_found());
    }
    Ok(Note::TokenRevoked.at("/me/tokens", app.cookies()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::approver::samples::{HOSTILE, now};
    use crate::web::display::assert_inert;

    fn samples() -> Vec<(&'static str, Vec<TokenView>)> {
        let token = |label: &str, is_over: bool| TokenView {
            id: TokenId(uuid::Uuid::from_u128(5)),
            email: "ana@example.org".to_owned(),
            label: label.to_owned(),
            scope: Scope::Decide,
            created_at: now(),
            expires_at: now(),
            last_used_at: is_over.then(now),
            is_over,
        };
        vec![
            ("none", vec![]),
            ("one", vec![token("report", false)]),
            ("longest", vec![token(&"w".repeat(80), true)]),
            ("hostile", vec![token(HOSTILE, false), token(HOSTILE, true)]),
        ]
    }

    #[test]
    fn no_label_becomes_markup() {
        for (name, tokens) in samples() {
            let typed = Typed { label: HOSTILE.to_owned(), scope: HOSTILE.to_owned(), expires: HOSTILE.to_owned() };
            let mut page = TokensPage::of(Shell::bare("/me/tokens"), &tokens, &typed, now());
            page.error = Some(HOSTILE.to_owned());
            assert_inert(name, &page.render().unwrap().replace(['\u{202e}', '\u{0}', '\u{1b}'], ""));
        }
    }

    #[test]
    fn every_choice_on_the_page_is_a_lifetime() {
        // S-29
        assert!(SERVES.iter().all(|(value, _)| value.parse::<Lifetime>().is_ok()));
        assert!(SERVES.iter().any(|(value, _)| *value == SERVES_UNLESS_TOLD));
    }
}
