//! How fast one account and region is read. AWS publishes no limits and shares them with every other tool in the account,
//! so the pace is found by trying: it doubles each second until AWS first asks to slow down, then falls below what AWS
//! let through just before, comes close to that again, and probes beyond it in small steps (P-14). A limit that stays is
//! used nearly whole; one that falls, or a storm, halves the pace at most once a second. Decisions never wait here.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The slowest it gets, in reads a second.
const SLOWEST: f64 = 1.0;
/// Changes of pace are at least this far apart, so that one burst of throttling slows it down once.
const STEP: Duration = Duration::from_secs(1);
/// What AWS lets through is measured over this long.
const WINDOW: Duration = Duration::from_secs(2);
/// After throttling: this share of what came through.
const BACK: f64 = 0.9;
/// How close to it the pace comes again before it begins to probe.
const CLOSE: f64 = 0.98;
/// Probing grows by so much a second, and by as much more for each such time without throttling.
const PROBE: f64 = 0.01;
const BOLDER: Duration = Duration::from_secs(10);
/// The most it grows by in a second once throttling was met.
const MOST: f64 = 0.1;

/// The pace shared by everything that reads one source.
#[derive(Debug)]
pub(super) struct Pace(Mutex<State>);

#[derive(Debug)]
struct State {
    per_second: f64,
    cap: f64,
    /// What came through when throttling was last met; until then the pace doubles.
    limit: Option<f64>,
    throttled_at: Instant,
    /// When the next read may start.
    next: Instant,
    changed: Instant,
    /// The answers within the window, oldest first.
    answers: VecDeque<Instant>,
}

impl Pace {
    pub(super) fn new(first: u32, cap: u32) -> Self {
        Self(Mutex::new(State::new(f64::from(first.max(1)), f64::from(cap.max(1)), Instant::now())))
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
    fn new(first: f64, cap: f64, now: Instant) -> Self {
        Self {
            per_second: first.min(cap),
            cap,
            limit: None,
            throttled_at: now,
            next: now,
            changed: now,
            answers: VecDeque::new(),
        }
    }

    fn reserve(&mut self, now: Instant) -> Instant {
        // After a pause, a tenth of a second's worth may go at once: timers are no finer than that at a high pace.
        let earliest = now.checked_sub(Duration::from_millis(100)).unwrap_or(now);
        let at = self.next.max(earliest);
        self.next = at + Duration::from_secs_f64(1.0 / self.per_second);
        at
    }

    fn answered(&mut self, now: Instant) {
        self.forget_old(now);
        self.answers.push_back(now);
        if now.duration_since(self.changed) < STEP || self.per_second >= self.cap {
            return;
        }
        self.changed = now;
        let grown = match self.limit {
            None => self.per_second * 2.0,
            Some(limit) if self.per_second < limit * CLOSE => (self.per_second * (1.0 + MOST)).min(limit * CLOSE),
            Some(_) => {
                let calm = now.duration_since(self.throttled_at).as_secs_f64() / BOLDER.as_secs_f64();
                self.per_second * (1.0 + (PROBE * (1.0 + calm.floor())).min(MOST))
            }
        };
        self.per_second = grown.min(self.cap);
    }

    fn throttled(&mut self, now: Instant) {
        if self.limit.is_some() && now.duration_since(self.throttled_at) < STEP {
            return;
        }
        let through = self.came_through(now);
        self.per_second = (through * BACK).clamp(self.per_second / 2.0, self.per_second * BACK).max(SLOWEST);
        self.limit = Some(through.max(self.per_second));
        self.throttled_at = now;
        self.changed = now;
    }

    /// Answers a second of late. The pauses between sweeps do not count.
    fn came_through(&mut self, now: Instant) -> f64 {
        self.forget_old(now);
        let Some(first) = self.answers.front() else { return 0.0 };
        let lasted = now.duration_since(*first).max(WINDOW / 4);
        #[expect(clippy::cast_precision_loss, reason = "a few thousand answers at most")]
        let count = self.answers.len() as f64;
        count / lasted.as_secs_f64()
    }

    fn forget_old(&mut self, now: Instant) {
        while self.answers.front().is_some_and(|at| now.duration_since(*at) > WINDOW) {
            self.answers.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An account's limit, as AWS keeps it: a bucket that fills at a rate. Throttled calls take nothing out of it.
    struct Account {
        rate: f64,
        burst: f64,
        filled: f64,
        at: Instant,
    }

    impl Account {
        fn new(rate: f64, burst: f64, at: Instant) -> Self {
            Self { rate, burst, filled: burst, at }
        }

        fn allows(&mut self, now: Instant) -> bool {
            let passed = now.duration_since(self.at).as_secs_f64();
            self.filled = (self.filled + passed * self.rate).min(self.burst);
            self.at = now;
            let allowed = self.filled >= 1.0;
            self.filled -= if allowed { 1.0 } else { 0.0 };
            allowed
        }
    }

    /// Makes `calls` calls, throttled ones again; how many seconds that took and how many were throttled.
    fn make(state: &mut State, account: &mut Account, calls: u32, start: Instant) -> (f64, u32) {
        let (mut done, mut throttled, mut now) = (0, 0, start);
        while done < calls {
            now = state.reserve(now).max(now);
            if account.allows(now) {
                state.answered(now);
                done += 1;
            } else {
                state.throttled(now);
                throttled += 1;
            }
        }
        (now.duration_since(start).as_secs_f64(), throttled)
    }

    fn state(first: f64, cap: f64) -> (State, Instant) {
        let now = Instant::now();
        (State::new(first, cap, now), now)
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
    fn whatever_the_limit_is_nearly_all_of_it_is_used_and_little_asked_in_vain() {
        // The 1,382 calls of a cold start on 1,000 pipelines, against limits nobody told us.
        for rate in [5.0, 8.0, 12.0, 20.0, 33.0] {
            for burst in [10.0, 20.0, 40.0] {
                let (mut state, start) = state(10.0, 40.0);
                let (seconds, throttled) = make(&mut state, &mut Account::new(rate, burst, start), 1_382, start);
                let multiple = seconds / ((1_382.0 - burst) / rate);
                assert!(multiple <= 1.1, "{rate}/s, burst {burst}: {multiple}");
                assert!(throttled <= 1_382 / 10, "{rate}/s, burst {burst}: {throttled} in vain");
            }
        }
    }

    #[test]
    fn a_burst_of_throttling_slows_it_down_once() {
        let (mut state, start) = state(40.0, 40.0);
        for millis in 0..10 {
            state.throttled(start + Duration::from_millis(millis));
        }
        assert!((state.per_second - 20.0).abs() < 1e-9);
        state.throttled(start + Duration::from_secs(2));
        assert!((state.per_second - 10.0).abs() < 1e-9);
    }

    #[test]
    fn it_never_stops_altogether_and_comes_back_after_a_storm() {
        let (mut state, start) = state(10.0, 40.0);
        for second in 0..600 {
            state.throttled(start + Duration::from_secs(second));
        }
        assert!((state.per_second - SLOWEST).abs() < 1e-9);
        let over = start + Duration::from_secs(600);
        let (seconds, _) = make(&mut state, &mut Account::new(20.0, 20.0, over), 1_000, over);
        assert!(state.per_second > 17.0, "{}", state.per_second);
        assert!(seconds < 240.0, "{seconds}");
    }

    #[test]
    fn a_limit_that_falls_or_rises_is_followed() {
        let (mut state, start) = state(10.0, 40.0);
        make(&mut state, &mut Account::new(30.0, 10.0, start), 1_000, start);
        let fallen = state.next;
        let (seconds, throttled) = make(&mut state, &mut Account::new(5.0, 5.0, fallen), 300, fallen);
        assert!(seconds < 66.0 && throttled < 60, "{seconds} s, {throttled} in vain");
        let risen = state.next;
        make(&mut state, &mut Account::new(30.0, 10.0, risen), 2_000, risen);
        assert!(state.per_second > 25.0, "{}", state.per_second);
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
