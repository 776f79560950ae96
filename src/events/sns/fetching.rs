//! Fetching certificates: from SNS's own host, once for however many messages, kept for a day. Anybody can name a certificate
//! that does not exist, so what is asked for on the word of strangers is little: a few addresses a minute, none twice in it.
//! What was SNS's once is always asked for again, however many strangers there are.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use reqwest::StatusCode;
use rustls_pki_types::{CertificateDer, TrustAnchor};
use tokio::sync::Mutex;

use super::certificate::{Address, Chain, Key, Trust};
use super::refusal::Refusal;
use crate::clock::Clock;
use crate::domain::topics::TopicArn;
use crate::wire::Wire;

const KEPT: SignedDuration = SignedDuration::from_hours(24);
/// What is no certificate of SNS's is not asked for again so soon …
const NO_CERTIFICATE: SignedDuration = SignedDuration::from_secs(60);
/// … and neither is what could not be fetched. SNS itself tries again after 20 seconds.
const AWAY: SignedDuration = SignedDuration::from_secs(10);
/// Addresses that nothing is known of: ten at once, and one more every six seconds.
const STRANGE_EVERY: SignedDuration = SignedDuration::from_secs(6);
const STRANGE_AT_ONCE: i32 = 10;
/// Addresses that are remembered. A region has a few.
const MOST: usize = 200;

/// The certificates that are known.
pub(super) struct Certificates {
    roots: Vec<TrustAnchor<'static>>,
    intermediates: Vec<CertificateDer<'static>>,
    pub(super) wire: Wire,
    clock: Clock,
    known: StdMutex<Known>,
}

#[derive(Default)]
struct Known {
    seats: BTreeMap<Address, Seat>,
    /// When the next strange address would be asked for, if none came before (generic cell rate algorithm).
    strange: Option<Timestamp>,
}

/// Whoever comes while an address is being asked waits for the same answer.
type Seat = Arc<Mutex<Option<Entry>>>;

struct Entry {
    outcome: Result<Arc<Chain>, Refusal>,
    until: Timestamp,
}

impl Certificates {
    pub(super) fn open(trust: Trust, clock: Clock) -> Result<Self, reqwest::Error> {
        let Trust { roots, intermediates, http } = trust;
        Ok(Self { roots, intermediates, wire: Wire::open(http)?, clock, known: StdMutex::default() })
    }

    /// The key of the certificate at this address, if it is SNS's for this topic. It is judged each time: it is kept for longer
    /// than it may hold, and for more topics than one.
    pub(super) async fn load_key(&self, address: &Address, topic: &TopicArn) -> Result<Key, Refusal> {
        let seat = self.seat(address).ok_or(Refusal::CertificateAway)?;
        let mut entry = seat.lock().await;
        let fresh = entry.as_ref().filter(|entry| self.clock.now() < entry.until);
        let outcome = match fresh {
            Some(entry) => entry.outcome.clone(),
            None => {
                let fetched = self.fetch(address, topic).await;
                let outcome = fetched.outcome.clone();
                *entry = Some(fetched);
                outcome
            }
        };
        drop(entry);
        self.judge(&*outcome?, topic).ok_or(Refusal::Certificate)
    }

    fn judge(&self, chain: &Chain, topic: &TopicArn) -> Option<Key> {
        chain.judge((&self.roots, &self.intermediates), topic, self.clock.now())
    }

    async fn fetch(&self, address: &Address, topic: &TopicArn) -> Entry {
        let outcome = self.fetch_once(address, topic).await;
        let lives = match outcome {
            Ok(_) => KEPT,
            Err(Refusal::CertificateAway) => AWAY,
            Err(_) => NO_CERTIFICATE,
        };
        let until = self.clock.now().checked_add(lives).unwrap_or(Timestamp::MAX);
        Entry { outcome, until }
    }

    async fn fetch_once(&self, address: &Address, topic: &TopicArn) -> Result<Arc<Chain>, Refusal> {
        let url = address.as_str().parse().map_err(|_| Refusal::CertificateAddress)?;
        let answer = self.wire.ask(reqwest::Request::new(reqwest::Method::GET, url)).await;
        let (status, pem) = answer.map_err(|why| {
            tracing::warn!(%why, "a certificate of SNS's could not be fetched");
            Refusal::CertificateAway
        })?;
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            return Err(Refusal::CertificateAway);
        }
        let chain = Chain::read(&pem).filter(|_| status == StatusCode::OK).ok_or(Refusal::Certificate)?;
        // What is not SNS's is not kept for a day on the word of whoever named it.
        self.judge(&chain, topic).ok_or(Refusal::Certificate)?;
        Ok(Arc::new(chain))
    }

    /// The seat of an address. None: it is a strange one, and there were too many of those.
    fn seat(&self, address: &Address) -> Option<Seat> {
        let now = self.clock.now();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.forget(now);
        if let Some(seat) = known.seats.get(address) {
            return Some(Arc::clone(seat));
        }
        if known.seats.len() >= MOST || !known.may_ask(now) {
            return None;
        }
        let seat = Seat::default();
        known.seats.insert(address.clone(), Arc::clone(&seat));
        Some(seat)
    }
}

impl Known {
    fn may_ask(&mut self, now: Timestamp) -> bool {
        let next = self.strange.unwrap_or(now).max(now);
        let allowed = next.checked_sub(STRANGE_EVERY * (STRANGE_AT_ONCE - 1)).unwrap_or(now);
        if allowed > now {
            return false;
        }
        self.strange = next.checked_add(STRANGE_EVERY).ok();
        true
    }

    /// Forgets the addresses at which there was nothing, once they may be asked again: they are strange as before. Who is in the
    /// middle of asking is left.
    fn forget(&mut self, now: Timestamp) {
        self.seats.retain(|_, seat| match seat.try_lock() {
            Ok(entry) => entry.as_ref().is_none_or(|entry| entry.outcome.is_ok() || now < entry.until),
            Err(_) => true,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strange_addresses_are_asked_ten_at_once_and_ten_a_minute() {
        let (mut known, mut now) = (Known::default(), "2026-11-21T08:00:00Z".parse::<Timestamp>().unwrap());
        let mut asked = |now| (0..1_000).filter(|_| known.may_ask(now)).count();
        assert_eq!(asked(now), 10);
        now += SignedDuration::from_secs(60);
        assert_eq!(asked(now), 10);
        now += SignedDuration::from_secs(6);
        assert_eq!(asked(now), 1);
        now += SignedDuration::from_hours(1);
        assert_eq!(asked(now), 10);
    }
}
