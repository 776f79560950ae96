//! Writing down what a read saw. Each request that opens and each that ends is one transaction of a row and a record; what
//! is only told (stages, newer runs) is updated without one. A read older than what is known changes nothing.

use jiff::{SignedDuration, Timestamp};
use sqlx::PgConnection;

use super::closing::closing;
use super::describe::{Scene, describe};
use super::fate::{self, Ending};
use super::observe::{self, Facts, Place, Sight, Waiting};
use super::{Reader, RefreshError, record, stages};
use crate::codepipeline::Gateway;
use crate::codepipeline::observed::{PipelineState, ReadError};
use crate::database::Pool;
use crate::domain::approval::{AtAws, Decided};
use crate::domain::details::{Details, short};
use crate::domain::ids::{ApprovalId, Gate};
use crate::domain::summary::Marker;
use crate::store::approvals::{self, Approval, Closing};
use crate::store::pipelines::{self, Pipeline};

/// A request that was taken for gone is believed to be there after all when it is seen this much later.
const FOUND_AGAIN: SignedDuration = SignedDuration::from_secs(10);

/// What a read was about.
pub(super) struct Scope<'a> {
    /// Decisions have connections of their own (P-05).
    pub pool: &'a Pool,
    pub gateway: &'a Gateway,
    pub place: &'a Place,
    pub pipeline: &'a Pipeline,
    /// The pipeline's approvals that were last seen open.
    pub known: &'a [Approval],
    /// Described afresh and completely, or the whole read is an error: somebody is about to decide on it.
    pub must_describe: Option<ApprovalId>,
}

/// What came of reading a pipeline.
#[derive(Debug, Default)]
pub struct Swept {
    /// Requests that wait as before, and when the read began that saw them.
    pub seen: Vec<(ApprovalId, Timestamp)>,
    pub opened: usize,
    /// When the first of those opened that AWS tells the time of.
    pub first_opened_at: Option<Timestamp>,
    pub closed: usize,
    /// Something about a request could not be found out; the rest was.
    pub trouble: Option<ReadError>,
    /// The version that the pipeline's state is of, where the state was read.
    pub version: Option<i32>,
}

impl Swept {
    fn note_opening(&mut self, new: &Approval, began: Timestamp) {
        self.opened += 1;
        // What was taken for gone is no opening.
        if !new.opened_about && new.found_at >= began {
            let first = self.first_opened_at.map_or(new.opened_at, |first| first.min(new.opened_at));
            self.first_opened_at = Some(first);
        }
    }
}

impl Reader {
    pub(super) async fn apply(&self, scope: &Scope<'_>, sight: &Sight) -> Result<Swept, RefreshError> {
        let version = sight.state.as_ref().and_then(|state| state.version);
        let mut swept = Swept { trouble: sight.trouble.clone(), version, ..Swept::default() };
        for waiting in &sight.waiting {
            match scope.known.iter().find(|approval| is_same(approval, waiting)) {
                Some(approval) => {
                    self.see_again(scope, sight, waiting, approval).await?;
                    swept.seen.push((approval.id, waiting.seen_at));
                }
                None => {
                    if let Some(new) = self.open(scope, sight, waiting).await? {
                        swept.note_opening(&new, sight.began);
                    }
                }
            }
        }
        let ended = scope.known.iter().filter(|it| !sight.waiting.iter().any(|waiting| is_same(it, waiting)));
        for approval in ended.filter(|it| sight.covers(it)) {
            match fate::find_ending(scope.gateway, approval, sight.state.as_ref()).await {
                Ok(ending) => swept.closed += usize::from(self.close(scope, (approval, sight.began), &ending).await?),
                Err(error) => swept.trouble = Some(error),
            }
        }
        Ok(swept)
    }

    /// The pipeline is gone, and every request with it.
    pub(super) async fn close_all(&self, scope: &Scope<'_>) -> Result<Swept, RefreshError> {
        let mut swept = Swept::default();
        for approval in scope.known {
            let now = self.0.clock.now();
            swept.closed += usize::from(self.close(scope, (approval, now), &Ending::gone(fate::DELETED)).await?);
        }
        Ok(swept)
    }

    async fn see_again(
        &self,
        scope: &Scope<'_>,
        sight: &Sight,
        waiting: &Waiting,
        approval: &Approval,
    ) -> Result<(), RefreshError> {
        let strict = scope.must_describe == Some(approval.id);
        let state = sight.state.as_ref();
        let mut now = if strict || !approval.details.complete {
            let facts = observe::gather(scope.gateway, scope.pipeline, waiting, state, strict).await?;
            self.described(scope, state, (waiting, &facts), (approval.id, approval.found_at)).await?
        } else {
            let details = retold(scope, state, waiting, approval).await;
            self.with_told_deadline(scope.pool, Approval { details, ..approval.clone() }).await?
        };
        now.seen_open_at = approval.seen_open_at.max(waiting.seen_at);
        if strict || now != (Approval { seen_open_at: now.seen_open_at, ..approval.clone() }) {
            let mut conn = scope.pool.acquire().await?;
            approvals::mark_described(&mut conn, &now).await?;
        }
        Ok(())
    }

    /// A request that is not among those known as open. None: it is known as ended, or somebody else just wrote it down.
    async fn open(
        &self,
        scope: &Scope<'_>,
        sight: &Sight,
        waiting: &Waiting,
    ) -> Result<Option<Approval>, RefreshError> {
        let gate = gate_of(scope, waiting);
        let earlier = {
            let mut conn = scope.pool.acquire().await?;
            approvals::find_by_token(&mut conn, &gate, &waiting.token).await?
        };
        if earlier.as_ref().is_some_and(|earlier| !may_be_found_again(earlier, waiting.seen_at)) {
            return Ok(None);
        }
        let state = sight.state.as_ref();
        let facts = observe::gather(scope.gateway, scope.pipeline, waiting, state, false).await?;
        let found_at = self.0.clock.now();
        let id = earlier.as_ref().map_or_else(|| ApprovalId(self.0.random.uuid_v7(found_at)), |earlier| earlier.id);
        let since = earlier.as_ref().map_or(found_at, |earlier| earlier.found_at);
        let new = self.described(scope, state, (waiting, &facts), (id, since)).await?;
        let mut tx = scope.pool.begin().await?;
        let is_news = if earlier.is_some() {
            approvals::mark_found_again(&mut tx, id, waiting.seen_at).await?
                && approvals::mark_described(&mut tx, &new).await?
        } else {
            pipelines::insert_past_gate(&mut tx, &gate, found_at).await?;
            approvals::insert(&mut tx, &new).await?
        };
        if is_news {
            record::opened(&mut tx, &self.0.random, &new).await?;
        }
        tx.commit().await?;
        Ok(is_news.then_some(new))
    }

    async fn described(
        &self,
        scope: &Scope<'_>,
        state: Option<&PipelineState>,
        (waiting, facts): (&Waiting, &Facts),
        (id, found_at): (ApprovalId, Timestamp),
    ) -> Result<Approval, RefreshError> {
        let setting = {
            let mut conn = scope.pool.acquire().await?;
            pipelines::find_gate(&mut conn, &gate_of(scope, waiting)).await?
        };
        let (place, pipeline) = (scope.place, scope.pipeline);
        let scene = Scene { place, pipeline, setting: setting.as_ref(), waiting, state, facts };
        Ok(self.with_told_deadline(scope.pool, describe(&scene, id, found_at)).await?)
    }

    /// Ends an approval, unless a decision made here may have been what ended it, or a read newer than the one of `began`
    /// saw it open. False: nothing was written.
    async fn close(
        &self,
        scope: &Scope<'_>,
        (approval, began): (&Approval, Timestamp),
        ending: &Ending,
    ) -> Result<bool, RefreshError> {
        let Some(closing) = closing(approval, ending, self.0.clock.now()) else { return Ok(false) };
        let mut tx = scope.pool.begin().await?;
        let locked = approvals::find_for_update(&mut tx, approval.id).await?;
        if locked.is_none_or(|now| now.at_aws != AtAws::Open || now.seen_open_at > began)
            || approvals::awaits_settling(&mut tx, approval.id).await?
        {
            return Ok(false);
        }
        let closing = attributed(&mut tx, approval, closing).await?;
        approvals::mark_closed(&mut tx, approval.id, &closing).await?;
        record::closed(&mut tx, &self.0.random, approval, &closing).await?;
        tx.commit().await?;
        Ok(true)
    }
}

/// A summary that ends with the marker of a decision made here on this approval was not written elsewhere.
async fn attributed(conn: &mut PgConnection, approval: &Approval, closing: Closing) -> sqlx::Result<Closing> {
    let marker = closing.decided_summary.as_deref().and_then(Marker::read);
    match marker {
        Some(marker) if approvals::is_own_marker(conn, approval.id, &marker).await? => {
            Ok(Closing { decided: Some(Decided::Here), ..closing })
        }
        _ => Ok(closing),
    }
}

fn is_same(approval: &Approval, waiting: &Waiting) -> bool {
    approval.token == waiting.token && approval.gate.stage == waiting.stage && approval.gate.action == waiting.action
}

fn may_be_found_again(earlier: &Approval, began: Timestamp) -> bool {
    earlier.at_aws == AtAws::Gone && earlier.closed_at.is_some_and(|at| began.duration_since(at) >= FOUND_AGAIN)
}

fn gate_of(scope: &Scope<'_>, waiting: &Waiting) -> Gate {
    Gate {
        source: scope.place.source.clone(),
        pipeline: scope.pipeline.name.clone(),
        stage: waiting.stage.clone(),
        action: waiting.action.clone(),
    }
}

/// What is told about a request that waits as before. Costs a read only when other runs wait behind it than before.
async fn retold(scope: &Scope<'_>, state: Option<&PipelineState>, waiting: &Waiting, approval: &Approval) -> Details {
    let run_status = waiting.run_status.as_deref().map(short).or_else(|| approval.details.run_status.clone());
    let old = Details { run_status, ..approval.details.clone() };
    let Some(state) = state else { return old };
    let runs = if stages::has_others_behind(&old, state, waiting) {
        // Which runs they are is worth telling even when AWS does not say more about them just now.
        Some(scope.gateway.list_runs(&scope.pipeline.name, 100).await.unwrap_or_default())
    } else {
        None
    };
    stages::updated(&old, scope.pipeline, state, waiting, runs.as_deref())
}
