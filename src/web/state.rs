//! What every handler is given, and how the parts are put together. Handles only: cloning is cheap, and nothing in here
//! remembers one request for a later one.

use std::sync::Arc;

use super::approver::{Queue, Whole};
use super::cookie::Cookies;
use super::health::Readiness;
use super::joint::JointRead;
use super::streams::Streams;
use crate::access::Access;
use crate::accounts::Accounts;
use crate::accounts::sso::Sso;
use crate::approvals::Reader;
use crate::channels::{self, Channels};
use crate::clock::Clock;
use crate::codepipeline::{ConnectError, Gateway, Settings};
use crate::config::Config;
use crate::database::Database;
use crate::decisions::Decisions;
use crate::events::Events;
use crate::events::sns::{self, Sns};
use crate::hints::Hearing;
use crate::mail::Mailer;
use crate::mailed::MailedLinks;
use crate::notices::Notices;
use crate::push::{self, Push};
use crate::random::Random;
use crate::sso::{OpenError, Providers};
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
    pub access: Access,
    pub sso: Sso,
    pub reader: Reader,
    pub decisions: Decisions,
    pub mailer: Mailer,
    pub mailed: MailedLinks,
    pub notices: Notices,
    pub channels: Channels,
    pub push: Push,
    pub watcher: WatcherHandle,
    pub events: Events,
    pub sns: Sns,
    pub hearing: Hearing,
    pub streams: Streams,
    pub readiness: Readiness,
    pub queue: Arc<JointRead<Queue>>,
    pub whole: Arc<JointRead<Whole>>,
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
    #[error(transparent)]
    Provider(#[from] OpenError),
    #[error(transparent)]
    Sns(#[from] sns::OpenError),
    #[error(transparent)]
    Channels(#[from] channels::OpenError),
    #[error(transparent)]
    Push(#[from] push::OpenError),
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
        let watcher = watcher.supervised_by(&supervisor).slowed_to(config.queue_poll_interval);
        let events = Events::new(&reader, &watcher, &clock, &random);
        let sns = Sns::open(&config.hooks, &events, &reader, &clock)?;
        let providers = Providers::open(&config.sso, &config.public_url(), &clock, &random)?;
        let sso = Sso::new(accounts.clone(), providers);
        let hearing = Hearing::new(database.clone(), random.clone());
        let decisions = Decisions::new(database.decisions.clone(), reader.clone(), clock.clone(), random.clone())
            .hearing(hearing.hints())
            .proving(&accounts);
        let mailer = Mailer::new(accounts.outbox(), database.clone(), config.mail.server());
        let mailed = MailedLinks::new(database.clone(), clock.clone(), random.clone(), accounts.clone());
        let push = open_push(&config, &accounts, &database, (&clock, &random)).await?;
        let notices =
            Notices::new(database.clone(), (clock.clone(), random.clone()), accounts.outbox(), &mailed, &push);
        let channels = Channels::open(&config, &accounts, &database, (&clock, &random))?;
        let access = Access::new(database.clone(), clock.clone(), random.clone()).mailing(accounts.outbox());
        let state = Self {
            clock,
            random,
            config: Arc::new(config),
            database,
            accounts,
            access,
            sso,
            reader,
            decisions,
            mailer,
            mailed,
            notices,
            channels,
            push,
            watcher: watcher.handle(),
            events,
            sns,
            hearing,
            streams: Streams::default(),
            readiness: Readiness::default(),
            queue: Arc::default(),
            whole: Arc::default(),
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

/// The key for push services is made now, where it is wanted: looking at a page changes nothing (S-40).
async fn open_push(
    config: &Config,
    accounts: &Accounts,
    database: &Database,
    means: (&Clock, &Random),
) -> Result<Push, push::OpenError> {
    let push = Push::open(config, accounts, database, means)?;
    if let Err(error) = push.public_key().await {
        tracing::warn!(%error, "the key for push services could not be looked up; it is when it is needed");
    }
    Ok(push)
}
