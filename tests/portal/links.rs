//! Invitations, forgotten passwords and known browsers, as people meet them.

use countersign::accounts::By;
use countersign::accounts::invitations::NewPerson;
use countersign::domain::people::{Role, Roles};
use jiff::SignedDuration;
use secrecy::ExposeSecret as _;

use crate::harness::{Browser, Page, Portal, email, password};
use crate::support::smtp::{Sink, config_at};

const NEW: &str = "one two buckle my shoe";

impl Portal {
    /// Answers who forgot a password, and delivers the mail that is due.
    pub async fn deliver(&self) {
        while self.state.accounts.answer_request().await.unwrap() {}
        while self.state.mailer.step().await.unwrap() > 0 {}
    }

    /// Invites somebody; the path of the link.
    async fn invite(&self, name: &str, roles: &[Role]) -> String {
        let roles: Roles = roles.iter().copied().collect();
        let new = NewPerson { email: email(name), name: name.to_owned(), roles };
        let invited = self.state.accounts.invite(&By::Operator, new).await.unwrap();
        path_of(invited.link.expose_secret())
    }
}

fn path_of(link: &str) -> String {
    url::Url::parse(link).unwrap().path().to_owned()
}

async fn forget(browser: &Browser, who: &str) -> Page {
    let page = browser.open("/forgot").await;
    browser.submit(&page, "/forgot", &[("email", who)]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invited_person_follows_the_link_in_the_mail_and_is_in() {
    // S-06, L-01, S-44: addresses begin with the configured one, whatever `Host` says.
    let sink = Sink::start().await;
    let portal = Portal::start_with(&format!("public_url = \"https://sign.example\"\n{}", sink.config())).await;
    portal.invite("nora berg", &[Role::Approver, Role::Auditor]).await;
    portal.deliver().await;
    let link = sink.newest_for("nora.berg@example.com").link("https://sign.example/invite/");
    let path = path_of(&link);
    // A scanner looks first, several times, and with script.
    let scanner = portal.anonymous();
    for _ in 0..3 {
        assert_eq!(scanner.open(&path).await.status, 200);
    }
    let nora = portal.anonymous();
    let page = nora.open(&path).await;
    assert_eq!(page.heading(), "You are invited");
    page.says("The operator has made an account for you").says("approver, auditor");
    assert!(page.body.contains("value=\"nora berg\""), "the name is filled in");
    assert!(
        page.body.contains("autocomplete=\"new-password\"") && page.body.contains("autocomplete=\"username\""),
        "S-04"
    );
    assert_eq!(page.header("cache-control"), Some("no-store"));
    assert_eq!(page.header("referrer-policy"), Some("same-origin"), "the code stays here");
    let page = nora.submit(&page, &path, &[("name", "Nora \"<b>Berg"), ("password", "short")]).await;
    assert_eq!(page.status, 422);
    page.says("at least 15 characters; this one has 5");
    assert!(page.body.contains("value=\"Nora &#34;&#60;b&#62;Berg\""), "what was typed is kept: {}", page.body);
    assert!(!page.body.contains("short"), "a password is not");
    let page = nora.submit(&page, &path, &[("name", "Nora Berg"), ("password", NEW)]).await;
    assert_eq!((page.status, page.location()), (303, Some("/")));
    nora.follow(&page).await.says("Welcome.").says("Signed in as Nora Berg");
    let device = page.headers.get_all("set-cookie").iter().map(|line| line.to_str().unwrap());
    let device = device.into_iter().find(|line| line.starts_with("__Host-countersign-device=")).unwrap();
    for attribute in ["; Path=/", "; HttpOnly", "; SameSite=Lax", "; Secure", "; Max-Age=31536000"] {
        assert!(device.contains(attribute), "{device}");
    }
    let page = portal.anonymous().open(&path).await;
    assert_eq!((page.status, page.heading().as_str()), (404, "There is no such page"));
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_code_that_does_not_work_is_the_same_page() {
    // L-08, S-31
    let portal = Portal::start().await;
    let used = portal.invite("una", &[]).await;
    let una = portal.anonymous();
    let page = una.open(&used).await;
    una.submit(&page, &used, &[("name", "Una"), ("password", NEW)]).await;
    let old = portal.invite("olga", &[]).await;
    portal.advance(SignedDuration::from_hours(24));
    let disabled = portal.invite("dora", &[]).await;
    portal.disable("dora").await;
    let alive = portal.invite("vera", &[]).await;
    let foreign = alive.replace("/invite/", "/reset/");
    let unknown = format!("/invite/{}", "A".repeat(43));
    let mut seen = Vec::new();
    for path in [&used, &old, &disabled, &foreign, &unknown, &"/invite/x".to_owned(), &"/reset/%00".to_owned()] {
        let page = portal.anonymous().open(path).await;
        let number = page.header("x-request-id").unwrap().to_owned();
        seen.push((page.status, page.body.replace(&number, "")));
        let browser = portal.anonymous();
        let csrf = browser.open("/sign-in").await.csrf();
        let mut fields = vec![("csrf", csrf.as_str()), ("password", NEW)];
        if path.starts_with("/invite/") {
            fields.push(("name", "Eve"));
        }
        assert_eq!(browser.post(path, &fields).await.status, 404, "{path}");
    }
    assert_eq!(seen[0].0, 404);
    assert!(seen[0].1.contains("This link does not work, or does so no longer"));
    assert!(seen.iter().all(|page| *page == seen[0]), "{seen:#?}");
    assert_eq!(portal.anonymous().open(&alive).await.status, 200);
    let guesser = portal.anonymous();
    for _ in 0..30 {
        assert_eq!(guesser.open(&unknown).await.status, 404);
    }
    let page = guesser.open(&alive).await;
    assert_eq!(page.status, 429);
    assert!(page.header("retry-after").is_some());
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_password_is_replaced_by_mail() {
    // S-06, S-11
    let sink = Sink::start().await;
    let portal = Portal::start_with(&sink.config()).await;
    let desk = portal.as_approver("ana").await;
    let ana = portal.anonymous();
    let page = ana.open("/sign-in").await;
    assert!(page.body.contains("href=\"/forgot\""));
    let page = forget(&ana, "ANA@example.com").await;
    assert_eq!((page.status, page.location()), (303, Some("/forgot?after=asking")));
    ana.follow(&page).await.says("If somebody has an account with that e-mail address");
    portal.deliver().await;
    let path = sink.link_for("ana@example.com", "/reset/");
    let page = ana.open(&path).await;
    assert_eq!(page.heading(), "Choose a new password");
    let page = ana.submit(&page, &path, &[("password", "ana@example.com12")]).await;
    assert_eq!(page.status, 422);
    page.says("This password is little more than your e-mail address.");
    let page = ana.submit(&page, &path, &[("password", NEW)]).await;
    assert_eq!((page.status, page.location()), (303, Some("/sign-in")));
    let page = ana.follow(&page).await;
    page.says("Your new password is set");
    assert_eq!(desk.open("/me").await.location(), Some("/sign-in?return=%2Fme"), "signed out everywhere");
    let page = ana.submit(&page, "/sign-in", &[("email", "ana@example.com"), ("password", NEW)]).await;
    assert_eq!(page.status, 303);
    portal.deliver().await;
    let told = sink.taken_for("ana@example.com");
    assert!(told.iter().any(|mail| mail.subject() == "Your Countersign password was reset"));
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_a_new_password_learns_nothing_about_who_has_an_account() {
    // S-10: the same status, the same bytes.
    let sink = Sink::start().await;
    let portal = Portal::start_with(&sink.config()).await;
    portal.create_account("ana", &[Role::Approver]).await;
    portal.create_account("dora", &[]).await;
    portal.disable("dora").await;
    portal.invite("ina", &[]).await;
    let mut answers = Vec::new();
    for who in ["ana@example.com", "dora@example.com", "ina@example.com", "nobody@example.com"] {
        let browser = portal.anonymous();
        let page = forget(&browser, who).await;
        let next = browser.follow(&page).await;
        answers.push((page.status, page.body, page.headers.len(), next.status, next.body));
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:#?}");
    let browser = portal.anonymous();
    let page = forget(&browser, "no address").await;
    assert_eq!(page.status, 422);
    page.says("This is no e-mail address.");
    assert!(page.body.contains("value=\"no address\""), "what was typed is kept");
    for n in 0..3 {
        assert_eq!(forget(&browser, &format!("x{n}@example.com")).await.status, 303);
    }
    let page = forget(&browser, "ana@example.com").await;
    assert_eq!((page.status, page.header("retry-after")), (429, Some("1200")), "S-13");
    page.says("Wait 20 minutes");
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_mail_the_page_says_who_can_help() {
    let portal = Portal::start().await;
    let ana = portal.anonymous();
    let page = ana.open("/forgot").await;
    page.says("This portal sends no mail. Ask an admin");
    assert!(!page.body.contains("<form"));
    let csrf = ana.open("/sign-in").await.csrf();
    let page = ana.post("/forgot", &[("csrf", &csrf), ("email", "ana@example.com")]).await;
    page.says("This portal sends no mail.");
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_do_not_lock_a_person_out_of_the_browser_they_use() {
    // S-12
    let portal = Portal::start().await;
    let ana = portal.as_approver("ana").await;
    for _ in 0..6 {
        let stranger = portal.anonymous();
        let page = stranger.open("/sign-in").await;
        stranger.submit(&page, "/sign-in", &[("email", &email("ana")), ("password", "a guess like another")]).await;
    }
    let elsewhere = portal.anonymous();
    let page = elsewhere.open("/sign-in").await;
    let fields = [("email", email("ana")), ("password", password("ana"))];
    let fields = [(fields[0].0, fields[0].1.as_str()), (fields[1].0, fields[1].1.as_str())];
    assert_eq!(elsewhere.submit(&page, "/sign-in", &fields).await.status, 429);
    portal.advance(SignedDuration::from_hours(9));
    for _ in 0..6 {
        let stranger = portal.anonymous();
        let page = stranger.open("/sign-in").await;
        stranger.submit(&page, "/sign-in", &[("email", &email("ana")), ("password", "a guess like another")]).await;
    }
    let page = ana.open("/sign-in").await;
    assert_eq!(page.status, 200, "the session is over");
    assert_eq!(ana.submit(&page, "/sign-in", &fields).await.status, 303);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_server_that_is_away_holds_nobody_up() {
    // L-11
    let portal = Portal::start_with(&config_at(Sink::nowhere().await)).await;
    let ana = portal.as_approver("ana").await;
    let page = ana.open("/me").await;
    let fields = [("current", password("ana")), ("new", NEW.to_owned())];
    let fields = [(fields[0].0, fields[0].1.as_str()), (fields[1].0, fields[1].1.as_str())];
    assert_eq!(ana.submit(&page, "/me/password", &fields).await.status, 303);
    portal.waiting("shop").await;
    let approval = format!("/approvals/{}", portal.approval_id("shop").await);
    let page = ana.open(&approval).await;
    let decision = format!("{approval}/decision");
    let page = ana.submit(&page, &decision, &[("verdict", "approved"), ("summary", "Looks right.")]).await;
    assert_eq!(page.status, 303, "{}", page.text());
    portal.state.mailer.step().await.unwrap();
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_looked_up_wherever_the_balancer_sends_it() {
    // H-07
    let portal = Portal::start().await;
    let replica = portal.replica().await;
    let path = portal.invite("ria", &[Role::Approver]).await;
    let here = portal.anonymous();
    let there = replica.sees(&here);
    let page = there.open(&path).await;
    assert_eq!(page.status, 200);
    let page = there.copy().submit(&page, &path, &[("name", "Ria"), ("password", NEW)]).await;
    assert_eq!(page.status, 303, "{}", page.text());
    assert_eq!(here.open(&path).await.status, 404);
    portal.finish().await;
}
