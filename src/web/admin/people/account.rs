//! `/admin/accounts/{id}`: one person, what an admin can do for or against them, and what each button will do.

use askama::Template;
use askama_web::WebTemplate;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;

use super::list::{factor_in_words, roles_in_words, state_chip};
use super::{Refusal, RoleBox, admin, refusal, role_boxes, ticked};
use crate::accounts::change::{Changed, Particulars};
use crate::accounts::directory::{Listed, State as AccountState};
use crate::accounts::sessions::SessionView;
use crate::domain::browser;
use crate::domain::ids::{AccountId, SessionId};
use crate::domain::people::Person;
use crate::domain::text::visible;
use crate::web::csrf::CsrfForm;
use crate::web::extract::{Segment, SignedIn};
use crate::web::note::Note;
use crate::web::parts::{Chip, Field, Moment};
use crate::web::session::tokens::TokenRow;
use crate::web::{AppState, Failure, Shell};

/// The page.
#[derive(Debug, Template, WebTemplate)]
#[template(path = "admin/account.html")]
pub(super) struct AccountPage {
    shell: Shell,
    id: AccountId,
    heading: String,
    state: Chip,
    kind: AccountState,
    is_oneself: bool,
    roles: String,
    factor: String,
    has_factors: bool,
    /// Whether there is a password of their own that others might know.
    has_own_password: bool,
    /// Whether a link for a new password reaches them, and nobody else.
    sends_mail: bool,
    password: &'static str,
    created: Moment,
    last_seen: Option<Moment>,
    disabled: Option<Moment>,
    sessions: Vec<Session>,
    tokens: Vec<TokenRow>,
    /// What the form was made from: sent along, so that a change by somebody else is noticed.
    shown: Particulars,
    email: Field,
    name: Field,
    role_boxes: Vec<RoleBox>,
    confirm: Field,
    /// What another admin changed since the form was made: what, what it was, what it is.
    meanwhile: Vec<(&'static str, String, String)>,
    error: Option<String>,
}

#[derive(Debug)]
struct Session {
    id: SessionId,
    browser: String,
    address: String,
    /// Where it was last seen, if elsewhere.
    last_address: Option<String>,
    last_seen: Moment,
}

impl AccountPage {
    /// Whether the person can still be changed at all.
    fn is_alive(&self) -> bool {
        self.kind != AccountState::Deleted
    }

    fn is_disabled(&self) -> bool {
        self.kind == AccountState::Disabled
    }

    fn is_invited(&self) -> bool {
        self.kind == AccountState::Invited
    }

    fn of(shell: Shell, person: &Person, account: &Listed, sessions: Vec<SessionView>, now: Timestamp) -> Self {
        let session = |session: SessionView| Session {
            id: session.id,
            browser: browser::name_of(&session.user_agent),
            address: session.address,
            last_address: session.last_address,
            last_seen: Moment::new(session.last_seen_at, now),
        };
        let shown = Particulars { email: account.email.clone(), name: account.name.clone(), roles: account.roles };
        Self {
            shell,
            id: account.id,
            heading: visible(&account.name),
            state: state_chip(account),
            kind: account.state,
            is_oneself: person.account == account.id,
            roles: roles_in_words(account),
            factor: factor_in_words(account),
            has_own_password: account.has_password && !account.must_change_password,
            has_factors: account.passkeys > 0 || account.has_totp,
            sends_mail: false,
            password: password_in_words(account),
            created: Moment::new(account.created_at, now),
            last_seen: account.last_seen_at.map(|at| Moment::new(at, now)),
            disabled: account.disabled_at.map(|at| Moment::new(at, now)),
            sessions: sessions.into_iter().map(session).collect(),
            tokens: Vec::new(),
            email: Field::email("email", "Email").value(&shown.email),
            name: Field::text("name", "Name").value(&shown.name),
            role_boxes: role_boxes(shown.roles),
            confirm: Field::text("confirm", "Their e-mail address, to confirm"),
            shown,
            meanwhile: Vec::new(),
            error: None,
        }
    }

    /// The page as it is now.
    async fn load(app: &AppState, shell: Shell, person: &Person, id: AccountId) -> Result<Self, Failure> {
        let account = app.accounts.find_listed(id).await?.ok_or_else(Failure::not_found)?;
        let sessions = app.accounts.list_sessions_of(id).await?;
        let now = app.clock.now();
        let mut page = Self::of(shell, person, &account, sessions, now);
        page.sends_mail = app.accounts.sends_mail();
        page.tokens = app.accounts.list_tokens(Some(id)).await?.iter().map(|token| TokenRow::of(token, now)).collect();
        Ok(page)
    }

    /// With what was typed instead of what is stored.
    fn with_typed(mut self, wanted: &Particulars) -> Self {
        self.email = self.email.value(&wanted.email);
        self.name = self.name.value(&wanted.name);
        self.role_boxes = role_boxes(wanted.roles);
        self
    }

    /// The page as it is now, with why an act was refused.
    pub(super) async fn refusing(
        app: &AppState,
        shell: Shell,
        person: &Person,
        id: AccountId,
        refusal: Refusal,
    ) -> Result<Response, Failure> {
        Ok(Self::load(app, shell, person, id).await?.refused(refusal))
    }

    /// Says why an act was refused, at the field it is about.
    fn refused(mut self, refusal: Refusal) -> Response {
        let text = Some(refusal.text);
        match refusal.field {
            Some("email") => self.email = self.email.error(text).focused(true),
            Some("name") => self.name = self.name.error(text).focused(true),
            Some("confirm") => self.confirm = self.confirm.error(text).focused(true),
            _ => self.error = text,
        }
        (refusal.status, self).into_response()
    }
}

fn password_in_words(account: &Listed) -> &'static str {
    match (account.has_password, account.password_off, account.must_change_password) {
        (false, ..) => "none",
        (true, false, true) if account.password_compromised => "others may know it; to be changed at the next sign-in",
        (true, true, _) => "switched off after 100 failures in a row; a reset opens it again",
        (true, false, true) => "made by somebody else; to be changed at the next sign-in",
        (true, false, false) => "set",
    }
}

/// Shows one account.
///
/// # Errors
/// 404 where there is none.
pub async fn show(
    State(app): State<AppState>,
    SignedIn(person): SignedIn,
    Segment((id,)): Segment<(AccountId,)>,
    shell: Shell,
) -> Result<Response, Failure> {
    Ok(AccountPage::load(&app, shell, &person, id).await?.into_response())
}

/// The form: what it should be, and what it was when the form was made.
#[derive(serde::Deserialize)]
pub struct Fields {
    email: String,
    name: String,
    #[serde(default)]
    role_approver: String,
    #[serde(default)]
    role_auditor: String,
    #[serde(default)]
    role_admin: String,
    was_email: String,
    was_name: String,
    #[serde(default)]
    was_approver: String,
    #[serde(default)]
    was_auditor: String,
    #[serde(default)]
    was_admin: String,
}

impl Fields {
    fn wanted(&self) -> Particulars {
        let roles = ticked(&self.role_approver, &self.role_auditor, &self.role_admin);
        Particulars { email: self.email.clone(), name: self.name.clone(), roles }
    }

    fn shown(&self) -> Particulars {
        let roles = ticked(&self.was_approver, &self.was_auditor, &self.was_admin);
        Particulars { email: self.was_email.clone(), name: self.was_name.clone(), roles }
    }
}

/// `POST /admin/accounts/{id}`: changes name, e-mail and roles.
///
/// # Errors
/// 404 where there is no such account.
pub async fn change(
    State(app): State<AppState>,
    SignedIn(person): SignedIn,
    Segment((id,)): Segment<(AccountId,)>,
    shell: Shell,
    form: CsrfForm<Fields>,
) -> Result<Response, Failure> {
    let fields = form.read();
    let (shown, wanted) = (fields.shown(), fields.wanted());
    let refused = match app.accounts.change(&admin(&person)?, id, &shown, &wanted).await {
        Ok(Changed::Nothing) => return Ok(Note::AccountAsItWas.at(&address(id), app.cookies())),
        Ok(Changed::Done { .. }) => return Ok(Note::AccountChanged.at(&address(id), app.cookies())),
        Ok(Changed::Meanwhile { now }) => {
            let mut page = AccountPage::load(&app, shell, &person, id).await?.with_typed(&wanted);
            page.meanwhile = differences(&shown, &now);
            return Ok((StatusCode::CONFLICT, page).into_response());
        }
        Err(error) => refusal(error)?,
    };
    let page = AccountPage::load(&app, shell, &person, id).await?.with_typed(&wanted);
    Ok(page.refused(refused))
}

/// The page of an account.
pub(super) fn address(id: AccountId) -> String {
    format!("/admin/accounts/{id}")
}

/// What somebody else changed.
fn differences(was: &Particulars, now: &Particulars) -> Vec<(&'static str, String, String)> {
    let roles = |them: &Particulars| match them.roles.names() {
        names if names.is_empty() => "none".to_owned(),
        names => names.join(", "),
    };
    [
        ("Email", was.email.clone(), now.email.clone()),
        ("Name", was.name.clone(), now.name.clone()),
        ("Roles", roles(was), roles(now)),
    ]
    .into_iter()
    .filter(|(_, was, now)| was != now)
    .map(|(what, was, now)| (what, visible(&was), visible(&now)))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::people::Roles;

    #[test]
    fn what_somebody_else_changed_is_told_and_nothing_else() {
        let was = Particulars { email: "a@x.org".into(), name: "Ana".into(), roles: Roles::default() };
        let now = Particulars { name: "Anna".into(), roles: Roles { admin: true, ..Roles::default() }, ..was.clone() };
        let told = differences(&was, &now);
        assert_eq!(told[0], ("Name", "Ana".to_owned(), "Anna".to_owned()));
        assert_eq!(told[1], ("Roles", "none".to_owned(), "admin".to_owned()));
        assert_eq!(told.len(), 2);
    }
}
