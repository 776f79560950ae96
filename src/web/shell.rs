//! What every page has around its own content: who is signed in, the navigation, the form token, a one-time message.
//! `templates/base.html` shows it; each page's view struct has a field `shell`.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::assets;
use super::error::Failure;
use super::guard::Visitor;
use super::note::Note;
use super::parts::Moment;
use super::state::AppState;
use crate::domain::people::{Person, Role};
use crate::domain::text::visible;
use crate::store::access::notices::Notice;

/// The frame of a page.
#[derive(Debug, Clone, Default)]
pub struct Shell {
    pub signed_in: Option<Named>,
    /// The token that forms of this page must carry in the hidden field `csrf`.
    pub csrf: String,
    pub note: Option<Note>,
    /// What every admin must get to see, where one is signed in.
    pub notices: Vec<NoticeLine>,
    /// The path of the page, for marking where one is.
    pub path: String,
}

/// The signed-in person as the header shows them.
#[derive(Debug, Clone)]
pub struct Named {
    pub name: String,
    pub has_role: bool,
    pub is_admin: bool,
    /// Whether they see who may do what.
    pub oversees: bool,
}

/// Something an admin has not put away yet.
#[derive(Debug, Clone)]
pub struct NoticeLine {
    pub id: String,
    pub text: String,
    pub at: Moment,
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
            is_admin: person.roles.has(Role::Admin),
            oversees: person.roles.admin || person.roles.auditor,
        });
        Self { signed_in, csrf, note: None, notices: Vec::new(), path: path.to_owned() }
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
        if person.is_admin {
            items.push(item("/admin/accounts", "Accounts", self.path.starts_with("/admin/accounts")));
        }
        if person.is_admin {
            items.push(item(
                "/admin/system",
                "System",
                ["/admin/system", "/admin/channels"].iter().any(|it| self.path.starts_with(it)),
            ));
        }
        if person.oversees {
            items.push(item(
                "/admin/access",
                "Access",
                ["/admin/access", "/admin/groups"].iter().any(|it| self.path.starts_with(it)),
            ));
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
        if let Some(person) = &visitor.person {
            let now = app.clock.now();
            let line = |notice: Notice| NoticeLine {
                id: notice.id.to_string(),
                text: visible(&notice.text),
                at: Moment::new(notice.at, now),
            };
            shell.notices = app.access.list_notices(person).await?.into_iter().map(line).collect();
        }
        Ok(shell)
    }
}
