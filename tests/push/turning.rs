//! Turning it on and off: the page, the service worker, what a browser may say, and its renewals.

use countersign::domain::people::Role;
use serde_json::Value;

use crate::harness::Portal;
use crate::service::{HOST, Phone};
use crate::stage::{MINUTE, Stage, renew, turn_on};

#[tokio::test(flavor = "multi_thread")]
async fn a_person_turns_it_on_sees_it_tries_it_and_turns_it_off() {
    let stage = Stage::start().await;
    let ana = stage.portal.as_approver("ana").await;
    let page = ana.open("/me/notifications").await;
    page.says("It is on in none of your browsers.").says("Turning it on needs JavaScript");
    let key = stage.portal.state.push.public_key().await.unwrap().unwrap();
    assert!(page.body.contains(&format!("data-key=\"{key}\"")));
    let phone = Phone::new("ana");
    stage.turn_on(&ana, &phone).await;
    let page = ana.open("/me/notifications").await;
    page.says("It is on in this browser.").says(HOST).says("Last told never");
    assert!(!page.body.contains(&phone.path) && !page.body.contains(&phone.secret()));

    let id = page.body.split("/me/notifications/push/").nth(2).unwrap().split('/').next().unwrap().to_owned();
    let tried = ana.submit(&page, &format!("/me/notifications/push/{id}/test"), &[]).await;
    ana.follow(&tried).await.says("A test is on its way.");
    stage.send().await;
    assert_eq!(phone.told(&stage.service)[0]["body"], "This browser is told what waits for you.");
    let page = ana.open("/me/notifications").await;
    assert!(!page.text().contains("Last told never"), "{}", page.text());

    let off = ana.submit(&page, &format!("/me/notifications/push/{id}/stop"), &[]).await;
    ana.follow(&off).await.says("It is off in that browser.").says("It is on in none of your browsers.");
    assert_eq!(ana.submit(&page, &format!("/me/notifications/push/{id}/stop"), &[]).await.status, 404);
    let kinds: Vec<String> = stage.portal.records().await.into_iter().map(|record| record.kind).collect();
    assert_eq!(kinds.iter().filter(|kind| *kind == "push.started").count(), 1);
    assert_eq!(kinds.iter().filter(|kind| *kind == "push.ended").count(), 1);
    stage.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_persons_browser_is_none_of_ones_business() {
    let stage = Stage::start().await;
    let (ana, _phone) = stage.approver("ana").await;
    let ben = stage.portal.as_person("ben", &[Role::Auditor]).await;
    let page = ana.open("/me/notifications").await;
    let id = page.body.split("/me/notifications/push/").nth(2).unwrap().split('/').next().unwrap().to_owned();
    let csrf = ben.open("/me").await.csrf();
    for what in ["stop", "test"] {
        assert_eq!(ben.post(&format!("/me/notifications/push/{id}/{what}"), &[("csrf", &csrf)]).await.status, 404);
    }
    assert_eq!(stage.count("select count(*) from portal.push_browser").await, 1);
    stage.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_no_push_services_is_refused_and_nobody_is_asked() {
    // U-13
    let stage = Stage::start().await;
    let ana = stage.portal.as_approver("ana").await;
    let phone = Phone::new("ana");
    let page = ana.open("/me/notifications").await;
    let send = async |endpoint: &str, key: &str, secret: &str| {
        let fields = [("endpoint", endpoint), ("p256dh", key), ("auth", secret)];
        ana.submit(&page, "/me/notifications/push", &fields).await.status
    };
    for endpoint in [
        "",
        "http://push.service.example/x",
        "https://push.service.example:8443/x",
        "https://fcm.googleapis.com/x",
        "https://push.service.example@evil.example/x",
        "https://169.254.169.254/latest/meta-data/",
        "https://localhost/x",
        "https://[::1]/x",
        "https://127.0.0.1:22/",
        "file:///etc/passwd",
        "javascript:alert(1)",
    ] {
        assert_eq!(send(endpoint, &phone.key(), &phone.secret()).await, 422, "{endpoint}");
    }
    let (address, key, secret) = (phone.address(), phone.key(), phone.secret());
    let no_point = format!("B{}", "A".repeat(86));
    for (key, secret) in [("", secret.as_str()), (&key, ""), (&no_point, &secret), (&secret, &key)] {
        assert_eq!(send(&address, key, secret).await, 422, "{key} {secret}");
    }
    assert_eq!(stage.count("select count(*) from portal.push_browser").await, 0);
    assert_eq!(stage.service.connections(), 0);
    stage.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_browsers_are_enough() {
    let stage = Stage::start().await;
    let ana = stage.portal.as_approver("ana").await;
    for n in 0..20 {
        stage.turn_on(&ana, &Phone::new(&format!("phone-{n}"))).await;
    }
    let answer = turn_on(&ana, &Phone::new("one-more")).await;
    assert_eq!(answer.status, 409);
    answer.says("Turn it off in one of them first.");
    stage.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_off_unless_the_operator_turned_it_on() {
    let portal = Portal::start().await;
    let ana = portal.as_approver("ana").await;
    let page = ana.open("/me/notifications").await;
    page.says("This portal tells browsers nothing.");
    assert!(!page.body.contains("data-push"), "{}", page.body);
    let phone = Phone::new("ana");
    let (csrf, fields) = (page.csrf(), phone.fields());
    let mut all: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    all.push(("csrf", &csrf));
    assert_eq!(ana.post("/me/notifications/push", &all).await.status, 404);
    let admin = portal.as_admin().await;
    assert!(!admin.open("/admin/system").await.text().contains("Push to browsers"));
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_portal_can_be_installed_and_its_worker_does_nothing_but_push() {
    // S-41
    let portal = Portal::start().await;
    let anybody = portal.anonymous();
    let page = anybody.open("/sign-in").await;
    assert!(page.body.contains("<link rel=\"manifest\" href=\"/manifest.webmanifest\">"));
    assert_eq!(page.body.matches("<meta name=\"theme-color\"").count(), 2);
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("worker-src 'self'") && policy.contains("manifest-src 'self'"), "{policy}");

    let manifest = anybody.open("/manifest.webmanifest").await;
    assert_eq!(manifest.header("content-type"), Some("application/manifest+json"));
    let told: Value = serde_json::from_str(&manifest.body).unwrap();
    assert_eq!((&told["display"], &told["scope"]), (&"standalone".into(), &"/".into()));
    for icon in told["icons"].as_array().unwrap() {
        let icon = anybody.open(icon["src"].as_str().unwrap());
        assert_eq!(icon.await.status, 200);
    }

    let worker = anybody.open("/push-worker.js").await;
    assert_eq!(worker.header("content-type"), Some("text/javascript; charset=utf-8"));
    assert_eq!(worker.header("cache-control"), Some("no-store"));
    assert_eq!(worker.header("content-security-policy"), Some(policy));
    let listens: Vec<&str> =
        worker.body.split("addEventListener(\"").skip(1).map(|it| it.split('"').next().unwrap()).collect();
    assert_eq!(listens, ["push", "notificationclick", "pushsubscriptionchange"]);
    for never in ["caches", "importScripts", "eval(", "indexedDB", "\"fetch\"", "skipWaiting", "/decision"] {
        assert!(!worker.body.contains(never), "{never}");
    }
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_was_given_another_address_goes_on_being_told() {
    let stage = Stage::start().await;
    let (_ana, old) = stage.approver("ana").await;
    let (nobody, new) = (stage.portal.anonymous(), Phone::new("new"));
    stage.portal.advance(MINUTE);
    // Its service knows the address; the secret it does not.
    let guess = Phone::new("guess").secret();
    for wrong in [guess.as_str(), "", "AAAA"] {
        assert_eq!(renew(&nobody, (&old, wrong), &new).await.status, 404);
    }
    assert_eq!(renew(&nobody, (&new, &new.secret()), &old).await.status, 404);
    assert_eq!(renew(&nobody, (&old, &old.secret()), &new).await.status, 204);
    assert_eq!(renew(&nobody, (&old, &old.secret()), &new).await.status, 404, "once");
    stage.portal.waiting("shop").await;
    stage.tell().await;
    assert_eq!((old.told(&stage.service).len(), new.told(&stage.service).len()), (0, 1));
    let started = stage.portal.records_of("push.started").await;
    assert_eq!(started.len(), 2);
    assert_eq!(started[1].actor, "system");
    stage.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_says_what_is_known_of_it_is_believed_and_nothing_is_written() {
    let stage = Stage::start().await;
    let (_ana, phone) = stage.approver("ana").await;
    let nobody = stage.portal.anonymous();
    for _ in 0..5 {
        stage.portal.advance(MINUTE);
        assert_eq!(renew(&nobody, (&phone, &phone.secret()), &phone).await.status, 204);
    }
    assert_eq!(stage.portal.records_of("push.started").await.len(), 1);
    assert_eq!(stage.count("select count(*) from portal.push_browser").await, 1);
    stage.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_is_given_another_address_once_a_minute_at_most() {
    // Whoever has one could fill the record.
    let stage = Stage::start().await;
    let (_ana, first) = stage.approver("ana").await;
    let (nobody, second, third) = (stage.portal.anonymous(), Phone::new("second"), Phone::new("third"));
    let second_a = async |status| {
        let answer = renew(&nobody, (&first, &first.secret()), &second).await;
        assert_eq!(answer.status, status);
    };
    second_a(404).await;
    stage.portal.advance(MINUTE);
    second_a(204).await;
    stage.portal.advance(MINUTE / 2);
    assert_eq!(renew(&nobody, (&second, &second.secret()), &third).await.status, 404);
    assert_eq!(stage.portal.records_of("push.started").await.len(), 2);
    stage.portal.advance(MINUTE / 2);
    assert_eq!(renew(&nobody, (&second, &second.secret()), &third).await.status, 204);
    assert_eq!(stage.portal.records_of("push.started").await.len(), 3);
    stage.finish().await;
}
