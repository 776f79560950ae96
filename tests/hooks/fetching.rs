//! What is fetched, and how often.

use countersign::events::sns::Refusal;
use futures::future::join_all;
use jiff::SignedDuration;
use serde_json::Value;

use crate::server::Answer;
use crate::stage::{HOST, PATH, Stage};

fn at(stage: &Stage, path: &str) -> Value {
    let mut message = stage.message("shop");
    message["SigningCertURL"] = format!("https://{HOST}{path}").into();
    message
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_messages_at_once_fetch_the_certificate_once() {
    let stage = Stage::start().await;
    stage.server.hold();
    let messages: Vec<_> = (0..50).map(|_| stage.message("shop")).collect();
    let sending = join_all(messages.iter().map(|message| stage.send(message)));
    let (answers, ()) = tokio::join!(sending, async {
        while stage.server.asked().is_empty() {
            tokio::task::yield_now().await;
        }
        stage.server.go_on();
    });
    assert_eq!(answers, [200; 50]);
    assert_eq!(stage.server.asked().len(), 1);
    stage.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_kept_for_a_day() {
    let stage = Stage::start().await;
    assert_eq!(stage.send(&stage.message("shop")).await, 200);
    stage.portal.advance(SignedDuration::from_hours(24) - SignedDuration::from_secs(1));
    assert_eq!(stage.send(&stage.message("shop")).await, 200);
    assert_eq!(stage.server.asked().len(), 1);
    stage.portal.advance(SignedDuration::from_secs(1));
    assert_eq!(stage.send(&stage.message("shop")).await, 200);
    assert_eq!(stage.server.asked().len(), 2);
    stage.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_certificate_cannot_be_fetched_sns_is_asked_to_come_again() {
    let stage = Stage::start().await;
    stage.server.answer("/SimpleNotificationService-aa.pem", Answer::status(500));
    let message = at(&stage, "/SimpleNotificationService-aa.pem");
    for _ in 0..5 {
        assert_eq!(stage.send(&message).await, 503);
    }
    assert_eq!(stage.server.asked().len(), 1, "and not asked for each time");
    assert_eq!(stage.refused()[Refusal::CertificateAway.name()], 5);
    let there = stage.server.asked().len();
    stage.portal.advance(SignedDuration::from_secs(20));
    let certificate = stage.certificate();
    stage.server.answer("/SimpleNotificationService-aa.pem", Answer::ok(certificate));
    assert_eq!(stage.send(&message).await, 200);
    assert_eq!(stage.server.asked().len(), there + 1);
    stage.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_cause_a_few_requests_a_minute_and_hold_up_nobody() {
    let stage = Stage::start().await;
    assert_eq!(stage.send(&stage.message("shop")).await, 200);
    let strange: Vec<_> =
        (0..200).map(|number| at(&stage, &format!("/SimpleNotificationService-{number:032x}.pem"))).collect();
    let answers = join_all(strange.iter().map(|message| stage.send(message))).await;
    assert_eq!(answers.iter().filter(|status| **status == 403).count(), 9, "one place went to SNS's own: {answers:?}");
    assert!(answers.iter().all(|status| [403, 503].contains(status)), "{answers:?}");
    assert_eq!(stage.server.asked().len(), 10);
    // The same address is not asked again while it is known that there is nothing.
    let repeated = strange.iter().zip(&answers).filter(|(_, status)| **status == 403);
    for (message, _) in repeated {
        assert_eq!(stage.send(message).await, 403);
    }
    assert_eq!(stage.server.asked().len(), 10);
    assert_eq!(stage.send(&stage.message("shop")).await, 200, "what is SNS's is known");
    // And a day later it is asked for, however many strangers there are just then.
    stage.portal.advance(SignedDuration::from_hours(24));
    for number in 0..30 {
        let path = format!("/SimpleNotificationService-ffff{number:028x}.pem");
        stage.send(&at(&stage, &path)).await;
    }
    assert_eq!(stage.send(&stage.message("shop")).await, 200);
    let own = stage.server.asked().iter().filter(|asked| asked.path == PATH).count();
    assert_eq!((own, stage.server.asked().len()), (2, 10 + 10 + 1));
    stage.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_not_followed_and_a_long_answer_not_read() {
    let stage = Stage::start().await;
    let certificate = stage.certificate();
    let redirect =
        Answer { status: 302, body: certificate.clone().into(), location: Some("https://evil.example/x.pem") };
    stage.server.answer("/SimpleNotificationService-a1.pem", redirect);
    let inside = Answer { status: 301, body: Vec::new(), location: Some(PATH) };
    stage.server.answer("/SimpleNotificationService-a2.pem", inside);
    let long = format!("{}{certificate}", "#\n".repeat(32 * 1024));
    stage.server.answer("/SimpleNotificationService-a3.pem", Answer::ok(long));
    stage.server.answer("/SimpleNotificationService-a4.pem", Answer::ok(certificate.repeat(6)));
    stage.server.answer("/SimpleNotificationService-a5.pem", Answer { status: 203, ..Answer::ok(certificate) });
    for path in ["a1", "a2", "a3", "a4", "a5"] {
        assert_eq!(stage.send(&at(&stage, &format!("/SimpleNotificationService-{path}.pem"))).await, 403, "{path}");
    }
    assert_eq!(stage.refused()["certificate"], 5);
    assert_eq!(stage.server.asked().len(), 5);
    assert!(stage.server.resolved().iter().all(|name| name == HOST), "{:?}", stage.server.resolved());
    stage.finish().await;
}
