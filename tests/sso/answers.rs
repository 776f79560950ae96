//! What a browser brings back (S-19): only what this browser asked for, once, within minutes, and from whom it asked.

use jiff::SignedDuration;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::Portal;
use crate::provider::Provider;
use crate::trip::{ana, assert_refused, count, leave, portal_with, sign_in};

#[tokio::test(flavor = "multi_thread")]
async fn the_request_has_everything_that_binds_the_answer_to_it() {
    // S-19, S-22
    let (portal, _provider) = portal_with("scopes = [\"email\", \"openid\"]\nfactor_acr = [\"two\"]").await;
    let browser = portal.anonymous();
    let first = leave(&browser, "corp").await;
    let second = leave(&browser, "corp").await;
    let of = |url: &url::Url, name: &str| url.query_pairs().find(|(key, _)| key == name).unwrap().1.into_owned();
    for name in ["state", "nonce", "code_challenge"] {
        assert!(of(&first, name).len() >= 43, "{name} is long enough not to be guessed");
        assert_ne!(of(&first, name), of(&second, name), "{name}");
    }
    assert_eq!(of(&first, "scope"), "openid email");
    assert_eq!(of(&first, "acr_values"), "two");
    let expected = format!("{}/sign-in/sso/corp/back", portal.state.config.public_origin());
    assert_eq!(of(&first, "redirect_uri"), expected);
    assert!(first.query_pairs().all(|(key, _)| key != "client_secret"));
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_this_browser_did_not_ask_for_begins_nothing() {
    // S-19
    let (portal, provider) = portal_with("").await;
    let (browser, other, nobody) = (portal.anonymous(), portal.anonymous(), portal.anonymous());
    let address = leave(&browser, "corp").await;
    let back = provider.agree(&address, ana());
    leave(&other, "corp").await;
    for (what, who) in [("another browser", &other), ("a browser without cookies", &nobody)] {
        let page = who.open(&back).await;
        assert_refused(&portal, who, &page, what).await;
    }
    let state = address.query_pairs().find(|(key, _)| key == "state").unwrap().1.into_owned();
    let path = "/sign-in/sso/corp/back";
    let broken = [
        String::new(),
        "?code=code-0".to_owned(),
        "?code=code-0&state=".to_owned(),
        format!("?code=code-0&state={}", "A".repeat(64)),
        format!("?code=code-0&state={state}&state={state}"),
        format!("?code=code-0&code=code-0&state={state}"),
        "?error=access_denied".to_owned(),
    ];
    for query in broken {
        let page = browser.open(&format!("{path}{query}")).await;
        assert_refused(&portal, &browser, &page, &query).await;
    }
    // None of that was this browser's answer, which is still good. Looking ahead does not use it up either.
    let page = browser.send(&back, browser.request(Method::HEAD, &back)).await;
    assert_eq!(page.status, 400);
    assert_eq!(browser.open(&back).await.status, 303);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_heard_once_and_within_ten_minutes() {
    // S-19
    let (portal, provider) = portal_with("").await;
    let browser = portal.anonymous();
    let back = provider.agree(&leave(&browser, "corp").await, ana());
    portal.advance(SignedDuration::from_secs(601));
    let page = browser.open(&back).await;
    assert_refused(&portal, &browser, &page, "too old").await;

    let copy = browser.copy();
    let back = provider.agree(&leave(&copy, "corp").await, ana());
    let again = copy.copy();
    portal.advance(SignedDuration::from_secs(590));
    assert_eq!(copy.open(&back).await.status, 303);
    assert_eq!(again.open(&back).await.status, 400, "used before");
    assert_eq!(count(&portal, "select count(*) from portal.session").await, 1);
    assert_eq!(count(&portal, "select count(*) from portal.ceremony").await, 0);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_was_guessed_by_half_is_used_up_and_refused() {
    // S-19
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let (portal, provider) = portal_with("").await;
    let browser = portal.anonymous();
    let address = leave(&browser, "corp").await;
    let back = provider.agree(&address, ana());
    let state = address.query_pairs().find(|(key, _)| key == "state").unwrap().1.into_owned();
    let mut bytes = URL_SAFE_NO_PAD.decode(&state).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    let page = browser.open(&back.replace(&state, &URL_SAFE_NO_PAD.encode(bytes))).await;
    assert_refused(&portal, &browser, &page, "another secret").await;
    let page = browser.open(&back).await;
    assert_refused(&portal, &browser, &page, "it was looked at").await;
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_providers_answer_is_none_of_anothers() {
    // S-20: mix-up (RFC 9207; RFC 9700, 4.4).
    let (corp, evil) = (Provider::start().await, Provider::start().await);
    let config = format!("{}{}", corp.config("corp", ""), evil.config("evil", ""));
    let portal = Portal::start_with(&config).await;
    portal.create_account("olga", &[]).await;
    let browser = portal.anonymous();
    // The evil one sends the browser back as if the honest one had been asked, and the other way round.
    let back = evil.agree(&leave(&browser, "evil").await, ana());
    let page = browser.open(&back.replace("/sso/evil/", "/sso/corp/")).await;
    assert_refused(&portal, &browser, &page, "at another provider's address").await;
    let wrong: [(&str, Value); 2] =
        [("another's", json!({ "iss": evil.issuer() })), ("nobody's", json!({ "iss": null }))];
    for (what, iss) in wrong {
        corp.twist(|twist| twist.iss = iss);
        let page = sign_in(&browser, ("corp", &corp), ana()).await;
        assert_refused(&portal, &browser, &page, what).await;
    }
    assert_eq!(corp.asked("/token") + evil.asked("/token"), 0, "no code went to anybody");
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_says_no_says_so_in_its_own_word_and_no_other() {
    let (portal, _provider) = portal_with("").await;
    let browser = portal.anonymous();
    for error in ["access_denied", "%3Cscript%3Ealert(1)%3C/script%3E"] {
        let address = leave(&browser, "corp").await;
        let state = address.query_pairs().find(|(key, _)| key == "state").unwrap().1.into_owned();
        let issuer = _provider.issuer();
        let page = browser.open(&format!("/sign-in/sso/corp/back?error={error}&state={state}&iss={issuer}")).await;
        assert_refused(&portal, &browser, &page, error).await;
        page.says("CORP did not sign you in");
        assert!(!page.body.contains("script>alert"));
    }
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_answers_are_counted_and_leave_nothing_else() {
    // A-11, S-40
    let (portal, _provider) = portal_with("").await;
    let before = portal.records().await.len();
    let browser = portal.anonymous();
    for _ in 0..30 {
        browser.open("/sign-in/sso/corp/back?code=a&state=b").await;
    }
    assert_eq!(portal.records().await.len(), before);
    portal.state.accounts.flush_stranger_counts().await.unwrap();
    portal.advance(SignedDuration::from_mins(2));
    portal.state.accounts.flush_stranger_counts().await.unwrap();
    let counted = portal.records().await.pop().unwrap();
    assert_eq!(counted.kind, "strangers.counted");
    assert_eq!(counted.payload["counts"]["sign_in.provider_refused"], 30);
    portal.finish().await;
}
