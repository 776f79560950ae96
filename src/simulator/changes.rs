//! Looks up source changes, as a code host would. Reads the worlds, changes nothing.

use std::sync::PoisonError;

use jiff::Timestamp;

use super::{definition::Commit, shared::Shared};

/// A source change that a pipeline ran with.
#[derive(Clone, Debug)]
pub struct Change {
    pub pipeline: String,
    pub repository: String,
    pub branch: String,
    /// The message and the author; the id is the one asked for.
    pub commit: Commit,
    pub at: Timestamp,
}

impl Shared {
    /// The newest execution's change with this commit id.
    pub fn find_change(&self, id: &str) -> Option<Change> {
        self.places().iter().find_map(|place| {
            let world = self.world(place);
            let pipelines = world.lock().unwrap_or_else(PoisonError::into_inner).list_pipelines(None);
            pipelines.iter().find_map(|pipeline| {
                let runs = pipeline.executions.iter().rev();
                let (execution, revision) = runs
                    .filter_map(|run| Some((run, run.revisions.iter().find(|revision| revision.id == id)?)))
                    .next()?;
                let sources = execution.definition.stages.iter().flat_map(|stage| &stage.actions);
                let source = sources.into_iter().find(|action| action.name == revision.action)?;
                let configured = |key: &str| source.configuration.get(key).cloned().unwrap_or_default();
                Some(Change {
                    pipeline: pipeline.definition.name.clone(),
                    repository: configured("FullRepositoryId"),
                    branch: configured("BranchName"),
                    commit: Commit { id: Some(id.to_owned()), ..execution.commit.clone() },
                    at: execution.started,
                })
            })
        })
    }
}
