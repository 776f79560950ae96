//! Single sign-on with a real Chromium and a real identity provider: from the portal's button to the provider's own page and
//! back, with and without script, on a desk and on a phone, with the roles and the group that the provider's groups give.

use thirtyfour::prelude::*;
use tokio::net::TcpListener;

use crate::chrome::{Chrome, DESKTOP, Device, PHONE};
use crate::harness::Portal;
use crate::narrow_enough;
use crate::support::identity_provider::{IdentityProvider, password, person};

const MAPPED: &str = "roles = { leads = \"approver\" }\ngroups = { leads = \"Shop team\" }";

struct Story {
    portal: Portal,
    _provider: IdentityProvider,
}

impl Story {
    async fn begin(more: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = format!("http://{}", listener.local_addr().unwrap());
        let people = [person("ana", &["leads"], &["pwd", "mfa"]), person("ben", &["guests"], &["pwd"])];
        let provider = IdentityProvider::start(&at, "corp", &people);
        let portal = Portal::start_today(listener, &format!("{more}\n{}", provider.config("corp", MAPPED))).await;
        portal.create_account("olga", &[]).await;
        let story = Self { portal, _provider: provider };
        story
            .run(
                "insert into portal.people_group (id, name, name_key, created_at)
                 values (gen_random_uuid(), 'Shop team', 'shop team', now())",
            )
            .await;
        story
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.portal.address())
    }

    async fn run(&self, sql: &'static str) {
        let mut conn = self.portal.database.connect_superuser().await;
        sqlx::query(sql).execute(&mut conn).await.unwrap();
    }

    async fn count(&self, sql: &'static str) -> i64 {
        let mut conn = self.portal.database.connect_superuser().await;
        sqlx::query_scalar(sql).fetch_one(&mut conn).await.unwrap()
    }

    /// From the queue to the provider and back to where the portal leads.
    async fn sign_in(&self, chrome: &Chrome, device: Device, name: &str) {
        chrome.open(&self.url("/history")).await;
        assert_eq!(chrome.path().await, "/sign-in");
        narrow_enough(chrome, device).await;
        chrome.click("button", "Sign in with Example Corp").await;
        // The page between leads on by itself, with and without script.
        chrome.driver.query(By::Id("name")).first().await.unwrap();
        chrome.fill("User", name).await;
        chrome.fill("Password", &password(name)).await;
        chrome.click("button", "Continue").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_signs_in_by_way_of_their_organisation_and_has_what_its_groups_give() {
    let story = Story::begin("").await;
    for device in [DESKTOP, PHONE, DESKTOP.without_script(), PHONE.without_script()] {
        let chrome = Chrome::start(device).await;
        story.sign_in(&chrome, device, "ana").await;
        chrome.read("History").await;
        assert_eq!(chrome.path().await, "/history", "back to where they were going");
        chrome.open(&story.url("/me")).await;
        let told = chrome.text().await;
        assert!(told.contains("ana@corp.example") && told.contains("approver"), "{told}");
        assert_eq!(chrome.typed("Name").await, "ana of Example Corp");
        chrome.open(&story.url("/me/identities")).await;
        chrome.read("Unlink Example Corp").await;
        narrow_enough(&chrome, device).await;
        chrome.quit().await;
    }
    assert_eq!(story.count("select count(*) from portal.account where email = 'ana@corp.example'").await, 1);
    let members = "select count(*) from portal.group_member where until_at is null and given_by = 'sso:corp'";
    assert_eq!(story.count(members).await, 1);
    story.portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_in_no_group_is_told_so_and_where_passwords_are_off_the_organisation_comes_first() {
    let story = Story::begin("[sign_in]\nlocal = false").await;
    let chrome = Chrome::start(DESKTOP).await;
    story.sign_in(&chrome, DESKTOP, "ben").await;
    let told = chrome.read("knows you, but you cannot sign in here").await;
    assert!(told.contains("Ask an admin"), "{told}");
    chrome.open(&story.url("/sign-in")).await;
    assert!(chrome.list("textbox", "Email").await.is_empty(), "the form for emergencies is folded away");
    chrome.quit().await;
    story.portal.finish().await;
}
