//! What the portal does by itself while it serves: following the database's clock and tidying up. Each duty is one step
//! that tests call by hand, and a loop here that calls it on time.
//!
//! A step that fails is logged and comes round again; nothing here may end the process or hold up a request.

use std::future::Future;
use std::time::Duration;

use jiff::SignedDuration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::state::AppState;
use crate::accounts::{Accounts, Unavailable};
use crate::clock::Clock;
use crate::database::Database;
use crate::store;

const CLOCK: Duration = Duration::from_secs(60);
const STRANGERS: Duration = Duration::from_secs(10);
const SESSIONS: Duration = Duration::from_secs(60);

/// The running loops.
#[derive(Debug)]
pub struct Duties {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Duties {
    /// Starts every loop.
    #[must_use]
    pub fn start(state: &AppState) -> Self {
        let duties = Self { stop: CancellationToken::new(), tasks: TaskTracker::new() };
        let (database, clock) = (state.database.clone(), state.clock.clone());
        duties.every(CLOCK, "following the database's clock", move || {
            let (database, clock) = (database.clone(), clock.clone());
            async move { follow_database_clock(&database, &clock).await }
        });
        let accounts = state.accounts.clone();
        duties.every(STRANGERS, "counting strangers", move || {
            let accounts = accounts.clone();
            async move { accounts.flush_stranger_counts().await }
        });
        let accounts = state.accounts.clone();
        duties.every(SESSIONS, "ending sessions whose time is over", move || end_sessions(accounts.clone()));
        duties.tasks.close();
        duties
    }

    /// Runs `step` now and then, until stopped. A step under way is always finished: it may hold a transaction.
    fn every<F, E>(&self, period: Duration, what: &'static str, mut step: impl FnMut() -> F + Send + 'static)
    where
        F: Future<Output = Result<(), E>> + Send,
        E: std::fmt::Display + Send,
    {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            let mut ticks = tokio::time::interval(period);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    _ = ticks.tick() => {}
                }
                if let Err(error) = step().await {
                    tracing::warn!(%error, duty = what, "a duty could not be done; it comes round again");
                }
            }
        });
    }

    /// Ends every loop after the step it is in.
    pub async fn stop(self, accounts: &Accounts) {
        self.stop.cancel();
        self.tasks.wait().await;
        // What was counted since the last time would be lost with the process.
        if let Err(error) = accounts.flush_stranger_counts().await {
            tracing::warn!(%error, "the last counts of strangers could not be recorded");
        }
    }
}

async fn end_sessions(accounts: Accounts) -> Result<(), Unavailable> {
    while accounts.end_sessions_over().await? > 0 {}
    Ok(())
}

/// Makes our clock show the database's time: sessions and deadlines must agree between replicas (F-34).
///
/// # Errors
/// The database did not answer; the clock stays as it is.
pub async fn follow_database_clock(database: &Database, clock: &Clock) -> Result<(), sqlx::Error> {
    let mut connection = database.pages.acquire().await?;
    let before = clock.machine_now();
    let there = store::clock::load_now(&mut connection).await?;
    let after = clock.machine_now();
    // The answer was made somewhere between the two looks at our own clock.
    let half = SignedDuration::from_micros(i64::try_from(after.duration_since(before).as_micros() / 2).unwrap_or(0));
    let here = before.checked_add(half).unwrap_or(after);
    clock.set_offset(there.duration_since(here));
    Ok(())
}
