//! What pipelines with gates are tagged with: read only while a grant or mark is about tags, at a change of the definition
//! and every ten minutes, within the sweep's pace. A pipeline whose tags cannot be read is watched all the same; its tags
//! then let nobody in.

use std::collections::HashMap;
use std::sync::PoisonError;

use jiff::{SignedDuration, Timestamp};
use sqlx::PgConnection;

use super::Sweep;
use crate::approvals::RefreshError;
use crate::codepipeline::observed::ReadError;
use crate::domain::ids::{PipelineName, SourceName};
use crate::store::access::tags;
use crate::store::pipelines::Pipeline;

/// What was read longer ago is read again. With a sweep each hour at most, every fifteen minutes is what is promised.
const LASTS: SignedDuration = SignedDuration::from_mins(10);
/// What AWS does not allow, it will not allow a moment later either.
const REFUSED_AGAIN: SignedDuration = SignedDuration::from_mins(5);
const PASSING_AGAIN: SignedDuration = SignedDuration::from_secs(60);

/// Whose tags are to be read in this sweep.
pub(super) struct Due {
    /// Absent: nothing is about tags.
    read_at: Option<HashMap<String, Timestamp>>,
    now: Timestamp,
}

impl Due {
    pub(super) async fn load(conn: &mut PgConnection, source: &SourceName, now: Timestamp) -> sqlx::Result<Self> {
        let used = tags::are_used(conn).await?;
        let read_at = if used { Some(tags::list_read(conn, source).await?) } else { None };
        Ok(Self { read_at, now })
    }

    fn is_due(&self, name: &PipelineName, is_new: bool) -> bool {
        let Some(read_at) = &self.read_at else { return false };
        is_new || read_at.get(name.as_str()).is_none_or(|at| self.now.duration_since(*at) >= LASTS)
    }
}

impl Sweep<'_> {
    /// Reads a pipeline's tags where they are due. Only the database's own trouble is an error here.
    pub(super) async fn read_tags(
        &self,
        (pipeline, is_new): (&Pipeline, bool),
        account: Option<&str>,
        due: &Due,
    ) -> sqlx::Result<()> {
        let name = &pipeline.name;
        if !due.is_due(name, is_new) || self.is_waiting_for_tags(name) {
            return Ok(());
        }
        match self.reader.sweep_tags(&self.source.gateway, account, name).await {
            Ok(()) => self.retries().remove(name),
            Err(RefreshError::Database(error)) => return Err(error),
            Err(RefreshError::NoSuchApproval) => None,
            Err(RefreshError::Unreadable(error)) => self.put_off(name, &error),
        };
        Ok(())
    }

    fn is_waiting_for_tags(&self, name: &PipelineName) -> bool {
        self.retries().get(name).is_some_and(|next| *next > self.began)
    }

    fn put_off(&self, name: &PipelineName, error: &ReadError) -> Option<Timestamp> {
        let after = if error.is_passing() { PASSING_AGAIN } else { REFUSED_AGAIN };
        tracing::warn!(
            source = %self.source.gateway.source().name, pipeline = %name, why = error.explain(),
            "a pipeline's tags cannot be read, so grants that are about tags let nobody decide there"
        );
        self.retries().insert(name.clone(), self.began + after)
    }

    fn retries(&self) -> std::sync::MutexGuard<'_, std::collections::BTreeMap<PipelineName, Timestamp>> {
        self.source.tag_retries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
