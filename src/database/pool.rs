//! A pool of connections that gives none up for lost. Owns how connections are borrowed, given back, and what is asked of
//! them at either end.
//!
//! No step of borrowing or giving back may wait for ever, and one does in the library: its look at a connection that was
//! given back, on a server that has fallen silent by then, keeps the connection's place for good (sqlx#4349). So a pool that
//! may have lost places is left for an empty one, when everything that hung on the silent server was dropped anyway.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Executor, PgPool, Postgres, Transaction};

use super::pulse::{self, Pulse};

/// How long an idle connection may take to prove that it works, so that there is time left for a new one.
const PROOF: Duration = Duration::from_secs(1);
/// A connection that worked so short a time ago needs no proof. Under load, asking before every use would be every other
/// message.
const FRESH: Duration = Duration::from_secs(1);

/// How long a connection given back may take to prove that nothing is left open in it.
const GIVING_BACK: Duration = Duration::from_secs(2);

/// A cheap-to-clone pool. Whoever holds it uses the connections of the moment.
#[derive(Debug, Clone)]
pub struct Pool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    options: PgPoolOptions,
    server: PgConnectOptions,
    now: RwLock<PgPool>,
}

impl Pool {
    /// For looking at things: connections that cannot write.
    pub(super) fn looking(size: u32, acquire: Duration, server: &PgConnectOptions, pulse: &Pulse) -> Self {
        Self::lazy(looking(pool(size, acquire, pulse), pulse), server)
    }

    /// For everything else.
    pub(super) fn writing(size: u32, acquire: Duration, server: &PgConnectOptions, pulse: &Pulse) -> Self {
        Self::lazy(writing(pool(size, acquire, pulse), pulse), server)
    }

    fn lazy(options: PgPoolOptions, server: &PgConnectOptions) -> Self {
        let now = RwLock::new(options.clone().connect_lazy_with(server.clone()));
        Self(Arc::new(Inner { options, server: server.clone(), now }))
    }

    /// The connections of this moment: not to be kept, because they may be left for others at any time.
    #[must_use]
    pub fn now(&self) -> PgPool {
        self.0.now.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Borrows a connection.
    ///
    /// # Errors
    /// There is none within the pool's patience, or the server refuses.
    pub async fn acquire(&self) -> sqlx::Result<PoolConnection<Postgres>> {
        self.now().acquire().await
    }

    /// Borrows a connection and begins a transaction on it.
    ///
    /// # Errors
    /// As [`Pool::acquire`].
    pub async fn begin(&self) -> sqlx::Result<Transaction<'static, Postgres>> {
        self.now().begin().await
    }

    /// Closes every connection, after those in use came back.
    pub async fn close(&self) {
        self.now().close().await;
    }

    /// Goes on with new connections. Those in use stay with whoever has them.
    pub(super) fn renew(&self) {
        let new = self.0.options.clone().connect_lazy_with(self.0.server.clone());
        let mut now = self.0.now.write().unwrap_or_else(PoisonError::into_inner);
        if now.is_closed() {
            return;
        }
        let old = std::mem::replace(&mut *now, new);
        drop(now);
        // Not closed: that would fail whoever waits for one of them at this moment.
        while let Some(idle) = old.try_acquire() {
            drop(idle.detach());
        }
    }
}

fn pool(size: u32, acquire: Duration, pulse: &Pulse) -> PgPoolOptions {
    let pulse = pulse.clone();
    PgPoolOptions::new()
        .max_connections(size)
        .acquire_timeout(acquire)
        // The pool's own test has no limit but the whole patience, which would be spent on the first dead connection.
        .test_before_acquire(false)
        .before_acquire(move |connection, meta| {
            let trusted = pulse.trusts(meta.age);
            Box::pin(async move {
                match trusted {
                    true if meta.idle_for < FRESH => Ok(true),
                    true => pulse::answers(connection, PROOF).await,
                    false => Ok(false),
                }
            })
        })
}

/// Connections that cannot write. Asked for only after the server proved that it takes writes from others.
fn looking(pool: PgPoolOptions, pulse: &Pulse) -> PgPoolOptions {
    let felt = pulse.clone();
    pool
        // A look that was dropped because the server fell silent leaves a connection on which the pool would wait for ever.
        .after_release(move |_, meta| {
            let trusted = felt.trusts(meta.age);
            Box::pin(async move { Ok(trusted) })
        })
        .after_connect(|connection, _| {
            Box::pin(async move {
                pulse::refuse_read_only(connection).await?;
                connection.execute("set default_transaction_read_only = on").await.map(drop)
            })
        })
}

fn writing(pool: PgPoolOptions, pulse: &Pulse) -> PgPoolOptions {
    let felt = pulse.clone();
    pool.after_connect(|connection, _| Box::pin(pulse::refuse_read_only(connection)))
        // P-03: a `begin` cancelled on its way leaves an open transaction in the pool (sqlx#4393), and the next writer's
        // "ok" would vanish with it. `BEGIN` first, because a bare `ROLLBACK` outside a transaction puts a warning into
        // the server's log for every request. The round trip is spent after the borrower has gone on. Connections that
        // cannot write have nothing to lose and do without.
        .after_release(move |connection, meta| {
            let trusted = felt.trusts(meta.age);
            Box::pin(async move {
                if !trusted {
                    return Ok(false);
                }
                match tokio::time::timeout(GIVING_BACK, connection.execute("BEGIN; ROLLBACK")).await {
                    Ok(done) => done.map(|_| true),
                    Err(_) => Err(pulse::too_late("a connection given back does not answer")),
                }
            })
        })
}
