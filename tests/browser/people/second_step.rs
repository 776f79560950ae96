//! An authenticator app: set up from the page, asked for at the next sign-in, and a recovery code in its place, which works
//! once (S-15).

use countersign::domain::people::Role;
use jiff::SignedDuration;
use thirtyfour::prelude::*;

use super::Window;
use crate::chrome::{DESKTOP, Device, PHONE};
use crate::harness::Portal;
use crate::support::authenticator::App;

/// Sets the app up from "My second factors"; the app, and the recovery codes that come with it.
async fn set_up(ana: &Window<'_>) -> (App, Vec<String>) {
    ana.sign_in("ana", "Waiting for a decision").await;
    ana.go("/me", "Second factors").await;
    ana.chrome.click("link", "My second factors").await;
    ana.read("You have none yet").await;
    let app = ana.set_an_app_up().await;
    let mut codes = Vec::new();
    for code in ana.chrome.driver.find_all(By::Css("ol.codes code")).await.unwrap() {
        codes.push(code.text().await.unwrap());
    }
    assert_eq!(codes.len(), 10, "{codes:?}");
    ana.chrome.click("link", "I have kept them").await;
    ana.read("10 are left").await;
    (app, codes)
}

/// Out, and in again as far as the second step, half a minute later.
async fn come_again(ana: &Window<'_>) {
    ana.chrome.click("button", "Sign out").await;
    ana.read("You are signed out").await;
    ana.portal.advance(SignedDuration::from_secs(30));
    ana.sign_in("ana", "Second step").await;
    assert_eq!(ana.chrome.path().await, "/sign-in/second");
    // Without it there is nothing to be seen.
    ana.go("/history", "Sign in").await;
    ana.go("/sign-in/second", "Second step").await;
}

async fn type_code(ana: &Window<'_>, code: &str, then: &str) {
    ana.chrome.fill("Code", code).await;
    ana.chrome.click("button", "Continue").await;
    ana.read(then).await;
}

async fn an_app_and_a_recovery_code(device: Device) {
    let portal = Portal::start().await;
    portal.create_account("ana", &[Role::Approver]).await;
    let ana = Window::open(&portal, device).await;
    let (app, codes) = set_up(&ana).await;

    come_again(&ana).await;
    type_code(&ana, &app.wrong_code(portal.clock.now()), "That code is not right").await;
    type_code(&ana, &app.code(portal.clock.now()), "Waiting for a decision").await;
    assert_eq!(portal.records_of("session.started").await.pop().unwrap().payload["factor"], "totp");

    // The phone is lost.
    come_again(&ana).await;
    type_code(&ana, &codes[3], "You used a recovery code, which works no more").await;
    assert_eq!(portal.records_of("session.started").await.pop().unwrap().payload["factor"], "recovery");
    ana.go("/me/factors", "9 are left").await;
    come_again(&ana).await;
    type_code(&ana, &codes[3], "That code is not right").await;
    type_code(&ana, &codes[4], "You used a recovery code, which works no more").await;
    ana.chrome.quit().await;
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_and_a_recovery_code_let_their_person_in_once_each_at_a_desk() {
    an_app_and_a_recovery_code(DESKTOP).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn and_on_a_phone_without_script() {
    an_app_and_a_recovery_code(PHONE.without_script()).await;
}
