//! Proving afresh who one is, at the provider (S-22): it is asked to have the person sign in again, and must say that they
//! did.

use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::harness::{Browser, Page};
use crate::provider::Provider;
use crate::trip::{ana, count, leads_to, now, portal_with, run, sign_in, text};

async fn step_up(browser: &Browser, provider: &Provider, claims: Value) -> Page {
    let csrf = browser.open("/me").await.csrf();
    let page = browser.post("/step-up/sso/corp", &[("csrf", &csrf), ("return", "/me/identities")]).await;
    assert_eq!(page.status, 200, "{}", page.text());
    let address = leads_to(&page);
    let asked: Vec<_> = address.query_pairs().into_owned().collect();
    assert!(asked.contains(&("prompt".into(), "login".into())), "{address}");
    assert!(asked.contains(&("max_age".into(), "0".into())), "{address}");
    browser.open(&provider.agree(&address, claims)).await
}

pub fn at(claims: &Value, auth_time: i64, amr: &[&str]) -> Value {
    let mut claims = claims.clone();
    claims["auth_time"] = json!(auth_time);
    claims["amr"] = json!(amr);
    claims
}

const SHOWN: &str = "select concat(factor, ' ', stepped_up_at is not null) from portal.session";

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_sign_in_at_the_provider_is_proof_and_gives_the_session_another_id() {
    // S-22, S-25
    let (portal, provider) = portal_with("").await;
    let browser = portal.anonymous();
    sign_in(&browser, ("corp", &provider), ana()).await;
    assert_eq!(text(&portal, SHOWN).await.unwrap(), " f", "who came by a session they still had there proved nothing");
    let old = browser.copy();
    let page = step_up(&browser, &provider, at(&ana(), now(&portal.clock), &["pwd", "mfa"])).await;
    assert_eq!((page.status, page.location()), (303, Some("/me/identities")), "{}", page.text());
    assert_eq!(text(&portal, SHOWN).await.unwrap(), "sso t");
    assert_eq!(browser.open("/me").await.status, 200);
    assert_eq!(old.open("/me").await.status, 303, "the id of before is nobody's");
    let record = portal.records().await.pop().unwrap();
    assert_eq!((record.kind.as_str(), &record.payload["how"]), ("session.stepped_up", &json!("sso:corp")));
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_fresh_time_or_as_somebody_else_it_is_no_proof() {
    // S-22
    let (portal, provider) = portal_with("").await;
    let browser = portal.anonymous();
    sign_in(&browser, ("corp", &provider), ana()).await;
    portal.advance(SignedDuration::from_mins(3));
    let mut somebody_else = at(&ana(), now(&portal.clock), &["mfa"]);
    somebody_else["sub"] = json!("ben-1");
    let mut silent = at(&ana(), 0, &["mfa"]);
    silent["auth_time"] = Value::Null;
    let old = at(&ana(), now(&portal.clock) - 61, &["mfa"]);
    for (what, claims) in [("no time", silent), ("an old time", old), ("somebody else", somebody_else)] {
        let page = step_up(&browser, &provider, claims).await;
        assert_eq!(page.status, 403, "{what}");
        page.says("did not prove afresh");
        assert_eq!(text(&portal, SHOWN).await.unwrap(), " f", "{what}");
        assert_eq!(browser.open("/me").await.status, 200, "{what}: still signed in as before");
    }
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_weak_factor_is_not_enough_for_whoever_has_a_better_one_here() {
    // S-15, S-22
    let (portal, provider) = portal_with("").await;
    let browser = portal.anonymous();
    sign_in(&browser, ("corp", &provider), ana()).await;
    let weak = at(&ana(), now(&portal.clock), &["pwd"]);
    assert_eq!(step_up(&browser, &provider, weak.clone()).await.status, 303, "as good as a password");
    let proven = "select proven_by from portal.session";
    assert_eq!(text(&portal, proven).await.unwrap(), "sso:corp", "and nothing is said of a second factor");
    run(
        &portal,
        "insert into portal.totp (account_id, sealed, created_at, last_step)
         select id, 'x', now(), 0 from portal.account where email = 'ana@corp.example'",
    )
    .await;
    assert_eq!(step_up(&browser, &provider, weak).await.status, 403);
    assert_eq!(step_up(&browser, &provider, at(&ana(), now(&portal.clock), &["mfa"])).await.status, 303);
    assert_eq!(count(&portal, "select count(*) from portal.session").await, 1);
    portal.finish().await;
}
