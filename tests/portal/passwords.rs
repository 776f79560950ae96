//! What time and other people do to a password (S-02), and what a browser's password manager meets (S-04).

use std::collections::BTreeSet;

use countersign::accounts::By;
use countersign::accounts::invitations::NewPerson;
use countersign::domain::people::Role;
use countersign::domain::tokens::Scope;
use countersign::web::routes;
use jiff::SignedDuration;
use reqwest::Method;
use secrecy::ExposeSecret as _;
use serde_json::json;

use crate::harness::{Browser, Page, Portal, email, password};
use crate::support::smtp::Sink;

const NEW: &str = "one two buckle my shoe";

async fn sign_in(browser: &Browser, name: &str, password: &str) -> Page {
    let page = browser.open("/sign-in").await;
    browser.submit(&page, "/sign-in", &[("email", &email(name)), ("password", password)]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_is_a_year_old_is_as_good_as_a_new_one() {
    // S-02
    let portal = Portal::start().await;
    portal.create_account("ana", &[Role::Approver, Role::Auditor]).await;
    for _ in 0..2 {
        portal.advance(SignedDuration::from_hours(24 * 366));
        let ana = portal.anonymous();
        let page = sign_in(&ana, "ana", &password("ana")).await;
        assert_eq!((page.status, page.location()), (303, Some("/")));
        // Every page that has no id in its address: none leads to another password, or speaks of one that is due.
        let pages = routes::table().into_iter().filter(|it| it.method == Method::GET && !it.path.contains('{'));
        for route in pages.filter(|it| it.path != "/events") {
            let page = ana.open(route.path).await;
            assert_ne!(page.location(), Some("/me"), "{}", route.path);
            let text = page.text().to_lowercase();
            for words in ["choose one of your own", "password expire", "expired password", "change your password"] {
                assert!(!text.contains(words), "{}: {words}: {text}", route.path);
            }
        }
        ana.open("/me").await.says("approver, auditor");
    }
    assert!(portal.records().await.iter().all(|record| !record.kind.starts_with("account.password")));
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_others_may_know_opens_nothing_but_the_way_to_another() {
    // S-02
    let sink = Sink::start().await;
    let portal = Portal::start_with(&sink.config()).await;
    portal.waiting("shop").await;
    let id = portal.create_account("ana", &[Role::Approver]).await;
    let (desk, phone, adam) = (portal.sign_in("ana").await, portal.sign_in("ana").await, portal.as_admin().await);
    let token = portal.token_of("ana", Scope::Decide).await;
    let form = desk.approval(&portal, "shop").await;

    // What there is to tell before goes out before.
    portal.deliver().await;
    let account = format!("/admin/accounts/{id}");
    let page = adam.open(&account).await;
    page.says("If others may know their password, say so");
    let done = adam.submit(&page, &format!("{account}/compromised"), &[]).await;
    assert_eq!(done.location(), Some(account.as_str()));
    let page = adam.follow(&done).await;
    page.says("They are signed out everywhere").says("others may know it; to be changed at the next sign-in");
    assert!(!page.body.contains("/compromised\""), "it is said");

    // At once, everywhere: what was open is closed, and the form that was filled in decides nothing.
    assert_eq!(desk.press(&form, "approved", "Looks right").await.status, 401);
    assert_eq!(phone.open("/").await.location(), Some("/sign-in"));
    let program = portal.anonymous();
    let asked = program.request(Method::GET, "/api/v1/me").bearer_auth(&token);
    assert_eq!(program.send("/api/v1/me", asked).await.status, 401, "her tokens sleep");
    let record = portal.records_of("account.password_compromised").await.remove(0);
    assert_eq!((&record.payload["person"], &record.payload["by"]["email"]), (&json!(id), &json!(email("adam"))));
    assert_eq!((&record.payload["sessions_ended"], &record.payload["must_change_password"]), (&json!(2), &json!(true)));
    portal.deliver().await;
    assert!(format!("{:?}", sink.newest_for(&email("ana"))).contains("others may know your password"));

    // However late she comes, she gets in, and nowhere but there.
    portal.advance(SignedDuration::from_hours(24 * 90));
    let ana = portal.anonymous();
    assert_eq!(sign_in(&ana, "ana", &password("ana")).await.status, 303);
    for path in ["/", "/history", &format!("/approvals/{}", portal.approval_id("shop").await)] {
        assert_eq!(ana.open(path).await.location(), Some("/me"), "{path}");
    }
    let page = ana.open("/me").await;
    page.says("Others know your password, or may know it.").says("none before the password is changed");
    let same = [("current", password("ana")), ("new", password("ana"))];
    let same = [(same[0].0, same[0].1.as_str()), (same[1].0, same[1].1.as_str())];
    ana.submit(&page, "/me/password", &same).await.says("The new password is the current one.");
    let own = password("ana");
    let changed = ana.submit(&page, "/me/password", &[("current", own.as_str()), ("new", NEW)]).await;
    assert_eq!(changed.status, 303);
    assert_eq!(ana.open("/").await.status, 200);
    assert_eq!(sign_in(&portal.anonymous(), "ana", &own).await.status, 401, "the old one opens nothing any more");
    assert_eq!(portal.simulator.count("PutApprovalResult"), 0);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn marking_a_password_takes_fresh_proof_and_is_not_for_oneself_or_where_there_is_none() {
    // S-02, S-35
    let sink = Sink::start().await;
    let portal = Portal::start_with(&sink.config()).await;
    let (ana, adam) = (portal.create_account("ana", &[Role::Approver]).await, portal.as_admin().await);
    let own = portal.state.accounts.find_by_email(&email("adam")).await.unwrap().unwrap();
    let new = NewPerson { email: email("zoe"), name: "Zoe".into(), roles: [Role::Approver].into_iter().collect() };
    let zoe = portal.state.accounts.invite(&By::Operator, new).await.unwrap().account;
    for (id, why) in [(own, "Another admin has to do it."), (zoe, "This account has no password here.")] {
        let page = adam.open(&format!("/admin/accounts/{id}")).await;
        assert!(!page.text().contains("Others may know their password"), "no button");
        let path = format!("/admin/accounts/{id}/compromised");
        let refused = adam.post(&path, &[("csrf", &page.csrf())]).await;
        assert_eq!(refused.status, 409);
        refused.says(why);
    }
    portal.advance(SignedDuration::from_mins(6));
    let page = adam.open(&format!("/admin/accounts/{ana}")).await;
    let asked = adam.submit(&page, &format!("/admin/accounts/{ana}/compromised"), &[]).await;
    assert_eq!((asked.status, asked.heading().as_str()), (403, "Prove that it is you"));
    assert!(portal.records_of("account.password_compromised").await.is_empty());

    // The link of a reset leads to another password too, never back to the same.
    portal.state.accounts.mark_compromised(&By::Operator, ana).await.unwrap();
    assert!(!portal.state.accounts.mark_compromised(&By::Operator, ana).await.unwrap(), "twice is once");
    portal.deliver().await;
    let browser = portal.anonymous();
    let page = browser.open("/forgot").await;
    browser.submit(&page, "/forgot", &[("email", &email("ana"))]).await;
    portal.deliver().await;
    let link = sink.newest_for(&email("ana")).link(&format!("http://{}/reset/", portal.address()));
    let path = url::Url::parse(&link).unwrap().path().to_owned();
    let page = browser.open(&path).await;
    let refused = browser.submit(&page, &path, &[("password", &password("ana"))]).await;
    assert_eq!(refused.status, 422);
    refused.says("This is the password that others may know. Choose another one.");
    assert_eq!(browser.submit(&page, &path, &[("password", NEW)]).await.status, 303);
    assert_eq!(sign_in(&browser, "ana", NEW).await.location(), Some("/"));
    assert_eq!(browser.open("/").await.status, 200, "nothing more is due");
    portal.finish().await;
}

/// The attributes of a tag: names, and values where there are any.
fn attributes(tag: &str) -> Vec<(String, String)> {
    let (mut rest, mut found) = (tag.trim(), Vec::new());
    while !rest.is_empty() {
        let end = rest.find(['=', ' ', '\n']).unwrap_or(rest.len());
        let name = rest[..end].to_owned();
        rest = &rest[end..];
        let value = match rest.strip_prefix("=\"") {
            Some(quoted) => {
                let (value, after) = quoted.split_once('"').unwrap();
                rest = after;
                value.to_owned()
            }
            None => String::new(),
        };
        found.push((name, value));
        rest = rest.trim_start();
    }
    found
}

/// What a password manager finds in the forms of a page: where the form goes, its fields for passwords and what they say
/// they hold. Asserts that each is one it can fill in, and into which a person can paste.
fn password_fields(page: &Page) -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    for form in page.body.split("<form").skip(1).map(|form| form.split("</form>").next().unwrap()) {
        let (head, inside) = form.split_once('>').unwrap();
        let action = attributes(head).into_iter().find(|(name, _)| name == "action").unwrap().1;
        let inputs = inside.split("<input").skip(1).map(|input| attributes(input.split('>').next().unwrap()));
        let inputs: Vec<_> = inputs.collect();
        let of = |input: &[(String, String)], name: &str| {
            input.iter().find(|(found, _)| found == name).map(|(_, value)| value.clone()).unwrap_or_default()
        };
        for (at, input) in inputs.iter().enumerate() {
            let what = format!("{}: {action}: {input:?}", page.path);
            let is_secret = of(input, "type") == "password";
            let sounds_secret = ["password", "current", "new", "secret"].contains(&of(input, "name").as_str());
            assert_eq!(is_secret, sounds_secret, "{what}");
            if !is_secret {
                continue;
            }
            let harmless = ["id", "name", "type", "autocomplete", "required", "autofocus", "aria-describedby"];
            assert!(input.iter().all(|(name, _)| harmless.contains(&name.as_str())), "{what}");
            let holds = of(input, "autocomplete");
            if holds != "off" {
                let whose = inputs[..at].iter().filter(|other| of(other, "autocomplete") == "username");
                assert_eq!(whose.count(), 1, "whose password it is stands before it: {what}");
            }
            found.push((action.clone(), of(input, "name"), holds));
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn every_password_field_can_be_pasted_into_and_filled_in_by_a_manager() {
    // S-04
    let sink = Sink::start().await;
    let portal = Portal::start_with(&sink.config()).await;
    let nobody = portal.anonymous();
    let mut pages = vec![nobody.open("/setup").await];
    let ana = portal.as_approver("ana").await;
    let new = NewPerson { email: email("zoe"), name: "Zoe".into(), roles: [Role::Approver].into_iter().collect() };
    let invited = portal.state.accounts.invite(&By::Operator, new).await.unwrap();
    // What there is to tell before goes out before.
    portal.deliver().await;
    let page = nobody.open("/forgot").await;
    nobody.submit(&page, "/forgot", &[("email", &email("ana"))]).await;
    portal.deliver().await;
    let reset = sink.newest_for(&email("ana")).link(&format!("http://{}/reset/", portal.address()));
    for link in [invited.link.expose_secret(), reset.as_str()] {
        pages.push(nobody.open(url::Url::parse(link).unwrap().path()).await);
    }
    portal.advance(SignedDuration::from_mins(6));
    pages.push(ana.open("/step-up").await);
    // And every page of the table, so that no field is forgotten here.
    let adam = portal.as_admin().await;
    let looks = routes::table().into_iter().filter(|it| it.method == Method::GET && !it.path.contains('{'));
    for route in looks.filter(|it| it.path != "/events") {
        for browser in [&nobody, &ana, &adam] {
            pages.push(browser.open(route.path).await);
        }
    }
    let found: BTreeSet<_> = pages.iter().flat_map(password_fields).collect();
    let found: Vec<_> =
        found.iter().map(|(action, name, holds)| (short(action), name.as_str(), holds.as_str())).collect();
    assert_eq!(
        found,
        [
            ("/invite", "password", "new-password"),
            ("/me/password", "current", "current-password"),
            ("/me/password", "new", "new-password"),
            ("/reset", "password", "new-password"),
            ("/setup", "password", "new-password"),
            ("/setup", "secret", "off"),
            ("/sign-in", "password", "current-password"),
            ("/step-up", "password", "current-password"),
        ]
    );
    portal.finish().await;
}

/// Without the code of a link.
fn short(action: &str) -> &str {
    if action.starts_with("/invite/") || action.starts_with("/reset/") {
        &action[..action.rfind('/').unwrap()]
    } else {
        action
    }
}

#[test]
fn no_script_hears_of_pasting_or_typing_into_a_password() {
    // S-04
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("static");
    let mut scripts = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|ending| ending != "js") {
            continue;
        }
        scripts += 1;
        let text = std::fs::read_to_string(&path).unwrap().to_lowercase();
        for word in
            ["\"paste\"", "'paste'", "onpaste", "beforeinput", "insertfrompaste", "contextmenu", "type=\"password\""]
        {
            assert!(!text.contains(word), "{}: {word}", path.display());
        }
    }
    assert!(scripts > 3);
}
