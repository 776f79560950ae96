//! Who may do what (S-30): every route, as everybody. The expectations are written down once, here; a route that is not
//! in the list fails the test.

use std::collections::BTreeSet;

use countersign::domain::people::Role;
use countersign::web::routes::{self, Kind};
use reqwest::Method;

use crate::harness::{Browser, Page, Portal};

/// Statuses for: nobody, no role, approver, auditor, admin, disabled since signing in.
type Expected = [u16; 6];

#[rustfmt::skip]
const MATRIX: &[(&str, &str, Expected)] = &[
    ("GET",  "/",                                   [303, 403, 200, 200, 200, 303]),
    ("GET",  "/approvals/{id}",                     [303, 403, 200, 200, 200, 303]),
    // 400: let in, and then told that the form lacks its fields.
    ("POST", "/approvals/{id}/decision",            [401, 403, 400, 403, 403, 401]),
    // 404: let in, and then told that there is no such decision.
    ("GET",  "/approvals/{id}/result/{decision}",   [303, 403, 404, 404, 404, 303]),
    ("GET",  "/history",                            [303, 403, 200, 200, 200, 303]),
    // Record 1 is about an account, which is none of an approver's business (S-31).
    ("GET",  "/history/{seq}",                      [303, 403, 404, 200, 200, 303]),
    ("GET",  "/sign-in",                            [200, 303, 303, 303, 303, 200]),
    ("POST", "/sign-in",                            [400, 400, 400, 400, 400, 400]),
    ("POST", "/sign-out",                           [401, 303, 303, 303, 303, 401]),
    // There are accounts, so there is no set-up (S-07).
    ("GET",  "/setup",                              [404, 404, 404, 404, 404, 404]),
    ("POST", "/setup",                              [404, 404, 404, 404, 404, 404]),
    ("GET",  "/me",                                 [303, 200, 200, 200, 200, 303]),
    ("POST", "/me/password",                        [401, 400, 400, 400, 400, 401]),
    // 404: let in, and then told that no such session is theirs.
    ("POST", "/me/sessions/{id}/end",               [401, 404, 404, 404, 404, 401]),
    ("POST", "/me/sessions/end-others",             [401, 303, 303, 303, 303, 401]),
    ("POST", "/me/sessions/end-all",                [401, 303, 303, 303, 303, 401]),
    // A script is told; it is not sent to sign in.
    ("GET",  "/events",                             [401, 403, 200, 200, 200, 401]),
    ("GET",  "/healthz",                            [200, 200, 200, 200, 200, 200]),
    ("GET",  "/readyz",                             [200, 200, 200, 200, 200, 200]),
    ("GET",  "/static/{hash}/{file}",               [200, 200, 200, 200, 200, 200]),
];

const VISITORS: [(&str, Option<&[Role]>); 6] = [
    ("nobody", None),
    ("norma", Some(&[])),
    ("ana", Some(&[Role::Approver])),
    ("audrey", Some(&[Role::Auditor])),
    ("adam", Some(&[Role::Admin])),
    ("dora", Some(&[Role::Approver, Role::Auditor, Role::Admin])),
];

#[test]
fn every_route_is_in_the_matrix_and_every_row_is_a_route() {
    let routes: BTreeSet<_> = routes::table().iter().map(|it| (it.method.to_string(), it.path.to_owned())).collect();
    let rows: BTreeSet<_> = MATRIX.iter().map(|(method, path, _)| (method.to_string(), (*path).to_owned())).collect();
    assert_eq!(routes, rows);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_answers_everybody_as_the_matrix_says() {
    let portal = Portal::start().await;
    portal.create_account("olga", &[]).await;
    portal.waiting("shop").await;
    let approval = portal.approval_id("shop").await;
    let mut wrong = Vec::new();
    for (column, (name, roles)) in VISITORS.into_iter().enumerate() {
        for (method, template, expected) in MATRIX {
            let visitor = Visitor::arrive(&portal, name, roles).await;
            let page = visitor.ask(method, &filled(template, &approval, &visitor.asset), &[]).await;
            if page.status != expected[column] {
                wrong.push(format!("{name} {method} {template}: {}, not {}", page.status, expected[column]));
            }
            assert_answer_is_dressed(&page, template);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(portal.simulator.count("PutApprovalResult"), 0);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_done_for_a_form_that_another_page_made() {
    let portal = Portal::start().await;
    portal.waiting("shop").await;
    let approval = portal.approval_id("shop").await;
    let roles: &[Role] = &[Role::Approver, Role::Auditor, Role::Admin];
    let stranger = Visitor::arrive(&portal, "mallory", Some(roles)).await;
    let before = portal.records().await.len();
    let visitor = Visitor::arrive(&portal, "ana", Some(roles)).await;
    let signed_in = portal.records().await.len();
    for route in routes::table().iter().filter(|route| route.method == Method::POST && route.path != "/setup") {
        let path = filled(route.path, &approval, &visitor.asset);
        let foreign = stranger.csrf.as_str();
        for token in [None, Some(""), Some("AAAA"), Some(foreign)] {
            let fields: Vec<_> = token.into_iter().map(|token| ("csrf", token)).collect();
            let page = visitor.browser.post(&path, &fields).await;
            assert_eq!(page.status, 403, "{path} with the token {token:?}");
        }
        let elsewhere: [&[(&str, &str)]; 5] = [
            &[],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site")],
            &[("origin", "null")],
            &[("origin", "https://evil.example")],
        ];
        for headers in elsewhere {
            let mut request = visitor.browser.request(Method::POST, &path).form(&[("csrf", &visitor.csrf)]);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let page = visitor.browser.send(&path, request).await;
            assert_eq!(page.status, 403, "{path} from elsewhere: {headers:?}");
        }
    }
    assert!(signed_in > before, "signing in is recorded");
    assert_eq!(portal.records().await.len(), signed_in, "nothing else happened");
    assert_eq!(visitor.browser.open("/me").await.status, 200, "nobody was signed out");
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_page_of_the_portal_decides_never_an_address_bar() {
    // S-37: `none` is what an address bar or a bookmark sends.
    let portal = Portal::start().await;
    portal.waiting("shop").await;
    let ana = portal.as_approver("ana").await;
    let path = format!("/approvals/{}/decision", portal.approval_id("shop").await);
    let csrf = ana.open("/me").await.csrf();
    let request = ana.request(Method::POST, &path).header("sec-fetch-site", "none").form(&[("csrf", &csrf)]);
    assert_eq!(ana.send(&path, request).await.status, 403);
    let request = ana.request(Method::POST, "/sign-out").header("sec-fetch-site", "none").form(&[("csrf", &csrf)]);
    assert_eq!(ana.send("/sign-out", request).await.status, 303, "elsewhere it may be");
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_methods_are_refused_everywhere() {
    // S-40, S-43: also TRACE, and a preflight, which gets no permission.
    let portal = Portal::start().await;
    let admin = portal.as_admin().await;
    let paths: BTreeSet<_> = routes::table().iter().map(|route| route.path).collect();
    for template in paths {
        let path = filled(template, "0199aa00-0000-7000-8000-000000000000", "");
        let known: Vec<_> = routes::table().into_iter().filter(|it| it.path == template).map(|it| it.method).collect();
        for method in ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            assert!(!known.contains(&method));
            let request = admin.request(method.clone(), &path).header("sec-fetch-site", "same-origin");
            let page = admin.send(&path, request.header("origin", "https://evil.example")).await;
            assert_eq!(page.status, 405, "{method} {path}");
            assert!(page.headers.keys().all(|name| !name.as_str().starts_with("access-control-")));
        }
    }
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn looking_changes_nothing() {
    // S-40
    let portal = Portal::start().await;
    portal.waiting("shop").await;
    let approval = portal.approval_id("shop").await;
    let roles: &[Role] = &[Role::Approver, Role::Auditor, Role::Admin];
    let visitor = Visitor::arrive(&portal, "ana", Some(roles)).await;
    let nobody = Visitor::arrive(&portal, "nobody", None).await;
    let before = snapshot(&portal).await;
    for route in routes::table().iter().filter(|route| route.method == Method::GET) {
        for who in [&visitor, &nobody] {
            let path = filled(route.path, &approval, &who.asset);
            who.ask("GET", &path, &[]).await;
            let head = who.browser.send(&path, who.browser.request(Method::HEAD, &path)).await;
            assert!(head.body.is_empty());
        }
    }
    assert_eq!(snapshot(&portal).await, before);
    assert_eq!(portal.simulator.count("PutApprovalResult"), 0);
    portal.finish().await;
}

/// Everything in every table but when somebody was last seen.
async fn snapshot(portal: &Portal) -> Vec<(String, Option<String>)> {
    let mut conn = portal.database.connect_superuser().await;
    let sql = "select format('%I.%I', schemaname, tablename) from pg_tables where schemaname in ('portal', 'audit') order by 1";
    let tables: Vec<String> = sqlx::query_scalar(sql).fetch_all(&mut conn).await.unwrap();
    assert!(tables.len() > 8, "{tables:?}");
    let mut all = Vec::new();
    for table in tables {
        let sql = format!(
            "select md5(string_agg(row, e'\\n' order by row)) from (select (to_jsonb(t) - 'last_seen_at')::text as row from {table} t) rows"
        );
        let hash: Option<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&mut conn).await.unwrap();
        all.push((table, hash));
    }
    all
}

/// Somebody with a browser and a form token of their own.
struct Visitor {
    browser: Browser,
    csrf: String,
    /// The address of a static file.
    asset: String,
}

impl Visitor {
    async fn arrive(portal: &Portal, name: &str, roles: Option<&[Role]>) -> Self {
        let browser = match roles {
            None => portal.anonymous(),
            Some(roles) => {
                if name == "dora" {
                    enable(portal, name).await;
                }
                portal.as_person(name, roles).await
            }
        };
        let page = browser.open(if roles.is_some() { "/me" } else { "/sign-in" }).await;
        let start = page.body.find("/static/").unwrap();
        let asset = page.body[start..].split('"').next().unwrap().to_owned();
        if name == "dora" {
            portal.disable(name).await;
            // As somebody finds out: the form token of before is all they have, and a way in they may try.
            let csrf = browser.open("/sign-in").await.csrf();
            return Self { csrf, browser, asset };
        }
        Self { csrf: page.csrf(), browser, asset }
    }

    async fn ask(&self, method: &str, path: &str, fields: &[(&str, &str)]) -> Page {
        if method == "GET" {
            return self.browser.open(path).await;
        }
        let mut all = vec![("csrf", self.csrf.as_str())];
        all.extend_from_slice(fields);
        self.browser.post(path, &all).await
    }
}

async fn enable(portal: &Portal, name: &str) {
    let accounts = &portal.state.accounts;
    if let Some(id) = accounts.find_by_email(&crate::harness::email(name)).await.unwrap() {
        accounts.enable(&countersign::accounts::By::Operator, id).await.unwrap();
    }
}

fn filled(template: &str, approval: &str, asset: &str) -> String {
    if template.starts_with("/static/") && !asset.is_empty() {
        return asset.to_owned();
    }
    let nothing = "0199aa00-0000-7000-8000-000000000000";
    let id = if template.starts_with("/approvals/") { approval } else { nothing };
    let path = template.replace("{id}", id).replace("{decision}", nothing).replace("{seq}", "1");
    path.replace("{hash}", "0000000000000000").replace("{file}", "app.css")
}

/// Whatever the answer is: a browser is told what it must be told, and nothing is kept that must not be.
fn assert_answer_is_dressed(page: &Page, template: &str) {
    let is_asset = routes::table().iter().any(|route| route.path == template && route.kind == Kind::Asset);
    crate::answers::assert_headers(page, is_asset && page.status == 200);
}
