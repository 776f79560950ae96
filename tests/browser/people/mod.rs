//! People, from the first admin of an empty portal to somebody who leaves: each in a Chromium of their own, on a desk and on
//! a phone, by the names that a screen reader reads out.

mod admins;
mod coming_in;
mod leaving;
mod links;
mod second_step;

use countersign::domain::people::Role;

use crate::chrome::{Chrome, Device};
use crate::harness::{Portal, Replica, email, password};
use crate::narrow_enough;
use crate::support::authenticator::App;

/// Sends every mail that is due, as the running portal does by itself.
pub async fn deliver(portal: &Portal) {
    while portal.state.accounts.answer_request().await.unwrap() {}
    while portal.state.mailer.step().await.unwrap() > 0 {}
}

/// Somebody's browser, at this portal.
struct Window<'a> {
    portal: &'a Portal,
    /// The replica that is looked at.
    origin: String,
    chrome: Chrome,
    device: Device,
}

impl<'a> Window<'a> {
    async fn open(portal: &'a Portal, device: Device) -> Self {
        Self { portal, origin: portal.state.config.public_origin(), chrome: Chrome::start(device).await, device }
    }

    /// At another replica, with pages that do nothing by the clock.
    async fn open_at(portal: &'a Portal, replica: &Replica, device: Device) -> Self {
        let window = Self { origin: replica.state.config.public_origin(), ..Self::open(portal, device).await };
        window.chrome.without_timers().await;
        window
    }

    /// Types an address of the portal, and reads until the page says `words`.
    async fn go(&self, path: &str, words: &str) -> String {
        self.chrome.open(&format!("{}{path}", self.origin)).await;
        self.read(words).await
    }

    /// Waits for a page that says `words` and is no wider than the window.
    async fn read(&self, words: &str) -> String {
        let told = self.chrome.read(words).await;
        narrow_enough(&self.chrome, self.device).await;
        told
    }

    /// What stands in a field.
    async fn typed(&self, name: &str) -> String {
        self.chrome.typed(name).await
    }

    /// Signs in as far as the password goes, and reads what comes then.
    async fn sign_in(&self, name: &str, then: &str) {
        self.go("/sign-in", "Sign in").await;
        self.chrome.fill("Email", &email(name)).await;
        self.chrome.fill("Password", &password(name)).await;
        self.chrome.click("button", "Sign in").await;
        self.read(then).await;
    }

    /// Signs in as an admin, who has an authenticator app.
    async fn sign_in_as_admin(&self, name: &str) {
        self.portal.as_person(name, &[Role::Admin]).await;
        self.sign_in(name, "Second step").await;
        self.chrome.fill("Code", &self.portal.code_of(name).await).await;
        self.chrome.click("button", "Continue").await;
        self.read("Waiting for a decision").await;
    }

    /// From "My second factors": sets an authenticator app up by the key that the page shows.
    async fn set_an_app_up(&self) -> App {
        self.chrome.click("button", "Set up an app").await;
        let told = self.read("Key:").await;
        let key = told.split("Key:").nth(1).unwrap().lines().next().unwrap();
        let app = App::told(key);
        self.chrome.fill("Code", &app.code(self.portal.clock.now())).await;
        self.chrome.click("button", "Confirm").await;
        self.read("They are shown only now").await;
        app
    }

    /// Leads on from a page that asks for fresh proof, by the code of an app.
    async fn prove_by(&self, app: &App) {
        self.read("Prove that it is you").await;
        self.portal.advance(jiff::SignedDuration::from_secs(30));
        self.chrome.fill("Code", &app.code(self.portal.clock.now())).await;
        self.chrome.click("button", "Continue").await;
        self.read("Nothing was done yet: send what you typed now").await;
        self.chrome.click("button", "Send it").await;
    }
}
