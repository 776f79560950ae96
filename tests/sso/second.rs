//! Whoever has a second factor here shows it also when a provider knows them, unless the provider vouches for one (S-15,
//! S-22).

use serde_json::{Value, json};

use crate::harness::{Portal, email};
use crate::provider::Provider;
use crate::stepping_up::at;
use crate::trip::{ana, count, now, portal_with, sign_in, text};

/// Ana, who has proven herself at the provider just now, with a password alone, and sets an app up here.
async fn with_an_app() -> (Portal, Provider, Value) {
    let (portal, provider) = portal_with("").await;
    let mut claims = ana();
    claims["email"] = json!(email("ana"));
    let browser = portal.anonymous();
    let proven = at(&claims, now(&portal.clock), &["pwd"]);
    assert_eq!(sign_in(&browser, ("corp", &provider), proven).await.location(), Some("/"));
    portal.add_app(&browser, "ana").await;
    (portal, provider, claims)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_vouches_for_none_is_not_enough_where_there_is_a_factor_here() {
    let (portal, provider, claims) = with_an_app().await;
    let browser = portal.anonymous();
    let before = count(&portal, "select count(*) from portal.session").await;
    let page = sign_in(&browser, ("corp", &provider), at(&claims, now(&portal.clock), &["pwd"])).await;
    assert_eq!((page.status, page.location()), (303, Some("/sign-in/second")), "{}", page.text());
    assert!(browser.cookie("countersign").is_none());
    assert_eq!(count(&portal, "select count(*) from portal.session").await, before);
    assert_eq!(browser.open("/me").await.status, 303, "nobody is signed in yet");

    let second = browser.open("/sign-in/second").await;
    let wrong = browser.submit(&second, "/sign-in/second", &[("code", "000000")]).await;
    assert_eq!(wrong.status, 401);
    let code = portal.code_of("ana").await;
    let page = browser.submit(&second, "/sign-in/second", &[("code", &code)]).await;
    assert_eq!((page.status, page.location()), (303, Some("/")), "{}", page.text());
    let newest = "select concat(method, ' ', factor) from portal.session order by started_at desc, id desc limit 1";
    assert_eq!(text(&portal, newest).await.unwrap(), "sso:corp totp");
    let started = portal.records_of("session.started").await.pop().unwrap();
    assert_eq!(started.payload["method"], json!("sso:corp"));
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_vouches_for_one_is_enough() {
    let (portal, provider, claims) = with_an_app().await;
    let browser = portal.anonymous();
    let page = sign_in(&browser, ("corp", &provider), at(&claims, now(&portal.clock), &["pwd", "mfa"])).await;
    assert_eq!((page.status, page.location()), (303, Some("/")), "{}", page.text());
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_was_disabled_between_the_two_steps_is_not_let_in() {
    // S-27
    let (portal, provider, claims) = with_an_app().await;
    let browser = portal.anonymous();
    sign_in(&browser, ("corp", &provider), at(&claims, now(&portal.clock), &["pwd"])).await;
    let second = browser.open("/sign-in/second").await;
    let code = portal.code_of("ana").await;
    portal.disable("ana").await;
    let page = browser.submit(&second, "/sign-in/second", &[("code", &code)]).await;
    assert_eq!(page.status, 401);
    assert_eq!(count(&portal, "select count(*) from portal.session").await, 0);
    portal.finish().await;
}
