//! Randomness, passed in. Secrets and ids come from the operating system in production and from a seed in tests that
//! need to repeat. Nothing else in the crate asks for randomness on its own.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use uuid::Uuid;

/// A cheap-to-clone handle on the one source of randomness.
#[derive(Clone, Debug)]
pub struct Random(Arc<Kind>);

#[derive(Debug)]
enum Kind {
    System,
    Seeded(Mutex<fastrand::Rng>),
}

impl Random {
    /// The operating system's generator. Use for everything that is served.
    #[must_use]
    pub fn system() -> Self {
        Self(Arc::new(Kind::System))
    }

    /// A repeatable generator. Never for secrets that anybody relies on.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self(Arc::new(Kind::Seeded(Mutex::new(fastrand::Rng::with_seed(seed)))))
    }

    /// `N` random bytes.
    #[must_use]
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut out = [0; N];
        match &*self.0 {
            Kind::System => {
                aws_lc_rs::rand::fill(&mut out).expect("the operating system's random generator answers");
            }
            Kind::Seeded(rng) => rng.lock().unwrap_or_else(PoisonError::into_inner).fill(&mut out),
        }
        out
    }

    /// A uniformly random number in `0.0..1.0`, for jitter.
    #[must_use]
    pub fn fraction(&self) -> f64 {
        let bits = u64::from_be_bytes(self.bytes::<8>()) >> 11;
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit a double exactly")]
        let fraction = bits as f64 / (1_u64 << 53) as f64;
        fraction
    }

    /// A UUID of version 4: nothing can be learnt from it.
    #[must_use]
    pub fn uuid_v4(&self) -> Uuid {
        uuid::Builder::from_random_bytes(self.bytes::<16>()).into_uuid()
    }

    /// A UUID of version 7: sorts by the millisecond it was made in.
    #[must_use]
    pub fn uuid_v7(&self, now: Timestamp) -> Uuid {
        let millis = u64::try_from(now.as_millisecond()).unwrap_or(0);
        uuid::Builder::from_unix_timestamp_millis(millis, &self.bytes::<10>()).into_uuid()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_and_the_system_does_not() {
        assert_eq!(Random::seeded(7).bytes::<32>(), Random::seeded(7).bytes::<32>());
        assert_ne!(Random::system().bytes::<32>(), Random::system().bytes::<32>());
    }

    #[test]
    fn version_7_ids_sort_by_time() {
        let random = Random::system();
        let earlier = random.uuid_v7("2026-11-21T10:00:00Z".parse().unwrap());
        let later = random.uuid_v7("2026-11-21T10:00:01Z".parse().unwrap());
        assert!(earlier < later);
        assert_eq!(later.get_version_num(), 7);
    }
}
