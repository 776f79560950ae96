//! Reading a pipeline's waiting approvals and writing down what was seen: new requests, what is told about them, and what
//! became of them, each with its record in the same transaction. The watcher calls this for whole sources, a decision for
//! one approval at a time.
//!
//! It must never send a decision, and never say how an approval ended while a decision made here may have reached AWS and
//! is not settled: that is the settler's to find out.

mod apply;
mod closing;
mod describe;
mod fate;
mod observe;
mod parallel;
mod record;
mod stages;
pub mod subject;
mod tags;
mod told;
pub mod words;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::SignedDuration;
use sqlx::PgConnection;

pub use crate::domain::details::Details;
pub use crate::store::approvals::{Approval, Closing};
pub use apply::Swept;
pub use closing::elsewhere;
pub use fate::Fate;

use crate::clock::Clock;
use crate::codepipeline::Gateway;
use crate::codepipeline::observed::{Missing, ReadError};
use crate::database::Database;
use crate::domain::approval::AtAws;
use crate::domain::ids::{ApprovalId, PipelineName, SourceName};
use crate::random::Random;
use crate::store::pipelines::Pipeline;
use crate::store::{approvals, events, pipelines, sources};
use apply::Scope;
use fate::Ending;
use observe::Place;
use parallel::RunsSeen;

/// What stands for an account that nobody has named yet.
const UNKNOWN_ACCOUNT: &str = "unknown";
/// How long what was announced is kept after it was of use.
const ANNOUNCED_LIVES: SignedDuration = SignedDuration::from_hours(1);
/// How long a deadline is kept for a request that is not seen.
const TOLD_LIVES: SignedDuration = SignedDuration::from_hours(24);

/// Why an approval could not be read again.
#[derive(Debug, thiserror::Error)]
pub enum RefreshError {
    #[error("there is no such approval")]
    NoSuchApproval,
    #[error(transparent)]
    Unreadable(ReadError),
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

impl From<ReadError> for RefreshError {
    fn from(error: ReadError) -> Self {
        Self::Unreadable(error)
    }
}

/// Reads approvals at AWS and keeps their rows. Cheap to clone.
#[derive(Clone)]
pub struct Reader(Arc<Inner>);

struct Inner {
    database: Database,
    clock: Clock,
    random: Random,
    gateways: BTreeMap<SourceName, Gateway>,
    /// The running runs of PARALLEL pipelines; only ever a saving.
    runs: Mutex<HashMap<(SourceName, PipelineName), RunsSeen>>,
}

impl Reader {
    /// One gateway per configured source.
    #[must_use]
    pub fn new(database: Database, clock: Clock, random: Random, gateways: Vec<Gateway>) -> Self {
        let gateways = gateways.into_iter().map(|gateway| (gateway.source().name.clone(), gateway)).collect();
        Self(Arc::new(Inner { database, clock, random, gateways, runs: Mutex::default() }))
    }

    /// The connection to a source, if it is configured.
    #[must_use]
    pub fn gateway(&self, source: &SourceName) -> Option<&Gateway> {
        self.0.gateways.get(source)
    }

    /// The configured sources, by name.
    pub fn gateways(&self) -> impl Iterator<Item = &Gateway> {
        self.0.gateways.values()
    }

    pub(crate) fn database(&self) -> &Database {
        &self.0.database
    }

    /// Whether an ARN is this portal's own at a source. `None` where AWS does not say who the portal is.
    pub async fn is_ours(&self, source: &SourceName, arn: &str) -> Option<bool> {
        let gateway = self.gateway(source)?;
        if gateway.source().role_arn.is_none() {
            gateway.identify().await?;
        }
        Some(gateway.is_own(arn))
    }

    /// Reads the approval at AWS now, ahead of any sweep, with everything it is shown with; writes what was seen, also of
    /// other requests in the same read; and returns the row as it is after. An approval that has ended is returned as it is.
    ///
    /// # Errors
    /// [`RefreshError::Unreadable`] when AWS could not be read completely: the row then is as it was.
    pub async fn refresh(&self, id: ApprovalId) -> Result<Approval, RefreshError> {
        let pool = &self.0.database.decisions;
        let mut conn = pool.acquire().await?;
        let approval = approvals::find(&mut conn, id).await?.ok_or(RefreshError::NoSuchApproval)?;
        if approval.at_aws != AtAws::Open {
            return Ok(approval);
        }
        let source = &approval.gate.source;
        let gateway = self.urgent(source)?;
        let place = self.place(&mut conn, &gateway).await?;
        let pipeline = pipelines::find(&mut conn, source, &approval.gate.pipeline).await?;
        let pipeline = pipeline.ok_or(RefreshError::NoSuchApproval)?;
        let known = approvals::list_open_of_pipeline(&mut conn, source, &pipeline.name).await?;
        // Nothing is held while AWS is asked.
        drop(conn);
        let (gateway, place, pipeline, known) = (&gateway, &place, &pipeline, known.as_slice());
        let scope = Scope { pool, gateway, place, pipeline, known, must_describe: Some(id) };
        let began = self.0.clock.now();
        let swept = match observe::observe_one(gateway, pipeline, &approval, began).await {
            Ok(sight) => self.apply(&scope, &sight).await?,
            Err(ReadError::Gone(Missing::Pipeline)) => self.close_all(&scope).await?,
            Err(error) => return Err(error.into()),
        };
        if let Some(trouble) = swept.trouble {
            return Err(trouble.into());
        }
        let mut conn = pool.acquire().await?;
        approvals::find(&mut conn, id).await?.ok_or(RefreshError::NoSuchApproval)
    }

    /// What became of an approval, by evidence alone (D-09). Writes nothing.
    ///
    /// # Errors
    /// [`ReadError`], also when AWS does not show enough to be sure.
    pub async fn fate(&self, approval: &Approval) -> Result<Fate, ReadError> {
        let gateway = self.urgent(&approval.gate.source)?;
        match fate::find_ending(&gateway, approval, None).await? {
            Ending { doubt: Some(doubt), .. } => Err(doubt),
            Ending { fate, .. } => Ok(fate),
        }
    }

    /// What most likely became of an approval: [`Reader::fate`], or, where AWS does not show the request itself, what its
    /// run says. Enough where nothing that was sent here can have been what ended it. Writes nothing.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn likely_fate(&self, approval: &Approval) -> Result<Fate, ReadError> {
        let gateway = self.urgent(&approval.gate.source)?;
        Ok(fate::find_ending(&gateway, approval, None).await?.fate)
    }

    /// Forgets deadlines and looks that are over.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn forget_announced(&self) -> sqlx::Result<()> {
        let now = self.0.clock.now();
        let mut conn = self.0.database.pages.acquire().await?;
        let before = |lives| now.checked_sub(lives).unwrap_or(now);
        events::delete_before(&mut conn, before(ANNOUNCED_LIVES), before(TOLD_LIVES)).await
    }

    /// Makes a look at a pipeline forget what it saw in running runs: something is said to have changed in one of them.
    pub(crate) fn look_afresh(&self, source: &SourceName, pipeline: &PipelineName) {
        if let Some(seen) = self.runs().get_mut(&(source.clone(), pipeline.clone())) {
            seen.look_into_all_again();
        }
    }

    /// Reads one pipeline for a sweep and writes what was seen.
    ///
    /// # Errors
    /// [`RefreshError::Unreadable`] when the pipeline could not be read.
    pub(crate) async fn sweep(
        &self,
        gateway: &Gateway,
        account: Option<&str>,
        pipeline: &Pipeline,
        known: &[Approval],
    ) -> Result<Swept, RefreshError> {
        let source = &gateway.source().name;
        let place = place(gateway, account);
        let pool = &self.0.database.pages;
        let scope = Scope { pool, gateway, place: &place, pipeline, known, must_describe: None };
        let began = self.0.clock.now();
        let key = (source.clone(), pipeline.name.clone());
        let mut seen = self.runs().remove(&key).unwrap_or_default();
        let read = observe::observe(gateway, pipeline, known, &mut seen, began).await;
        // After an error it is not known what was looked into, so nothing is remembered.
        if read.is_ok() && seen.is_worth_keeping() {
            self.runs().insert(key, seen);
        }
        match read {
            Ok(sight) => self.apply(&scope, &sight).await,
            Err(ReadError::Gone(Missing::Pipeline)) => self.close_all(&scope).await,
            Err(error) => Err(error.into()),
        }
    }

    /// Records that an approval was decided elsewhere, within the caller's transaction, as its last statement.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn record_decided_elsewhere(
        &self,
        conn: &mut PgConnection,
        approval: &Approval,
        closing: &Closing,
    ) -> sqlx::Result<()> {
        record::decided_elsewhere(conn, &self.0.random, approval, closing).await
    }

    /// Marks a source as unreadable, with a record when that is news.
    pub(crate) async fn mark_blind(&self, source: &SourceName, why: &str) -> sqlx::Result<()> {
        let mut tx = self.0.database.pages.begin().await?;
        if sources::mark_blind(&mut tx, source, self.0.clock.now(), why).await? {
            record::blind(&mut tx, &self.0.random, source, why).await?;
        }
        tx.commit().await
    }

    /// Marks a source as readable, with a record when that is news.
    pub(crate) async fn mark_seen(&self, source: &SourceName) -> sqlx::Result<()> {
        let mut tx = self.0.database.pages.begin().await?;
        if sources::mark_seen(&mut tx, source).await? {
            record::seen(&mut tx, &self.0.random, source).await?;
        }
        tx.commit().await
    }

    fn urgent(&self, source: &SourceName) -> Result<Gateway, ReadError> {
        self.gateway(source).map(Gateway::urgent).ok_or_else(|| ReadError::NotConfigured(source.to_string()))
    }

    async fn place(&self, conn: &mut PgConnection, gateway: &Gateway) -> sqlx::Result<Place> {
        let stored = match gateway.source().account {
            Some(_) => None,
            None => sources::find(conn, &gateway.source().name).await?.and_then(|source| source.account),
        };
        Ok(place(gateway, stored.as_deref()))
    }

    fn runs(&self) -> std::sync::MutexGuard<'_, HashMap<(SourceName, PipelineName), RunsSeen>> {
        self.0.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn place(gateway: &Gateway, account: Option<&str>) -> Place {
    let configured = gateway.source().account.as_deref();
    Place {
        source: gateway.source().name.clone(),
        account: configured.or(account).unwrap_or(UNKNOWN_ACCOUNT).to_owned(),
        region: gateway.region(),
    }
}
