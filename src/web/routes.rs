//! The one list of routes: method, path, who may use it, handler. Guards follow from it, the router is made of it, the
//! access matrix in the tests walks it (S-30). Nothing is mounted outside it.

use axum::Router;
use axum::http::{Method, StatusCode};
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, get, post};

use super::error::Failure;
use super::guard::{self, Gate};
use super::state::AppState;
use super::{approver, assets, auditor, events, health, session};
use crate::domain::people::Role;

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everybody.
    Public,
    /// Everybody, until the first account exists; then there is no such page (S-07).
    SetupOnly,
    /// Everybody who is signed in.
    SignedIn,
    /// Whoever is signed in and has at least one of these roles.
    AnyOf(&'static [Role]),
}

/// What is at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A browser with a person in front of it.
    Page,
    /// As `Page`, and the request may decide an approval: it must come from our own page, never from an address bar.
    Decision,
    /// A page's own script, which stays connected: never a person's doing (S-26), and answered with a status rather than
    /// sent to sign in.
    Stream,
    /// A prober: no session is looked up, so that these answer without a database (P-16).
    Machine,
    /// A static file: as `Machine`.
    Asset,
}

/// One row of the table.
pub struct Route {
    pub method: Method,
    pub path: &'static str,
    pub access: Access,
    pub kind: Kind,
    handler: MethodRouter<AppState>,
}

impl Route {
    fn get(path: &'static str, access: Access, handler: MethodRouter<AppState>) -> Self {
        Self { method: Method::GET, path, access, kind: Kind::Page, handler }
    }

    fn post(path: &'static str, access: Access, handler: MethodRouter<AppState>) -> Self {
        Self { method: Method::POST, path, access, kind: Kind::Page, handler }
    }

    fn of(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }
}

const ANY_ROLE: Access = Access::AnyOf(&[Role::Approver, Role::Auditor, Role::Admin]);
const APPROVER: Access = Access::AnyOf(&[Role::Approver]);

/// Every route there is.
#[must_use]
#[rustfmt::skip]
pub fn table() -> Vec<Route> {
    use Access::{Public, SetupOnly, SignedIn};
    vec![
        Route::get("/", ANY_ROLE, get(approver::queue)),
        Route::get("/approvals/{id}", ANY_ROLE, get(approver::approval)),
        Route::post("/approvals/{id}/decision", APPROVER, post(approver::decide)).of(Kind::Decision),
        Route::get("/approvals/{id}/result/{decision}", ANY_ROLE, get(approver::result)),
        Route::get("/history", ANY_ROLE, get(auditor::history)),
        Route::get("/history/{seq}", ANY_ROLE, get(auditor::record)),
        Route::get("/sign-in", Public, get(session::sign_in::show)),
        Route::post("/sign-in", Public, post(session::sign_in::submit)),
        Route::post("/sign-out", SignedIn, post(session::sign_out::submit)),
        Route::get("/setup", SetupOnly, get(session::setup::show)),
        Route::post("/setup", SetupOnly, post(session::setup::submit)),
        Route::get("/me", SignedIn, get(session::me::show)),
        Route::post("/me/password", SignedIn, post(session::me::change_password)),
        Route::post("/me/sessions/{id}/end", SignedIn, post(session::me::end_session)),
        Route::post("/me/sessions/end-others", SignedIn, post(session::me::end_others)),
        Route::post("/me/sessions/end-all", SignedIn, post(session::me::end_all)),
        Route::get("/events", ANY_ROLE, get(events::listen)).of(Kind::Stream),
        Route::get("/healthz", Public, get(health::alive)).of(Kind::Machine),
        Route::get("/readyz", Public, get(health::ready)).of(Kind::Machine),
        Route::get("/static/{hash}/{file}", Public, get(assets::show)).of(Kind::Asset),
    ]
}

/// The table as a router, each route behind its guard. GET also answers HEAD; other methods get 405, other paths 404.
pub fn router(app: &AppState) -> Router {
    let mut router = Router::new();
    for route in table() {
        let gate = Gate { path: route.path, access: route.access, kind: route.kind };
        let guarded = route.handler.route_layer(from_fn_with_state((app.clone(), gate), guard::check));
        router = router.route(route.path, guarded);
    }
    router
        .method_not_allowed_fallback(|| async { Failure::new(StatusCode::METHOD_NOT_ALLOWED) })
        .fallback(|| async { Failure::not_found() })
        .with_state(app.clone())
}

/// Whether `path` is a page of ours that a person can be sent to.
#[must_use]
pub fn is_page(path: &str) -> bool {
    table().iter().any(|route| route.method == Method::GET && route.kind == Kind::Page && fits(route.path, path))
}

/// Whether a method is one that HTTP knows.
#[must_use]
pub fn is_known(method: &Method) -> bool {
    let known = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];
    known.contains(method)
}

/// Whether a path without query fits a template such as `/approvals/{id}`. A variable stands for exactly one segment of
/// letters, digits and dashes, which is all that our ids are made of.
fn fits(template: &str, path: &str) -> bool {
    let (mut left, mut right) = (template.split('/'), path.split('/'));
    loop {
        match (left.next(), right.next()) {
            (None, None) => return true,
            (Some(variable), Some(text)) if variable.starts_with('{') => {
                if text.is_empty() || !text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
                    return false;
                }
            }
            (Some(a), Some(b)) if a == b => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_route_is_listed_twice() {
        let mut seen = std::collections::BTreeSet::new();
        for route in table() {
            assert!(seen.insert((route.method.to_string(), route.path)), "{} {}", route.method, route.path);
        }
    }

    #[test]
    fn every_route_that_changes_something_needs_more_than_a_visitor_except_the_two_ways_in() {
        let open: Vec<_> = table()
            .into_iter()
            .filter(|route| !route.method.is_safe() && matches!(route.access, Access::Public | Access::SetupOnly))
            .map(|route| route.path)
            .collect();
        assert_eq!(open, ["/sign-in", "/setup"]);
    }

    #[test]
    fn a_template_fits_whole_paths_only() {
        assert!(is_page("/approvals/0199-aa"));
        assert!(is_page("/"));
        for path in ["", "/approvals", "/approvals/", "/approvals/a/b", "/approvals/a%2fb", "/healthz", "//", "/x"] {
            assert!(!is_page(path), "{path}");
        }
    }
}
