//! Finds out what changed, in this process or another. The database's notifications only wake it; what it tells is read
//! from the table of changes, from where it last stopped, so that a lost notification is a delay and nothing else (H-05).

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, Notify};
use tokio_util::sync::CancellationToken;

use super::{Hints, Topic, notice};
use crate::database::Database;
use crate::random::Random;
use crate::store::changes::{self, Change};

/// It looks this often even when nothing woke it, a tenth more or less.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// And never more often than this: what changes meanwhile is told together.
const PAUSE: Duration = Duration::from_millis(200);
/// Changes are kept this long, in seconds; who has not looked for half of it is told to look at everything.
const KEPT: f64 = 120.0;
const TOO_LONG: Duration = Duration::from_secs(60);
const TIDY_EVERY: Duration = Duration::from_secs(60);
/// More changes than this at once are told as one.
const MANY: i64 = 500;
const FORGET_AT_ONCE: i64 = 5_000;

/// Hears of changes and passes them to [`Hints`]. Cheap to clone; one per process is run.
#[derive(Clone)]
pub struct Hearing(Arc<Inner>);

pub(super) struct Inner {
    pub(super) database: Database,
    pub(super) random: Random,
    hints: Hints,
    memory: Mutex<Option<Memory>>,
    /// Something may be there to be found.
    pub(super) wake: Notify,
    /// Something was found that was not announced.
    pub(super) deaf: Notify,
}

/// Where the last look stopped.
struct Memory {
    horizon: i64,
    /// Told already, although their transactions may be above the horizon: another may be running since before them.
    told: HashSet<Change>,
    at: Instant,
}

impl Hearing {
    #[must_use]
    pub fn new(database: Database, random: Random) -> Self {
        Self(Arc::new(Inner {
            database,
            random,
            hints: Hints::default(),
            memory: Mutex::default(),
            wake: Notify::new(),
            deaf: Notify::new(),
        }))
    }

    /// Where it passes on what it hears.
    #[must_use]
    pub fn hints(&self) -> &Hints {
        &self.0.hints
    }

    /// Looks once and tells what is new, each thing once; says how many there were. After a time in which it could not
    /// look, it tells that everything may have changed.
    ///
    /// # Errors
    /// The database did not answer; the next look makes up for it.
    pub async fn look(&self) -> sqlx::Result<usize> {
        let mut memory = self.0.memory.lock().await;
        // Taken out: should anything fail below, the next look begins anew.
        let before = memory.take().filter(|memory| memory.at.elapsed() < TOO_LONG);
        let since = before.as_ref().map_or(i64::MAX, |memory| memory.horizon);
        let seen = self.0.database.pulse.or_silent(self.list_since(since)).await?;
        let found: HashSet<Change> = seen.changes.into_iter().collect();
        let topics = match &before {
            // A number below the last one: this is not the server, or not the state, that was asked before.
            Some(before) if seen.horizon >= before.horizon && found.len() < MANY as usize => {
                found.difference(&before.told).map(|change| Topic::of(&change.topic)).collect()
            }
            _ => HashSet::from([Topic::Everything]),
        };
        *memory = Some(Memory { horizon: seen.horizon, told: found, at: Instant::now() });
        drop(memory);
        topics.iter().for_each(|topic| self.0.hints.tell(*topic));
        Ok(topics.len())
    }

    async fn list_since(&self, horizon: i64) -> sqlx::Result<changes::Seen> {
        let mut conn = self.0.database.pages.acquire().await?;
        changes::list_since(&mut conn, horizon, MANY).await
    }

    /// Forgets changes that everybody has had time to hear of.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn tidy(&self) -> sqlx::Result<u64> {
        let mut conn = self.0.database.pages.acquire().await?;
        changes::delete_older(&mut conn, KEPT, FORGET_AT_ONCE).await
    }

    /// Hears and passes on until `stop`.
    ///
    /// # Errors
    /// None: a database that is away is logged, and asked again.
    pub async fn run(self, stop: CancellationToken) -> sqlx::Result<()> {
        tokio::join!(self.look_on(&stop), notice::listen(&self.0, &stop));
        Ok(())
    }

    async fn look_on(&self, stop: &CancellationToken) {
        let mut tidied = Instant::now();
        let mut announced = true;
        while !stop.is_cancelled() {
            match self.look().await {
                Ok(found) if found > 0 && !announced => self.0.deaf.notify_waiters(),
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "changes cannot be looked for; pages refresh by themselves"),
            }
            if tidied.elapsed() >= TIDY_EVERY {
                tidied = Instant::now();
                if let Err(error) = self.tidy().await {
                    tracing::warn!(%error, "old hints stay for now");
                }
            }
            announced = self.pause(stop).await;
        }
    }

    /// Waits for the next look; says whether something announced it.
    async fn pause(&self, stop: &CancellationToken) -> bool {
        let long = LOOK_EVERY.mul_f64(0.9 + 0.2 * self.0.random.fraction());
        let next = async {
            tokio::time::sleep(PAUSE).await;
            tokio::time::timeout(long, self.0.wake.notified()).await.is_ok()
        };
        tokio::select! {
            () = stop.cancelled() => true,
            announced = next => announced,
        }
    }
}
