//! Whether a message is genuine. The order is the design: each check costs more than the one before, the first that needs the
//! network comes when a message names a listed topic, is recent, and names a certificate where SNS has them (U-06).

use jiff::{SignedDuration, Timestamp};

use super::Inner;
use super::certificate::{Address, Algorithm};
use super::envelope::{Envelope, Kind, LARGEST};
use super::refusal::Refusal;
use crate::domain::topics::TopicArn;

/// SNS gives up on a message sooner.
const OLDEST: SignedDuration = SignedDuration::from_hours(1);
const NEWEST: SignedDuration = SignedDuration::from_mins(5);

/// A message that SNS signed, of a listed topic, not long ago. Only [`Inner::judge`] makes one.
pub(super) struct Genuine {
    pub topic: TopicArn,
    pub message_id: String,
    pub said: Said,
}

/// What a genuine message is about.
pub(super) enum Said {
    /// What was published, as text.
    Something(String),
    /// The portal's address was subscribed, which it must confirm.
    Subscribed {
        token: String,
    },
    Unsubscribed,
}

impl Inner {
    pub(super) async fn judge(&self, is_raw: bool, body: &[u8]) -> Result<Genuine, Refusal> {
        if body.len() > LARGEST {
            return Err(Refusal::TooLarge);
        }
        if is_raw {
            return Err(Refusal::Raw);
        }
        let envelope = Envelope::read(body).ok_or(Refusal::NotAnEnvelope)?;
        let topics = &self.house.config.sns_topics;
        let topic = topics.iter().find(|it| it.as_str() == envelope.topic).ok_or(Refusal::OtherTopic)?;
        let algorithm = self.algorithm(&envelope.signature_version).ok_or(Refusal::SignatureVersion)?;
        check_age(envelope.at, self.now())?;
        let address = Address::of(topic, &envelope.certificate_address).ok_or(Refusal::CertificateAddress)?;
        let key = self.certificates.load_key(&address, topic).await?;
        if !key.has_signed(&envelope.signed_text(), algorithm, &envelope.signature) {
            return Err(Refusal::Signature);
        }
        let said = match envelope.kind {
            Kind::Notification => Said::Something(envelope.message),
            Kind::SubscriptionConfirmation(handshake) => Said::Subscribed { token: handshake.token },
            // Its address and its token would subscribe the portal again.
            Kind::UnsubscribeConfirmation(_) => Said::Unsubscribed,
        };
        Ok(Genuine { topic: topic.clone(), message_id: envelope.message_id, said })
    }

    fn algorithm(&self, version: &str) -> Option<Algorithm> {
        match version {
            "2" => Some(Algorithm::Sha256),
            "1" if self.house.config.sns_signature_version_1 => Some(Algorithm::Sha1),
            _ => None,
        }
    }
}

fn check_age(at: Timestamp, now: Timestamp) -> Result<(), Refusal> {
    let age = now.duration_since(at);
    if age > OLDEST {
        Err(Refusal::TooOld)
    } else if age < -NEWEST {
        Err(Refusal::FromTheFuture)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_may_be_an_hour_old_and_five_minutes_ahead() {
        let now: Timestamp = "2026-11-21T08:00:00Z".parse().unwrap();
        let at = |seconds| check_age(now - SignedDuration::from_secs(seconds), now);
        assert_eq!((at(3600), at(0), at(-300)), (Ok(()), Ok(()), Ok(())));
        assert_eq!((at(3601), at(-301)), (Err(Refusal::TooOld), Err(Refusal::FromTheFuture)));
        assert_eq!(check_age(Timestamp::MIN, now), Err(Refusal::TooOld));
        assert_eq!(check_age(Timestamp::MAX, now), Err(Refusal::FromTheFuture));
    }
}
