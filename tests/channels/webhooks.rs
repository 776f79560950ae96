//! A program is told what everybody who is signed in may read, signed, and can tell one message from another.

use aws_lc_rs::hmac;
use jiff::SignedDuration;

use crate::server::Asked;
use crate::stage::{PROGRAM, Stage};

/// As the documentation says it.
fn is_ours(secret: &str, asked: &Asked) -> bool {
    let header = |name: &str| asked.headers[name].to_str().unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signed = hmac::sign(&key, format!("{}.{}", header("countersign-timestamp"), asked.body).as_bytes());
    header("countersign-signature") == format!("v1={}", hex::encode(signed.as_ref()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_is_told_of_an_approval_from_its_opening_to_its_end() {
    let stage = Stage::start().await;
    stage.takes(PROGRAM);
    let (_, secret) = stage.make("webhook", "Board", PROGRAM, "shop").await;
    stage.portal.waiting("blog").await;
    let open = stage.portal.waiting("shop").await;
    stage.tell().await;
    let id = stage.portal.approval_id("shop").await;
    let asked = stage.sent_to(PROGRAM).remove(0);
    assert_eq!((asked.method.as_str(), asked.host.as_str()), ("POST", "hooks.example.com"));
    assert_eq!(asked.headers["content-type"], "application/json");
    let now = stage.portal.clock.now().as_second().to_string();
    assert_eq!(asked.headers["countersign-timestamp"], now.as_str());
    assert!(is_ours(secret.as_deref().unwrap(), &asked) && !is_ours("whsec_another", &asked));
    let body = stage.bodies_to(PROGRAM).remove(0);
    assert_eq!((&body["version"], &body["type"]), (&1.into(), &"approval.waiting".into()));
    assert_eq!(asked.headers["countersign-delivery"], body["delivery"].as_str().unwrap());
    let told = &body["approval"];
    assert_eq!((&told["pipeline"], &told["stage"]), (&"shop".into(), &"Production".into()));
    assert_eq!((&told["gate"], &told["at_aws"]), (&"Release".into(), &"open".into()));
    assert_eq!(told["url"], format!("https://sign.example/approvals/{id}"));
    assert_eq!(told["revisions"][0]["message"], "Free shipping");
    // What decides is not among it.
    let sealed = stage.texts("select encode(fingerprint, 'hex') from portal.approval").await;
    assert!(!asked.body.contains(&open.token), "{}", asked.body);
    assert!(sealed.iter().all(|fingerprint| !asked.body.contains(fingerprint)), "{}", asked.body);

    stage.approve("shop").await;
    stage.tell().await;
    assert_eq!(stage.types_to(PROGRAM), ["approval.waiting", "approval.decided"], "and nothing of blog");
    let told = &stage.bodies_to(PROGRAM)[1]["approval"];
    assert_eq!((&told["at_aws"], &told["summary"]), (&"approved".into(), &"Looks good <!channel>".into()));
    stage.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_sent_again_is_the_same_one_with_the_time_of_now() {
    let stage = Stage::start().await;
    stage.takes(PROGRAM);
    let (page, secret) = stage.make("webhook", "Board", PROGRAM, "").await;
    stage.portal.waiting("shop").await;
    stage.tell().await;
    stage.portal.advance(SignedDuration::from_mins(4));
    let id = stage.bodies_to(PROGRAM)[0]["delivery"].as_str().unwrap().to_owned();
    assert_eq!(stage.press(&page, &format!("/deliveries/{id}/again")).await, 303);
    stage.tell().await;
    let sent = stage.sent_to(PROGRAM);
    assert_eq!(sent.len(), 2);
    assert_eq!(sent[0].body, sent[1].body);
    assert_eq!(sent[0].headers["countersign-delivery"], sent[1].headers["countersign-delivery"]);
    assert_ne!(sent[0].headers["countersign-timestamp"], sent[1].headers["countersign-timestamp"]);
    assert!(sent.iter().all(|asked| is_ours(secret.as_deref().unwrap(), asked)));
    let record = stage.portal.records_of("channel.sent_again").await.remove(0).payload;
    assert_eq!((&record["delivery"], &record["delivery_tells"]), (&id.into(), &"waiting".into()));

    // With another secret, what was known of the first is of no use.
    let shown = stage.adam.open(&page).await;
    let renewed = stage.adam.submit(&shown, &format!("{page}/secret"), &[]).await;
    let renewed = format!("whsec_{}", &renewed.body.split("whsec_").nth(1).unwrap()[..64]);
    assert_eq!(stage.press(&page, "/test").await, 303);
    stage.tell().await;
    let last = stage.sent_to(PROGRAM).pop().unwrap();
    assert!(is_ours(&renewed, &last) && !is_ours(secret.as_deref().unwrap(), &last));
    assert_eq!(stage.portal.records_of("channel.tested").await.len(), 1);
    stage.finish().await;
}
