//! Push in a real Chromium. No push service is reached from here, so what the browser would be given there is put in its place before
//! the page loads; the page's script, the service worker and the notifications are the real ones.

use countersign::domain::people::Role;
use serde_json::{Value, json};

use crate::chrome::{Chrome, DESKTOP, Device, PHONE};
use crate::harness::{Portal, email, password};

/// The keys of RFC 8291's example.
const SUBSCRIPTION: &str = r#"
const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0)).buffer;
const keys = {
  p256dh: bytes("BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"),
  auth: bytes("BTBZMqHH6r4Tts7J_aSIgg"),
};
const subscription = {
  endpoint: "https://fcm.googleapis.com/fcm/send/of-this-browser",
  getKey: (name) => keys[name],
  unsubscribe: async () => { localStorage.removeItem("subscribed"); return true; },
};
PushManager.prototype.getSubscription = async () => (localStorage.getItem("subscribed") ? subscription : null);
PushManager.prototype.subscribe = async (options) => {
  if (!options.userVisibleOnly || options.applicationServerKey.length !== 65) throw new Error("not as it must be");
  localStorage.setItem("subscribed", "yes");
  return subscription;
};
"#;

async fn journey(device: Device) {
    let portal = Portal::start_with(
        "public_url = \"http://localhost:{port}\"\n[push]\nenabled = true\ncontact = \"mailto:ops@example.com\"",
    )
    .await;
    let at = |path: &str| format!("{}{path}", portal.state.config.public_origin());
    portal.create_account("ana", &[Role::Approver]).await;
    portal.waiting("shop").await;
    let chrome = Chrome::start(device).await;
    chrome.tell("Page.addScriptToEvaluateOnNewDocument", json!({ "source": SUBSCRIPTION })).await;
    let granted = json!({ "origin": portal.state.config.public_origin(), "permissions": ["notifications"] });
    chrome.tell("Browser.grantPermissions", granted).await;

    chrome.open(&at("/sign-in")).await;
    chrome.fill("Email", &email("ana")).await;
    chrome.fill("Password", &password("ana")).await;
    chrome.click("button", "Sign in").await;
    chrome.read("Waiting for a decision").await;
    chrome.open(&at("/me/notifications")).await;
    chrome.read("It is on in none of your browsers").await;
    assert_eq!(chrome.overflow().await, 0);
    chrome.click("button", "Turn on in this browser").await;
    chrome.read("It is on in this browser").await;
    chrome.read("This browser").await;
    assert_eq!(chrome.overflow().await, 0);
    assert!(chrome.list("button", "Turn on in this browser").await.is_empty(), "it is on");

    let path = format!("/approvals/{}", portal.approval_id("shop").await);
    let told =
        json!({ "title": "Waiting for you: shop", "body": "Decide by six", "tag": "a", "path": path, "silent": false });
    let over =
        json!({ "title": "Approved: shop", "body": "Approved by Ben", "tag": "a", "path": path, "silent": true });
    chrome.tell("ServiceWorker.enable", json!({})).await;
    let first = shown(&chrome, &portal, (&told.to_string(), "Waiting for you: shop")).await;
    assert_eq!(first, json!(["Waiting for you: shop", "Decide by six", "a", path]));
    let second = shown(&chrome, &portal, (&over.to_string(), "Approved: shop")).await;
    assert_eq!(second, json!(["Approved: shop", "Approved by Ben", "a", path]));
    // Whatever comes, a click opens a page of the portal.
    for hostile in ["https://evil.example/", "//evil.example", "/approvals/../sign-out", "javascript:alert(1)"] {
        let title = format!("Hostile: {hostile}");
        let data = json!({ "title": title, "tag": "b", "path": hostile }).to_string();
        assert_eq!(shown(&chrome, &portal, (&data, &title)).await[3], "/", "{hostile}");
    }
    assert_eq!(shown(&chrome, &portal, ("no JSON at all", "Countersign")).await[3], "/");

    let mut conn = portal.database.connect_superuser().await;
    let name: String = sqlx::query_scalar("select name from portal.push_browser").fetch_one(&mut conn).await.unwrap();
    chrome.click("button", &format!("Turn off in {name}")).await;
    chrome.read("It is off in that browser").await;
    chrome.find("button", "Turn on in this browser").await;
    chrome.quit().await;
    portal.finish().await;
}

/// Delivers a push until its notification is shown: a registration that is only just made takes none yet, and one that comes
/// again takes its own place. Its title, text, tag, and the path that a click opens.
async fn shown(chrome: &Chrome, portal: &Portal, (data, title): (&str, &str)) -> Value {
    let origin = portal.state.config.public_origin();
    let message = json!({ "origin": origin, "registrationId": "0", "data": data });
    let script = "const registration = await navigator.serviceWorker.getRegistration('/');
        const all = await registration.getNotifications();
        const one = all.find((one) => one.title === arguments[0]);
        const same = all.filter((other) => one && other.tag === one.tag).length;
        return one ? [one.title, one.body, one.tag, one.data.path, same] : null;";
    loop {
        chrome.tell("ServiceWorker.deliverPushMessage", message.clone()).await;
        let found = chrome.driver.execute(script, vec![json!(title)]).await.unwrap().json().clone();
        if let Value::Array(mut found) = found {
            assert_eq!(found.pop(), Some(json!(1)), "in place of the one before");
            return Value::Array(found);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn push_is_turned_on_shown_replaced_and_turned_off_on_a_desk_and_on_a_phone() {
    journey(DESKTOP).await;
    journey(PHONE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_script_the_page_says_what_push_needs_and_turns_it_off_all_the_same() {
    let portal = Portal::start_with(
        "public_url = \"http://localhost:{port}\"\n[push]\nenabled = true\ncontact = \"mailto:ops@example.com\"",
    )
    .await;
    let at = |path: &str| format!("{}{path}", portal.state.config.public_origin());
    let ana = portal.as_approver("ana").await;
    let page = ana.open("/me/notifications").await;
    let fields = [
        ("endpoint", "https://fcm.googleapis.com/fcm/send/of-another"),
        ("p256dh", "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"),
        ("auth", "BTBZMqHH6r4Tts7J_aSIgg"),
    ];
    assert_eq!(ana.submit(&page, "/me/notifications/push", &fields).await.status, 303);
    let chrome = Chrome::start(DESKTOP.without_script()).await;
    chrome.open(&at("/sign-in")).await;
    chrome.fill("Email", &email("ana")).await;
    chrome.fill("Password", &password("ana")).await;
    chrome.click("button", "Sign in").await;
    chrome.read("Waiting for a decision").await;
    chrome.open(&at("/me/notifications")).await;
    chrome.read("Turning it on needs JavaScript").await;
    assert!(chrome.list("button", "Turn on in this browser").await.is_empty());
    chrome.click("button", "Turn off in A program of another kind").await;
    chrome.read("It is on in none of your browsers").await;
    chrome.quit().await;
    portal.finish().await;
}
