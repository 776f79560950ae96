//! From an empty portal to a decision: the operator's secret makes the first admin, who gets a second factor, invites
//! somebody and says what they may decide; they come in with a passkey, which signs what they decide (S-06, S-07, S-15,
//! S-17, S-18, S-35).

use std::process::Command;

use countersign::audit::proof;
use countersign::database::Role as Login;
use jiff::SignedDuration;
use secrecy::ExposeSecret as _;
use thirtyfour::prelude::*;

use super::Window;
use crate::chrome::{DESKTOP, Device, PHONE};
use crate::harness::Portal;
use crate::support::authenticator::App;
use crate::support::postgres::PROGRAM;

/// Olga sets the portal up and gets a second factor, without which she is no admin.
async fn set_up(olga: &Window<'_>) -> App {
    let secret = olga.portal.state.accounts.issue_secret().await.unwrap().expect("nobody has an account yet");
    olga.go("/", "Set the portal up").await;
    olga.chrome.click("link", "Set the portal up").await;
    olga.read("This makes the first account").await;
    olga.chrome.fill("Setup secret", secret.expose_secret()).await;
    olga.chrome.fill("Email", "olga@example.com").await;
    olga.chrome.fill("Name", "Olga Ortiz").await;
    olga.chrome.fill("Password", "a lamp, a ladder, a lake").await;
    olga.chrome.click("button", "Create the account").await;
    olga.read("you are its first admin").await;
    assert_eq!(olga.chrome.path().await, "/me/factors", "a second factor first");
    let told = olga.go("/admin/accounts", "second factor").await;
    assert_eq!(olga.chrome.path().await, "/me/factors", "{told}");
    let app = olga.set_an_app_up().await;
    olga.chrome.click("link", "I have kept them").await;
    olga.read("10 are left").await;
    app
}

/// Olga invites Nora; the link is on the page and nowhere else.
async fn invite(olga: &Window<'_>) -> String {
    olga.go("/admin/accounts", "1 account").await;
    olga.chrome.click("link", "Invite somebody").await;
    olga.read("They get a link that works once").await;
    olga.chrome.fill("Email", "nora@example.com").await;
    olga.chrome.fill("Name", "Nora").await;
    assert!(olga.chrome.find("checkbox", "Approver").await.is_selected().await.unwrap(), "as most people are");
    olga.chrome.click("button", "Invite").await;
    olga.read("They are invited").await;
    olga.typed("Link").await
}

/// Nora follows the link and chooses a passkey in place of a password.
async fn accept(nora: &Window<'_>, link: &str) {
    nora.chrome.add_authenticator().await;
    nora.chrome.open(link).await;
    let told = nora.read("Olga Ortiz has made an account for you").await;
    assert!(told.contains("approver"), "{told}");
    nora.chrome.fill("Name", "Nora Berg").await;
    nora.chrome.click("button", "Accept with a passkey").await;
    nora.read("They are shown only now").await;
    assert_eq!(nora.chrome.driver.find_all(By::Css("ol.codes li")).await.unwrap().len(), 10);
    nora.chrome.click("link", "I have kept them").await;
    nora.read("10 are left").await;
    nora.go("/me", "Who I am").await;
    assert_eq!(nora.typed("Name").await, "Nora Berg");
    nora.chrome.click("button", "Sign out").await;
    nora.read("You are signed out").await;
    nora.chrome.open(link).await;
    nora.read("This link does not work, or does so no longer").await;
}

/// Olga marks the shop's gate and lets Nora decide there. She has not shown for a while that it is her.
async fn let_decide(olga: &Window<'_>, app: &App) {
    olga.portal.advance(SignedDuration::from_mins(6));
    olga.go("/admin/access", "Who may decide what").await;
    olga.chrome.click("link", "Give a grant").await;
    olga.read("You see what it fits before you give it").await;
    olga.chrome.fill("Person", "nora@example.com").await;
    olga.chrome.fill("Pipeline", "sh*").await;
    olga.chrome.fill("Note", "The shop is hers").await;
    olga.chrome.click("button", "Show what it fits").await;
    let told = olga.read("It fits 1 gate now").await;
    assert!(told.contains("Nora Berg may decide pipeline sh*"), "{told}");
    olga.chrome.click("button", "Give this grant").await;
    olga.prove_by(app).await;
    olga.read("The grant is given").await;
    olga.chrome.click("link", "Mark gates").await;
    olga.read("Whoever decides one of these proves again").await;
    olga.chrome.fill("Pipeline", "shop").await;
    olga.chrome.click("button", "Show what it fits").await;
    olga.read("Deciding pipeline shop asks for fresh proof").await;
    olga.chrome.click("button", "Mark these gates").await;
    let told = olga.read("Gates that ask for fresh proof").await;
    assert!(told.contains("by Olga Ortiz"), "{told}");
}

/// Nora signs in by her passkey alone, and it signs what she decides.
async fn decide(nora: &Window<'_>) {
    nora.go("/sign-in", "Sign in").await;
    nora.chrome.click("button", "Sign in with a passkey").await;
    nora.read("Waiting for a decision").await;
    nora.portal.advance(SignedDuration::from_mins(6));
    let approval = nora.chrome.hrefs("/approvals/").await.first().expect("the shop waits").clone();
    let told = nora.go(&approval, "This gate asks for fresh proof that it is you").await;
    assert!(told.contains("What it signs is this decision"), "{told}");
    nora.chrome.fill("Summary", "Seen on staging").await;
    nora.chrome.click("button", "Approve").await;
    nora.read("Approved at AWS").await;
}

/// What stays: at AWS, in the record, and for whoever checks it with the portal's own command.
async fn is_proven(portal: Portal) {
    let sent = portal.simulator.effects();
    assert_eq!(sent.len(), 1, "{sent:?}");
    assert_eq!((sent[0].pipeline.as_str(), sent[0].verdict.as_str()), ("shop", "Approved"));
    assert!(sent[0].summary.starts_with("Seen on staging"), "{:?}", sent[0]);
    let intended = portal.records_of("decision.intended").await.pop().unwrap().payload;
    assert_eq!((&intended["step_up"]["by"], &intended["verdict"]), (&"passkey".into(), &"approved".into()));
    assert_eq!(proof::check(&intended.to_string()), Ok(true));
    let given = portal.records_of("grant.given").await.pop().unwrap();
    assert_eq!(given.payload["by"]["email"], "olga@example.com");

    let mut verify = Command::new(PROGRAM);
    let reader = portal.database.url(Login::Reader.name());
    verify.args(["audit", "verify"]).env_clear().env("COUNTERSIGN_DATABASE_READER_URL", reader);
    let output = tokio::task::spawn_blocking(move || verify.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("intact: "), "{output:?}");
    portal.finish().await;
}

async fn from_nothing_to_a_decision(admin: Device, approver: Device) {
    // Browsers know passkeys for host names only.
    let portal = Portal::start_with("public_url = \"http://localhost:{port}\"").await;
    let olga = Window::open(&portal, admin).await;
    let app = set_up(&olga).await;
    let link = invite(&olga).await;
    let nora = Window::open(&portal, approver).await;
    accept(&nora, &link).await;
    portal.waiting("shop").await;
    let_decide(&olga, &app).await;
    decide(&nora).await;
    olga.chrome.quit().await;
    nora.chrome.quit().await;
    is_proven(portal).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_invited_on_a_phone_signs_a_decision_that_the_first_admin_lets_them_make() {
    from_nothing_to_a_decision(DESKTOP, PHONE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_on_a_phone_does_the_same_for_somebody_at_a_desk() {
    from_nothing_to_a_decision(PHONE, DESKTOP).await;
}
