//! How fast one account and region is read. AWS publishes no limits and shares them with every other tool in the account,
//! so the pace is found by trying: it doubles each second while nothing is throttled, halves when AWS asks to slow down,
//! and from then on grows in small steps (P-14). Decisions never wait here.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The slowest it gets, in reads a second.
const SLOWEST: f64 = 1.0;
/// Changes of pace are at least this far apart, so that one burst of throttling halves it once.
const STEP: Duration = Duration::from_secs(1);

/// The pace shared by everything that reads one source.
#[derive(Debug)]
pub(super) struct Pace(Mutex<State>);

#[derive(Debug)]
struct State {
    per_second: f64,
    cap: f64,
    /// Where throttling was last met, less a half: doubling ends here.
    known_good: f64,
    /// When the next read may start.
    next: Instant,
    changed: Instant,
}

impl Pace {
    pub(super) fn new(first: u32, cap: u32) -> Self {
        let cap = f64::from(cap.max(1));
        let now = Instant::now();
        Self(Mutex::new(State {
            per_second: f64::from(first.max(1)).min(cap),
            cap,
            known_good: f64::INFINITY,
            next: now,
            changed: now,
        }))
    }

    /// Waits for this read's turn.
    pub(super) async fn turn(&self) {
        let at = self.with(|state| state.reserve(Instant::now()));
        tokio::time::sleep_until(at).await;
    }

    pub(super) fn answered(&self) {
        self.with(|state| state.answered(Instant::now()));
    }

    pub(super) fn throttled(&self) {
        self.with(|state| state.throttled(Instant::now()));
    }

    /// Reads a second, at present.
    pub(super) fn per_second(&self) -> f64 {
        self.with(|state| state.per_second)
    }

    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    fn reserve(&mut self, now: Instant) -> Instant {
        // After a pause, a tenth of a second's worth may go at once: timers are no finer than that at a high pace.
        let earliest = now.checked_sub(Duration::from_millis(100)).unwrap_or(now);
        let at = self.next.max(earliest);
        self.next = at + Duration::from_secs_f64(1.0 / self.per_second);
        at
    }

    fn answered(&mut self, now: Instant) {
        if now.duration_since(self.changed) < STEP || self.per_second >= self.cap {
            return;
        }
        self.changed = now;
        let grown =
            if self.per_second * 2.0 <= self.known_good { self.per_second * 2.0 } else { self.per_second * 1.1 };
        self.per_second = grown.min(self.cap);
    }

    fn throttled(&mut self, now: Instant) {
        if self.per_second <= SLOWEST || (self.known_good.is_finite() && now.duration_since(self.changed) < STEP) {
            return;
        }
        self.changed = now;
        self.per_second = (self.per_second / 2.0).max(SLOWEST);
        self.known_good = self.per_second;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(first: f64, cap: f64) -> (State, Instant) {
        let now = Instant::now();
        (State { per_second: first, cap, known_good: f64::INFINITY, next: now, changed: now }, now)
    }

    #[test]
    fn it_doubles_each_second_up_to_the_cap() {
        let (mut state, start) = state(10.0, 40.0);
        let paces: Vec<_> = (1..=8)
            .map(|half| {
                state.answered(start + Duration::from_millis(500 * half));
                state.per_second
            })
            .collect();
        assert_eq!(paces, [10.0, 20.0, 20.0, 40.0, 40.0, 40.0, 40.0, 40.0]);
    }

    #[test]
    fn a_burst_of_throttling_halves_it_once_and_it_recovers_in_steps() {
        let (mut state, start) = state(40.0, 40.0);
        for millis in 0..10 {
            state.throttled(start + Duration::from_millis(millis));
        }
        assert!((state.per_second - 20.0).abs() < 1e-9);
        state.throttled(start + Duration::from_secs(2));
        assert!((state.per_second - 10.0).abs() < 1e-9);
        let mut seconds = 0;
        while state.per_second < 40.0 {
            seconds += 1;
            state.answered(start + Duration::from_secs(2 + seconds));
        }
        assert!((10..60).contains(&seconds), "{seconds}");
    }

    #[test]
    fn it_never_stops_altogether() {
        let (mut state, start) = state(10.0, 40.0);
        for second in 0..600 {
            state.throttled(start + Duration::from_secs(second));
        }
        assert!((state.per_second - SLOWEST).abs() < 1e-9);
    }

    #[test]
    fn reads_are_spaced_and_a_pause_earns_only_a_little() {
        let (mut state, start) = state(10.0, 10.0);
        let later = start + Duration::from_secs(60);
        let turns: Vec<_> = (0..4).map(|_| state.reserve(later)).collect();
        assert!(turns[0] <= later && turns[1] <= later);
        assert_eq!(turns[3].duration_since(turns[0]), Duration::from_millis(300));
    }
}
