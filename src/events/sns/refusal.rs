//! Why a message was refused: told to nobody who sent one, counted for those who run the portal.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};

/// A reason is logged once in this time, with how often it held since.
const LOGGED_EVERY: SignedDuration = SignedDuration::from_mins(1);

/// The first check that a message did not pass, in the order in which they are made (U-06).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// It came after too many refused ones from the same address.
    TooMany,
    /// It has more than 256 KiB.
    TooLarge,
    /// It came raw, so that nothing of it can be verified.
    Raw,
    /// It is no envelope of SNS's.
    NotAnEnvelope,
    /// It is of a topic that is not listed.
    OtherTopic,
    /// It is signed in another way than the configuration allows.
    SignatureVersion,
    /// It is more than an hour old.
    TooOld,
    /// It is from more than five minutes ahead.
    FromTheFuture,
    /// Its certificate is not where SNS has those of the topic's region.
    CertificateAddress,
    /// Its certificate could not be fetched just now: it may be genuine.
    CertificateAway,
    /// Its certificate is not one of SNS's.
    Certificate,
    /// Its signature is not that certificate's.
    Signature,
    /// It was taken before.
    Replayed,
}

impl Refusal {
    /// The name by which it is logged.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::TooMany => "too_many",
            Self::TooLarge => "too_large",
            Self::Raw => "raw",
            Self::NotAnEnvelope => "not_an_envelope",
            Self::OtherTopic => "other_topic",
            Self::SignatureVersion => "signature_version",
            Self::TooOld => "too_old",
            Self::FromTheFuture => "from_the_future",
            Self::CertificateAddress => "certificate_address",
            Self::CertificateAway => "certificate_away",
            Self::Certificate => "certificate",
            Self::Signature => "signature",
            Self::Replayed => "replayed",
        }
    }

    /// For those who run the portal.
    #[must_use]
    pub fn in_words(self) -> &'static str {
        match self {
            Self::TooMany => "after too many refused ones from the same address",
            Self::TooLarge => "larger than 256 KiB",
            Self::Raw => {
                "delivered raw, so that nothing of it can be verified; turn raw delivery off in the subscription"
            }
            Self::NotAnEnvelope => "not a message of SNS",
            Self::OtherTopic => "of a topic that is not listed",
            Self::SignatureVersion => "signed in a way the configuration does not allow",
            Self::TooOld => "more than an hour old",
            Self::FromTheFuture => "from more than five minutes ahead; is the clock right?",
            Self::CertificateAddress => "with a certificate from elsewhere than SNS",
            Self::CertificateAway => "with a certificate that could not be fetched just now; SNS sends it again",
            Self::Certificate => "with a certificate that is not of SNS",
            Self::Signature => "with a wrong signature",
            Self::Replayed => "taken before",
        }
    }
}

/// How often each reason held in this process's life.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<BTreeMap<Refusal, Count>>);

#[derive(Debug, Default)]
struct Count {
    all: u64,
    logged: Option<(Timestamp, u64)>,
}

impl Refusals {
    /// Counts one. How many there were since this reason was last logged, if it is to be logged now.
    fn count(&self, why: Refusal, now: Timestamp) -> Option<u64> {
        let mut counts = self.lock();
        let count = counts.entry(why).or_default();
        count.all += 1;
        let (at, before) = count.logged.unwrap_or((Timestamp::MIN, 0));
        if count.logged.is_some() && now.duration_since(at) < LOGGED_EVERY {
            return None;
        }
        count.logged = Some((now, count.all));
        Some(count.all - before)
    }

    /// Counts one, and says so in the log: nothing of the message, once a minute.
    pub(super) fn tell(&self, why: Refusal, now: Timestamp) {
        if let Some(since) = self.count(why, now) {
            tracing::warn!(why = why.name(), since, "what came to /hooks/sns was not taken");
        }
    }

    pub(super) fn counts(&self) -> BTreeMap<Refusal, u64> {
        self.lock().iter().map(|(&why, count)| (why, count.all)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Refusal, Count>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_counted_each_time_and_logged_once_a_minute() {
        let (refusals, mut now) = (Refusals::default(), Timestamp::UNIX_EPOCH);
        assert_eq!(refusals.count(Refusal::Signature, now), Some(1));
        assert_eq!(refusals.count(Refusal::TooOld, now), Some(1), "each for itself");
        for _ in 0..500 {
            assert_eq!(refusals.count(Refusal::Signature, now), None);
        }
        now += LOGGED_EVERY;
        assert_eq!(refusals.count(Refusal::Signature, now), Some(501));
        assert_eq!(refusals.counts(), BTreeMap::from([(Refusal::Signature, 502), (Refusal::TooOld, 1)]));
    }
}
