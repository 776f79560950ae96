//! CodePipeline (and the two STS operations around it) over HTTP, for demo and tests. Speaks AWS JSON 1.1, checks
//! requests against the service model, moves pipelines by the documented rules, and breaks on order.
//!
//! It must never know the portal: it imports nothing of this crate but the clock and randomness, so that it cannot
//! agree with the portal's mistakes. Where AWS documents nothing, the simulator takes the reading that is hardest on a
//! client: ids that could coincide are distinct, texts that could be missing are missing.
//!
//! Time is the [`Clock`] it is given. On the machine's clock the worlds live by themselves; on a manual clock nothing
//! moves until [`SimulatorHandle::step`]. The same seed and the same calls make the same history.
//!
//! ```text
//! server     connections, resets          config      the world file (format documented there)
//! service    one call, start to end       definition  what a pipeline is
//! auth, sts  who asks                     world, state   what is; engine: the rules it moves by
//! constraints, pattern   the model        operations  the API
//! faults, holds, spoil   breaking         journal     what was seen
//! wire       bytes                        acts, control   what people do meanwhile; the control listener
//! diary      to be continued by a later process
//! ```

mod acts;
mod auth;
mod changes;
pub mod config;
mod constraints;
mod control;
mod definition;
mod diary;
mod engine;
mod faults;
mod handle;
mod holds;
mod journal;
mod operations;
mod pattern;
mod server;
mod service;
mod shared;
mod spoil;
mod state;
mod sts;
mod variables;
mod waiting;
mod wire;
mod world;

pub use acts::{Act, Order};
pub use changes::Change;
pub use config::{DEFAULT_ACCOUNT, WorldConfig, WorldFile, WorldFileError};
pub use definition::{Commit, Mode, Verdict};
pub use diary::{Diary, DiaryError};
pub use faults::{ErrorBody, Fault, FaultKind, Moment};
pub use handle::{SimulatorHandle, WorldHandle};
pub use journal::{Call, Calls, Effect, Receipt};
pub use waiting::{OpenApproval, Which};

use std::{net::SocketAddr, sync::Arc};

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;

/// How often held calls and due events look at the clock by themselves, in real time.
const TICK: std::time::Duration = std::time::Duration::from_millis(50);

/// Starts simulators.
#[derive(Debug)]
pub struct Simulator;

/// Why a simulator does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    World(#[from] WorldFileError),
    #[error("cannot listen on {address}: {source}; choose another address or stop what uses it")]
    Listen { address: SocketAddr, source: std::io::Error },
}

impl Simulator {
    /// Builds the worlds, lives through their past, and listens. The simulator stops when the last handle is dropped.
    ///
    /// # Errors
    /// When the world file is wrong or the address is taken.
    pub async fn start(world: WorldFile, clock: Clock, listen: SocketAddr) -> Result<SimulatorHandle, StartError> {
        Self::run(shared::Shared::new(world, clock, None)?, listen).await
    }

    /// As [`Simulator::start`], continuing the history that `diary` tells and writing it on.
    ///
    /// # Errors
    /// When the world file is wrong or the address is taken.
    pub async fn resume(
        world: WorldFile,
        clock: Clock,
        listen: SocketAddr,
        diary: Diary,
    ) -> Result<SimulatorHandle, StartError> {
        Self::run(shared::Shared::new(world, clock, Some(diary))?, listen).await
    }

    async fn run(shared: shared::Shared, listen: SocketAddr) -> Result<SimulatorHandle, StartError> {
        let shared = Arc::new(shared);
        let (listener, address) = bind(listen).await?;
        let stop = CancellationToken::new();
        tokio::spawn(server::accept(listener, Arc::clone(&shared), stop.clone()));
        tokio::spawn(tick(Arc::clone(&shared), stop.clone()));
        Ok(SimulatorHandle::new(shared, address, stop))
    }
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

async fn tick(shared: Arc<shared::Shared>, stop: CancellationToken) {
    let mut interval = tokio::time::interval(TICK);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = interval.tick() => shared.catch_up(),
        }
    }
}
