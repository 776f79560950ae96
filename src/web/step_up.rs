//! Proving afresh who one is (S-18, S-25, S-35). The guard stops here what asks for it; whatever was typed into the form
//! that was stopped is kept, and offered again once the proof is given. Nothing that was kept is ever sent by itself.

use askama::Template;
use askama_web::WebTemplate;
use axum::extract::{FromRequest as _, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::json;

use super::approver;
use super::csrf::{CsrfForm, CsrfPairs};
use super::error::Failure;
use super::extract::{Query, SignedIn};
use super::guard::{Gate, Visitor};
use super::note::Note;
use super::parts::Field;
use super::returning;
use super::routes;
use super::session::sign_out::Nothing;
use super::session::sso::{Button, linked};
use super::session::{BUSY, From, again, begin, wait_text};
use super::shell::Shell;
use super::state::AppState;
use crate::accounts::NewSession;
use crate::accounts::factors::{Asked, Proof, ProofError, Proofs, StepUpProof};
use crate::domain::people::Person;

/// What the names of kept fields begin with.
const KEPT: &str = "kept.";
/// Bytes of fields that are kept while somebody is away at an identity provider, as they are kept: in JSON, where one
/// character may take six.
const MOST_KEPT_AWAY: usize = 48 * 1024;
/// Fields that are never kept: passwords go nowhere but where they were typed.
const NEVER_KEPT: [&str; 4] = ["password", "current", "new", "secret"];

/// What was stopped.
#[derive(Debug, Default)]
pub struct Stopped {
    /// Where its form went. Empty: a page was asked for.
    pub action: String,
    pub kept: Vec<(String, String)>,
    /// Where to go when no form was stopped.
    pub return_to: String,
}

impl Stopped {
    /// A form of ours, with its fields but for passwords.
    #[must_use]
    pub fn form(action: &str, fields: Vec<(String, String)>) -> Self {
        let kept = fields.into_iter().filter(|(name, _)| !NEVER_KEPT.contains(&name.as_str())).collect();
        Self { action: action.to_owned(), kept, return_to: String::new() }
    }
}

#[derive(Debug, Template, WebTemplate)]
#[template(path = "session/step_up.html")]
struct StepUpPage {
    shell: Shell,
    proofs: Proofs,
    /// Identity providers that can vouch for them.
    providers: Vec<Button>,
    stopped: Stopped,
    code: Field,
    /// For password managers.
    email: String,
    password: Field,
    error: Option<String>,
}

/// Once the proof is given: the form that was stopped, to be sent by its person.
#[derive(Debug, Template, WebTemplate)]
#[template(path = "session/carry_on.html")]
struct CarryOnPage {
    shell: Shell,
    action: String,
    kept: Vec<(String, String)>,
}

impl StepUpPage {
    async fn new(
        app: &AppState,
        (shell, person): (Shell, &Person),
        stopped: Stopped,
        error: Option<String>,
    ) -> Result<Self, Failure> {
        let proofs = app.accounts.proofs(person).await?;
        let label = if proofs.totp { "Code" } else { "Recovery code" };
        Ok(Self {
            shell,
            providers: linked(app, person).await?,
            code: Field::text("code", label)
                .autocomplete("one-time-code")
                .hint(code_hint(proofs.totp, proofs.recovery))
                .focused(!proofs.passkey),
            email: person.email.clone(),
            password: Field::password("password", "Password", "current-password").focused(true),
            proofs,
            stopped,
            error,
        })
    }
}

/// What may be typed into a field for codes.
#[must_use]
pub fn code_hint(totp: bool, recovery: bool) -> &'static str {
    match (totp, recovery) {
        (true, true) => "Six digits from your authenticator app, or one of your recovery codes.",
        (true, false) => "Six digits from your authenticator app.",
        _ => "One of the codes that you kept when you set up your second factor. Each works once.",
    }
}

/// Lets the request through, unless its route asks for fresh proof and there is none.
///
/// # Errors
/// The answer in its place: a page that asks.
pub async fn pass(app: &AppState, gate: Gate, visitor: &Visitor, request: Request) -> Result<Request, Box<Response>> {
    let Some(person) = visitor.person.as_ref().filter(|_| gate.stepped_up) else { return Ok(request) };
    if person.is_fresh(app.clock.now()) {
        return Ok(request);
    }
    Err(Box::new(stop(app, visitor, person, request).await.unwrap_or_else(IntoResponse::into_response)))
}

async fn stop(app: &AppState, visitor: &Visitor, person: &Person, request: Request) -> Result<Response, Failure> {
    if request.method().is_safe() {
        let wanted = request.uri().path_and_query().map_or("/", axum::http::uri::PathAndQuery::as_str);
        return Ok(Redirect::to(&first(wanted)).into_response());
    }
    let path = request.uri().path().to_owned();
    // A page's script cannot show a page; its form, sent as it is, can.
    if request.headers().get("sec-fetch-dest").is_some_and(|dest| dest == "empty") {
        return Err(Failure::forbidden("Prove first that it is you. Nothing was done.")
            .with_next("Go on", first("/me/factors")));
    }
    let CsrfPairs(fields) = CsrfPairs::from_request(request, app).await?;
    let token = visitor.binding.as_ref().map(|binding| binding.token(&app.random)).unwrap_or_default();
    let shell = Shell::of(Some(person), token, &path);
    ask(app, (shell, person), Stopped::form(&path, fields), None).await
}

/// The page that asks, and then leads to `wanted`.
#[must_use]
pub fn first(wanted: &str) -> String {
    let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("return", wanted).finish();
    format!("/step-up?{query}")
}

/// Asks for proof, keeping what was stopped.
///
/// # Errors
/// 503 when the database does not answer.
pub async fn ask(
    app: &AppState,
    (shell, person): (Shell, &Person),
    stopped: Stopped,
    error: Option<String>,
) -> Result<Response, Failure> {
    Ok((StatusCode::FORBIDDEN, StepUpPage::new(app, (shell, person), stopped, error).await?).into_response())
}

/// What may stand in the address.
#[derive(Deserialize)]
pub struct Arrival {
    #[serde(default, rename = "return")]
    return_to: String,
}

/// `GET /step-up`.
///
/// # Errors
/// 503 when the database does not answer.
pub async fn show(
    State(app): State<AppState>,
    shell: Shell,
    SignedIn(person): SignedIn,
    Query(arrival): Query<Arrival>,
) -> Result<Response, Failure> {
    let return_to = returning::or_queue(Some(&arrival.return_to)).to_owned();
    let stopped = Stopped { return_to, ..Stopped::default() };
    Ok(StepUpPage::new(&app, (shell, &person), stopped, None).await?.into_response())
}

/// `POST /step-up/challenge`, by the page's script.
///
/// # Errors
/// 404 without a passkey.
pub async fn challenge(
    State(app): State<AppState>,
    SignedIn(person): SignedIn,
    _form: CsrfForm<Nothing>,
) -> Result<Response, Failure> {
    asked(app.accounts.ask_step_up(&person).await?)
}

/// A question for the page's script.
///
/// # Errors
/// 404 when there is none.
pub fn asked(question: Option<Asked>) -> Result<Response, Failure> {
    let Asked { ceremony, options } = question.ok_or_else(Failure::not_found)?;
    Ok(axum::Json(json!({ "ceremony": ceremony, "options": options })).into_response())
}

/// What the form holds besides what it keeps.
#[derive(Default)]
struct Filled {
    code: String,
    password: String,
    ceremony: String,
    credential: String,
    stopped: Stopped,
}

impl Filled {
    /// Every field is ours, and what is kept is for a form of ours.
    fn read(pairs: Vec<(String, String)>) -> Result<Self, Failure> {
        let not_ours = || Failure::bad_request("The request has a field that this page does not know.");
        let mut filled = Self::default();
        let mut seen = Vec::new();
        for (name, value) in pairs {
            if let Some(kept) = name.strip_prefix(KEPT) {
                filled.stopped.kept.push((kept.to_owned(), value));
                continue;
            }
            let place = match name.as_str() {
                "code" => &mut filled.code,
                "password" => &mut filled.password,
                "ceremony" => &mut filled.ceremony,
                "credential" => &mut filled.credential,
                "action" => &mut filled.stopped.action,
                "return" => &mut filled.stopped.return_to,
                _ => return Err(not_ours()),
            };
            *place = value;
            if seen.contains(&name) {
                return Err(Failure::bad_request(format!("The request gives “{name}” twice.")));
            }
            seen.push(name);
        }
        let action = &filled.stopped.action;
        let is_nothing = action.is_empty() && filled.stopped.kept.is_empty();
        if !(is_nothing || routes::keeps_fields(action)) {
            return Err(not_ours());
        }
        Ok(filled)
    }

    fn proof(&self) -> Option<StepUpProof> {
        if !self.credential.is_empty() {
            let ceremony = self.ceremony.parse().ok()?;
            return Some(StepUpProof::Factor(Proof::Passkey { ceremony, answer: self.credential.clone() }));
        }
        if !self.password.is_empty() {
            return Some(StepUpProof::Password(SecretString::from(self.password.as_str())));
        }
        let code = Proof::Code(SecretString::from(self.code.as_str()));
        (!self.code.trim().is_empty()).then_some(StepUpProof::Factor(code))
    }
}

/// What was stopped, from a form that shows nothing itself.
///
/// # Errors
/// 400 for fields that are not ours.
pub fn stopped(pairs: Vec<(String, String)>) -> Result<Stopped, Failure> {
    let stopped = Filled::read(pairs)?.stopped;
    let size = serde_json::to_vec(&stopped.kept).map_or(usize::MAX, |kept| kept.len());
    if size > MOST_KEPT_AWAY {
        return Err(Failure::bad_request(
            "What you typed is too much to be kept while you are away at another site. Nothing was done. Prove in another \
             way that it is you, or prove it first and then fill in the form.",
        ));
    }
    Ok(stopped)
}

/// `POST /step-up`.
///
/// # Errors
/// 400 for fields that are not ours; 401 when the session ended meanwhile; 503 when the database does not answer.
pub async fn submit(
    State(app): State<AppState>,
    shell: Shell,
    SignedIn(person): SignedIn,
    From(origin): From,
    CsrfPairs(pairs): CsrfPairs,
) -> Result<Response, Failure> {
    let filled = Filled::read(pairs)?;
    let proven = match filled.proof() {
        Some(proof) => app.accounts.step_up(&person, proof, &origin).await,
        None => Err(ProofError::Wrong("Show something: nothing was given.")),
    };
    let error = match proven {
        Ok(session) => return carry_on(&app, shell, &session, filled.stopped).await,
        Err(error) => error,
    };
    let (status, text, wait) = told(error)?;
    let page = StepUpPage::new(&app, (shell, &person), filled.stopped, Some(text)).await?;
    Ok(again(status, page, wait))
}

/// Status, sentence, and how long to wait, for a proof that was none.
///
/// # Errors
/// What is no answer to a form: the session ended, or the database does not answer.
pub fn told(error: ProofError) -> Result<(StatusCode, String, Option<std::time::Duration>), Failure> {
    Ok(match error {
        ProofError::Wrong(text) => (StatusCode::UNAUTHORIZED, text.to_owned(), None),
        ProofError::TooMany { retry_after } => {
            (StatusCode::TOO_MANY_REQUESTS, wait_text(retry_after), Some(retry_after))
        }
        ProofError::Busy { retry_after } => (StatusCode::SERVICE_UNAVAILABLE, BUSY.to_owned(), Some(retry_after)),
        ProofError::Over => (StatusCode::UNAUTHORIZED, error.to_string(), None),
        ProofError::SignedOut => {
            return Err(Failure::new(StatusCode::UNAUTHORIZED).with_next("Sign in", "/sign-in"));
        }
        ProofError::Unavailable(cause) => return Err(cause.into()),
    })
}

/// Goes on with what was stopped, now that the proof is given.
///
/// # Errors
/// 503 when what was to be decided cannot be read.
pub async fn carry_on(
    app: &AppState,
    shell: Shell,
    session: &NewSession,
    stopped: Stopped,
) -> Result<Response, Failure> {
    let Stopped { action, kept, return_to } = stopped;
    let response = if action.is_empty() {
        Note::Proven.at(returning::or_queue(Some(&return_to)), app.cookies())
    } else if action.ends_with("/decision") {
        // What is decided is read once more, as it is now.
        approver::decide_again(app, &session.person, shell, (&action, &kept)).await?
    } else {
        CarryOnPage { shell, action, kept }.into_response()
    };
    Ok(begin(response, app, session))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn what_was_typed_is_kept_and_passwords_are_not() {
        let stopped =
            Stopped::form("/me/factors/passkeys", pairs(&[("name", "a"), ("password", "p"), ("current", "c")]));
        assert_eq!(stopped.kept, pairs(&[("name", "a")]));
        let filled =
            Filled::read(pairs(&[("code", "1"), ("action", "/me/factors/totp"), ("kept.a", "b"), ("kept.a", "c")]));
        assert_eq!(filled.unwrap().stopped.kept, pairs(&[("a", "b"), ("a", "c")]));
    }

    #[test]
    fn as_much_is_kept_as_has_room_where_it_is_kept() {
        let keep = |text: &str, times: usize| {
            let text = text.repeat(times);
            stopped(pairs(&[("action", "/admin/accounts/import"), ("kept.file", &text)])).map(|stopped| stopped.kept)
        };
        assert!(keep("a", 40 * 1024).is_ok());
        assert!(keep("a", 50 * 1024).is_err());
        assert!(keep("\u{1}", 30 * 1024).is_err(), "six bytes each where it is kept");
    }

    #[test]
    fn only_fields_and_forms_of_ours_are_taken() {
        for bad in [
            &[("action", "https://evil.example/")][..],
            &[("action", "//evil.example")],
            &[("action", "/me/password"), ("kept.a", "b")],
            &[("action", "/step-up")],
            &[("kept.a", "b")],
            &[("code", "1"), ("code", "2")],
            &[("other", "1")],
        ] {
            assert!(Filled::read(pairs(bad)).is_err(), "{bad:?}");
        }
        assert!(Filled::read(pairs(&[("code", "1"), ("return", "/")])).is_ok());
    }
}
