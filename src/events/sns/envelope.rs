//! The envelope in which SNS delivers over HTTPS, and the text that it signs (SNS Developer Guide, "Parsing Amazon SNS message
//! formats" and "Verifying the signatures of Amazon SNS messages"). Pure, of bytes from anybody: nothing in here is believed, and
//! nothing is printed.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::Deserialize;

/// A body that is larger is not read. SNS's own are at most this.
pub const LARGEST: usize = 256 * 1024;
/// Every member but the message itself is a line. The longest, an address with a token in it, has some hundred characters.
const LONGEST_LINE: usize = 4 * 1024;

/// What was delivered, as it says of itself.
pub(super) struct Envelope {
    pub kind: Kind,
    pub message_id: String,
    pub topic: String,
    pub message: String,
    subject: Option<String>,
    timestamp: String,
    /// What `timestamp` says.
    pub at: Timestamp,
    pub signature_version: String,
    pub signature: Vec<u8>,
    pub certificate_address: String,
}

pub(super) enum Kind {
    Notification,
    SubscriptionConfirmation(Handshake),
    UnsubscribeConfirmation(Handshake),
}

/// What confirms a subscription. The address does so too, for whoever fetches it; it is only ever signed text here (U-07).
pub(super) struct Handshake {
    pub token: String,
    subscribe_url: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Told {
    r#type: String,
    message_id: String,
    topic_arn: String,
    message: String,
    #[serde(default)]
    subject: Option<String>,
    timestamp: String,
    signature_version: String,
    signature: String,
    #[serde(rename = "SigningCertURL")]
    signing_cert_url: String,
    #[serde(default)]
    token: Option<String>,
    #[serde(rename = "SubscribeURL", default)]
    subscribe_url: Option<String>,
}

impl Envelope {
    /// Reads a body. None: it is no envelope. A member that is given twice makes it none, because two readers could read it as
    /// two messages.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        if body.len() > LARGEST {
            return None;
        }
        let told: Told = serde_json::from_slice(body).ok()?;
        let lines =
            [&told.message_id, &told.topic_arn, &told.timestamp, &told.signature_version, &told.signing_cert_url];
        let optional = [&told.subject, &told.token, &told.subscribe_url];
        if !lines.into_iter().chain(optional.into_iter().flatten()).all(|text| is_line(text)) {
            return None;
        }
        let handshake = told.token.filter(|token| is_token(token)).zip(told.subscribe_url);
        let handshake = handshake.map(|(token, subscribe_url)| Handshake { token, subscribe_url });
        let kind = match told.r#type.as_str() {
            "Notification" => Kind::Notification,
            "SubscriptionConfirmation" => Kind::SubscriptionConfirmation(handshake?),
            "UnsubscribeConfirmation" => Kind::UnsubscribeConfirmation(handshake?),
            _ => return None,
        };
        if !(1..=100).contains(&told.message_id.len()) {
            return None;
        }
        Some(Self {
            kind,
            message_id: told.message_id,
            topic: told.topic_arn,
            message: told.message,
            subject: told.subject,
            at: told.timestamp.parse().ok()?,
            timestamp: told.timestamp,
            signature_version: told.signature_version,
            signature: STANDARD.decode(told.signature).ok()?,
            certificate_address: told.signing_cert_url,
        })
    }

    /// The text that is signed: names and values on lines of their own, which members depends on the type. Only the message may
    /// hold line breaks ([`is_line`]), and it comes first; so the text can be read from its end in one way only, and nobody who
    /// may publish to a topic can write a message that reads as another topic's, another time's or another id's.
    pub(super) fn signed_text(&self) -> String {
        let (name, handshake) = match &self.kind {
            Kind::Notification => ("Notification", None),
            Kind::SubscriptionConfirmation(handshake) => ("SubscriptionConfirmation", Some(handshake)),
            Kind::UnsubscribeConfirmation(handshake) => ("UnsubscribeConfirmation", Some(handshake)),
        };
        let subject = self.subject.as_deref().filter(|_| handshake.is_none());
        let members = [
            ("Message", Some(self.message.as_str())),
            ("MessageId", Some(&self.message_id)),
            ("Subject", subject),
            ("SubscribeURL", handshake.map(|it| it.subscribe_url.as_str())),
            ("Timestamp", Some(&self.timestamp)),
            ("Token", handshake.map(|it| it.token.as_str())),
            ("TopicArn", Some(&self.topic)),
            ("Type", Some(name)),
        ];
        let mut text = String::with_capacity(self.message.len() + 1024);
        for (name, value) in members {
            if let Some(value) = value {
                text.extend([name, "\n", value, "\n"]);
            }
        }
        text
    }
}

fn is_line(text: &str) -> bool {
    text.len() <= LONGEST_LINE && !text.chars().any(char::is_control)
}

/// A token is written into a command for the operator: nothing in it may mean anything there.
fn is_token(text: &str) -> bool {
    (1..=1024).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Envelope")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn notification() -> Value {
        json!({
            "Type": "Notification", "MessageId": "9d2c5580-b61d-550c-8583-37a582870907",
            "TopicArn": "arn:aws:sns:eu-west-1:111122223333:approvals", "Message": "two\nlines", "Subject": "S",
            "Timestamp": "2026-03-06T20:00:26.893Z", "SignatureVersion": "2", "Signature": "AAAA",
            "SigningCertURL": "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0.pem",
            "UnsubscribeURL": "https://sns.eu-west-1.amazonaws.com/?Action=Unsubscribe",
        })
    }

    fn confirmation() -> Value {
        let mut told = notification();
        told["Type"] = "SubscriptionConfirmation".into();
        told["Token"] = "2336".into();
        told["SubscribeURL"] = "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription".into();
        told
    }

    fn read(told: &Value) -> Option<Envelope> {
        Envelope::read(told.to_string().as_bytes())
    }

    #[test]
    fn what_is_signed_is_as_documented() {
        let told = notification();
        assert_eq!(
            read(&told).unwrap().signed_text(),
            "Message\ntwo\nlines\nMessageId\n9d2c5580-b61d-550c-8583-37a582870907\nSubject\nS\nTimestamp\n\
             2026-03-06T20:00:26.893Z\nTopicArn\narn:aws:sns:eu-west-1:111122223333:approvals\nType\nNotification\n"
        );
        let mut without = told;
        without.as_object_mut().unwrap().remove("Subject");
        assert!(!read(&without).unwrap().signed_text().contains("Subject"));
        assert_eq!(
            read(&confirmation()).unwrap().signed_text(),
            "Message\ntwo\nlines\nMessageId\n9d2c5580-b61d-550c-8583-37a582870907\nSubscribeURL\n\
             https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription\nTimestamp\n2026-03-06T20:00:26.893Z\nToken\n\
             2336\nTopicArn\narn:aws:sns:eu-west-1:111122223333:approvals\nType\nSubscriptionConfirmation\n"
        );
    }

    #[test]
    fn what_lacks_a_member_or_has_one_that_it_cannot_have_is_no_envelope() {
        for member in
            ["Type", "MessageId", "TopicArn", "Message", "Timestamp", "SignatureVersion", "Signature", "SigningCertURL"]
        {
            for wrong in [Value::Null, json!(7), json!(["x"]), json!({"x": "y"})] {
                let mut told = notification();
                told[member] = wrong;
                assert!(read(&told).is_none(), "{member}");
            }
            let mut told = notification();
            told.as_object_mut().unwrap().remove(member);
            assert!(read(&told).is_none(), "{member}");
        }
        for (member, wrong) in [
            ("Type", "notification"),
            ("MessageId", ""),
            ("MessageId", "a\nSubject\nb"),
            ("Subject", "a\nTimestamp\nb"),
            ("Timestamp", "yesterday"),
            ("Timestamp", "2026-03-06T20:00:26.893Z\n"),
            ("TopicArn", "a\u{85}b"),
            ("Signature", "not base64!"),
        ] {
            let mut told = notification();
            told[member] = wrong.into();
            assert!(read(&told).is_none(), "{member} {wrong:?}");
        }
        for (member, wrong) in [("Token", "$(reboot)"), ("Token", ""), ("Token", "a b"), ("SubscribeURL", "a\nb")] {
            let mut told = confirmation();
            told[member] = wrong.into();
            assert!(read(&told).is_none(), "{member} {wrong:?}");
        }
    }

    #[test]
    fn a_member_that_is_given_twice_makes_it_no_envelope() {
        let text = notification().to_string();
        assert!(Envelope::read(text.as_bytes()).is_some());
        let twice = text.replacen('{', "{\"TopicArn\":\"arn:aws:sns:eu-west-1:111122223333:other\",", 1);
        assert!(Envelope::read(twice.as_bytes()).is_none());
    }

    #[test]
    fn what_is_larger_or_deeper_than_anything_of_snss_is_no_envelope() {
        let mut told = notification();
        told["Message"] = "x".repeat(LARGEST).into();
        assert!(read(&told).is_none());
        for open in ["[", "{\"a\":"] {
            assert!(Envelope::read(open.repeat(100_000).as_bytes()).is_none());
        }
        let deep = format!("{{\"Deep\":{}", "[".repeat(100_000));
        assert!(Envelope::read(deep.as_bytes()).is_none());
    }

    #[test]
    fn no_two_readings_of_what_is_signed_are_two_envelopes() {
        // Somebody who may publish writes what looks like the end of a message into the message.
        let mut told = notification();
        told["Message"] =
            "a\nMessageId\nfake\nTimestamp\n2026-03-06T21:00:26.893Z\nTopicArn\narn:x\nType\nNotification".into();
        let real = read(&told).unwrap().signed_text();
        let mut forged = notification();
        forged["Message"] = "a".into();
        for (member, value) in [
            ("MessageId", "fake\nTimestamp\n2026-03-06T21:00:26.893Z"),
            ("Subject", "fake\nTimestamp\n2026-03-06T21:00:26.893Z\nTopicArn\narn:x\nType\nNotification\nMessageId\nx"),
        ] {
            let mut forged = forged.clone();
            forged[member] = value.into();
            assert!(read(&forged).is_none_or(|read| read.signed_text() != real), "{member}");
        }
    }

    proptest! {
        #[test]
        fn no_body_makes_the_reader_panic(body in proptest::collection::vec(any::<u8>(), 0..2_000)) {
            let _ = Envelope::read(&body);
        }

        #[test]
        fn no_value_of_any_member_makes_the_reader_panic_or_sign_what_reads_two_ways(
            member in proptest::sample::select(vec![
                "Type", "MessageId", "TopicArn", "Message", "Subject", "Timestamp", "SignatureVersion", "Signature",
                "SigningCertURL", "Token", "SubscribeURL",
            ]),
            value in prop_oneof![any::<String>(), "[ -~\n]{0,80}", "(a|\n|Type\n|TopicArn\n|Notification\n){0,9}"],
            confirms in any::<bool>(),
        ) {
            let mut told = if confirms { confirmation() } else { notification() };
            told[member] = value.into();
            if let Some(envelope) = read(&told) {
                let text = envelope.signed_text();
                let end = format!("TopicArn\n{}\nType\n{}\n", envelope.topic, told["Type"].as_str().unwrap());
                prop_assert!(text.ends_with(&end));
                let breaks = |text: &str| text.matches('\n').count();
                let ours = breaks(&text) - breaks(&envelope.message);
                prop_assert!([10, 12, 14].contains(&ours), "{} line breaks that no member may hold", ours);
            }
        }

        #[test]
        fn an_envelope_that_is_cut_or_has_a_byte_changed_makes_nothing_panic(at in 0_usize..500, byte in any::<u8>()) {
            let mut body = notification().to_string().into_bytes();
            let at = at % body.len();
            let _ = Envelope::read(&body[..at]);
            body[at] = byte;
            let _ = Envelope::read(&body);
        }
    }
}
