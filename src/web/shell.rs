//! What every page has around its own content: who is signed in, the navigation, the form token, a one-time message.
//! `templates/base.html` shows it; each page's view struct has a field `shell`.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::assets;
use super::error::Failure;
use super::guard::Visitor;
use super::note::Note;
use super::state::AppState;
use crate::domain::people::{Person, Role};

/// The frame of a page.
#[derive(Debug, Clone, Default)]
pub struct Shell {
    pub signed_in: Option<Named>,
    /// The token that forms of this page must carry in the hidden field `csrf`.
    pub csrf: String,
    pub note: Option<Note>,
    /// The path of the page, for marking where one is.
    pub path: String,
}

/// The signed-in person as the header shows them.
#[derive(Debug, Clone)]
pub struct Named {
    pub name: String,
    pub has_role: bool,
}

/// One entry of the navigation.
#[derive(Debug, Clone, Copy)]
pub struct NavItem {
    pub href: &'static str,
    pub label: &'static str,
    pub is_here: bool,
}

impl Shell {
    /// A frame for nobody in particular: error pages of requests that reached no route.
    #[must_use]
    pub fn bare(path: &str) -> Self {
        Self { path: path.to_owned(), ..Self::default() }
    }

    /// The frame of a page for this person.
    #[must_use]
    pub fn of(person: Option<&Person>, csrf: String, path: &str) -> Self {
        let signed_in = person.map(|person| Named {
            name: person.name.clone(),
            has_role: Role::ALL.into_iter().any(|role| person.roles.has(role)),
        });
        Self { signed_in, csrf, note: None, path: path.to_owned() }
    }

    /// Where one can go.
    #[must_use]
    pub fn navigation(&self) -> Vec<NavItem> {
        let Some(person) = &self.signed_in else { return Vec::new() };
        let mut items = Vec::new();
        if person.has_role {
            items.push(item("/", "Queue", self.path == "/" || self.path.starts_with("/approvals/")));
            items.push(item("/history", "History", self.path.starts_with("/history")));
        }
        items.push(item("/me", "My account", self.path.starts_with("/me")));
        items
    }

    /// The address of one of our static files.
    #[must_use]
    pub fn asset(&self, file: &str) -> String {
        assets::address(file)
    }
}

fn item(href: &'static str, label: &'static str, is_here: bool) -> NavItem {
    NavItem { href, label, is_here }
}

impl FromRequestParts<AppState> for Shell {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, Failure> {
        let visitor = parts.extensions.get::<Visitor>().cloned().unwrap_or_default();
        let csrf = visitor.binding.as_ref().map(|binding| binding.token(&app.random)).unwrap_or_default();
        let mut shell = Self::of(visitor.person.as_ref(), csrf, parts.uri.path());
        shell.note = Note::find(&parts.headers, app.cookies());
        Ok(shell)
    }
}
