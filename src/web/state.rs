//! What every handler is given, and how the parts are put together. Handles only: cloning is cheap, and nothing in here
//! remembers one request for a later one.

use std::sync::Arc;

use super::approver::Queue;
use super::cookie::Cookies;
use super::health::Readiness;
use super::joint::JointRead;
use super::streams::Streams;
use crate::accounts::Accounts;
use crate::approvals::Reader;
use crate::clock::Clock;
use crate::codepipeline::{ConnectError, Gateway, Settings};
use crate::config::Config;
use crate::database::Database;
use crate::decisions::Decisions;
use crate::hints::Hearing;
use crate::random::Random;
use crate::supervise::Supervisor;
use crate::watcher::{Watcher, WatcherHandle};

/// The portal's parts, as handlers see them.
#[derive(Clone)]
pub struct AppState {
    pub clock: Clock,
    pub random: Random,
    pub config: Arc<Config>,
    pub database: Database,
    pub accounts: Accounts,
    pub reader: Reader,
    pub decisions: Decisions,
    pub watcher: WatcherHandle,
    pub hearing: Hearing,
    pub streams: Streams,
    pub readiness: Readiness,
    pub queue: Arc<JointRead<Queue>>,
    pub supervisor: Supervisor,
}

/// What the parts are made from. `serve`, the demo and the tests differ in nothing else.
pub struct Parts {
    pub config: Config,
    pub database: Database,
    pub clock: Clock,
    pub random: Random,
    pub accounts: Accounts,
    /// Times and pace of the connections to AWS.
    pub aws: Settings,
}

/// Why the parts do not make a portal.
#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    #[error(transparent)]
    Source(#[from] ConnectError),
    #[error("{0}")]
    Pattern(String),
}

impl AppState {
    /// Puts the parts together. The watcher is handed out: somebody must run it, and only one may.
    ///
    /// # Errors
    /// A source that the configuration does not describe well enough.
    pub async fn assemble(parts: Parts) -> Result<(Self, Watcher), AssembleError> {
        let Parts { config, database, clock, random, accounts, aws } = parts;
        let mut gateways = Vec::new();
        for source in config.effective_sources() {
            gateways.push(Gateway::open(&source, aws.clone(), &random).await?);
        }
        let reader = Reader::new(database.clone(), clock.clone(), random.clone(), gateways);
        let supervisor = Supervisor::default();
        let watcher = Watcher::new(&reader, &clock, &random, config.poll_interval).map_err(AssembleError::Pattern)?;
        let watcher = watcher.supervised_by(&supervisor);
        let hearing = Hearing::new(database.clone(), random.clone());
        let decisions = Decisions::new(database.decisions.clone(), reader.clone(), clock.clone(), random.clone())
            .hearing(hearing.hints());
        let state = Self {
            clock,
            random,
            config: Arc::new(config),
            database,
            accounts,
            reader,
            decisions,
            watcher: watcher.handle(),
            hearing,
            streams: Streams::default(),
            readiness: Readiness::default(),
            queue: Arc::default(),
            supervisor,
        };
        Ok((state, watcher))
    }

    /// The names and attributes of our cookies at this portal's address.
    #[must_use]
    pub fn cookies(&self) -> Cookies {
        Cookies::new(self.config.is_https())
    }
}
