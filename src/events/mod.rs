//! What AWS announces: hints that something has happened at a pipeline's gates, from a source's queue or from elsewhere, each
//! a reason to look there at once and nothing else (docs/decisions, 0011). Every
//! replica hears; a message is deleted when its pipeline has been read and what was seen is committed, and not before.
//!
//! It must never take a state from a message, and never print one. Losing one costs the time until the next sweep.

mod held;
mod looking;
pub mod message;
mod receiving;
pub mod sns;
mod status;

use std::convert::Infallible;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use status::{Hearing, Heeded, QueueStatus};

use crate::approvals::Reader;
use crate::clock::Clock;
use crate::codepipeline::queue::Queue;
use crate::domain::ids::SourceName;
use crate::random::Random;
use crate::supervise::Supervisor;
use crate::watcher::{Lookout, Watcher, WatcherHandle};
use held::Held;
use message::{Hint, Reading};
use receiving::Complaints;
use status::Counts;

/// What is announced of all sources. Cheap to clone.
#[derive(Clone)]
pub struct Events(Arc<Vec<Arc<Listener>>>);

/// One source's.
struct Listener {
    source: SourceName,
    queue: Option<Queue>,
    reader: Reader,
    lookout: Lookout,
    watcher: WatcherHandle,
    clock: Clock,
    random: Random,
    held: Mutex<Held>,
    /// Something is to be looked at.
    news: Notify,
    /// Something has been looked at.
    room: Notify,
    counts: Counts,
    hearing: Mutex<Hearing>,
    complaints: Mutex<Complaints>,
}

impl Events {
    /// Listens for every source the watcher watches.
    #[must_use]
    pub fn new(reader: &Reader, watcher: &Watcher, clock: &Clock, random: &Random) -> Self {
        let listener = |gateway: &crate::codepipeline::Gateway| {
            Arc::new(Listener {
                source: gateway.source().name.clone(),
                queue: gateway.queue(),
                reader: reader.clone(),
                lookout: watcher.lookout(),
                watcher: watcher.handle(),
                clock: clock.clone(),
                random: random.clone(),
                held: Mutex::default(),
                news: Notify::new(),
                room: Notify::new(),
                counts: Counts::default(),
                hearing: Mutex::new(Hearing::NotYet),
                complaints: Mutex::default(),
            })
        };
        Self(Arc::new(reader.gateways().map(listener).collect()))
    }

    /// Takes in a message that came by another way than a queue, for whichever sources it may be about. Whoever hands it over
    /// has made sure that it is AWS's. Once: it is not asked for again.
    ///
    /// # Errors
    /// The database did not take the deadline it told; it may be handed over again.
    pub async fn heed(&self, text: &str) -> sqlx::Result<Heeded> {
        let hint = match message::read(text) {
            Reading::Hint(hint) => hint,
            Reading::Beside => return Ok(Heeded::Beside),
            Reading::NotUnderstood(why) => return Ok(Heeded::NotUnderstood(why)),
        };
        let mut heeded = Heeded::Elsewhere;
        for listener in self.0.iter().filter(|listener| listener.is_ours(&hint)) {
            listener.tell(hint.deadline.as_ref()).await?;
            listener.watcher.was_announced(&listener.source, &hint.pipeline, listener.clock.now());
            if !listener.held().call(hint.pipeline.clone(), listener.clock.now()) {
                return Ok(Heeded::TooMuch);
            }
            listener.news.notify_one();
            heeded = Heeded::Held;
        }
        Ok(heeded)
    }

    /// How the queues do in this process.
    #[must_use]
    pub fn status(&self) -> Vec<QueueStatus> {
        self.0.iter().filter(|listener| listener.queue.is_some()).map(|listener| listener.status()).collect()
    }

    /// Receives once from every queue, waiting up to `wait`, and takes every look that is due. For tests, which call what
    /// [`Events::run`] calls on time.
    pub async fn activate(&self, wait: Duration) {
        for listener in self.0.iter() {
            if let Some(queue) = &listener.queue {
                listener.receive(queue, wait).await;
            }
            listener.look_at_what_is_due().await;
        }
    }

    /// Receives and looks until `stop`. What is being looked at then is looked at to its end; the rest stays in the queue.
    pub async fn run(self, supervisor: Supervisor, stop: CancellationToken) {
        let mut tasks = JoinSet::new();
        for listener in self.0.iter() {
            let looking = |listener: Arc<Listener>, stop| async move { listener.look_again_and_again(&stop).await };
            tasks.spawn(kept(supervisor.clone(), "looking where something happened", stop.clone(), {
                let (listener, stop) = (Arc::clone(listener), stop.clone());
                move || looking(Arc::clone(&listener), stop.clone())
            }));
            let Some(queue) = listener.queue.clone() else { continue };
            let (listener, stopping) = (Arc::clone(listener), stop.clone());
            let receiving = move || {
                let (listener, queue, stop) = (Arc::clone(&listener), queue.clone(), stopping.clone());
                async move { listener.receive_again_and_again(&queue, &stop).await }
            };
            tasks.spawn(kept(supervisor.clone(), "receiving announcements", stop.clone(), receiving));
        }
        while tasks.join_next().await.is_some() {}
    }
}

/// Begins a task again when it panics (P-21).
async fn kept<F>(supervisor: Supervisor, what: &'static str, stop: CancellationToken, task: impl Fn() -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let begin = || {
        let task = task();
        async move {
            task.await;
            Ok::<(), Infallible>(())
        }
    };
    supervisor.keep(what, &stop, begin).await;
}

impl Listener {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_ours(&self, hint: &Hint) -> bool {
        self.lookout.is_of(&self.source, hint.account.as_deref(), hint.region.as_deref())
    }

    async fn tell(&self, deadline: Option<&message::Deadline>) -> sqlx::Result<()> {
        match deadline {
            Some(told) => self.reader.tell_deadline(&self.source, &told.token_hash, told.expires_at).await,
            None => Ok(()),
        }
    }
}
