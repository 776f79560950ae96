//! Looking at one pipeline because something is said to have happened there. What is said is only ever a reason to look: what
//! is seen comes from the same read that a sweep makes, at the source's ordinary pace (P-14, U-08).

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::SignedDuration;
use tokio_util::sync::CancellationToken;

use super::sweep::{self, Sweep};
use super::{Source, Watcher};
use crate::approvals::Reader;
use crate::clock::Clock;
use crate::codepipeline::observed::ReadError;
use crate::database::Pulse;
use crate::domain::ids::{PipelineName, SourceName};
use crate::random::Random;
use crate::store::{approvals, events};

/// A pipeline is looked at once in this time, however many replicas are told to (U-08).
pub const APART: SignedDuration = SignedDuration::from_secs(2);

/// Looks at single pipelines. Cheap to clone.
#[derive(Clone)]
pub struct Lookout {
    reader: Reader,
    clock: Clock,
    random: Random,
    sources: Arc<BTreeMap<SourceName, Arc<Source>>>,
}

/// What came of a look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Looked {
    /// What there is was read, and is written down.
    Read,
    /// Nobody wants to know of this pipeline.
    NotWatched,
    /// Somebody looked less than [`APART`] ago; that may have been too early.
    TooSoon,
    Unreadable(ReadError),
}

impl Watcher {
    /// What looks at single pipelines of the same sources.
    #[must_use]
    pub fn lookout(&self) -> Lookout {
        let named = self.sources.iter().map(|it| (it.gateway.source().name.clone(), Arc::clone(it)));
        Lookout {
            reader: self.reader.clone(),
            clock: self.clock.clone(),
            random: self.random.clone(),
            sources: Arc::new(named.collect()),
        }
    }
}

impl Lookout {
    /// Whether something that is said to be of this account and region is of this source, as far as that is known.
    #[must_use]
    pub fn is_of(&self, source: &SourceName, account: Option<&str>, region: Option<&str>) -> bool {
        let Some(source) = self.sources.get(source) else { return false };
        let settled = source.account.get().cloned().flatten();
        let ours = settled.or_else(|| source.gateway.source().account.clone());
        let same = |told: Option<&str>, ours: Option<&str>| told.zip(ours).is_none_or(|(told, ours)| told == ours);
        same(account, ours.as_deref()) && same(region, Some(&source.gateway.region()))
    }

    /// Whether the database answers.
    pub(crate) fn pulse(&self) -> &Pulse {
        &self.reader.database().pulse
    }

    /// Looks at a pipeline and writes down what is seen, unless somebody just did.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn look(&self, source: &SourceName, pipeline: &PipelineName) -> sqlx::Result<Looked> {
        let Some(source) = self.sources.get(source) else { return Ok(Looked::NotWatched) };
        let work = async {
            if !self.is_watched(source, pipeline).await? {
                return Ok(Looked::NotWatched);
            }
            if !self.claim(source, pipeline).await? {
                return Ok(Looked::TooSoon);
            }
            let never = CancellationToken::new();
            let sweep = Sweep::of_one(&self.reader, (&self.clock, &self.random), source, &never);
            // Boxed: the futures of a sweep are large.
            Box::pin(sweep::look(&sweep, pipeline)).await
        };
        self.reader.database().pulse.or_dead(work).await
    }

    /// Whether anybody wants to know of it. Names that nobody has heard of leave nothing behind.
    async fn is_watched(&self, source: &Source, pipeline: &PipelineName) -> sqlx::Result<bool> {
        if source.matcher.takes(pipeline.as_str()) {
            return Ok(true);
        }
        let mut conn = self.reader.database().pages.acquire().await?;
        let open = approvals::list_open_of_pipeline(&mut conn, &source.gateway.source().name, pipeline).await?;
        Ok(!open.is_empty())
    }

    async fn claim(&self, source: &Source, pipeline: &PipelineName) -> sqlx::Result<bool> {
        let now = self.clock.now();
        let since = now.checked_sub(APART).unwrap_or(now);
        let mut conn = self.reader.database().pages.acquire().await?;
        events::claim_look(&mut conn, &source.gateway.source().name, pipeline, (now, since)).await
    }
}
