//! A passkey's life in a real Chromium with an authenticator of its own: added, used in place of the password, used to
//! prove afresh who one is, and to sign a decision (S-17, S-18). The script's part is the real script.

use countersign::domain::people::Role;
use jiff::SignedDuration;

use crate::chrome::{Chrome, DESKTOP};
use crate::harness::{Portal, email, password};

#[tokio::test(flavor = "multi_thread")]
async fn a_passkey_is_added_signs_in_proves_and_signs_a_decision() {
    // Browsers know passkeys for host names only.
    let portal = Portal::start_with("public_url = \"http://localhost:{port}\"").await;
    let at = |path: &str| format!("{}{path}", portal.state.config.public_origin());
    portal.create_account("ana", &[Role::Approver]).await;
    let chrome = Chrome::start(DESKTOP).await;
    chrome.add_authenticator().await;

    chrome.open(&at("/sign-in")).await;
    chrome.fill("Email", &email("ana")).await;
    chrome.fill("Password", &password("ana")).await;
    chrome.click("button", "Sign in").await;
    chrome.read("Waiting for a decision").await;
    chrome.open(&at("/me/factors")).await;
    chrome.fill("Name of the new passkey", "This laptop").await;
    chrome.click("button", "Add a passkey").await;
    chrome.read("They are shown only now").await;
    chrome.click("link", "I have kept them").await;
    chrome.read("This laptop").await;

    chrome.click("button", "Sign out").await;
    chrome.read("You are signed out").await;
    chrome.click("button", "Sign in with a passkey").await;
    chrome.read("Waiting for a decision").await;
    let started = portal.records_of("session.started").await.pop().unwrap().payload;
    assert_eq!((&started["method"], &started["factor"]), (&"passkey".into(), &"passkey".into()));

    portal.advance(SignedDuration::from_mins(6));
    chrome.open(&at("/me/factors")).await;
    chrome.click("link", "Prove that it is me").await;
    chrome.read("Prove that it is you").await;
    chrome.click("button", "Use a passkey").await;
    chrome.read("You have proven that it is you").await;
    assert_eq!(chrome.path().await, "/me/factors");
    assert_eq!(portal.records_of("session.stepped_up").await.pop().unwrap().payload["factor"], "passkey");

    let mut conn = portal.database.connect_superuser().await;
    sqlx::query(
        "insert into portal.step_up_gate (id, source, pipeline, stage, action, from_at)
         values (gen_random_uuid(), '*', '*', '*', '*', now())",
    )
    .execute(&mut conn)
    .await
    .unwrap();
    portal.waiting("shop").await;
    portal.advance(SignedDuration::from_mins(6));
    chrome.open(&at(&format!("/approvals/{}", portal.approval_id("shop").await))).await;
    chrome.read("This gate asks for fresh proof that it is you").await;
    chrome.fill("Summary", "Signed with my own key").await;
    chrome.click("button", "Approve").await;
    chrome.read("Approved at AWS").await;
    let intended = portal.records_of("decision.intended").await.pop().unwrap().payload;
    assert_eq!(intended["step_up"]["by"], "passkey");
    assert_eq!(countersign::audit::proof::check(&intended.to_string()), Ok(true));
    chrome.quit().await;
    portal.finish().await;
}
