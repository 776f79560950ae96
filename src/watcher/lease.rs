//! Who sweeps a source: a row with a holder and an end, renewed while this process lives (H-01). An optimisation alone:
//! nothing is wrong when two processes believe they hold it (H-02).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::database::Database;
use crate::domain::ids::SourceName;
use crate::store::sources;

/// How long a lease lasts without being renewed, in seconds.
const LASTS: f64 = 15.0;
const RENEW_EVERY: Duration = Duration::from_secs(5);

pub(super) struct Lease {
    name: String,
    holder: Uuid,
    database: Database,
    held: AtomicBool,
    /// The database did not take the last try.
    troubled: AtomicBool,
    taken: Notify,
    /// The sweep that needs it has come to its end for good.
    done: CancellationToken,
}

impl Lease {
    pub(super) fn new(source: &SourceName, holder: Uuid, database: Database) -> Arc<Self> {
        Arc::new(Self {
            name: format!("watch/{source}"),
            holder,
            database,
            held: AtomicBool::new(false),
            troubled: AtomicBool::new(false),
            taken: Notify::new(),
            done: CancellationToken::new(),
        })
    }

    pub(super) fn is_held(&self) -> bool {
        self.held.load(Ordering::Acquire)
    }

    /// Waits until the lease comes to this process.
    pub(super) async fn taken(&self) {
        self.taken.notified().await;
    }

    pub(super) fn sweep_ended(&self) {
        self.done.cancel();
    }

    /// Takes and renews the lease until `stop`, keeps it until the last sweep has ended, and lets go of it.
    pub(super) async fn keep(self: Arc<Self>, stop: CancellationToken) {
        while !(stop.is_cancelled() && self.done.is_cancelled()) {
            self.renew().await;
            let ended = async {
                stop.cancelled().await;
                self.done.cancelled().await;
            };
            tokio::select! {
                () = ended => {}
                () = tokio::time::sleep(RENEW_EVERY) => {}
            }
        }
        if let Err(error) = self.release().await {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                lease = self.name,
                "the lease runs out by itself"
            );
        }
    }

    async fn renew(&self) {
        let held = match self.try_take().await {
            Ok(held) => {
                self.troubled.store(false, Ordering::Release);
                held
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                if self.troubled.swap(true, Ordering::AcqRel) {
                    tracing::debug!(error, lease = self.name, "the lease could still not be renewed");
                } else {
                    tracing::warn!(
                        error,
                        lease = self.name,
                        "the lease could not be renewed; tried again until it can"
                    );
                }
                false
            }
        };
        if !self.held.swap(held, Ordering::AcqRel) && held {
            self.taken.notify_one();
        }
    }

    async fn try_take(&self) -> sqlx::Result<bool> {
        let take = async {
            let mut conn = self.database.pages.acquire().await?;
            sources::take_lease(&mut conn, &self.name, self.holder, LASTS).await
        };
        self.database.pulse.or_dead(take).await
    }

    async fn release(&self) -> sqlx::Result<()> {
        let mut conn = self.database.pages.acquire().await?;
        sources::release_lease(&mut conn, &self.name, self.holder).await
    }
}
