//! Getting in and out: sign-in, set-up, one's own account.

use countersign::domain::people::Role;
use jiff::SignedDuration;
use secrecy::ExposeSecret as _;

use crate::harness::{Portal, email, password};

#[tokio::test(flavor = "multi_thread")]
async fn a_person_signs_in_and_finds_the_page_they_asked_for() {
    let portal = Portal::start().await;
    portal.create_account("ana", &[Role::Approver]).await;
    let ana = portal.anonymous();
    let page = ana.open("/history?pipeline=shop").await;
    assert_eq!(page.location(), Some("/sign-in?return=%2Fhistory%3Fpipeline%3Dshop"));
    let page = ana.follow(&page).await;
    assert_eq!(page.heading(), "Sign in");
    let page = ana.submit(&page, "/sign-in", &[("email", "ANA@example.com"), ("password", &password("ana"))]).await;
    assert_eq!(page.location(), Some("/history?pipeline=shop"));
    let page = ana.follow(&page).await;
    assert_eq!((page.status, page.heading().as_str()), (200, "History"));
    page.says("Signed in as ana").says("Sign out");
    let started = &portal.records_of("session.started").await[0];
    assert_eq!(
        started.payload["by"]["address"].as_str().or(started.payload["address"].as_str()),
        Some(ana.address.as_str()),
        "{started:?}"
    );
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_keeps_the_email_and_tells_nothing() {
    // S-10
    let portal = Portal::start().await;
    portal.create_account("ana", &[Role::Approver]).await;
    let mut answers = Vec::new();
    for who in ["ana@example.com", "nobody@example.com"] {
        let browser = portal.anonymous();
        let page = browser.open("/sign-in").await;
        let page = browser.submit(&page, "/sign-in", &[("email", who), ("password", "wrong wrong wrong")]).await;
        assert_eq!(page.status, 401);
        page.says("Email or password is wrong.");
        assert!(page.body.contains(&format!("value=\"{who}\"")), "the e-mail is kept");
        assert!(!page.body.contains("wrong wrong wrong"), "the password is not");
        answers.push(page.text());
    }
    assert_eq!(answers[0], answers[1]);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_tries_from_one_address_wait_and_are_told_for_how_long() {
    // S-13, through S-14: the address is the one that the trusted proxy tells.
    let portal = Portal::start().await;
    let (guesser, other) = (portal.anonymous(), portal.anonymous());
    let mut statuses = Vec::new();
    for number in 0..12 {
        let page = guesser.open("/sign-in").await;
        let who = format!("person{number}@example.com");
        let page = guesser.submit(&page, "/sign-in", &[("email", &who), ("password", "a guess like another")]).await;
        statuses.push(page.status);
        if page.status == 429 {
            assert!(page.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
            page.says("Too many tries. Wait");
            assert!(page.body.contains(&who), "the e-mail is kept");
        }
    }
    assert_eq!(statuses.iter().filter(|status| **status == 429).count(), 2, "{statuses:?}");
    let page = other.open("/sign-in").await;
    let page =
        other.submit(&page, "/sign-in", &[("email", "x@example.com"), ("password", "a guess like another")]).await;
    assert_eq!(page.status, 401, "another address is not held up");
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_return_address_leads_to_the_queue() {
    // U-10
    let portal = Portal::start().await;
    portal.create_account("ana", &[Role::Approver]).await;
    let hostile = [
        "//evil.example",
        "%2F%2Fevil.example",
        "https%3A%2F%2Fevil.example",
        "%2F%5Cevil.example",
        "%2Fme%0D%0AX%3A1",
    ];
    for (number, to) in hostile.iter().enumerate() {
        let ana = portal.anonymous();
        let page = ana.open(&format!("/sign-in?return={to}")).await;
        assert_eq!(page.hidden_fields("/sign-in")["return"], "/", "{number}");
        let fields = [("email", "ana@example.com"), ("password", &password("ana")), ("return", "//evil.example")];
        let page = ana.submit(&page, "/sign-in", &fields.map(|(name, value)| (name, value))).await;
        assert_eq!(page.location(), Some("/"), "{to}");
    }
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_out_ends_the_session_everywhere_it_was_copied_to() {
    // S-27, S-28
    let portal = Portal::start().await;
    let ana = portal.as_approver("ana").await;
    let thief = ana.copy();
    let page = ana.open("/").await;
    let page = ana.submit(&page, "/sign-out", &[]).await;
    assert_eq!(page.header("clear-site-data"), Some("\"cache\", \"cookies\", \"storage\""));
    let page = ana.follow(&page).await;
    page.says("You are signed out.");
    assert_eq!(thief.open("/me").await.status, 303);
    assert_eq!(portal.records_of("session.ended").await.len(), 1);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_session_begins_at_every_sign_in_and_the_old_one_is_dead() {
    // S-25: the browser's old session ends with the new one.
    let portal = Portal::start().await;
    let ana = portal.as_approver("ana").await;
    let old = ana.copy();
    let csrf = ana.open("/me").await.csrf();
    let fields =
        [("csrf", csrf.as_str()), ("email", "ana@example.com"), ("password", &password("ana")), ("return", "/me")];
    let page = ana.post("/sign-in", &fields).await;
    assert_eq!((page.status, page.location()), (303, Some("/me")));
    assert_ne!(ana.cookie("countersign"), old.cookie("countersign"));
    assert_eq!(old.open("/me").await.status, 303);
    assert_eq!(ana.open("/me").await.status, 200);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_session_ends_and_a_page_that_refreshes_itself_does_not_keep_it() {
    // S-26
    let portal = Portal::start().await;
    let (busy, idle) = (portal.as_approver("ana").await, portal.as_approver("ben").await);
    for _ in 0..4 {
        portal.advance(SignedDuration::from_mins(10));
        assert_eq!(busy.open("/me").await.status, 200);
        idle.fetch("/me").await;
    }
    assert_eq!(idle.fetch("/me").await.status, 303);
    portal.advance(SignedDuration::from_hours(8));
    assert_eq!(busy.open("/me").await.status, 303, "and after eight hours in any case");
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_may_let_sessions_last_for_an_hour_and_twelve_and_they_last_no_longer() {
    // S-26
    let portal = Portal::start_with("[session]\nidle = \"1h\"\nabsolute = \"12h\"\n").await;
    let (busy, idle) = (portal.as_approver("ana").await, portal.as_approver("ben").await);
    portal.advance(SignedDuration::from_mins(59));
    assert_eq!(busy.open("/me").await.status, 200);
    // What a page fetches by itself is nobody's doing, whatever it fetches.
    for path in ["/", "/me", "/history", "/events"] {
        assert_eq!(idle.fetch(path).await.status, 200, "{path}");
    }
    portal.advance(SignedDuration::from_mins(1));
    assert_eq!(idle.open("/me").await.location(), Some("/sign-in?return=%2Fme"), "an hour since the last click");
    for _ in 0..21 {
        portal.advance(SignedDuration::from_mins(30));
        assert_eq!(busy.open("/me").await.status, 200);
    }
    portal.advance(SignedDuration::from_mins(29));
    assert_eq!(busy.open("/me").await.status, 200, "eleven hours and 59 minutes");
    portal.advance(SignedDuration::from_mins(1));
    assert_eq!(busy.open("/me").await.status, 303, "twelve hours, however busy");
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_account_is_made_with_the_secret_from_the_log_and_then_the_door_is_gone() {
    // S-07
    let portal = Portal::start().await;
    let secret = portal.state.accounts.issue_secret().await.unwrap().unwrap();
    let browser = portal.anonymous();
    browser.open("/sign-in").await.says("Nobody has an account yet.");
    let page = browser.open("/setup").await;
    assert_eq!(page.heading(), "Set up Countersign");
    let wrong =
        [("secret", "not it"), ("email", "ida@example.com"), ("name", "Ida"), ("password", "a long enough password")];
    let page = browser.submit(&page, "/setup", &wrong).await;
    assert_eq!(page.status, 403);
    assert!(
        page.body.contains("value=\"ida@example.com\"") && page.body.contains("value=\"Ida\""),
        "what was typed is kept"
    );
    let weak =
        [("secret", secret.expose_secret()), ("email", "ida@example.com"), ("name", "Ida"), ("password", "short")];
    let page = browser.submit(&page, "/setup", &weak).await;
    assert_eq!(page.status, 422, "{}", page.text());
    assert!(page.body.contains("aria-describedby=\"password-error password-hint\""), "{}", page.body);
    let right = [
        ("secret", secret.expose_secret()),
        ("email", "ida@example.com"),
        ("name", "Ida"),
        ("password", "a long enough password"),
    ];
    let page = browser.submit(&page, "/setup", &right).await;
    assert_eq!((page.status, page.location()), (303, Some("/me/factors")), "{}", page.text());
    let page = browser.follow(&page).await;
    page.says("The portal is set up, and you are its first admin.").says("Admins need a second factor.");
    assert!(!browser.open("/").await.text().contains("The portal is set up"), "it is said once");
    browser.open("/me").await.says("approver, auditor, admin, once this session has shown a second factor");
    assert_eq!(portal.anonymous().open("/setup").await.status, 404);
    assert_eq!(portal.records_of("setup.completed").await.len(), 1);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_changes_the_password_and_every_other_session_ends() {
    // S-06
    let portal = Portal::start().await;
    let (ana, phone) = (portal.as_approver("ana").await, portal.sign_in_again("ana").await);
    let page = ana.open("/me").await;
    let page = ana
        .submit(&page, "/me/password", &[("current", "wrong wrong wrong"), ("new", "another sentence of mine")])
        .await;
    assert_eq!(page.status, 422);
    page.says("The current password is wrong.");
    let page = ana.submit(&page, "/me/password", &[("current", &password("ana")), ("new", "short")]).await;
    assert_eq!(page.status, 422);
    let page =
        ana.submit(&page, "/me/password", &[("current", &password("ana")), ("new", "another sentence of mine")]).await;
    assert_eq!((page.status, page.location()), (303, Some("/me")), "{}", page.text());
    ana.follow(&page).await.says("Your password is changed. Every other session of yours was ended.");
    assert_eq!(phone.open("/me").await.status, 303);
    assert_eq!(portal.records_of("account.password_changed").await.len(), 1);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_sees_where_they_are_signed_in_and_ends_what_they_do_not_know() {
    // S-28, S-31
    let portal = Portal::start().await;
    let ana = portal.as_approver("ana").await;
    let (phone, tablet) = (portal.sign_in_again("ana").await, portal.sign_in_again("ana").await);
    let page = ana.open("/me").await;
    page.says(&phone.address).says(&tablet.address).says("This browser");
    let ends: Vec<_> =
        page.body.split('"').filter(|it| it.starts_with("/me/sessions/0") || it.ends_with("/end")).collect();
    assert_eq!(ends.len(), 2, "{ends:?}");
    let ben = portal.as_approver("ben").await;
    let csrf = ben.open("/me").await.csrf();
    assert_eq!(ben.post(ends[0], &[("csrf", &csrf)]).await.status, 404, "nobody ends another's session");
    let page = ana.submit(&page, ends[0], &[]).await;
    ana.follow(&page).await.says("That session is ended.");
    let alive = [phone.open("/me").await.status, tablet.open("/me").await.status];
    assert_eq!(alive.iter().filter(|status| **status == 200).count(), 1, "{alive:?}");
    let page = ana.open("/me").await;
    ana.submit(&page, "/me/sessions/end-all", &[]).await;
    for browser in [&ana, &phone, &tablet] {
        assert_eq!(browser.open("/me").await.status, 303);
    }
    assert_eq!(ben.open("/me").await.status, 200);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_still_has_a_password_made_by_somebody_else_must_change_it_first() {
    let portal = Portal::start().await;
    let roles = [Role::Approver].into_iter().collect();
    let new =
        countersign::accounts::admin::NewAccount { email: email("nora"), name: "Nora".into(), roles, password: None };
    let (_, made_up) = portal.state.accounts.create(&countersign::accounts::By::Operator, new).await.unwrap();
    let made_up = made_up.unwrap();
    let nora = portal.anonymous();
    let page = nora.open("/sign-in").await;
    nora.submit(&page, "/sign-in", &[("email", &email("nora")), ("password", made_up.expose_secret())]).await;
    let page = nora.open("/").await;
    assert_eq!((page.status, page.location()), (303, Some("/me")));
    let page = nora.follow(&page).await;
    page.says("Others know your password, or may know it.");
    nora.submit(&page, "/me/password", &[("current", made_up.expose_secret()), ("new", "another sentence of mine")])
        .await;
    assert_eq!(nora.open("/").await.status, 200);
    portal.finish().await;
}
