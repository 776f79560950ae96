//! The one list of routes: method, path, who may use it, handler. Guards follow from it, the router is made of it, the
//! access matrix in the tests walks it (S-30). Nothing is mounted outside it.

use axum::Router;
use axum::http::{Method, StatusCode};
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, get, post};

use super::error::Failure;
use super::guard::{self, Gate};
use super::state::AppState;
use super::{admin, api, approver, assets, auditor, events, factors, health, hooks, session, step_up};
use crate::domain::people::Role;
use crate::domain::tokens::Scope;

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
    /// A program that shows an API token, whose scope must cover this one. Cookies are nothing here (S-29).
    Api(Scope),
    /// A prober: no session is looked up, so that these answer without a database (P-16).
    Machine,
    /// Another service, which proves itself by what it sends: no session is looked up, and it makes no difference which page a
    /// request was made by.
    Hook,
    /// A static file: as `Machine`.
    Asset,
}

/// One row of the table.
pub struct Route {
    pub method: Method,
    pub path: &'static str,
    pub access: Access,
    pub kind: Kind,
    /// Whoever uses it has proven who they are within the last minutes (S-18, S-35).
    pub stepped_up: bool,
    handler: MethodRouter<AppState>,
}

impl Route {
    fn get(path: &'static str, access: Access, handler: MethodRouter<AppState>) -> Self {
        Self { method: Method::GET, path, access, kind: Kind::Page, stepped_up: false, handler }
    }

    fn post(path: &'static str, access: Access, handler: MethodRouter<AppState>) -> Self {
        Self { method: Method::POST, path, access, kind: Kind::Page, stepped_up: false, handler }
    }

    fn of(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    fn stepped_up(mut self) -> Self {
        self.stepped_up = true;
        self
    }
}

const ANY_ROLE: Access = Access::AnyOf(&[Role::Approver, Role::Auditor, Role::Admin]);
const APPROVER: Access = Access::AnyOf(&[Role::Approver]);
const ADMIN: Access = Access::AnyOf(&[Role::Admin]);
/// Who may see who may do what.
const OVERSEER: Access = Access::AnyOf(&[Role::Admin, Role::Auditor]);

/// Every route there is.
#[must_use]
#[rustfmt::skip]
pub fn table() -> Vec<Route> {
    use Access::{Public, SetupOnly, SignedIn};
    vec![
        Route::get("/", ANY_ROLE, get(approver::queue)),
        Route::get("/approvals/{id}", ANY_ROLE, get(approver::approval)),
        Route::post("/approvals/{id}/decision", APPROVER, post(approver::decide)).of(Kind::Decision),
        Route::post("/approvals/{id}/challenge", APPROVER, post(approver::challenge)),
        Route::get("/approvals/{id}/result/{decision}", ANY_ROLE, get(approver::result)),
        Route::get("/l/{code}", Public, get(approver::mailed::follow)),
        Route::get("/link/{id}", Public, get(approver::mailed::show)),
        Route::post("/link/{id}", Public, post(approver::mailed::decide)).of(Kind::Decision),
        Route::post("/link/{id}/renew", Public, post(approver::mailed::renew)),
        Route::get("/link/{id}/result", Public, get(approver::mailed::result)),
        Route::get("/history", ANY_ROLE, get(auditor::history)),
        Route::get("/history/{seq}", ANY_ROLE, get(auditor::record)),
        Route::get("/sign-in", Public, get(session::sign_in::show)),
        Route::post("/sign-in", Public, post(session::sign_in::submit)),
        Route::get("/sign-in/second", Public, get(session::second::show)),
        Route::post("/sign-in/second", Public, post(session::second::submit)),
        Route::post("/sign-in/second/challenge", Public, post(session::second::challenge)),
        Route::post("/sign-in/passkey", Public, post(session::passkey::submit)),
        Route::post("/sign-in/passkey/challenge", Public, post(session::passkey::challenge)),
        Route::get("/step-up", SignedIn, get(step_up::show)),
        Route::post("/step-up", SignedIn, post(step_up::submit)),
        Route::post("/step-up/challenge", SignedIn, post(step_up::challenge)),
        Route::post("/sign-in/sso/{provider}", Public, post(session::sso::submit)),
        // The one GET that begins a session; see there.
        Route::get("/sign-in/sso/{provider}/back", Public, get(session::sso::back)),
        Route::post("/step-up/sso/{provider}", SignedIn, post(session::sso::step_up)),
        Route::post("/sign-out", SignedIn, post(session::sign_out::submit)),
        Route::get("/forgot", Public, get(session::forgot::show)),
        Route::post("/forgot", Public, post(session::forgot::submit)),
        Route::get("/reset/{code}", Public, get(session::reset::show)),
        Route::post("/reset/{code}", Public, post(session::reset::submit)),
        Route::get("/invite/{code}", Public, get(session::invite::show)),
        Route::post("/invite/{code}", Public, post(session::invite::submit)),
        Route::post("/invite/{code}/challenge", Public, post(session::invite::challenge)),
        Route::get("/setup", SetupOnly, get(session::setup::show)),
        Route::post("/setup", SetupOnly, post(session::setup::submit)),
        Route::get("/me", SignedIn, get(session::me::show)),
        Route::post("/me/name", SignedIn, post(session::oneself::change_name)),
        Route::post("/me/time-zone", SignedIn, post(session::oneself::change_time_zone)),
        Route::get("/me/notifications", SignedIn, get(session::notifications::show)),
        Route::post("/me/notifications", SignedIn, post(session::notifications::submit)),
        Route::post("/me/notifications/push", SignedIn, post(session::push::turn_on)),
        Route::post("/me/notifications/push/{id}/stop", SignedIn, post(session::push::turn_off)),
        Route::post("/me/notifications/push/{id}/test", SignedIn, post(session::push::test)),
        Route::get("/me/access", SignedIn, get(session::my_access::show)),
        Route::post("/me/password", SignedIn, post(session::me::change_password)),
        Route::post("/me/sessions/{id}/end", SignedIn, post(session::me::end_session)),
        Route::post("/me/sessions/end-others", SignedIn, post(session::me::end_others)),
        Route::post("/me/sessions/end-all", SignedIn, post(session::me::end_all)),
        Route::get("/me/tokens", SignedIn, get(session::tokens::show)),
        Route::post("/me/tokens", SignedIn, post(session::tokens::submit)).stepped_up(),
        Route::post("/me/tokens/{id}/revoke", SignedIn, post(session::tokens::revoke)).stepped_up(),
        Route::get("/me/factors", SignedIn, get(factors::show)),
        Route::get("/me/factors/totp", SignedIn, get(factors::totp::show)),
        Route::post("/me/factors/totp", SignedIn, post(factors::totp::begin)).stepped_up(),
        Route::post("/me/factors/totp/confirm", SignedIn, post(factors::totp::confirm)).stepped_up(),
        Route::post("/me/factors/totp/remove", SignedIn, post(factors::totp::remove)).stepped_up(),
        Route::post("/me/factors/recovery", SignedIn, post(factors::renew_codes)).stepped_up(),
        Route::post("/me/factors/passkeys", SignedIn, post(factors::passkeys::add)).stepped_up(),
        Route::post("/me/factors/passkeys/challenge", SignedIn, post(factors::passkeys::challenge)).stepped_up(),
        Route::post("/me/factors/passkeys/{id}/rename", SignedIn, post(factors::passkeys::rename)).stepped_up(),
        Route::post("/me/factors/passkeys/{id}/remove", SignedIn, post(factors::passkeys::remove)).stepped_up(),
        Route::get("/admin/accounts", ADMIN, get(admin::people::list)),
        Route::get("/admin/accounts/invite", ADMIN, get(admin::people::invite)),
        Route::post("/admin/accounts/invite", ADMIN, post(admin::people::invite_person)).stepped_up(),
        Route::get("/admin/accounts/import", ADMIN, get(admin::people::import)),
        Route::post("/admin/accounts/import", ADMIN, post(admin::people::import_people)).stepped_up(),
        Route::post("/admin/accounts/import/preview", ADMIN, post(admin::people::preview_import)).stepped_up(),
        Route::get("/admin/accounts/{id}", ADMIN, get(admin::people::account)),
        Route::post("/admin/accounts/{id}", ADMIN, post(admin::people::change)).stepped_up(),
        Route::post("/admin/accounts/{id}/disable", ADMIN, post(admin::people::disable)).stepped_up(),
        Route::post("/admin/accounts/{id}/enable", ADMIN, post(admin::people::enable)).stepped_up(),
        Route::post("/admin/accounts/{id}/delete", ADMIN, post(admin::people::delete)).stepped_up(),
        Route::post("/admin/accounts/{id}/invite", ADMIN, post(admin::people::invite_again)).stepped_up(),
        Route::post("/admin/accounts/{id}/reset", ADMIN, post(admin::people::start_reset)).stepped_up(),
        Route::post("/admin/accounts/{id}/compromised", ADMIN, post(admin::people::mark_compromised)).stepped_up(),
        Route::post("/admin/accounts/{id}/factors/reset", ADMIN, post(admin::people::reset_factors)).stepped_up(),
        Route::post("/admin/accounts/{id}/sessions/end", ADMIN, post(admin::people::end_sessions)).stepped_up(),
        Route::post("/admin/accounts/{id}/sessions/{session}/end", ADMIN, post(admin::people::end_session)).stepped_up(),
        Route::post("/admin/accounts/{id}/tokens/{token}/revoke", ADMIN, post(admin::people::revoke_token)).stepped_up(),
        Route::get("/me/stand-ins", APPROVER, get(session::stand_ins::show)),
        Route::post("/me/stand-ins", APPROVER, post(session::stand_ins::submit)).stepped_up(),
        Route::post("/me/stand-ins/{id}/end", APPROVER, post(session::stand_ins::end)),
        Route::get("/admin/access", OVERSEER, get(admin::access)),
        Route::get("/admin/access/gate", OVERSEER, get(admin::gate)),
        Route::get("/admin/access/gate.csv", OVERSEER, get(admin::gate_csv)),
        Route::get("/admin/access/person", OVERSEER, get(admin::person)),
        Route::get("/admin/access/person.csv", OVERSEER, get(admin::person_csv)),
        Route::get("/admin/access/review.csv", OVERSEER, get(admin::review_csv)),
        Route::get("/admin/access/grants/new", ADMIN, get(admin::new_grant)),
        Route::post("/admin/access/grants", ADMIN, post(admin::give_grant)).stepped_up(),
        Route::post("/admin/access/grants/{id}/end", ADMIN, post(admin::end_grant)).stepped_up(),
        Route::get("/admin/access/marks/new", ADMIN, get(admin::new_mark)),
        Route::post("/admin/access/marks", ADMIN, post(admin::make_mark)).stepped_up(),
        Route::post("/admin/access/marks/{id}/lift", ADMIN, post(admin::lift_mark)).stepped_up(),
        Route::get("/admin/access/options/new", ADMIN, get(admin::new_option)),
        Route::post("/admin/access/options", ADMIN, post(admin::set_option)).stepped_up(),
        Route::post("/admin/access/options/{id}/end", ADMIN, post(admin::end_option)).stepped_up(),
        Route::get("/admin/access/escalations/new", ADMIN, get(admin::new_escalation)),
        Route::post("/admin/access/escalations", ADMIN, post(admin::make_escalation)).stepped_up(),
        Route::post("/admin/access/escalations/{id}/end", ADMIN, post(admin::end_escalation)).stepped_up(),
        Route::post("/admin/access/stand-ins/{id}/end", ADMIN, post(admin::end_stand_in)).stepped_up(),
        Route::get("/admin/groups", OVERSEER, get(admin::list_groups)),
        Route::post("/admin/groups", ADMIN, post(admin::create_group)).stepped_up(),
        Route::get("/admin/groups/{id}", OVERSEER, get(admin::show_group)),
        Route::post("/admin/groups/{id}", ADMIN, post(admin::change_group)).stepped_up(),
        Route::post("/admin/groups/{id}/members", ADMIN, post(admin::add_member)).stepped_up(),
        Route::post("/admin/groups/{id}/members/{account}/end", ADMIN, post(admin::end_member)).stepped_up(),
        Route::post("/admin/groups/{id}/remove", ADMIN, post(admin::remove_group)).stepped_up(),
        // No proof is asked for: it changes nobody's rights, and the notice stays in the record. Who is made to fetch a key
        // in order to put a warning away learns to put warnings away.
        Route::post("/admin/notices/{id}/seen", ADMIN, post(admin::put_notice_away)),
        Route::get("/admin/system", ADMIN, get(admin::system)),
        // No proof either: the mail goes where it was to go, and says what it was to say.
        Route::post("/admin/system/mail/{id}/again", ADMIN, post(admin::send_again)),
        Route::get("/admin/channels", ADMIN, get(admin::list_channels)),
        Route::get("/admin/channels/new", ADMIN, get(admin::new_channel)),
        Route::post("/admin/channels", ADMIN, post(admin::make_channel)).stepped_up(),
        Route::get("/admin/channels/{id}", ADMIN, get(admin::show_channel)),
        Route::post("/admin/channels/{id}", ADMIN, post(admin::change_channel)).stepped_up(),
        Route::post("/admin/channels/{id}/gates", ADMIN, post(admin::add_channel_gates)).stepped_up(),
        Route::post("/admin/channels/{id}/gates/{gates}/end", ADMIN, post(admin::end_channel_gates)).stepped_up(),
        Route::post("/admin/channels/{id}/secret", ADMIN, post(admin::renew_channel_secret)).stepped_up(),
        Route::post("/admin/channels/{id}/end", ADMIN, post(admin::end_channel)).stepped_up(),
        Route::post("/admin/channels/{id}/test", ADMIN, post(admin::test_channel)).stepped_up(),
        Route::post("/admin/channels/{id}/deliveries/{delivery}/again", ADMIN, post(admin::tell_channel_again)).stepped_up(),
        Route::get("/me/identities", SignedIn, get(session::sso::list)),
        Route::post("/me/identities/{provider}/link", SignedIn, post(session::sso::link)).stepped_up(),
        Route::post("/me/identities/{provider}/unlink", SignedIn, post(session::sso::unlink)).stepped_up(),
        Route::get("/events", ANY_ROLE, get(events::listen)).of(Kind::Stream),
        Route::get("/api/v1/me", SignedIn, get(api::me)).of(Kind::Api(Scope::Read)),
        Route::post(hooks::SNS, Public, post(hooks::sns)).of(Kind::Hook),
        Route::post("/push/renewed", Public, post(session::push::renew)).of(Kind::Hook),
        Route::get("/healthz", Public, get(health::alive)).of(Kind::Machine),
        Route::get("/readyz", Public, get(health::ready)).of(Kind::Machine),
        Route::get(session::push::WORKER, Public, get(session::push::worker)).of(Kind::Asset),
        Route::get("/manifest.webmanifest", Public, get(assets::manifest)).of(Kind::Asset),
        Route::get("/static/{hash}/{file}", Public, get(assets::show)).of(Kind::Asset),
    ]
}

/// The table as a router, each route behind its guard. GET also answers HEAD; other methods get 405, other paths 404.
pub fn router(app: &AppState) -> Router {
    let mut router = Router::new();
    for route in table() {
        let gate = Gate { path: route.path, access: route.access, kind: route.kind, stepped_up: route.stepped_up };
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

/// Whether `path` is where a form of ours goes whose fields the step-up page may keep.
#[must_use]
pub fn keeps_fields(path: &str) -> bool {
    let is_kept = |route: &Route| route.stepped_up || (route.kind == Kind::Decision && route.access != Access::Public);
    table().iter().any(|route| route.method == Method::POST && is_kept(route) && fits(route.path, path))
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
    fn every_route_that_changes_something_needs_more_than_a_visitor_except_the_ways_in() {
        let open: Vec<_> = table()
            .into_iter()
            .filter(|route| !route.method.is_safe() && matches!(route.access, Access::Public | Access::SetupOnly))
            .map(|route| route.path)
            .collect();
        let ways_in = [
            // Not without the code in a mail.
            "/link/{id}",
            // A mail to whom the link was written to.
            "/link/{id}/renew",
            "/sign-in",
            "/sign-in/second",
            "/sign-in/second/challenge",
            "/sign-in/passkey",
            "/sign-in/passkey/challenge",
            "/sign-in/sso/{provider}",
            "/forgot",
            "/reset/{code}",
            "/invite/{code}",
            "/invite/{code}/challenge",
            "/setup",
            // No way in: what comes there is a hint at the most.
            "/hooks/sns",
            // No way in either: a browser that proves itself by the address it had says what it has now.
            "/push/renewed",
        ];
        assert_eq!(open, ways_in);
    }

    #[test]
    fn every_act_of_an_admin_asks_for_fresh_proof() {
        // S-35. Those that do not change nobody's rights; the table says why.
        let admins = |route: &&Route| !route.method.is_safe() && route.path.starts_with("/admin");
        let table = table();
        let without: Vec<_> = table.iter().filter(admins).filter(|it| !it.stepped_up).map(|it| it.path).collect();
        assert_eq!(without, ["/admin/notices/{id}/seen", "/admin/system/mail/{id}/again"]);
        assert!(keeps_fields("/me/factors/totp") && keeps_fields("/approvals/0199-aa/decision"));
        assert!(!keeps_fields("/me/password") && !keeps_fields("/me/factors") && !keeps_fields("//evil.example"));
        assert!(!keeps_fields("/link/0199-aa"), "nobody there has a session to step up");
    }

    #[test]
    fn what_programs_use_is_theirs_alone_and_what_acts_needs_more_than_reading() {
        // S-29
        let mut seen = 0;
        for route in table() {
            let Kind::Api(needs) = route.kind else {
                assert!(!route.path.starts_with("/api/"), "{} would take cookies", route.path);
                continue;
            };
            seen += 1;
            assert!(route.path.starts_with("/api/"), "{}", route.path);
            assert!(route.method == Method::GET || needs == Scope::Decide, "{} {}", route.method, route.path);
            assert!(!route.stepped_up, "{}: a token proves nothing afresh", route.path);
            assert!(matches!(route.access, Access::SignedIn | Access::AnyOf(_)), "{}", route.path);
            assert_ne!(route.access, ADMIN, "{}: no token has admin rights", route.path);
        }
        assert!(seen > 0);
    }

    #[test]
    fn whoever_lends_what_they_may_proves_first_that_it_is_them() {
        // S-35: a stand-in outlives the session in which it was named.
        let lends = |route: &&Route| route.method == Method::POST && route.path == "/me/stand-ins";
        assert!(table().iter().find(lends).is_some_and(|route| route.stepped_up));
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
