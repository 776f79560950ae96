//! Messages that SNS itself signed, against the roots and the certificates between that the portal is built with.

use countersign::clock::Clock;
use countersign::config::HooksConfig;
use countersign::domain::topics::TopicArn;
use countersign::events::sns::{Refusal, Sns, Taken, Trust};

use crate::harness::Portal;
use crate::server::{Answer, Server};

const HOST: &str = "sns.us-west-2.amazonaws.com";
const PATH: &str = "/SimpleNotificationService-7506a1e35b36ef5a444dd1a8e7cc3ed8.pem";
const CERTIFICATE: &str = include_str!("../data/sns/SimpleNotificationService-7506a1e35b36ef5a444dd1a8e7cc3ed8.pem");
const NOTIFICATION_1: &str = include_str!("../data/sns/notification-1.json");
const NOTIFICATION_2: &str = include_str!("../data/sns/notification-2.json");
const SUBSCRIPTION_1: &str = include_str!("../data/sns/subscription-1.json");
const UNSUBSCRIPTION_2: &str = include_str!("../data/sns/unsubscription-2.json");

struct Recorded {
    portal: Portal,
    server: Server,
    sns: Sns,
}

impl Recorded {
    /// At this time, with version 1 or without.
    async fn at(time: &str, version_1: bool) -> Self {
        let (portal, server) = (Portal::start().await, Server::start(&[HOST]).await);
        server.answer(PATH, Answer::ok(CERTIFICATE));
        let topic = TopicArn::parse("arn:aws:sns:us-west-2:131990247566:dongie-standard-topic").unwrap();
        let hooks =
            HooksConfig { sns_topics: vec![topic], sns_signature_version_1: version_1, ..HooksConfig::default() };
        let clock = Clock::manual(time.parse().unwrap());
        let sns = Sns::open(&hooks, &portal.state.events, &portal.state.reader, &clock).unwrap();
        let trust = Trust { http: server.client(), ..Trust::public(&[]).unwrap() };
        Self { sns: sns.trusting(trust).unwrap(), portal, server }
    }

    async fn take(&self, body: &str) -> Taken {
        let admission = self.sns.admit("203.0.113.1".parse().unwrap()).unwrap();
        self.sns.take(&admission, false, body.as_bytes()).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_sns_signed_is_taken_in_either_version_that_is_allowed() {
    let recorded = Recorded::at("2026-03-06T20:05:00Z", true).await;
    for body in [NOTIFICATION_2, NOTIFICATION_1, SUBSCRIPTION_1, UNSUBSCRIPTION_2] {
        assert_eq!(recorded.take(body).await, Taken::Well, "{body}");
        assert_eq!(recorded.take(body).await, Taken::Refused(Refusal::Replayed), "{body}");
    }
    // No source has that account, and its own text is no announcement.
    let status = recorded.sns.status().unwrap();
    assert_eq!((status.taken, status.confirmed, status.not_understood), (4, 0, 2));
    assert_eq!(recorded.server.asked().len(), 1, "the certificate, once");
    recorded.portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn version_1_is_refused_unless_it_is_allowed() {
    let recorded = Recorded::at("2026-03-06T20:05:00Z", false).await;
    assert_eq!(recorded.take(NOTIFICATION_1).await, Taken::Refused(Refusal::SignatureVersion));
    assert_eq!(recorded.take(SUBSCRIPTION_1).await, Taken::Refused(Refusal::SignatureVersion));
    assert_eq!(recorded.server.contacts(), (0, 0), "and nothing is fetched for it");
    let relabelled = NOTIFICATION_1.replace("\"SignatureVersion\" : \"1\"", "\"SignatureVersion\" : \"2\"");
    assert_eq!(recorded.take(&relabelled).await, Taken::Refused(Refusal::Signature));
    assert_eq!(recorded.take(NOTIFICATION_2).await, Taken::Well);
    recorded.portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_character_that_is_changed_anywhere_is_found() {
    let recorded = Recorded::at("2026-03-06T20:05:00Z", true).await;
    for (before, after) in [
        ("signature version 2.", "signature version 3."),
        ("9d2c5580", "9d2c5581"),
        ("20:00:26.893Z", "20:00:26.894Z"),
        ("20:00:26.893Z", "20:00:26.8930Z"),
        ("\"MessageId\"", "\"Subject\" : \"\", \"MessageId\""),
        ("kGNJ7FIM", "kGNJ7FIN"),
        ("\"SignatureVersion\" : \"2\"", "\"SignatureVersion\" : \"1\""),
    ] {
        let changed = NOTIFICATION_2.replacen(before, after, 1);
        assert_ne!(changed, NOTIFICATION_2);
        assert_eq!(recorded.take(&changed).await, Taken::Refused(Refusal::Signature), "{after}");
    }
    recorded.portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_recording_is_refused_before_anything_is_fetched() {
    for (time, why) in [("2026-03-06T21:00:27Z", Refusal::TooOld), ("2026-03-06T19:55:26Z", Refusal::FromTheFuture)] {
        let recorded = Recorded::at(time, true).await;
        assert_eq!(recorded.take(NOTIFICATION_2).await, Taken::Refused(why));
        assert_eq!(recorded.server.contacts(), (0, 0));
        recorded.portal.finish().await;
    }
}
