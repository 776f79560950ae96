//! The main journey, as a person makes it: the demo is started as anybody starts it, an approver signs in with a real
//! Chromium, approves a waiting approval, and finds the decision in the history. On a desktop and on a phone, with and
//! without script, by the names that a screen reader reads out.

#![allow(clippy::unwrap_used, reason = "a journey that cannot go on ends there, telling where")]

#[path = "../support/mod.rs"]
mod support;

mod announced;
mod chrome;
mod demo;
#[path = "../portal/harness/mod.rs"]
mod harness;
mod live;
mod mailed;
mod passkeys;
mod people;
#[allow(unused_imports, reason = "a stage has more on it than this story needs")]
#[path = "../faults/harness/mod.rs"]
mod processes;
mod push;
mod sso;

use chrome::{Chrome, DESKTOP, Device, PHONE};
use demo::Demo;

/// Signs in and approves the last approval of the queue: the demo lets the first expire within minutes.
async fn approve_one(demo: &Demo, device: Device, summary: &str) {
    let chrome = Chrome::start(device).await;
    let ana = demo.sign_in("approver");

    chrome.open(&demo.url("/")).await;
    assert_eq!(chrome.path().await, "/sign-in", "nobody sees the queue without signing in");
    chrome.fill("Email", &ana.email).await;
    chrome.fill("Password", &ana.password).await;
    chrome.click("button", "Sign in").await;

    chrome.read("Waiting for a decision").await;
    assert_eq!(chrome.path().await, "/");
    chrome.find("heading", "Waiting for a decision").await;
    let waiting = chrome.hrefs("/approvals/").await;
    let chosen = waiting.last().expect("the demo has something waiting").clone();
    narrow_enough(&chrome, device).await;

    chrome.open(&demo.url(&chosen)).await;
    narrow_enough(&chrome, device).await;
    chrome.fill("Summary", summary).await;
    chrome.click("button", "Approve").await;

    let told = chrome.read("Approved").await;
    assert!(told.contains(summary), "{told}");
    let record = chrome.hrefs("/history/").await.first().expect("the page names the record").clone();
    narrow_enough(&chrome, device).await;

    chrome.open(&demo.url(&record)).await;
    let kept = chrome.text().await;
    assert!(kept.contains(summary) && kept.contains(&ana.name), "{kept}");
    narrow_enough(&chrome, device).await;

    chrome.open(&demo.url("/history")).await;
    chrome.find("heading", "History").await;
    assert!(chrome.text().await.contains(summary));
    narrow_enough(&chrome, device).await;

    // What was decided no longer waits.
    chrome.open(&demo.url("/")).await;
    assert!(!chrome.hrefs("/approvals/").await.contains(&chosen));
    chrome.click("button", "Sign out").await;
    chrome.read("You are signed out").await;
    chrome.open(&demo.url("/")).await;
    assert_eq!(chrome.path().await, "/sign-in");
    chrome.quit().await;
}

async fn narrow_enough(chrome: &Chrome, device: Device) {
    if device.script {
        assert_eq!(chrome.overflow().await, 0, "the page {} is wider than {} px", chrome.path().await, device.width);
    }
}

#[tokio::test]
async fn an_approver_approves_on_a_desk_and_on_a_phone_with_and_without_script() {
    let demo = Demo::start();
    approve_one(&demo, DESKTOP, "Looks right, on the desk").await;
    approve_one(&demo, PHONE, "Looks right, on the phone").await;
    approve_one(&demo, DESKTOP.without_script(), "Looks right, without script").await;
    approve_one(&demo, PHONE.without_script(), "Looks right, phone without script").await;
    demo.stop();
}

#[tokio::test]
async fn the_keyboard_alone_is_enough_to_reject() {
    let demo = Demo::start();
    let chrome = Chrome::start(DESKTOP).await;
    let ana = demo.sign_in("approver");
    chrome.open(&demo.url("/sign-in")).await;
    chrome.field("Email").await.send_keys(ana.email.as_str()).await.unwrap();
    chrome.press("\u{e004}").await; // Tab
    chrome.press(&ana.password).await;
    chrome.press("\u{e007}").await; // Enter
    chrome.read("Waiting for a decision").await;
    assert_eq!(chrome.path().await, "/");

    let chosen = chrome.hrefs("/approvals/").await.last().unwrap().clone();
    chrome.open(&demo.url(&chosen)).await;
    chrome.field("Summary").await.send_keys("Not before the tests are green").await.unwrap();
    chrome.tab_to("Reject").await;
    chrome.press("\u{e007}").await;

    let told = chrome.read("Rejected").await;
    assert!(told.contains("Not before the tests are green"), "{told}");
    chrome.quit().await;
    demo.stop();
}

#[tokio::test]
async fn a_rejection_without_a_reason_is_asked_for_one_and_keeps_nothing_back() {
    let demo = Demo::start();
    let chrome = Chrome::start(PHONE.without_script()).await;
    let ana = demo.sign_in("approver");
    chrome.open(&demo.url("/sign-in")).await;
    chrome.fill("Email", &ana.email).await;
    chrome.fill("Password", "not the password at all").await;
    chrome.click("button", "Sign in").await;
    chrome.read("Email or password is wrong").await;
    assert_eq!(chrome.typed("Email").await, ana.email, "what was typed is kept");
    chrome.fill("Password", &ana.password).await;
    chrome.click("button", "Sign in").await;
    chrome.read("Waiting for a decision").await;

    let chosen = chrome.hrefs("/approvals/").await.last().unwrap().clone();
    chrome.open(&demo.url(&chosen)).await;
    chrome.click("button", "Reject").await;
    chrome.read("say why you reject").await;
    chrome.fill("Summary", "The plan drops a table").await;
    chrome.click("button", "Reject").await;
    chrome.read("Rejected").await;
    chrome.quit().await;
    demo.stop();
}
