//! `GET /admin/accounts`: everybody, searched and filtered, by pages that never shift.

use askama::Template;
use askama_web::WebTemplate;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;

use crate::accounts::directory::{Listed, Sought, State as AccountState};
use crate::domain::people::Role;
use crate::domain::text::visible;
use crate::web::display::count;
use crate::web::parts::{Chip, Field, Moment, Tone};
use crate::web::{AppState, Failure, Query, Shell};

/// What may stand in the address.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(default)]
pub struct Asked {
    pub q: String,
    pub role: String,
    pub state: String,
    pub factor: String,
    pub after: String,
}

impl Asked {
    fn sought(&self) -> Result<Sought, Failure> {
        let unknown = |what: &str| Failure::bad_request(format!("Accounts cannot be filtered by this {what}."));
        let role = known(&self.role, Role::from_name).ok_or_else(|| unknown("role"))?;
        let state = known(&self.state, AccountState::from_name).ok_or_else(|| unknown("state"))?;
        let without_factor = match self.factor.as_str() {
            "" => false,
            "none" => true,
            _ => return Err(unknown("second factor")),
        };
        // PostgreSQL knows no NUL in text.
        let storable = |text: &str| text.chars().take(300).filter(|c| *c != '\0').collect::<String>();
        let after = Some(storable(&self.after)).filter(|after| !after.is_empty());
        let text = storable(&self.q);
        Ok(Sought { text, role, state, without_factor, after })
    }

    fn is_filtered(&self) -> bool {
        [&self.q, &self.role, &self.state, &self.factor].into_iter().any(|text| !text.trim().is_empty())
    }

    fn address(&self, after: Option<&str>) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        let fields = [("q", &self.q), ("role", &self.role), ("state", &self.state), ("factor", &self.factor)];
        fields.into_iter().filter(|(_, value)| !value.is_empty()).for_each(|(name, value)| {
            query.append_pair(name, value);
        });
        if let Some(after) = after {
            query.append_pair("after", after);
        }
        let query = query.finish();
        if query.is_empty() { "/admin/accounts".to_owned() } else { format!("/admin/accounts?{query}") }
    }
}

/// None for an empty text; nothing at all for one that is not known.
fn known<T>(text: &str, read: impl Fn(&str) -> Option<T>) -> Option<Option<T>> {
    if text.is_empty() { Some(None) } else { read(text).map(Some) }
}

#[derive(Debug, Template, WebTemplate)]
#[template(path = "admin/accounts.html")]
struct AccountsPage {
    shell: Shell,
    search: Field,
    asked: Asked,
    is_filtered: bool,
    tally: String,
    lines: Vec<Line>,
    first: Option<String>,
    next: Option<String>,
}

impl AccountsPage {
    fn states(&self) -> [(&'static str, &'static str); 4] {
        [("active", "Active"), ("invited", "Invited"), ("disabled", "Disabled"), ("deleted", "Deleted")]
    }
}

/// One account.
#[derive(Debug, Clone)]
struct Line {
    address: String,
    name: String,
    email: String,
    roles: String,
    state: Chip,
    factor: String,
    last_seen: Option<Moment>,
}

impl Line {
    fn of(account: &Listed, now: Timestamp) -> Self {
        Self {
            address: format!("/admin/accounts/{}", account.id),
            name: visible(&account.name),
            email: visible(&account.email),
            roles: roles_in_words(account),
            state: state_chip(account),
            factor: factor_in_words(account),
            last_seen: account.last_seen_at.map(|at| Moment::new(at, now)),
        }
    }
}

pub(super) fn roles_in_words(account: &Listed) -> String {
    let names = account.roles.names();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

pub(super) fn state_chip(account: &Listed) -> Chip {
    match account.state {
        AccountState::Active if account.password_off => Chip::new(Tone::Bad, "Password off"),
        AccountState::Active => Chip::new(Tone::Good, "Active"),
        AccountState::Invited => Chip::new(Tone::Waiting, "Invited"),
        AccountState::Disabled => Chip::new(Tone::Bad, "Disabled"),
        AccountState::Deleted => Chip::new(Tone::Over, "Deleted"),
    }
}

/// What this person proves themselves with beside a password.
pub(super) fn factor_in_words(account: &Listed) -> String {
    let mut parts = Vec::new();
    if account.passkeys > 0 {
        parts.push(count(account.passkeys.unsigned_abs(), "passkey", "passkeys"));
    }
    if account.has_totp {
        parts.push("authenticator app".to_owned());
    }
    parts.extend(account.providers.iter().map(|provider| format!("SSO {}", visible(provider))));
    if parts.is_empty() { "none".to_owned() } else { parts.join(", ") }
}

/// Shows the list.
///
/// # Errors
/// 400 for parameters that the page's form cannot make; 503 when the database does not answer.
pub async fn show(State(app): State<AppState>, Query(asked): Query<Asked>, shell: Shell) -> Result<Response, Failure> {
    let page = app.accounts.search(&asked.sought()?).await?;
    let now = app.clock.now();
    let last = page.accounts.last().map(|account| account.email_key.clone());
    let shown = AccountsPage {
        shell,
        search: Field::text("q", "Name or e-mail").value(visible(&asked.q)).optional(),
        is_filtered: asked.is_filtered(),
        tally: count(page.all.unsigned_abs(), "account", "accounts"),
        first: (!asked.after.is_empty()).then(|| asked.address(None)),
        next: last.filter(|_| page.has_more).map(|last| asked.address(Some(&last))),
        lines: page.accounts.iter().map(|account| Line::of(account, now)).collect(),
        asked,
    };
    Ok(shown.into_response())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::AccountId;
    use crate::domain::people::Roles;
    use crate::web::display::assert_inert;

    const HOSTILE: &str = "<img src=x onerror=alert(1)>\"\u{202e}<script>";

    fn now() -> Timestamp {
        "2026-11-21T10:00:00Z".parse().unwrap()
    }

    pub(crate) fn listed(name: &str) -> Listed {
        Listed {
            id: AccountId(uuid::Uuid::from_u128(7)),
            email: format!("{name}@example.org"),
            email_key: format!("{name}@example.org"),
            name: name.to_owned(),
            roles: Roles { approver: true, ..Roles::default() },
            state: AccountState::Active,
            created_at: now(),
            last_seen_at: Some(now()),
            disabled_at: None,
            must_change_password: false,
            password_compromised: false,
            password_off: false,
            has_password: true,
            passkeys: 0,
            has_totp: false,
            providers: Vec::new(),
            sessions: 1,
            version: 1,
        }
    }

    fn page(lines: Vec<Line>, asked: Asked) -> String {
        let page = AccountsPage {
            shell: Shell::bare("/admin/accounts"),
            search: Field::text("q", "Name or e-mail").value(visible(&asked.q)).optional(),
            is_filtered: asked.is_filtered(),
            tally: count(lines.len() as u64, "account", "accounts"),
            lines,
            first: Some(asked.address(None)),
            next: Some(asked.address(Some(HOSTILE))),
            asked,
        };
        page.render().unwrap()
    }

    #[test]
    fn nothing_that_people_are_called_becomes_markup() {
        let mut account = listed(HOSTILE);
        account.providers = vec![HOSTILE.to_owned()];
        let asked = Asked { q: HOSTILE.into(), ..Asked::default() };
        assert_inert("accounts", &page(vec![Line::of(&account, now()); 50], asked));
    }

    #[test]
    fn an_empty_list_says_whether_the_filter_is_why() {
        assert!(page(vec![], Asked { q: "zoe".into(), ..Asked::default() }).contains("Nobody matches"));
    }

    #[test]
    fn a_second_factor_is_told_in_words() {
        let mut account = listed("ana");
        assert_eq!(factor_in_words(&account), "none");
        account.passkeys = 2;
        account.has_totp = true;
        account.providers = vec!["corp".into()];
        assert_eq!(factor_in_words(&account), "2 passkeys, authenticator app, SSO corp");
    }

    #[test]
    fn a_filter_that_the_form_cannot_make_is_refused() {
        for asked in [
            Asked { role: "boss".into(), ..Asked::default() },
            Asked { state: "gone".into(), ..Asked::default() },
            Asked { factor: "some".into(), ..Asked::default() },
        ] {
            assert!(asked.sought().is_err(), "{asked:?}");
        }
    }
}
