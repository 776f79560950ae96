//! What SNS signed.

use std::sync::Arc;

use countersign::domain::people::Role;
use countersign::events::sns::Trust;
use countersign::web::App;
use futures::future::join_all;
use jiff::SignedDuration;
use serde_json::json;
use tokio::net::TcpListener;

use crate::harness::Portal;
use crate::signing::Signer;
use crate::stage::{HOST, PATH, Stage, TOPIC};

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_sns_signed_makes_the_portal_look_at_once() {
    let stage = Stage::start().await;
    stage.portal.watcher.activate().await;
    stage.portal.world().open_approval("shop", None).unwrap();
    assert_eq!(stage.send(&stage.message("shop")).await, 200);
    assert_eq!(stage.looks().await, 1);
    let ana = stage.portal.as_approver("ana").await;
    assert!(ana.open("/").await.text().contains("shop"));
    assert_eq!(stage.status().taken, 1);
    let asked: Vec<_> = stage.server.asked().into_iter().map(|it| (it.method, it.host, it.path)).collect();
    assert_eq!(asked, [("GET".to_owned(), HOST.to_owned(), PATH.to_owned())]);
    stage.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_taken_once_by_whichever_replica() {
    let stage = Stage::start().await;
    let message = stage.message("shop");
    let answers = join_all((0..20).map(|_| stage.send(&message))).await;
    assert_eq!(answers.iter().filter(|status| **status == 200).count(), 1, "{answers:?}");
    // While it is in hand, the others are told to come again.
    assert!(answers.iter().all(|status| [200, 403, 503].contains(status)), "{answers:?}");
    assert_eq!(stage.send(&message).await, 403);
    let replica = stage.portal.replica().await;
    let trust = Trust {
        roots: vec![stage.authority.anchor()],
        intermediates: vec![stage.between.der()],
        http: stage.server.client(),
    };
    let mut state = replica.state.clone();
    // It has the first one's address, and believes the same.
    state.config = Arc::clone(&stage.running.state.config);
    state.sns = state.sns.trusting(trust).unwrap();
    let other = App::start(state, TcpListener::bind("127.0.0.1:0").await.unwrap()).unwrap();
    let request = reqwest::Client::new().post(format!("http://{}/hooks/sns", other.address));
    let request = request.header("host", stage.running.address.to_string()).body(message.to_string());
    assert_eq!(request.send().await.unwrap().status(), 403);
    let replayed = answers.iter().filter(|status| **status == 403).count() + 1;
    assert_eq!(stage.refused()["replayed"], replayed as u64);
    assert_eq!(stage.status().taken, 1);
    other.stop(std::time::Duration::from_secs(5)).await;
    replica.running.stop(std::time::Duration::from_secs(5)).await;
    stage.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_topics_there_is_no_such_page() {
    // U-05
    let portal = Portal::start().await;
    let nobody = portal.anonymous();
    let request = nobody.request(reqwest::Method::POST, "/hooks/sns").body("{}");
    assert_eq!(nobody.send("/hooks/sns", request).await.status, 404);
    assert_eq!(portal.state.sns.status(), None);
    let adam = portal.as_person("adam", &[Role::Admin]).await;
    adam.open("/admin/system").await.says("No source has a queue, and no topic is listed");
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_sees_what_was_taken_and_why_the_rest_was_not() {
    let portal = Portal::start_with(&format!("[hooks]\nsns_topics = [{TOPIC:?}]")).await;
    let adam = portal.as_person("adam", &[Role::Admin]).await;
    let page = adam.open("/admin/system").await;
    page.says("Messages of SNS at /hooks/sns").says("0 messages; 0 subscriptions confirmed");
    assert!(!page.text().contains("Refused"), "{}", page.text());
    let nobody = portal.anonymous();
    for _ in 0..2 {
        let request = nobody.request(reqwest::Method::POST, "/hooks/sns").body("{\"approval\": {}}");
        assert_eq!(nobody.send("/hooks/sns", request).await.status, 403);
    }
    adam.open("/admin/system").await.says("2 messages: not a message of SNS");
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_content_type_it_comes_with_it_is_taken_and_a_cookie_makes_no_difference() {
    let stage = Stage::start().await;
    let request = |kind: &'static str| stage.request().header("content-type", kind);
    assert_eq!(stage.send_as(request("application/json"), stage.message("shop").to_string()).await, 200);
    let elsewhere = stage.request().header("sec-fetch-site", "cross-site").header("origin", "https://evil.example");
    assert_eq!(stage.send_as(elsewhere, stage.message("shop").to_string()).await, 200);
    let enveloped = stage.request().header("x-amz-sns-rawdelivery", "false");
    assert_eq!(stage.send_as(enveloped, stage.message("shop").to_string()).await, 200);
    stage.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_may_have_all_that_sns_allows() {
    let stage = Stage::start().await;
    let mut message = stage.unsigned(&"x".repeat(255 * 1024));
    Signer::sns().sign(&mut message);
    assert!(message.to_string().len() <= 256 * 1024);
    assert_eq!(stage.send(&message).await, 200);
    message["Message"] = "x".repeat(256 * 1024).into();
    assert_eq!(stage.send(&message).await, 413);
    assert_eq!(stage.refused()["too_large"], 1);
    stage.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_without_a_subject_is_signed_without_one() {
    let stage = Stage::start().await;
    let mut message = stage.unsigned("{}");
    message.as_object_mut().unwrap().remove("Subject");
    Signer::sns().sign(&mut message);
    assert_eq!(stage.send(&message).await, 200);
    stage.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_that_was_removed_is_not_made_again() {
    // U-07: its address and its token would subscribe the portal again.
    let stage = Stage::start().await;
    let mut message = stage.question(crate::stage::TOPIC, "2336");
    message["Type"] = "UnsubscribeConfirmation".into();
    Signer::sns().sign(&mut message);
    assert_eq!(stage.send(&message).await, 200);
    assert_eq!(stage.server.asked().len(), 1, "the certificate");
    assert_eq!(stage.server.resolved(), [HOST]);
    stage.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_limited_by_address_and_what_is_genuine_is_not() {
    let stage = Stage::start().await;
    let from = |address: &str, body: String| stage.send_as(stage.request_from(address), body);
    for _ in 0..100 {
        assert_eq!(from("198.51.100.1", stage.message("shop").to_string()).await, 200);
    }
    for _ in 0..60 {
        assert_eq!(from("198.51.100.1", "{}".into()).await, 403);
    }
    assert_eq!(from("198.51.100.1", stage.message("shop").to_string()).await, 429);
    assert_eq!(from("198.51.100.2", stage.message("shop").to_string()).await, 200, "the neighbour is not concerned");
    assert_eq!(stage.refused()["too_many"], 1);
    stage.portal.advance(SignedDuration::from_secs(1));
    assert_eq!(from("198.51.100.1", stage.message("shop").to_string()).await, 200);
    stage.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_strangers_send_is_recorded_as_a_sum() {
    //
    let stage = Stage::start().await;
    for _ in 0..7 {
        assert_eq!(stage.send(&json!({"approval": {}})).await, 403);
    }
    let before = stage.portal.records().await.len();
    let accounts = &stage.portal.state.accounts;
    accounts.flush_stranger_counts().await.unwrap();
    stage.portal.advance(SignedDuration::from_mins(2));
    accounts.flush_stranger_counts().await.unwrap();
    let records = stage.portal.records().await;
    assert_eq!(records.len(), before + 1);
    assert_eq!(records.last().unwrap().payload["counts"], json!({"hook.refused": 7}));
    stage.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_is_forgotten_when_it_is_too_old_to_come_again() {
    let stage = Stage::start().await;
    let message = stage.message("shop");
    assert_eq!(stage.send(&message).await, 200);
    let rows = || async {
        let mut conn = stage.portal.database.connect_superuser().await;
        let count: i64 =
            sqlx::query_scalar("select count(*) from portal.hook_message").fetch_one(&mut conn).await.unwrap();
        count
    };
    stage.portal.advance(SignedDuration::from_hours(24));
    stage.running.state.sns.forget_taken().await.unwrap();
    assert_eq!(rows().await, 1);
    stage.portal.advance(SignedDuration::from_secs(1));
    stage.running.state.sns.forget_taken().await.unwrap();
    assert_eq!(rows().await, 0);
    assert_eq!(stage.send(&message).await, 403);
    assert_eq!(stage.refused()["too_old"], 1);
    stage.finish().await;
}
