//! What is believed of a provider's tokens and of what it says about itself (S-20).

use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::harness::Portal;
use crate::provider::{CLIENT, Provider, Signed, Twist, Wrong};
use crate::trip::{ana, assert_refused, leave, now, portal_with, sign_in};

/// What goes wrong, and how.
type Change = (&'static str, fn(&mut Twist));

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_wrong_in_anything_lets_nobody_in() {
    // S-20
    let (portal, provider) = portal_with("").await;
    let now = now(&portal.clock);
    let claims: Vec<(&str, Value)> = vec![
        ("another issuer", json!({ "iss": "https://evil.example" })),
        ("an issuer that is nearly right", json!({ "iss": format!("{}/", provider.issuer()) })),
        ("no issuer", json!({ "iss": null })),
        ("another audience", json!({ "aud": "another" })),
        ("an audience beside ours", json!({ "aud": [CLIENT, "another"] })),
        ("no audience", json!({ "aud": null })),
        ("another party", json!({ "azp": "another" })),
        ("expired", json!({ "exp": now - 61 })),
        ("no end", json!({ "exp": null })),
        ("not yet valid", json!({ "nbf": now + 61 })),
        ("valid from no time", json!({ "nbf": "soon" })),
        ("from the future", json!({ "iat": now + 61 })),
        ("another nonce", json!({ "nonce": "another" })),
        ("no nonce", json!({ "nonce": null })),
        ("no subject", json!({ "sub": null })),
        ("an empty subject", json!({ "sub": "" })),
        ("a subject without end", json!({ "sub": "x".repeat(513) })),
    ];
    let browser = portal.anonymous();
    for (what, token) in claims {
        provider.twist(|twist| twist.token = token);
        let page = come(&portal, &browser, &provider).await;
        assert_refused(&portal, &browser, &page, what).await;
    }
    let made: Vec<Change> = vec![
        ("not signed", |it| it.signed = Signed::Nothing),
        ("signed with our own secret", |it| it.signed = Signed::Secret),
        ("signed by somebody else", |it| it.signed = Signed::Foreign),
        ("of an unknown key", |it| it.header = json!({ "kid": "unknown" })),
        ("of another key of theirs", |it| it.header = json!({ "kid": "first-ed" })),
        ("said to be of another kind", |it| it.header = json!({ "alg": "RS256" })),
        ("said not to be signed", |it| it.header = json!({ "alg": "none" })),
        ("of a kind that is none", |it| it.header = json!({ "alg": "XX256" })),
        ("with conditions", |it| it.header = json!({ "crit": ["exp"] })),
        ("of another type", |it| it.header = json!({ "typ": "at+jwt" })),
    ];
    for (what, change) in made {
        provider.twist(change);
        let page = come(&portal, &browser, &provider).await;
        assert_refused(&portal, &browser, &page, what).await;
    }
    portal.finish().await;
}

/// A try in its own minute, so that no limit is met.
async fn come(portal: &Portal, browser: &crate::harness::Browser, provider: &Provider) -> crate::harness::Page {
    let page = sign_in(browser, ("corp", provider), ana()).await;
    // The claims above are about this moment: the limit of tries is put away rather than waited for.
    crate::trip::run(portal, "delete from portal.throttle").await;
    page
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_signature_that_is_one_is_taken_and_clocks_may_differ_by_a_minute() {
    // S-20
    let (portal, provider) = portal_with("").await;
    let now = now(&portal.clock);
    for signed in [Signed::Es256, Signed::Rs256, Signed::EdDsa] {
        for off in [-59, 59] {
            provider.twist(|twist| {
                twist.signed = signed;
                twist.token = json!({ "exp": now + off, "nbf": now + off, "iat": now + off, "azp": CLIENT });
                if off > 0 {
                    twist.token["exp"] = json!(now + 300);
                }
            });
            let browser = portal.anonymous();
            let page = sign_in(&browser, ("corp", &provider), ana()).await;
            assert_eq!(page.status, 303, "{signed:?} {off}: {}", page.text());
        }
    }
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn new_keys_are_looked_up_and_strangers_cannot_make_the_portal_ask_for_ever() {
    // S-20
    let (portal, provider) = portal_with("").await;
    let browser = portal.anonymous();
    assert_eq!(sign_in(&browser, ("corp", &provider), ana()).await.status, 303);
    assert_eq!((provider.asked("/.well-known/openid-configuration"), provider.asked("/keys")), (1, 1));
    portal.advance(SignedDuration::from_secs(31));
    provider.rotate("second");
    assert_eq!(sign_in(&portal.anonymous(), ("corp", &provider), ana()).await.status, 303);
    assert_eq!(provider.asked("/keys"), 2);
    // A key that nobody has: asked for once in half a minute.
    provider.twist(|twist| twist.header = json!({ "kid": "unknown" }));
    for _ in 0..4 {
        assert_eq!(sign_in(&portal.anonymous(), ("corp", &provider), ana()).await.status, 400);
    }
    assert_eq!(provider.asked("/keys"), 2);
    portal.advance(SignedDuration::from_secs(31));
    for _ in 0..4 {
        assert_eq!(sign_in(&portal.anonymous(), ("corp", &provider), ana()).await.status, 400);
    }
    assert_eq!(provider.asked("/keys"), 3);
    provider.behave();
    portal.advance(SignedDuration::from_hours(1));
    assert_eq!(sign_in(&portal.anonymous(), ("corp", &provider), ana()).await.status, 303);
    assert_eq!(provider.asked("/.well-known/openid-configuration"), 2, "what it says of itself is read again");
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_not_what_it_must_be_is_not_gone_to() {
    // S-20
    let about = "/.well-known/openid-configuration";
    let wrong: Vec<Change> = vec![
        ("another issuer", |it| it.discovery = json!({ "issuer": "https://evil.example" })),
        ("keys elsewhere", |it| it.discovery = json!({ "jwks_uri": "http://192.0.2.1/keys" })),
        ("no addresses", |it| it.discovery = json!({ "authorization_endpoint": null })),
        ("too much", |it| it.answer("/.well-known/openid-configuration", Wrong::Huge)),
        ("elsewhere", |it| it.answer("/.well-known/openid-configuration", Wrong::Redirect)),
        ("a page", |it| it.answer("/.well-known/openid-configuration", Wrong::Text)),
        ("too many keys", |it| it.answer("/keys", Wrong::Huge)),
        ("keys elsewhere still", |it| it.answer("/keys", Wrong::Redirect)),
    ];
    let (portal, provider) = portal_with("").await;
    let browser = portal.anonymous();
    for (what, change) in wrong {
        provider.twist(change);
        let page = browser.open("/sign-in").await;
        let page = browser.submit(&page, "/sign-in/sso/corp", &[]).await;
        assert_refused(&portal, &browser, &page, what).await;
        crate::trip::run(&portal, "delete from portal.throttle").await;
        // Nobody makes the portal ask again at once, whatever was wrong.
        let asked = provider.asked(about);
        browser.submit(&browser.open("/sign-in").await, "/sign-in/sso/corp", &[]).await;
        assert_eq!(provider.asked(about), asked, "{what}");
        portal.advance(SignedDuration::from_secs(5));
    }
    assert!(provider.asked(about) > 0);
    assert_eq!(provider.asked("/elsewhere"), 0, "no redirect is followed");
    provider.twist(|it| it.answer("/keys", Wrong::Broken));
    let page = browser.open("/sign-in").await;
    let page = browser.submit(&page, "/sign-in/sso/corp", &[]).await;
    assert_eq!(page.status, 503, "it may work in a moment");
    page.says("CORP cannot be reached just now");
    // It is not waited for again at once, by nobody.
    let asked = provider.asked("/keys");
    let page = browser.submit(&browser.open("/sign-in").await, "/sign-in/sso/corp", &[]).await;
    assert_eq!((page.status, provider.asked("/keys")), (503, asked));
    provider.behave();
    portal.advance(SignedDuration::from_secs(5));
    leave(&browser, "corp").await;
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_provider_answers_to_the_portal_itself_is_bounded_and_believed_only_if_it_fits() {
    // S-20
    let (portal, provider) = portal_with("").await;
    let wrong: Vec<Change> = vec![
        ("too long a token", |it| it.answer("/token", Wrong::Huge)),
        ("a token elsewhere", |it| it.answer("/token", Wrong::Redirect)),
        ("a page for a token", |it| it.answer("/token", Wrong::Text)),
        ("too much about the person", |it| it.answer("/userinfo", Wrong::Huge)),
        ("somebody else's user info", |it| it.user_info = json!({ "sub": "somebody-else" })),
        ("groups of another shape", |it| it.token = json!({ "groups": { "leads": true } })),
        ("groups that are elsewhere", |it| it.token = json!({ "_claim_names": { "groups": "src1" } })),
    ];
    let browser = portal.anonymous();
    for (what, change) in wrong {
        provider.twist(change);
        // Without a name of their own, so that the portal asks for more.
        let page = sign_in(&browser, ("corp", &provider), json!({ "sub": "ana-1", "email": "ana@corp.example" })).await;
        assert_refused(&portal, &browser, &page, what).await;
        crate::trip::run(&portal, "delete from portal.throttle").await;
    }
    provider.twist(|it| it.answer("/token", Wrong::Broken));
    let page = sign_in(&browser, ("corp", &provider), ana()).await;
    assert_eq!(page.status, 503, "{}", page.text());
    assert_eq!(provider.asked("/elsewhere"), 0);
    portal.finish().await;
}
