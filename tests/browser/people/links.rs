//! Invited by mail, and later a forgotten password: with a real mail server in between that is not ours, on a desk and on a
//! phone, with and without script (S-06, S-10).

use countersign::accounts::By;
use countersign::accounts::invitations::NewPerson;
use countersign::domain::people::Role;
use jiff::SignedDuration;

use super::deliver;
use crate::chrome::{Chrome, DESKTOP, Device, PHONE};
use crate::harness::Portal;
use crate::narrow_enough;
use crate::support::mail_server::MailServer;

async fn come_in_and_forget(portal: &Portal, mail: &MailServer, who: &str, device: Device) {
    let at = |path: &str| format!("http://{}{path}", portal.address());
    let new = NewPerson { email: who.into(), name: "Nora".into(), roles: [Role::Approver].into_iter().collect() };
    portal.state.accounts.invite(&By::Operator, new).await.unwrap();
    deliver(portal).await;
    let chrome = Chrome::start(device).await;
    chrome.open(&at(&mail.link_for(who, "/invite/").await)).await;
    chrome.find("heading", "You are invited").await;
    narrow_enough(&chrome, device).await;
    chrome.fill("Name", "Nora Berg").await;
    chrome.fill("Password", "short").await;
    chrome.click("button", "Accept the invitation").await;
    chrome.read("at least 15 characters").await;
    assert_eq!(chrome.typed("Name").await, "Nora Berg", "what was typed is kept");
    chrome.fill("Password", "never mind the weather today").await;
    chrome.click("button", "Accept the invitation").await;
    chrome.read("Welcome. Your account is ready").await;
    chrome.open(&at("/me")).await;
    chrome.read("Who I am").await;
    assert_eq!(chrome.typed("Name").await, "Nora Berg");
    chrome.click("button", "Sign out").await;
    chrome.read("You are signed out.").await;

    chrome.click("link", "Forgot your password?").await;
    chrome.find("heading", "Forgotten password").await;
    narrow_enough(&chrome, device).await;
    chrome.fill("Email", who).await;
    chrome.click("button", "Send a link").await;
    chrome.read("a mail with a link is on its way").await;
    narrow_enough(&chrome, device).await;
    deliver(portal).await;
    let link = mail.link_for(who, "/reset/").await;
    chrome.open(&at(&link)).await;
    narrow_enough(&chrome, device).await;
    chrome.fill("New password", "one two buckle my shoe").await;
    chrome.click("button", "Set the password").await;
    chrome.read("Your new password is set").await;
    chrome.fill("Email", who).await;
    chrome.fill("Password", "one two buckle my shoe").await;
    chrome.click("button", "Sign in").await;
    chrome.read("Waiting for a decision").await;
    chrome.open(&at(&link)).await;
    chrome.read("This link does not work, or does so no longer").await;
    chrome.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invited_person_comes_in_and_gets_a_new_password_when_they_forget_theirs() {
    let mail = MailServer::start();
    let portal = Portal::start_with(&mail.config()).await;
    come_in_and_forget(&portal, &mail, "nora@example.com", DESKTOP).await;
    // Links that strangers ask for are made one by one.
    portal.advance(SignedDuration::from_secs(10));
    come_in_and_forget(&portal, &mail, "olaf@example.com", PHONE.without_script()).await;
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_for_somebody_unknown_is_told_the_same_and_no_mail_is_sent() {
    let mail = MailServer::start();
    let portal = Portal::start_with(&mail.config()).await;
    portal.create_account("ana", &[Role::Approver]).await;
    let chrome = Chrome::start(PHONE).await;
    let mut told = Vec::new();
    for who in ["nobody@example.com", "ana@example.com"] {
        chrome.open(&format!("http://{}/forgot", portal.address())).await;
        chrome.fill("Email", who).await;
        chrome.click("button", "Send a link").await;
        told.push(chrome.read("a mail with a link is on its way").await);
        deliver(&portal).await;
        portal.advance(SignedDuration::from_secs(10));
    }
    deliver(&portal).await;
    assert_eq!(told[0], told[1]);
    mail.link_for("ana@example.com", "/reset/").await;
    assert_eq!(mail.left_over().await, Vec::<String>::new());
    chrome.quit().await;
    portal.finish().await;
}
