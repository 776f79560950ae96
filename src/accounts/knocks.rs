//! How often one address may knock where nobody is signed in: at a link, at an end for other services. Counted in this process
//! alone: looking at a page must write nothing (S-40), and what is guarded cannot be guessed anyhow (L-08).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};

use super::sign_in::network_of;

/// Addresses that are remembered: a few megabytes.
const MOST: usize = 20_000;

/// Who knocked how often (generic cell rate algorithm).
#[derive(Debug)]
pub struct Knocks {
    at_once: i32,
    every: SignedDuration,
    arrivals: Mutex<HashMap<String, Timestamp>>,
}

impl Knocks {
    /// So many `at_once`, and one more `every` so often.
    #[must_use]
    pub fn new(at_once: i32, every: SignedDuration) -> Self {
        Self { at_once, every, arrivals: Mutex::default() }
    }

    /// At links.
    pub(super) fn at_links() -> Self {
        Self::new(30, SignedDuration::from_secs(2))
    }

    /// With API tokens that do not work.
    pub(super) fn with_tokens() -> Self {
        Self::new(10, SignedDuration::from_secs(6))
    }

    /// Some: it was too often; when it will not be.
    pub fn knock(&self, address: IpAddr, now: Timestamp) -> Option<Timestamp> {
        let mut arrivals = self.lock();
        if arrivals.len() >= MOST {
            arrivals.retain(|_, arrival| *arrival > now);
        }
        if arrivals.len() >= MOST {
            // So many at once are no one person's neighbours: nobody in particular is held back.
            arrivals.clear();
        }
        let arrival = arrivals.entry(network_of(address)).or_insert(now);
        let allowed = arrival.checked_sub(self.every * (self.at_once - 1)).unwrap_or(now);
        if allowed > now {
            return Some(allowed);
        }
        *arrival = (*arrival).max(now).checked_add(self.every).unwrap_or(Timestamp::MAX);
        None
    }

    /// Whoever knocked was welcome: it does not count.
    pub fn take_back(&self, address: IpAddr) {
        if let Some(arrival) = self.lock().get_mut(&network_of(address)) {
            *arrival = arrival.checked_sub(self.every).unwrap_or(*arrival);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Timestamp>> {
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thirty_at_once_and_thirty_a_minute() {
        // L-08
        let (knocks, address) = (Knocks::at_links(), "192.0.2.1".parse().unwrap());
        let mut now: Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();
        for n in 0..30 {
            assert_eq!(knocks.knock(address, now), None, "{n}");
        }
        assert_eq!(knocks.knock(address, now), Some(now + SignedDuration::from_secs(2)));
        assert_eq!(knocks.knock("192.0.2.2".parse().unwrap(), now), None, "the neighbour is not concerned");
        now += SignedDuration::from_secs(2);
        assert_eq!(knocks.knock(address, now), None);
        assert!(knocks.knock(address, now).is_some());
    }

    #[test]
    fn whoever_was_welcome_may_come_as_often_as_they_like() {
        let (knocks, address) = (Knocks::new(2, SignedDuration::from_secs(1)), "192.0.2.1".parse().unwrap());
        let now: Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();
        for _ in 0..100 {
            assert_eq!(knocks.knock(address, now), None);
            knocks.take_back(address);
        }
        assert_eq!((knocks.knock(address, now), knocks.knock(address, now)), (None, None));
        assert!(knocks.knock(address, now).is_some());
    }
}
