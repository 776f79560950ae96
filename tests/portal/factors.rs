//! Second factors as people meet them on pages: without script by codes, with script by passkeys (here the script's part
//! is played by the story).

use countersign::domain::people::Role;
use jiff::SignedDuration;

use crate::harness::{Browser, Page, Portal, email, password};

/// A portal that has a host name, and therefore passkeys.
pub async fn portal_with_a_name() -> Portal {
    Portal::start_with("public_url = \"http://localhost:{port}\"").await
}

/// The e-mail and the password.
async fn first_step(name: &str, browser: &Browser, return_to: &str) -> Page {
    let page = browser.open(&format!("/sign-in?return={return_to}")).await;
    browser.submit(&page, "/sign-in", &[("email", &email(name)), ("password", &password(name))]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_the_second_step_and_leads_where_the_person_wanted_to_go() {
    // S-15
    let portal = Portal::start().await;
    let ana = portal.as_approver("ana").await;
    let codes = portal.add_app(&ana, "ana").await;
    assert_eq!(codes.len(), 10);
    let again = portal.anonymous();
    let sent = first_step("ana", &again, "/history").await;
    assert_eq!(sent.location(), Some("/sign-in/second"));
    assert_eq!(again.open("/").await.location(), Some("/sign-in"), "nobody is signed in yet");
    let page = again.follow(&sent).await;
    assert_eq!(page.heading(), "Second step");
    let wrong = again.submit(&page, "/sign-in/second", &[("code", "no code")]).await;
    assert_eq!(wrong.status, 401);
    wrong.says("That code is not right.");
    let code = portal.code_of("ana").await;
    let right = again.submit(&wrong, "/sign-in/second", &[("code", &code)]).await;
    assert_eq!((right.status, right.location()), (303, Some("/history")));
    assert_eq!(again.open("/history").await.status, 200);
    assert_eq!(again.open("/sign-in/second").await.location(), Some("/sign-in"), "the step is over");

    let lost = portal.anonymous();
    let sent = first_step("ana", &lost, "").await;
    let page = lost.follow(&sent).await;
    let right = lost.submit(&page, "/sign-in/second", &[("code", &codes[0])]).await;
    assert_eq!(right.status, 303);
    lost.follow(&right).await.says("You used a recovery code, which works no more.");
    lost.open("/me/factors").await.says("9 are left.");
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_without_a_second_factor_is_sent_to_get_one_and_keeps_other_rights() {
    // S-15
    let portal = Portal::start().await;
    portal.create_account("adam", &[Role::Admin]).await;
    portal.create_account("ingrid", &[Role::Admin, Role::Approver]).await;
    let adam = portal.anonymous();
    let sent = first_step("adam", &adam, "").await;
    assert_eq!(sent.location(), Some("/me/factors"));
    adam.follow(&sent).await.says("Admins need a second factor.");
    assert_eq!(adam.open("/").await.location(), Some("/me/factors"), "an admin and nothing else sees nothing else");
    portal.add_app(&adam, "adam").await;
    assert_eq!(adam.open("/").await.status, 200);
    let ingrid = portal.anonymous();
    let sent = first_step("ingrid", &ingrid, "").await;
    assert_eq!(sent.location(), Some("/me/factors"));
    assert_eq!(ingrid.open("/").await.status, 200, "an approver sees the queue");
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_without_a_name_says_that_it_has_no_passkeys_and_offers_an_app() {
    let portal = Portal::start().await;
    let ana = portal.as_approver("ana").await;
    let page = ana.open("/me/factors").await;
    page.says("Passkeys need a host name, and this portal is reached by an IP address.");
    assert!(!page.body.contains("Add a passkey") && page.body.contains("Set up an app"));
    assert!(!ana.open("/sign-in").await.body.contains("Sign in with a passkey"));
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passkey_is_added_signs_in_alone_and_goes_again() {
    // S-17, S-25
    let portal = portal_with_a_name().await;
    let ana = portal.as_approver("ana").await;
    let before = ana.copy();
    let elsewhere = portal.sign_in_again("ana").await;
    let (mut key, added) = ana.add_passkey("Laptop <b>").await;
    assert_eq!(added.status, 200, "{}", added.text());
    added.says("Your recovery codes").says("They are shown only now.");
    added.says("1 session of yours in other browsers, begun without it, is ended.");
    assert_eq!(elsewhere.open("/me").await.location(), Some("/sign-in?return=%2Fme"));
    let ended = portal.records_of("session.ended").await.remove(0).payload;
    assert_eq!((&ended["why"], &ended["sessions_ended"]), (&"a first second factor was added".into(), &1.into()));
    assert_eq!(before.open("/me").await.status, 303, "the session has another id");
    let list = ana.open("/me/factors").await;
    list.says("Laptop <b>");

    let again = portal.anonymous();
    let page = again.open("/sign-in?return=/me").await;
    let (ceremony, options) = again.ask("/sign-in/passkey/challenge", &[("csrf", &page.csrf())]).await;
    let answer = key.prove(&options);
    let fields = [("ceremony", ceremony.as_str()), ("credential", answer.as_str())];
    let sent = again.submit(&page, "/sign-in/passkey", &fields).await;
    assert_eq!((sent.status, sent.location()), (303, Some("/me")), "{}", sent.text());
    let replayed = portal.anonymous();
    let page = replayed.open("/sign-in").await;
    let refused = replayed.submit(&page, "/sign-in/passkey", &fields).await;
    assert_eq!(refused.status, 401);
    refused.says("That passkey was not accepted.");

    let id = list.body.split("/me/factors/passkeys/").nth(1).unwrap().split('/').next().unwrap().to_owned();
    let page = ana.open("/me/factors").await;
    let action = format!("/me/factors/passkeys/{id}/remove");
    let removed = ana.submit(&page, &action, &[]).await;
    assert_eq!(removed.status, 303);
    ana.follow(&removed).await.says("The passkey is removed.").says("You have none yet.");
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_typed_is_kept_while_somebody_proves_who_they_are() {
    // S-18, S-25, S-35
    let portal = portal_with_a_name().await;
    let ana = portal.as_approver("ana").await;
    portal.add_app(&ana, "ana").await;
    ana.add_passkey("Laptop").await;
    let page = ana.open("/me/factors").await;
    let id = page.body.split("/me/factors/passkeys/").nth(1).unwrap().split('/').next().unwrap().to_owned();
    let action = format!("/me/factors/passkeys/{id}/rename");
    portal.advance(SignedDuration::from_mins(6));

    let hostile = "My \"new\" <script> & key";
    let asked = ana.submit(&page, &action, &[("name", hostile)]).await;
    assert_eq!((asked.status, asked.heading()), (403, "Prove that it is you".to_owned()));
    assert!(!asked.body.contains("<script> &"), "what was typed is text");
    let old = ana.copy();
    let wrong = ana.submit(&asked, "/step-up", &[("code", "123")]).await;
    assert_eq!(wrong.status, 401);
    wrong.says("That code is not right.");
    assert_eq!(wrong.hidden_fields("/step-up")["kept.name"], hostile, "kept again");
    let code = portal.code_of("ana").await;
    // The first form of the page is the passkey's; a code goes with the same fields.
    let go_on = ana.submit(&wrong, "/step-up", &[("code", &code)]).await;
    assert_eq!((go_on.status, go_on.heading()), (200, "Go on".to_owned()), "{}", go_on.text());
    assert_eq!(portal.records_of("factor.renamed").await.len(), 0, "nothing is sent by itself");
    assert_eq!(old.open("/me").await.status, 303, "the old id is nobody's");
    let sent = ana.submit(&go_on, &action, &[]).await;
    assert_eq!(sent.status, 303, "{}", sent.text());
    assert_eq!(portal.records_of("factor.renamed").await[0].payload["name"], hostile);

    // As much as a form takes goes through the proof as well.
    portal.advance(SignedDuration::from_mins(6));
    let long = "a".repeat(65_400);
    let asked = ana.submit(&page, &action, &[("name", &long)]).await;
    let code = portal.code_of("ana").await;
    let go_on = ana.submit(&asked, "/step-up", &[("code", &code)]).await;
    assert_eq!(go_on.status, 200, "{}", go_on.text());
    assert_eq!(go_on.hidden_fields(&action)["name"], long);

    // A form that no page of ours has is not kept, and nobody is sent elsewhere.
    portal.advance(SignedDuration::from_mins(6));
    let page = ana.open("/step-up?return=//evil.example/").await;
    let code = portal.code_of("ana").await;
    let sent = ana.submit(&page, "/step-up", &[("code", &code)]).await;
    assert_eq!((sent.status, sent.location()), (303, Some("/")));
    let page = ana.open("/step-up").await;
    let fields = [("code", "1"), ("action", "https://evil.example/"), ("csrf", &page.csrf())];
    assert_eq!(ana.post("/step-up", &fields).await.status, 400);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_page_of_changes_leads_through_the_proof_and_back() {
    let portal = Portal::start().await;
    let ana = portal.as_approver("ana").await;
    portal.add_app(&ana, "ana").await;
    portal.advance(SignedDuration::from_mins(6));
    let page = ana.open("/me/factors").await;
    page.says("prove first that it is you");
    assert!(!page.body.contains("Remove the app"), "what cannot be done is not offered");
    let asked = ana.open("/step-up?return=%2Fme%2Ffactors").await;
    let code = portal.code_of("ana").await;
    let sent = ana.submit(&asked, "/step-up", &[("code", &code)]).await;
    assert_eq!((sent.status, sent.location()), (303, Some("/me/factors")));
    let page = ana.follow(&sent).await;
    page.says("You have proven that it is you.");
    let removed = ana.submit(&page, "/me/factors/totp/remove", &[]).await;
    assert_eq!(removed.status, 303);
    portal.finish().await;
}
