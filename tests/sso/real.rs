//! The same with a real provider, over its own pages: discovery, keys, code, proof of possession, user info, a session
//! there, and signing in there afresh.

use serde_json::Value;
use tokio::net::TcpListener;
use url::Url;

use crate::harness::{Browser, Page, Portal};
use crate::support::identity_provider::{IdentityProvider, password, person};
use crate::trip::{MAPPED, count, leads_to, leave, text};

/// A person's browser, at the provider.
struct There(reqwest::Client);

impl There {
    fn new() -> Self {
        let client = reqwest::Client::builder().cookie_store(true).redirect(reqwest::redirect::Policy::none());
        Self(client.build().unwrap())
    }

    /// Goes where the portal sends the browser, signs in as `name` if asked to, and says where at the portal it is sent
    /// then, and whether it was asked.
    async fn go(&self, url: &Url, name: &str) -> (String, bool) {
        let mut at = url.clone();
        let mut was_asked = false;
        for _ in 0..10 {
            if at.path().starts_with("/sign-in/sso/") {
                return (format!("{}?{}", at.path(), at.query().unwrap()), was_asked);
            }
            let mut answer = self.0.get(at.clone()).send().await.unwrap();
            if answer.status() == 200 {
                was_asked = true;
                let form = [("name", name), ("password", &password(name))];
                answer = self.0.post(at.clone()).form(&form).send().await.unwrap();
            }
            let location = answer.headers().get("location").map(|value| value.to_str().unwrap().to_owned());
            let location = location.unwrap_or_else(|| panic!("{at} leads nowhere: {}", answer.status()));
            at = at.join(&location).unwrap();
        }
        panic!("the provider sends the browser round and round");
    }
}

async fn stage(people: &[Value], more: &str) -> (Portal, IdentityProvider) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let provider = IdentityProvider::start(&format!("http://{}", listener.local_addr().unwrap()), "corp", people);
    let portal = Portal::start_today(listener, &provider.config("corp", more)).await;
    portal.create_account("olga", &[]).await;
    (portal, provider)
}

async fn sign_in(browser: &Browser, there: &There, name: &str) -> Page {
    let (back, _) = there.go(&leave(browser, "corp").await, name).await;
    browser.open(&back).await
}

#[tokio::test(flavor = "multi_thread")]
async fn people_of_a_real_provider_sign_in_with_their_roles() {
    // S-19, S-20, S-21, S-22
    let people = [person("ana", &["leads"], &["pwd", "mfa"]), person("ben", &["guests"], &["pwd"])];
    let (portal, _provider) = stage(&people, MAPPED).await;
    let (browser, there) = (portal.anonymous(), There::new());
    let page = sign_in(&browser, &there, "ana").await;
    assert_eq!((page.status, page.location()), (303, Some("/")), "{}", page.text());
    browser.open("/me").await.says("ana of Example Corp").says("ana@corp.example").says("approver");
    assert_eq!(text(&portal, "select factor from portal.session").await.as_deref(), Some("sso"));

    // They are still signed in there: nobody asks, and it is the same account.
    let again = portal.anonymous();
    let (back, was_asked) = there.go(&leave(&again, "corp").await, "ana").await;
    assert!(!was_asked);
    assert_eq!(again.open(&back).await.status, 303);
    assert_eq!(again.open(&back).await.status, 400, "once");
    assert_eq!(count(&portal, "select count(*) from portal.identity").await, 1);

    let stranger = portal.anonymous();
    let page = sign_in(&stranger, &There::new(), "ben").await;
    assert_eq!(page.status, 403, "{}", page.text());
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_provider_asks_again_for_a_step_up_and_says_when() {
    // S-22
    let (portal, _provider) = stage(&[person("ana", &[], &["pwd", "mfa"])], "").await;
    let (browser, there) = (portal.anonymous(), There::new());
    assert_eq!(sign_in(&browser, &there, "ana").await.status, 303);
    let csrf = browser.open("/me").await.csrf();
    let page = browser.post("/step-up/sso/corp", &[("csrf", &csrf), ("return", "/me")]).await;
    let (back, was_asked) = there.go(&leads_to(&page), "ana").await;
    assert!(was_asked, "a session there is not enough");
    let page = browser.open(&back).await;
    assert_eq!((page.status, page.location()), (303, Some("/me")), "{}", page.text());
    let shown = "select concat(factor, ' ', stepped_up_at is not null) from portal.session";
    assert_eq!(text(&portal, shown).await.as_deref(), Some("sso t"));
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_of_a_real_provider_is_of_no_use_to_another_browser() {
    // S-19: an attacker's own answer, given to somebody else to come back with.
    let (portal, _provider) = stage(&[person("ana", &[], &["pwd"]), person("eve", &[], &["pwd"])], "").await;
    let (attacker, victim) = (portal.anonymous(), portal.anonymous());
    let (back, _) = There::new().go(&leave(&attacker, "corp").await, "eve").await;
    leave(&victim, "corp").await;
    let page = victim.open(&back).await;
    assert_eq!(page.status, 400);
    assert!(victim.cookie("countersign").is_none());
    // Nor can their code be put into an answer of the victim's own: it does not fit their proof of possession.
    let own = leave(&victim, "corp").await;
    let state = own.query_pairs().find(|(key, _)| key == "state").unwrap().1.into_owned();
    let swapped: String = back
        .split('&')
        .map(|part| if part.starts_with("state=") { format!("state={state}") } else { part.to_owned() })
        .collect::<Vec<_>>()
        .join("&");
    let page = victim.open(&swapped).await;
    assert_eq!(page.status, 400, "{}", page.text());
    assert_eq!(count(&portal, "select count(*) from portal.session").await, 0);
    portal.finish().await;
}
