//! Calls that wait on order: until released, or until the simulator's clock has come so far. Waits for events only.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};

use jiff::Timestamp;
use tokio::sync::watch;

use crate::clock::Clock;

/// The calls that are held, by the fault that holds them.
#[derive(Debug)]
pub struct Holds {
    clock: Clock,
    state: Mutex<State>,
    changed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    held: BTreeMap<u64, usize>,
    /// Faults that hold nobody any more, also not a call that is only on its way to being held.
    released: BTreeSet<u64>,
}

impl Holds {
    pub fn new(clock: Clock) -> Self {
        Self { clock, state: Mutex::default(), changed: watch::Sender::new(0) }
    }

    /// Waits until `until`, or until [`Holds::release`] is called for `fault`.
    pub async fn hold(&self, fault: u64, until: Option<Timestamp>) {
        let mut changes = self.changed.subscribe();
        self.with(|state| *state.held.entry(fault).or_default() += 1);
        self.wake();
        let over = || {
            self.with(|state| state.released.contains(&fault)) || until.is_some_and(|until| until <= self.clock.now())
        };
        while !over() {
            if changes.changed().await.is_err() {
                break;
            }
        }
        self.with(|state| {
            if let Some(held) = state.held.get_mut(&fault) {
                *held = held.saturating_sub(1);
            }
        });
        self.wake();
    }

    /// Lets go every call that `fault` holds.
    pub fn release(&self, fault: u64) {
        self.with(|state| state.released.insert(fault));
        self.wake();
    }

    /// Lets go every call that is held, also by faults that have run out.
    pub fn release_all(&self) {
        self.with(|state| state.released.extend(state.held.keys().copied()));
        self.wake();
    }

    /// Makes every held call look at the clock again.
    pub fn wake(&self) {
        self.changed.send_modify(|version| *version += 1);
    }

    /// How many calls `fault` holds.
    pub fn count(&self, fault: u64) -> usize {
        self.with(|state| state.held.get(&fault).copied().unwrap_or(0))
    }

    /// Waits until `fault` holds a call.
    pub async fn until_held(&self, fault: u64) {
        let mut changes = self.changed.subscribe();
        while self.count(fault) == 0 {
            if changes.changed().await.is_err() {
                break;
            }
        }
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
