//! The connection to one source: what can be asked of CodePipeline, in our words. Reads are paced and repeated here, so that
//! the pace sees every throttled attempt; every list is read to its end or to a stated bound; an answer about another
//! pipeline than the one asked for is refused.

mod identity;
mod reading;
mod tags;

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use aws_sdk_codepipeline::Client;
use aws_sdk_codepipeline::types::ActionExecutionFilter;
use tokio::time::Instant;

use super::convert;
use super::credentials::{ConnectError, Connection, Settings};
use super::observed::{ActionRun, Definition, Listing, PipelineState, ReadError, Run, RunDetail};
use super::pace::Pace;
use crate::config::SourceConfig;
use crate::domain::ids::{ExecutionId, PipelineName};
use crate::random::Random;

pub use identity::Identity;
use reading::all_pages;

/// No list has more pages than this; an endless one is a broken answer, not work.
const MOST_PAGES: usize = 200;
/// What a person waits for is read at this pace at first, and at most at that, beside the sweep's. A decision takes several
/// reads, and people are few: pacing is here for the day on which AWS asks to slow down, not to make anybody wait (P-07).
const URGENT_FIRST: u32 = 100;
const URGENT_MOST: u32 = 400;

/// One source's connection. Cheap to clone; clones share pace and credentials.
#[derive(Debug, Clone)]
pub struct Gateway {
    shared: Arc<Shared>,
    urgent: bool,
}

#[derive(Debug)]
struct Shared {
    source: SourceConfig,
    settings: Settings,
    random: Random,
    connection: RwLock<Connection>,
    renewed: Mutex<Instant>,
    identity: Mutex<Option<Identity>>,
    sweeps: Pace,
    urgent: Pace,
}

/// A page of a list, and the token of the next one.
#[derive(Debug)]
pub struct Page<T> {
    pub items: Vec<T>,
    pub next: Option<String>,
}

impl Gateway {
    /// Builds the connection. Asks AWS nothing yet.
    ///
    /// # Errors
    /// [`ConnectError`] when the configuration cannot name a place to ask.
    pub async fn open(source: &SourceConfig, settings: Settings, random: &Random) -> Result<Self, ConnectError> {
        let connection = Connection::open(source, &settings).await?;
        let shared = Shared {
            sweeps: Pace::new(settings.first_reads_per_second, source.max_reads_per_second),
            urgent: Pace::new(URGENT_FIRST, URGENT_MOST),
            source: source.clone(),
            settings,
            random: random.clone(),
            connection: RwLock::new(connection),
            renewed: Mutex::new(Instant::now()),
            identity: Mutex::new(None),
        };
        Ok(Self { shared: Arc::new(shared), urgent: false })
    }

    /// The same connection for what a person or a decision waits for: its reads do not queue behind a sweep's.
    #[must_use]
    pub fn urgent(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), urgent: true }
    }

    #[must_use]
    pub fn source(&self) -> &SourceConfig {
        &self.shared.source
    }

    #[must_use]
    pub fn region(&self) -> String {
        self.connection().region
    }

    /// Reads a second the sweep makes at present.
    #[must_use]
    pub fn reads_per_second(&self) -> f64 {
        self.shared.sweeps.per_second()
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    pub(super) fn connection(&self) -> Connection {
        self.shared.connection.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Every pipeline of the account and region.
    ///
    /// # Errors
    /// [`ReadError`], as for every read.
    pub async fn list_pipelines(&self) -> Result<Vec<Listing>, ReadError> {
        let action = "codepipeline:ListPipelines";
        let page = |token: Option<String>| async move {
            let call = |c: Client| c.list_pipelines().max_results(1000).set_next_token(token.clone()).send();
            let output = self.read(action, call).await?;
            let pipelines = output.pipelines.ok_or_else(|| convert::missing("pipelines"))?;
            let items: Vec<_> = pipelines.iter().filter_map(convert::listing).collect();
            if items.is_empty() && !pipelines.is_empty() {
                return Err(convert::missing("the names of the pipelines"));
            }
            Ok(Page { items, next: convert::text(output.next_token.as_deref()) })
        };
        all_pages(page, MOST_PAGES).await
    }

    /// A pipeline's definition, with the configuration of its gates alone.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn read_definition(&self, name: &PipelineName) -> Result<Definition, ReadError> {
        let call = |c: Client| c.get_pipeline().name(name.as_str()).send();
        let output = self.read("codepipeline:GetPipeline", call).await?;
        convert::definition(name, output)
    }

    /// Where a pipeline's stages stand.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn read_state(&self, name: &PipelineName) -> Result<PipelineState, ReadError> {
        let call = |c: Client| c.get_pipeline_state().name(name.as_str()).send();
        let output = self.read("codepipeline:GetPipelineState", call).await?;
        convert::state(name, output)
    }

    /// The newest runs, at most `limit`.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn list_runs(&self, name: &PipelineName, limit: usize) -> Result<Vec<Run>, ReadError> {
        let size = i32::try_from(limit.clamp(1, 100)).unwrap_or(100);
        let mut runs = all_pages(|token| self.list_runs_page(name, size, token), limit.div_ceil(100).max(1)).await?;
        runs.truncate(limit);
        Ok(runs)
    }

    /// One page of the runs, newest first.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn list_runs_page(
        &self,
        name: &PipelineName,
        size: i32,
        token: Option<String>,
    ) -> Result<Page<Run>, ReadError> {
        let call = |c: Client| {
            let request = c.list_pipeline_executions().pipeline_name(name.as_str());
            request.max_results(size).set_next_token(token.clone()).send()
        };
        let output = self.read("codepipeline:ListPipelineExecutions", call).await?;
        let summaries = output.pipeline_execution_summaries;
        let summaries = summaries.ok_or_else(|| convert::missing("pipelineExecutionSummaries"))?;
        Ok(Page {
            items: summaries.iter().filter_map(convert::run).collect(),
            next: convert::text(output.next_token.as_deref()),
        })
    }

    /// Every action of one run, as often as it was tried.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn list_action_runs(
        &self,
        name: &PipelineName,
        execution: &ExecutionId,
    ) -> Result<Vec<ActionRun>, ReadError> {
        let page = |token: Option<String>| async move {
            let call = |c: Client| {
                let filter = ActionExecutionFilter::builder().pipeline_execution_id(execution.as_str()).build();
                let request = c.list_action_executions().pipeline_name(name.as_str()).filter(filter);
                request.max_results(100).set_next_token(token.clone()).send()
            };
            let output = self.read("codepipeline:ListActionExecutions", call).await?;
            let details = output.action_execution_details;
            let details = details.ok_or_else(|| convert::missing("actionExecutionDetails"))?;
            let items = details.iter().filter_map(|detail| convert::action_run(execution, detail).transpose());
            Ok(Page { items: items.collect::<Result<_, _>>()?, next: convert::text(output.next_token.as_deref()) })
        };
        let mut runs: Vec<ActionRun> = all_pages(page, MOST_PAGES).await?;
        // AWS does not promise an order, and what is made of the list must not change with it.
        runs.sort_by(|one, other| {
            let key = |run: &'_ ActionRun| (run.stage.clone(), run.action.clone(), run.action_execution.clone());
            other.started_at.cmp(&one.started_at).then_with(|| key(one).cmp(&key(other)))
        });
        Ok(runs)
    }

    /// One run.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn read_run(&self, name: &PipelineName, execution: &ExecutionId) -> Result<RunDetail, ReadError> {
        let call = |c: Client| {
            let request = c.get_pipeline_execution().pipeline_name(name.as_str());
            request.pipeline_execution_id(execution.as_str()).send()
        };
        let output = self.read("codepipeline:GetPipelineExecution", call).await?;
        convert::run_detail(name, execution, output)
    }
}
