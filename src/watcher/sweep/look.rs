//! One look at one pipeline, ahead of the next sweep: the same reads, written down in the same way. It trusts nothing of what
//! caused it, and waits for no sweep.

use super::account::{self, Account};
use super::{Known, Sweep, Task, tags};
use crate::approvals::{RefreshError, Swept};
use crate::codepipeline::observed::{Listing, Missing, ReadError};
use crate::domain::ids::PipelineName;
use crate::domain::mode::Mode;
use crate::store::pipelines::{self, Pipeline};
use crate::store::{approvals, sources};
use crate::watcher::{Looked, definitions};

/// Looks at a pipeline and writes down what is seen.
///
/// # Errors
/// Whatever the database says: it is then not known what was written.
pub(in crate::watcher) async fn look(sweep: &Sweep<'_>, name: &PipelineName) -> sqlx::Result<Looked> {
    let Some((task, known)) = sweep.load_one(name).await? else { return Ok(Looked::NotWatched) };
    if let Some(why) = sweep.settle_one(name, &known).await? {
        return Ok(Looked::Unreadable(ReadError::Credentials(why)));
    }
    let was_known = task.kept.is_some();
    let result = sweep.look_at(task, known).await?;
    sweep.write_look(name, was_known, result).await
}

impl Sweep<'_> {
    /// What is known of the pipeline. `None`: nobody wants to know more.
    async fn load_one(&self, name: &PipelineName) -> sqlx::Result<Option<(Task, Known)>> {
        let source = &self.source.gateway.source().name;
        let mut conn = self.reader.database().pages.acquire().await?;
        let open = approvals::list_open_of_pipeline(&mut conn, source, name).await?;
        if open.is_empty() && !self.source.matcher.takes(name.as_str()) {
            return Ok(None);
        }
        let account = sources::find(&mut conn, source).await?.and_then(|source| source.account);
        let kept = pipelines::find(&mut conn, source, name).await?;
        let tags = tags::Due::load(&mut conn, source, self.began).await?;
        let known = Known { account, pipelines: Default::default(), open: Default::default(), tags };
        Ok(Some((Task { name: name.clone(), listed: None, kept, open }, known)))
    }

    /// Nothing is written in the name of an account before it is known to be the right one. The text says what is wrong.
    async fn settle_one(&self, name: &PipelineName, known: &Known) -> sqlx::Result<Option<String>> {
        if self.source.account.get().is_some() {
            return Ok(None);
        }
        let listed = [Listing { name: name.clone(), version: 0, updated: None, mode: None, pipeline_type: None }];
        match account::settle(self.reader, self.source, &listed, known.account.as_deref()).await? {
            Account::Wrong(why) => Ok(Some(why)),
            Account::Known(account) => {
                self.source.account.get_or_init(|| account);
                Ok(None)
            }
        }
    }

    /// Reads the pipeline; its definition too when that is not known, or is not the one that its state is of.
    async fn look_at(&self, task: Task, known: Known) -> sqlx::Result<Result<Swept, ReadError>> {
        let Task { name, kept, open, .. } = task;
        let account = self.source.account.get().cloned().flatten().or(known.account);
        let is_good = |kept: &Pipeline| kept.gate_count > 0 && kept.version >= 0 && kept.gone_at.is_none();
        let usable = kept.filter(|kept| !open.is_empty() || is_good(kept));
        let is_new = usable.is_none();
        let pipeline = match usable {
            Some(kept) => kept,
            None => match self.define(&name).await? {
                Ok(pipeline) => pipeline,
                // What AWS does not know has nothing that waits.
                Err(ReadError::Gone(Missing::Pipeline)) => return Ok(Ok(Swept::default())),
                Err(error) => return Ok(Err(error)),
            },
        };
        if is_new && pipeline.gate_count == 0 && open.is_empty() {
            return Ok(Ok(Swept::default()));
        }
        self.read_tags((&pipeline, is_new), account.as_deref(), &known.tags).await?;
        self.reader.look_afresh(&self.source.gateway.source().name, &name);
        let read = self.reader.sweep(&self.source.gateway, account.as_deref(), &pipeline, &open).await;
        let swept = match sorted(read)? {
            Ok(swept) if !is_new && is_outdated(&pipeline, &swept) => swept,
            other => return Ok(other),
        };
        match self.define(&name).await? {
            Ok(pipeline) => self.look_again(&pipeline, account.as_deref()).await,
            Err(ReadError::Gone(_)) => Ok(Ok(swept)),
            Err(error) => Ok(Err(error)),
        }
    }

    /// Reads the pipeline by its present definition, where it was read by an older one.
    async fn look_again(&self, pipeline: &Pipeline, account: Option<&str>) -> sqlx::Result<Result<Swept, ReadError>> {
        let source = &self.source.gateway.source().name;
        let open = {
            let mut conn = self.reader.database().pages.acquire().await?;
            approvals::list_open_of_pipeline(&mut conn, source, &pipeline.name).await?
        };
        sorted(self.reader.sweep(&self.source.gateway, account, pipeline, &open).await)
    }

    async fn define(&self, name: &PipelineName) -> sqlx::Result<Result<Pipeline, ReadError>> {
        definitions::read(self.reader, self.source, (name, None), self.clock.now()).await
    }

    /// A name that came with an announcement is not made a pipeline that cannot be read: it need not exist.
    async fn write_look(
        &self,
        name: &PipelineName,
        was_known: bool,
        result: Result<Swept, ReadError>,
    ) -> sqlx::Result<Looked> {
        let (swept, trouble) = match result {
            Ok(swept) => (swept.seen, swept.trouble),
            Err(error) => (Vec::new(), Some(error)),
        };
        let Some(error) = trouble else {
            self.write_read(&[(name.clone(), self.began)], &swept).await?;
            return Ok(Looked::Read);
        };
        self.write_read(&[], &swept).await?;
        if was_known {
            self.write_unreadable(&[(name.clone(), error.clone())]).await?;
        }
        Ok(Looked::Unreadable(error))
    }
}

fn sorted(read: Result<Swept, RefreshError>) -> sqlx::Result<Result<Swept, ReadError>> {
    match read {
        Ok(swept) => Ok(Ok(swept)),
        Err(RefreshError::Unreadable(error)) => Ok(Err(error)),
        Err(RefreshError::Database(error)) => Err(error),
        Err(RefreshError::NoSuchApproval) => Ok(Ok(Swept::default())),
    }
}

/// Of PARALLEL pipelines no state is read: that the definition is another is seen by the next sweep, and their gates by what
/// AWS says of each action.
fn is_outdated(pipeline: &Pipeline, swept: &Swept) -> bool {
    pipeline.mode != Mode::Parallel && swept.version.is_some_and(|version| version != pipeline.version)
}
