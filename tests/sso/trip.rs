//! A trip to a provider and back, step by step, as a browser makes it.

use countersign::clock::Clock;
use serde_json::{Value, json};
use url::Url;

use crate::harness::{Browser, Page, Portal};
use crate::provider::Provider;

/// Somebody in the groups that the stories map.
pub fn ana() -> Value {
    json!({ "sub": "ana-1", "email": "ana@corp.example", "email_verified": true, "name": "Ana Ruiz", "groups": ["leads"] })
}

/// The mapping of the stories.
pub const MAPPED: &str = "roles = { leads = \"approver\", auditors = \"auditor\", chiefs = [\"approver\", \"admin\"] }\n\
                          groups = { leads = \"Shop team\" }";

/// A portal that is set up, with one provider, `corp`.
pub async fn portal_with(more: &str) -> (Portal, Provider) {
    let provider = Provider::start().await;
    let portal = Portal::start_with(&provider.config("corp", more)).await;
    provider.follow(&portal.clock);
    portal.create_account("olga", &[]).await;
    (portal, provider)
}

/// Somebody presses the provider's button. Where their browser is sent.
pub async fn leave(browser: &Browser, provider: &str) -> Url {
    let page = browser.open("/sign-in").await;
    let action = format!("/sign-in/sso/{provider}");
    let page = browser.submit(&page, &action, &[]).await;
    assert_eq!(page.status, 200, "{}", page.text());
    leads_to(&page)
}

/// Where the page between sends the browser, by itself and by its link.
pub fn leads_to(page: &Page) -> Url {
    let between = |before: &str| {
        let (_, rest) = page.body.split_once(before).unwrap_or_else(|| panic!("the page leads nowhere: {}", page.body));
        rest.split('"').next().unwrap().replace("&#38;", "&").replace("&amp;", "&")
    };
    let address = between("http-equiv=\"refresh\" content=\"0; url=");
    assert_eq!(address, between("here. <a href=\""));
    Url::parse(&address).unwrap()
}

/// The whole way. The answer of the portal when they come back.
pub async fn sign_in(browser: &Browser, (name, provider): (&str, &Provider), claims: Value) -> Page {
    let address = leave(browser, name).await;
    browser.open(&provider.agree(&address, claims)).await
}

/// Asserts that the portal let nobody in: 400, no session cookie, no session.
pub async fn assert_refused(portal: &Portal, browser: &Browser, page: &Page, what: &str) {
    assert_eq!(page.status, 400, "{what}: {}", page.text());
    assert!(browser.cookie("countersign").is_none(), "{what}");
    assert_eq!(count(portal, "select count(*) from portal.session").await, 0, "{what}");
    assert_eq!(count(portal, "select count(*) from portal.identity").await, 0, "{what}");
}

pub async fn count(portal: &Portal, sql: &'static str) -> i64 {
    let mut conn = portal.database.connect_superuser().await;
    sqlx::query_scalar(sql).fetch_one(&mut conn).await.unwrap()
}

pub async fn text(portal: &Portal, sql: &'static str) -> Option<String> {
    let mut conn = portal.database.connect_superuser().await;
    sqlx::query_scalar(sql).fetch_optional(&mut conn).await.unwrap().flatten()
}

/// Runs a statement as the database's owner.
pub async fn run(portal: &Portal, sql: &'static str) {
    let mut conn = portal.database.connect_superuser().await;
    sqlx::query(sql).execute(&mut conn).await.unwrap();
}

/// Seconds since the epoch, by the portal's clock.
pub fn now(clock: &Clock) -> i64 {
    clock.now().as_second()
}
