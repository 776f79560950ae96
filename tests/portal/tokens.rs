//! Programs that act as people: tokens made and revoked on pages, shown in one header, and refused everywhere else.

use std::collections::BTreeSet;

use countersign::accounts::By;
use countersign::accounts::tokens::NewToken;
use countersign::domain::people::Role;
use countersign::domain::tokens::{Scope, write};
use jiff::SignedDuration;
use reqwest::Method;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::harness::{Browser, Page, Portal, email, password};

const ME: &str = "/api/v1/me";

impl Portal {
    /// A token of somebody's, for 30 days.
    pub async fn token_of(&self, name: &str, scope: Scope) -> String {
        let accounts = &self.state.accounts;
        let id = accounts.find_by_email(&email(name)).await.unwrap().unwrap();
        let new = NewToken { label: format!("{name}'s script"), scope, serves: "30d".parse().unwrap() };
        accounts.create_token(&By::Operator, id, new).await.unwrap().secret.expose_secret().to_owned()
    }

    /// A program asks who it is.
    async fn who_am_i(&self, token: &str) -> Page {
        let program = self.anonymous();
        program.send(ME, program.request(Method::GET, ME).bearer_auth(token)).await
    }
}

/// The token on the page that shows it.
fn token_on(page: &Page) -> String {
    let at = page.body.find("csn_").unwrap_or_else(|| panic!("no token: {} {}", page.status, page.text()));
    page.body[at..].split('"').next().unwrap().to_owned()
}

async fn make(browser: &Browser, label: &str) -> Page {
    let page = browser.open("/me/tokens").await;
    browser.submit(&page, "/me/tokens", &[("label", label), ("scope", "read"), ("expires", "30d")]).await
}

fn body(page: &Page) -> Value {
    serde_json::from_str(&page.body).unwrap_or_else(|_| panic!("{} {}", page.status, page.body))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_makes_a_token_and_their_program_acts_as_them() {
    // S-29, S-42
    let portal = Portal::start().await;
    let ana = portal.as_person("ana", &[Role::Approver, Role::Auditor]).await;
    assert!(ana.open("/me").await.body.contains("href=\"/me/tokens\""));
    let made = make(&ana, "Nightly report").await;
    assert_eq!((made.status, made.heading().as_str()), (200, "Your new API token"));
    assert_eq!(made.header("cache-control"), Some("no-store"));
    made.says("It is shown only now.").says("Nightly report");
    let token = token_on(&made);

    let answer = portal.who_am_i(&token).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    crate::answers::assert_headers(&answer, false);
    assert!(answer.header("set-cookie").is_none());
    let id = portal.state.accounts.find_by_email(&email("ana")).await.unwrap().unwrap();
    let told = json!({
        "account": id, "email": email("ana"), "name": "ana", "roles": ["approver", "auditor"],
        "token": { "label": "Nightly report", "scope": "read", "expires_at": "2026-12-21T08:00:00Z" },
    });
    assert_eq!(body(&answer), told);

    let page = ana.open("/me/tokens").await;
    page.says("Nightly report").says("Last used 2026-11-21 08:00:00 UTC");
    assert!(!page.body.contains(&token) && !page.body.contains("csn_"), "it is shown only once");
    let of_ana = portal.records_of("token.created").await.remove(0);
    assert_eq!(
        (&of_ana.payload["by"]["email"], &of_ana.payload["label"]),
        (&json!(email("ana")), &json!("Nightly report"))
    );
    // S-48
    assert!(portal.records().await.iter().all(|record| !record.payload.to_string().contains(&token[4..47])));
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_does_not_work_reads_the_same_whatever_is_wrong_with_it() {
    // S-29, S-31, S-45
    let portal = Portal::start().await;
    for name in ["ana", "ben", "cleo", "dan"] {
        portal.create_account(name, &[Role::Approver]).await;
    }
    let ana = portal.sign_in("ana").await;
    let revoked = portal.token_of("ana", Scope::Read).await;
    let page = ana.open("/me/tokens").await;
    let action = page.body.split("action=\"").find(|form| form.contains("/revoke\"")).unwrap();
    let action = action.split('"').next().unwrap().to_owned();
    let done = ana.submit(&page, &action, &[]).await;
    assert_eq!((done.status, done.location()), (303, Some("/me/tokens")));
    ana.follow(&done).await.says("The token is revoked.").says("None.");
    let disabled = portal.token_of("ben", Scope::Read).await;
    portal.disable("ben").await;
    let changing = portal.token_of("cleo", Scope::Read).await;
    let cleo = portal.state.accounts.find_by_email(&email("cleo")).await.unwrap().unwrap();
    portal.state.accounts.reset_password(&By::Operator, cleo, None).await.unwrap();
    let expired = portal.token_of("dan", Scope::Read).await;
    portal.advance(SignedDuration::from_hours(30 * 24) - SignedDuration::from_secs(1));
    assert_eq!(portal.who_am_i(&expired).await.status, 200);
    portal.advance(SignedDuration::from_secs(1));

    let unknown = write(&[7; 32]).to_string();
    let mut bodies = BTreeSet::new();
    for bad in [&revoked, &disabled, &changing, &expired, &unknown, &unknown[..40], "csn_", ""] {
        let answer = portal.who_am_i(bad).await;
        assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some("Bearer")), "{bad}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        crate::answers::assert_headers(&answer, false);
        assert!(answer.header("set-cookie").is_none());
        let mut problem = body(&answer);
        assert_eq!(problem["request_id"], answer.header("x-request-id").unwrap());
        problem.as_object_mut().unwrap().remove("request_id");
        bodies.insert(problem.to_string());
    }
    let nothing = portal.anonymous().open(ME).await;
    let mut problem = body(&nothing);
    problem.as_object_mut().unwrap().remove("request_id");
    bodies.insert(problem.to_string());
    let only = json!({
        "type": "about:blank", "title": "Unauthorized", "status": 401,
        "detail": "This needs an API token that works, in the header: Authorization: Bearer csn_…",
    });
    assert_eq!(bodies, BTreeSet::from([only.to_string()]));
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_or_a_token_anywhere_but_in_its_header_is_nothing() {
    // S-29
    let portal = Portal::start().await;
    let ana = portal.as_approver("ana").await;
    let token = portal.token_of("ana", Scope::Decide).await;
    let asked = |path: String, headers: Vec<(&'static str, String)>| {
        let ana = &ana;
        async move {
            let mut request = ana.request(Method::GET, &path).header("sec-fetch-site", "same-origin");
            for (name, value) in headers {
                request = request.header(name, value);
            }
            ana.send(&path, request).await.status
        }
    };
    assert_eq!(asked(ME.into(), vec![]).await, 401, "Ana's session is nothing here");
    for query in ["token", "access_token", "authorization"] {
        assert_eq!(asked(format!("{ME}?{query}={token}"), vec![]).await, 401, "{query}");
    }
    let bearer = format!("Bearer {token}");
    for (name, value) in [
        ("authorization", token.clone()),
        ("authorization", format!("Basic {token}")),
        ("authorization", format!("Bearer {token}, Bearer {token}")),
        ("x-api-key", token.clone()),
        ("proxy-authorization", bearer.clone()),
        ("cookie", format!("countersign={token}")),
    ] {
        assert_eq!(asked(ME.into(), vec![(name, value)]).await, 401, "{name}");
    }
    let twice = vec![("authorization", bearer.clone()), ("authorization", bearer.clone())];
    assert_eq!(asked(ME.into(), twice).await, 401);
    assert_eq!(asked(ME.into(), vec![("authorization", bearer.clone())]).await, 200);

    // And pages know no tokens.
    let program = portal.anonymous();
    for path in ["/", "/me", "/history"] {
        let page = program.send(path, program.request(Method::GET, path).bearer_auth(&token)).await;
        assert_eq!(page.status, 303, "{path}");
    }
    // A browser on another site gets no permission to ask, and no answer it may read (S-43).
    let request = program.request(Method::GET, ME).bearer_auth(&token).header("origin", "https://evil.example");
    let answer = program.send(ME, request).await;
    assert!(answer.headers.keys().all(|name| !name.as_str().starts_with("access-control-")));

    portal.state.accounts.flush_stranger_counts().await.unwrap();
    portal.advance(SignedDuration::from_secs(90));
    portal.state.accounts.flush_stranger_counts().await.unwrap();
    let sums = portal.records_of("strangers.counted").await;
    // S-16: what was shown as a token and was none; who shows nothing has tried nothing.
    assert_eq!(sums[0].payload["counts"], json!({ "token.refused": 4 }));
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn asking_by_token_changes_nothing_but_when_it_was_last_used() {
    // S-40
    let portal = Portal::start().await;
    portal.create_account("ana", &[Role::Approver]).await;
    let token = portal.token_of("ana", Scope::Decide).await;
    let records = portal.records().await.len();
    for method in [Method::GET, Method::HEAD] {
        let program = portal.anonymous();
        let answer = program.send(ME, program.request(method, ME).bearer_auth(&token)).await;
        assert_eq!(answer.status, 200);
    }
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
        let program = portal.anonymous();
        let answer = program.send(ME, program.request(method, ME).bearer_auth(&token)).await;
        assert_eq!((answer.status, answer.header("content-type")), (405, Some("application/problem+json")));
    }
    assert_eq!(portal.records().await.len(), records);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn making_a_token_asks_for_fresh_proof_and_loses_nothing_that_was_typed() {
    // S-18, S-35
    let portal = Portal::start().await;
    let ana = portal.as_approver("ana").await;
    let page = ana.open("/me/tokens").await;
    portal.advance(SignedDuration::from_mins(6));
    let fields = [("label", "Deploy <bot>"), ("scope", "decide"), ("expires", "7d")];
    let asked = ana.submit(&page, "/me/tokens", &fields).await;
    assert_eq!(asked.status, 403);
    assert_eq!(portal.records_of("token.created").await.len(), 0);
    let go_on = ana.submit(&asked, "/step-up", &[("password", &password("ana"))]).await;
    assert_eq!(go_on.status, 200, "{}", go_on.text());
    let made = ana.submit(&go_on, "/me/tokens", &[]).await;
    made.says("Deploy <bot>");
    let told = body(&portal.who_am_i(&token_on(&made)).await);
    assert_eq!(
        told["token"],
        json!({ "label": "Deploy <bot>", "scope": "decide", "expires_at": "2026-11-28T08:06:00Z" })
    );
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_token_is_told_at_its_field() {
    // S-29, S-34
    let portal = Portal::start().await;
    let ana = portal.as_approver("ana").await;
    let page = ana.open("/me/tokens").await;
    let refused = |label: &'static str, scope: &'static str, expires: &'static str| {
        let (ana, page) = (&ana, &page);
        async move {
            let fields = [("label", label), ("scope", scope), ("expires", expires)];
            ana.submit(page, "/me/tokens", &fields).await
        }
    };
    let empty = refused(" ", "decide", "90d").await;
    assert_eq!(empty.status, 422);
    empty.says("A label has 1 to 80 characters.");
    assert!(empty.body.contains("value=\"90d\" selected") && empty.body.contains("value=\"decide\" selected"));
    for (scope, expires) in [("admin", "30d"), ("read", "366d"), ("read", "never"), ("read", "59m"), ("", "")] {
        let page = refused("report", scope, expires).await;
        assert_eq!(page.status, 422, "{scope} {expires}");
        page.says("Choose one of these");
        assert!(page.body.contains("value=\"report\""), "what was typed is kept");
    }
    assert_eq!(ana.submit(&page, "/me/tokens", &[("label", "a"), ("scope", "read")]).await.status, 400);
    let known = [("label", "a"), ("scope", "read"), ("expires", "1d"), ("account", "somebody")];
    assert_eq!(ana.submit(&page, "/me/tokens", &known).await.status, 400);
    assert_eq!(portal.records_of("token.created").await.len(), 0);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_sees_and_revokes_somebodys_tokens_and_ending_sessions_leaves_them_be() {
    // S-28, S-29
    let portal = Portal::start().await;
    let id = portal.create_account("ana", &[Role::Approver]).await;
    let token = portal.token_of("ana", Scope::Read).await;
    let ana = portal.sign_in("ana").await;
    let adam = portal.as_admin().await;
    let account = format!("/admin/accounts/{id}");
    let page = adam.open(&account).await;
    page.says("ana's script").says("Ending sessions or a new password leaves them be");
    let ended = adam.submit(&page, &format!("{account}/sessions/end"), &[]).await;
    assert_eq!(ended.status, 303);
    assert_eq!(ana.open("/me").await.status, 303);
    assert_eq!(portal.who_am_i(&token).await.status, 200);

    let listed = portal.state.accounts.list_tokens(Some(id)).await.unwrap();
    let revoke = format!("{account}/tokens/{}/revoke", listed[0].id);
    let done = adam.submit(&page, &revoke, &[]).await;
    assert_eq!((done.status, done.location()), (303, Some(account.as_str())));
    adam.follow(&done).await.says("The token is revoked.");
    assert_eq!(portal.who_am_i(&token).await.status, 401);
    assert_eq!(adam.submit(&page, &revoke, &[]).await.status, 404, "it was revoked before");
    let revoked = portal.records_of("token.revoked").await.remove(0).payload;
    assert_eq!((&revoked["by"]["email"], &revoked["why"]), (&json!(email("adam")), &json!("revoked by an admin")));

    // S-31: another person's token looks like none.
    portal.token_of("ana", Scope::Read).await;
    let theirs = portal.state.accounts.list_tokens(Some(id)).await.unwrap()[0].id;
    let csrf = adam.open("/me/tokens").await.csrf();
    assert_eq!(adam.post(&format!("/me/tokens/{theirs}/revoke"), &[("csrf", &csrf)]).await.status, 404);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admins_token_says_itself_that_it_has_no_admin_rights() {
    // S-15, S-29
    let portal = Portal::start().await;
    portal.as_admin().await;
    let token = portal.token_of("adam", Scope::Decide).await;
    let answer = portal.who_am_i(&token).await;
    assert_eq!((answer.status, &body(&answer)["roles"]), (200, &json!([])));
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_database_the_api_says_503_and_nothing_of_the_inside() {
    // S-45
    let portal = Portal::start().await;
    portal.create_account("ana", &[Role::Approver]).await;
    let token = portal.token_of("ana", Scope::Read).await;
    portal.state.database.close().await;
    let answer = portal.who_am_i(&token).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("2")));
    let mut problem = body(&answer);
    assert_eq!(problem["request_id"], answer.header("x-request-id").unwrap());
    problem.as_object_mut().unwrap().remove("request_id");
    assert_eq!(problem, json!({ "type": "about:blank", "title": "Service Unavailable", "status": 503 }));
    assert_eq!(portal.who_am_i(&token[..40]).await.status, 401, "what is no token is refused all the same");
    portal.finish_unsettled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_shows_one_wrong_token_after_another_waits_and_a_token_that_works_never_does() {
    // S-13, S-16, S-29
    let portal = Portal::start().await;
    portal.create_account("ana", &[Role::Approver]).await;
    let token = portal.token_of("ana", Scope::Read).await;
    let program = portal.anonymous();
    let show = async |token: &str| program.send(ME, program.request(Method::GET, ME).bearer_auth(token)).await;
    let (unknown, none) = (write(&[7; 32]).to_string(), "csn_");
    for n in 0..10 {
        let answer = show(if n % 2 == 0 { &unknown } else { none }).await;
        assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some("Bearer")), "{n}");
    }
    for bad in [&unknown, none] {
        let answer = show(bad).await;
        assert_eq!((answer.status, answer.header("retry-after")), (429, Some("6")), "{bad}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        crate::answers::assert_headers(&answer, false);
        let mut problem = body(&answer);
        problem.as_object_mut().unwrap().remove("request_id");
        let told = json!({
            "type": "about:blank", "title": "Too Many Requests", "status": 429,
            "detail": "Too many API tokens that do not work were shown from this address. Wait, and show one that works.",
        });
        assert_eq!(problem, told);
    }
    assert_eq!(show(&token).await.status, 200, "one that works is never held back");
    assert_eq!(program.open(ME).await.status, 401, "who shows nothing has tried nothing");
    assert_eq!(portal.who_am_i(&unknown).await.status, 401, "the neighbour is not concerned");
    portal.advance(SignedDuration::from_secs(6));
    assert_eq!((show(&unknown).await.status, show(&unknown).await.status), (401, 429), "ten a minute");

    portal.state.accounts.flush_stranger_counts().await.unwrap();
    portal.advance(SignedDuration::from_secs(90));
    portal.state.accounts.flush_stranger_counts().await.unwrap();
    let sums = portal.records_of("strangers.counted").await;
    assert_eq!(sums[0].payload["counts"], json!({ "token.refused": 12, "token.throttled": 3 }));
    portal.finish().await;
}
