//! Which identities are an account's (S-21): linked by their person while signed in, and unlinked again.

use countersign::domain::people::Role;
use serde_json::json;

use crate::harness::{Browser, Page, Portal, email};
use crate::provider::Provider;
use crate::stepping_up::at;
use crate::trip::{ana, count, leads_to, now, portal_with, sign_in};

/// Presses "Link" and signs in at the provider.
pub async fn link(browser: &Browser, (name, provider): (&str, &Provider), claims: serde_json::Value) -> Page {
    let page = browser.open("/me/identities").await;
    let page = browser.submit(&page, &format!("/me/identities/{name}/link"), &[]).await;
    assert_eq!(page.status, 200, "{}", page.text());
    browser.open(&provider.agree(&leads_to(&page), claims)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_who_is_signed_in_links_an_identity_and_signs_in_with_it() {
    // S-21
    let (portal, provider) = portal_with("").await;
    let browser = portal.as_approver("ben").await;
    browser.open("/me").await.says("Single sign-on");
    browser.open("/me/identities").await.says("Not linked.");
    // The address there is another one, and nobody minds.
    let page = link(&browser, ("corp", &provider), ana()).await;
    assert_eq!((page.status, page.location()), (303, Some("/me/identities")), "{}", page.text());
    browser.follow(&page).await.says("Linked. From now on").says("Unlink CORP");
    let linked = portal.records().await.pop().unwrap();
    assert_eq!((linked.kind.as_str(), &linked.payload["subject"]), ("identity.linked", &json!("ana-1")));
    assert_eq!(linked.payload["by"]["email"], json!(email("ben")));

    let other = portal.anonymous();
    assert_eq!(sign_in(&other, ("corp", &provider), ana()).await.status, 303);
    other.open("/me").await.says(&email("ben"));
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_is_one_accounts_and_an_account_has_one_at_each_provider() {
    // S-21
    let (portal, provider) = portal_with("").await;
    let ben = portal.as_approver("ben").await;
    let cleo = portal.as_approver("cleo").await;
    link(&ben, ("corp", &provider), ana()).await;
    let page = link(&cleo, ("corp", &provider), ana()).await;
    assert_eq!(page.status, 409);
    let mut another = ana();
    another["sub"] = json!("ana-2");
    // The page offers it no more; a form from before does.
    let csrf = ben.open("/me").await.csrf();
    let page = ben.post("/me/identities/corp/link", &[("csrf", &csrf)]).await;
    let page = ben.open(&provider.agree(&leads_to(&page), another)).await;
    assert_eq!(page.status, 409);
    page.says("Unlink that one first");
    assert_eq!(count(&portal, "select count(*) from portal.identity").await, 1);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_session_began_another_cannot_end() {
    // S-19
    let (portal, provider) = portal_with("").await;
    let ben = portal.as_approver("ben").await;
    let mallory = portal.as_approver("mallory").await;
    let page = mallory.open("/me/identities").await;
    let page = mallory.submit(&page, "/me/identities/corp/link", &[]).await;
    let back = provider.agree(&leads_to(&page), ana());
    for (who, browser) in [("another person", &ben), ("nobody", &portal.anonymous())] {
        assert_eq!(browser.open(&back).await.status, 400, "{who}");
    }
    assert_eq!(count(&portal, "select count(*) from portal.identity").await, 0);
    // And a second provider that asserts Ben's address is not Ben.
    let mut claims = ana();
    claims["email"] = json!(email("ben"));
    assert_eq!(sign_in(&portal.anonymous(), ("corp", &provider), claims).await.status, 403);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unlinking_ends_what_was_begun_that_way_and_leaves_nobody_outside() {
    // S-21, S-27
    let (portal, provider) = portal_with("").await;
    let ben = portal.as_person("ben", &[Role::Auditor]).await;
    link(&ben, ("corp", &provider), ana()).await;
    let other = portal.anonymous();
    sign_in(&other, ("corp", &provider), ana()).await;
    let page = ben.open("/me/identities").await;
    let page = ben.submit(&page, "/me/identities/corp/unlink", &[]).await;
    assert_eq!(page.status, 303);
    ben.follow(&page).await.says("Unlinked.");
    assert_eq!(other.open("/").await.status, 303, "its session ended");
    let unlinked = portal.records().await.pop().unwrap();
    assert_eq!((unlinked.kind.as_str(), &unlinked.payload["sessions_ended"]), ("identity.unlinked", &json!(1)));

    // Somebody whom only the provider knows keeps it.
    let cleo = portal.anonymous();
    let mut claims = ana();
    claims["sub"] = json!("cleo");
    sign_in(&cleo, ("corp", &provider), claims.clone()).await;
    let page = cleo.open("/me/identities").await;
    let page = cleo.submit(&page, "/me/identities/corp/unlink", &[]).await;
    assert_eq!(page.status, 403, "a session that she still had there is no fresh proof");
    // S-18: the provider is asked, and what she pressed is offered again, to be pressed by her.
    let page = cleo.submit(&page, "/step-up/sso/corp", &[]).await;
    let page = cleo.open(&provider.agree(&leads_to(&page), at(&claims, now(&portal.clock), &["pwd"]))).await;
    page.says("Nothing was done yet");
    let page = cleo.submit(&page, "/me/identities/corp/unlink", &[]).await;
    assert_eq!(page.status, 409);
    page.says("your only way in");
    assert_eq!(count(&portal, "select count(*) from portal.identity").await, 1);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_provider_there_is_nothing_to_link() {
    let portal = Portal::start().await;
    let ben = portal.as_approver("ben").await;
    assert!(!ben.open("/me").await.text().contains("Single sign-on"));
    ben.open("/me/identities").await.says("knows no identity provider");
    assert!(!portal.anonymous().open("/sign-in").await.text().contains("organisation"));
    portal.finish().await;
}
