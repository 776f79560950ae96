//! What every answer carries, and what errors say (S-41 to S-45).

use countersign::web::layers::headers::POLICY;
use reqwest::Method;

use crate::harness::{Page, Portal, email, password};
use crate::support::proxy::Commit;

/// What must be on an answer, whatever it is.
pub fn assert_headers(page: &Page, may_be_kept: bool) {
    let what = format!("{} {}", page.status, page.path);
    assert_eq!(page.header("content-security-policy"), Some(POLICY), "{what}");
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"), "{what}");
    assert_eq!(page.header("cross-origin-opener-policy"), Some("same-origin"), "{what}");
    assert_eq!(page.header("cross-origin-resource-policy"), Some("same-origin"), "{what}");
    assert_eq!(page.header("referrer-policy"), Some("same-origin"), "{what}");
    assert!(page.header("x-request-id").is_some_and(|id| id.len() == 16), "{what}");
    assert!(page.header("server").is_none() && page.header("x-powered-by").is_none(), "{what}");
    assert!(page.headers.keys().all(|name| !name.as_str().starts_with("access-control-")), "{what}");
    let kept = page.header("cache-control").unwrap();
    assert_eq!(kept, if may_be_kept { "public, max-age=31536000, immutable" } else { "no-store" }, "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn over_https_cookies_are_host_bound_and_browsers_are_told_to_stay_there() {
    // S-24, S-42
    let portal = Portal::start_with("public_url = \"https://sign.example\"").await;
    portal.create_account("ana", &[]).await;
    let ana = portal.anonymous();
    let page = ana.open("/sign-in").await;
    assert_eq!(page.header("strict-transport-security"), Some("max-age=31536000; includeSubDomains"));
    let fields = [("email", "ana@example.com"), ("password", &crate::harness::password("ana"))];
    let page = ana.submit(&page, "/sign-in", &fields.map(|(name, value)| (name, value))).await;
    assert_eq!(page.status, 303, "{}", page.text());
    assert_eq!(ana.open("/me").await.status, 200);
    portal.finish().await;
}

/// The cookies that an answer sets: the name, and everything but the value.
fn cookies(page: &Page) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    for line in page.headers.get_all("set-cookie") {
        let mut parts = line.to_str().unwrap().split("; ");
        let name = parts.next().unwrap().split_once('=').unwrap().0.to_owned();
        let mut attributes: Vec<_> = parts.map(str::to_owned).collect();
        attributes.sort();
        found.push((name, attributes));
    }
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn every_cookie_has_exactly_the_attributes_it_must_have_and_no_other() {
    // S-24: at https, and on plain loopback, where browsers would drop the prefix and `Secure`.
    for (more, prefix, secure) in [("public_url = \"https://sign.example\"", "__Host-", true), ("", "", false)] {
        let portal = Portal::start_with(more).await;
        portal.create_account("ana", &[]).await;
        let ana = portal.anonymous();
        let expected = |name: &str, age: Option<&str>| {
            let mut all: Vec<String> = ["HttpOnly", "Path=/", "SameSite=Lax"].map(str::to_owned).into();
            all.extend(age.map(|age| format!("Max-Age={age}")));
            all.extend(secure.then(|| "Secure".to_owned()));
            all.sort();
            (format!("{prefix}{name}"), all)
        };
        let session = |age| expected("countersign", Some(age));
        let (eight_hours, year) = ("28800", Some("31536000"));
        let page = ana.open("/sign-in").await;
        assert_eq!(cookies(&page), [expected("countersign-form", None)]);
        let fields = [("email", email("ana")), ("password", password("ana"))];
        let fields = [(fields[0].0, fields[0].1.as_str()), (fields[1].0, fields[1].1.as_str())];
        let begun = ana.submit(&page, "/sign-in", &fields).await;
        let begins =
            [session(eight_hours), expected("countersign-device", year), expected("countersign-form", Some("0"))];
        assert_eq!(cookies(&begun), begins);
        let page = ana.open("/me").await;
        assert_eq!(cookies(&page), [], "looking sets none");
        let changed = ana.submit(&page, "/me/name", &[("name", "Ana Other")]).await;
        assert_eq!(cookies(&changed), [expected("countersign-note", Some("60"))]);
        let page = ana.follow(&changed).await;
        assert_eq!(cookies(&page), [expected("countersign-note", Some("0"))], "said once");
        let new = [("current", password("ana")), ("new", "one two buckle my shoe".to_owned())];
        let new = [(new[0].0, new[0].1.as_str()), (new[1].0, new[1].1.as_str())];
        let changed = ana.submit(&page, "/me/password", &new).await;
        let all: Vec<_> = begins.into_iter().chain([expected("countersign-note", Some("60"))]).collect();
        assert_eq!(cookies(&changed), all);
        let page = ana.open("/me").await;
        let ended = ana.submit(&page, "/sign-out", &[]).await;
        assert_eq!(cookies(&ended), [session("0")]);
        portal.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_plain_loopback_nothing_claims_to_be_https() {
    let portal = Portal::start().await;
    let page = portal.anonymous().open("/sign-in").await;
    assert!(page.header("strict-transport-security").is_none());
    assert!(page.header("set-cookie").unwrap().starts_with("countersign-form="), "{:?}", page.headers);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_says_what_to_do_and_its_number_and_nothing_of_the_inside() {
    let portal = Portal::start().await;
    let page = portal.as_admin().await.open("/nothing/here").await;
    assert_eq!((page.status, page.heading().as_str()), (404, "There is no such page"));
    page.says("Go to the queue").says(page.header("x-request-id").unwrap());

    let api = portal.anonymous().open("/api/v1/nothing").await;
    assert_eq!((api.status, api.header("content-type")), (404, Some("application/problem+json")));
    let problem: serde_json::Value = serde_json::from_str(&api.body).unwrap();
    assert_eq!(problem["status"], 404);
    assert_eq!(problem["request_id"], api.header("x-request-id").unwrap());
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_database_the_portal_says_503_and_lives() {
    // P-05, P-16, S-45
    let portal = Portal::start().await;
    let ana = portal.as_approver("ana").await;
    portal.state.database.close().await;
    for path in ["/", "/me", "/history"] {
        let page = ana.open(path).await;
        assert_eq!((page.status, page.header("retry-after")), (503, Some("2")), "{path}");
        assert_headers(&page, false);
        for inside in ["sqlx", "pool", "postgres", "select ", "/src/", "panick"] {
            assert!(!page.body.to_lowercase().contains(inside), "{path} tells {inside:?}: {}", page.text());
        }
    }
    let alive = ana.open("/healthz").await;
    assert_eq!((alive.status, alive.body.as_str()), (200, "ok\n"));
    let ready = ana.open("/readyz").await;
    assert_eq!((ready.status, ready.body.as_str()), (503, "the database cannot be reached\n"));
    portal.finish_unsettled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_every_connection_is_taken_people_are_told_to_come_back_and_probers_that_we_live() {
    // P-05
    let portal = Portal::start().await;
    portal.waiting("shop").await;
    let ana = portal.as_approver("ana").await;
    let form = ana.approval(&portal, "shop").await;
    let mut taken = Vec::new();
    for pool in [&portal.state.database.reads, &portal.state.database.pages] {
        for _ in 0..pool.now().options().get_max_connections() {
            taken.push(pool.acquire().await.unwrap());
        }
    }
    let page = ana.open("/").await;
    assert_eq!((page.status, page.header("retry-after")), (503, Some("2")));
    page.says("The portal cannot answer just now");
    assert_eq!(ana.open("/healthz").await.status, 200);
    // Decisions have connections of their own, from the door on.
    let sent = ana.press(&form, "approved", "Go").await;
    assert_eq!(sent.status, 303, "{}", sent.text());
    assert_eq!(portal.simulator.effects().len(), 1);
    drop(taken);
    assert_eq!(ana.open("/").await.status, 200);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_whose_commit_nobody_confirmed_is_not_told_as_undone() {
    // P-04: a session was made, and nobody can say so.
    let (portal, proxy) = Portal::start_behind_proxy().await;
    portal.as_approver("ana").await;
    let browser = portal.anonymous();
    let page = browser.open("/sign-in").await;
    proxy.lose_commits(Commit::AnswerLost, "insert into portal.session", 1);
    let fields = [("email", email("ana")), ("password", password("ana"))];
    let told = browser.submit(&page, "/sign-in", &fields.each_ref().map(|(name, value)| (*name, value.as_str()))).await;
    assert_eq!((told.status, proxy.counts().answers_lost), (503, 1));
    told.says("Whether what you asked for was done is not known: look before you do it again.");
    portal.sign_in_again("ana").await;
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_portal_that_is_about_to_stop_says_so_to_probers_and_goes_on_serving() {
    // P-20
    let portal = Portal::start().await;
    let prober = portal.anonymous();
    assert_eq!(prober.open("/readyz").await.body, "ready\n");
    portal.state.readiness.leave();
    let page = prober.open("/readyz").await;
    assert_eq!((page.status, page.body.as_str()), (503, "stopping\n"));
    assert_eq!(prober.open("/sign-in").await.status, 200);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn static_files_are_kept_for_ever_under_the_hash_of_their_content_only() {
    let portal = Portal::start().await;
    let browser = portal.anonymous();
    let page = browser.open("/sign-in").await;
    let addresses: Vec<_> = page.body.split('"').filter(|part| part.starts_with("/static/")).collect();
    assert!(addresses.len() >= 3, "{addresses:?}");
    for address in addresses {
        let file = browser.open(address).await;
        assert_eq!(file.status, 200, "{address}");
        assert_headers(&file, true);
        let kind = file.header("content-type").unwrap();
        let right = match address.rsplit('.').next().unwrap() {
            "css" => "text/css; charset=utf-8",
            "js" => "text/javascript; charset=utf-8",
            "png" => "image/png",
            _ => "image/svg+xml",
        };
        assert_eq!(kind, right);
        assert!(file.header("set-cookie").is_none());
    }
    assert_eq!(browser.open("/static/0000000000000000/app.css").await.status, 404, "an old page never gets new files");
    assert_eq!(browser.open("/static/0000000000000000/..%2f..%2fCargo.toml").await.status, 404);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_compressed_and_their_form_tokens_differ_each_time() {
    let portal = Portal::start().await;
    let browser = portal.anonymous();
    let request = browser.request(Method::GET, "/sign-in").header("accept-encoding", "gzip");
    let page = browser.send("/sign-in", request).await;
    assert_eq!(page.header("content-encoding"), Some("gzip"));
    let (one, other) = (browser.open("/sign-in").await.csrf(), browser.open("/sign-in").await.csrf());
    assert_ne!(one, other);
    portal.finish().await;
}
