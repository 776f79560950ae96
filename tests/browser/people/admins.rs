//! Admins and the accounts they look after: two at one account at once, and many people from a file with one broken line.

use countersign::domain::people::Role;

use super::Window;
use crate::chrome::{DESKTOP, Device, PHONE};
use crate::harness::{Portal, email};

#[tokio::test(flavor = "multi_thread")]
async fn the_second_of_two_admins_is_told_what_the_first_has_changed_and_keeps_what_was_typed() {
    let portal = Portal::start().await;
    let ana = portal.create_account("ana", &[Role::Approver]).await;
    let account = format!("/admin/accounts/{ana}");
    let (adam, eve) = (Window::open(&portal, DESKTOP).await, Window::open(&portal, PHONE).await);
    for (admin, name) in [(&adam, "adam"), (&eve, "eve")] {
        admin.sign_in_as_admin(name).await;
        admin.go(&account, "New roles sign them out everywhere").await;
    }
    adam.chrome.fill("Name", "Anna").await;
    adam.chrome.click("checkbox", "Auditor").await;
    adam.chrome.click("button", "Save").await;
    adam.read("The account is changed").await;

    eve.chrome.fill("Email", "ana@elsewhere.example").await;
    eve.chrome.click("button", "Save").await;
    let told = eve.read("Nothing of yours was done").await;
    assert!(told.contains("Name: it was ana, it is Anna"), "{told}");
    assert!(told.contains("Roles: it was approver, it is approver, auditor"), "{told}");
    assert_eq!(eve.typed("Email").await, "ana@elsewhere.example");
    let changed = portal.records_of("account.changed").await;
    assert_eq!(changed.len(), 1);
    assert_eq!(changed[0].payload["by"]["email"], email("adam"));

    eve.chrome.fill("Name", "Anna").await;
    eve.chrome.click("button", "Save").await;
    eve.read("The account is changed").await;
    eve.read("ana@elsewhere.example").await;
    adam.chrome.quit().await;
    eve.chrome.quit().await;
    portal.finish().await;
}

const FILE: &str = "email,name,roles
ana@example.org,Ana Ruiz,approver
ben@example.org,Ben Olsen,approver
cleo@example.org,Cleo Marsh,auditor
dora@example.org,Dora Lind,approver
eli@example.org,Eli Stone,approver auditor
finn@example.org,Finn Berg,aprover
gus@example.org,Gus Hale,approver";

async fn a_file_with_a_broken_line(device: Device) {
    let portal = Portal::start().await;
    let adam = Window::open(&portal, device).await;
    adam.sign_in_as_admin("adam").await;
    adam.go("/admin/accounts", "1 account").await;
    adam.chrome.click("link", "Invite many from a file").await;
    adam.read("if one line is wrong, nobody is invited").await;
    adam.chrome.fill("People, as CSV", FILE).await;
    adam.chrome.click("button", "Look at it first").await;
    let told = adam.read("Nobody was invited").await;
    assert!(told.contains("Line 7: ") && told.contains("aprover"), "{told}");
    assert!(!told.contains("Line 6: ") && !told.contains("Line 8: "), "{told}");
    assert_eq!(adam.typed("People, as CSV").await, FILE, "what was typed is kept");
    assert!(adam.chrome.list("button", "Invite 7 people").await.is_empty());
    assert_eq!(portal.records_of("account.invited").await.len(), 0);

    adam.chrome.fill("People, as CSV", &FILE.replace("aprover", "approver")).await;
    adam.chrome.click("button", "Look at it first").await;
    adam.read("7 people will be invited when you press the button").await;
    assert_eq!(portal.records_of("account.invited").await.len(), 0, "nothing is done yet");
    adam.chrome.click("button", "Invite 7 people").await;
    let told = adam.read("7 people are invited").await;
    assert!(told.contains("finn@example.org") && told.contains("/invite/"), "{told}");
    assert_eq!(portal.records_of("account.invited").await.len(), 7);
    adam.chrome.quit().await;
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_a_broken_line_7_names_it_and_invites_nobody_at_a_desk() {
    a_file_with_a_broken_line(DESKTOP).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn and_on_a_phone_without_script() {
    a_file_with_a_broken_line(PHONE.without_script()).await;
}
