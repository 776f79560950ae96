//! Time, passed in. Everything that asks "what time is it?" takes a [`Clock`]; nothing else in the crate reads the
//! machine's wall clock.
//!
//! A serving process follows the *database's* clock: [`Clock::set_offset`] is fed with the difference measured against
//! Postgres, so that sessions, leases and decision deadlines agree between replicas whatever their own clocks say.
//! Tests hold a clock that stands still until it is advanced. This module must never sleep.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicI64, Ordering},
};

use jiff::{SignedDuration, Timestamp};

/// A cheap-to-clone handle on the one source of time.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Kind>);

#[derive(Debug)]
enum Kind {
    /// The machine's clock plus an offset in microseconds.
    System { offset: AtomicI64 },
    /// Stands still until told otherwise.
    Manual(Mutex<Timestamp>),
}

impl Clock {
    /// The machine's clock, with no offset yet.
    #[must_use]
    pub fn system() -> Self {
        Self(Arc::new(Kind::System { offset: AtomicI64::new(0) }))
    }

    /// A clock that shows `start` until it is advanced.
    #[must_use]
    pub fn manual(start: Timestamp) -> Self {
        Self(Arc::new(Kind::Manual(Mutex::new(start))))
    }

    /// The present moment, in whole microseconds (what Postgres can keep).
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match &*self.0 {
            Kind::System { offset } => {
                #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the machine's clock")]
                let machine = Timestamp::now().as_microsecond();
                Timestamp::from_microsecond(machine.saturating_add(offset.load(Ordering::Relaxed)))
                    .unwrap_or(Timestamp::MAX)
            }
            Kind::Manual(at) => *at.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Makes a system clock show the machine's time plus `offset`. No effect on a manual clock.
    pub fn set_offset(&self, offset: SignedDuration) {
        if let Kind::System { offset: current } = &*self.0 {
            current.store(i64::try_from(offset.as_micros()).unwrap_or(0), Ordering::Relaxed);
        }
    }

    /// The machine's own time, without the offset. Only for measuring the offset.
    #[must_use]
    pub fn machine_now(&self) -> Timestamp {
        match &*self.0 {
            Kind::System { .. } =>
            {
                #[expect(clippy::disallowed_methods, reason = "measuring how far the machine's clock is off")]
                Timestamp::now()
            }
            Kind::Manual(_) => self.now(),
        }
    }

    /// Moves a manual clock forward by `step`. A system clock cannot be advanced; the call does nothing there.
    pub fn advance(&self, step: SignedDuration) {
        if let Kind::Manual(at) = &*self.0 {
            let mut at = at.lock().unwrap_or_else(PoisonError::into_inner);
            *at = at.checked_add(step).unwrap_or(Timestamp::MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let clock = Clock::manual("2026-11-21T10:00:00Z".parse().unwrap());
        assert_eq!(clock.now(), clock.clone().now());
        clock.clone().advance(SignedDuration::from_secs(61));
        assert_eq!(clock.now().to_string(), "2026-11-21T10:01:01Z");
    }

    #[test]
    fn a_system_clock_follows_the_offset_it_is_given() {
        let clock = Clock::system();
        clock.set_offset(SignedDuration::from_mins(-10));
        let behind = clock.machine_now().duration_since(clock.now());
        assert!(behind > SignedDuration::from_secs(599) && behind < SignedDuration::from_secs(601), "{behind:?}");
    }
}
