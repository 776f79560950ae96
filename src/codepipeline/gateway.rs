//! The connection to one source: what can be asked of CodePipeline, in our words. Reads are paced and repeated here, so that
//! the pace sees every throttled attempt; every list is read to its end or to a stated bound; an answer about another
//! pipeline than the one asked for is refused.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use aws_sdk_codepipeline::Client;
use aws_sdk_codepipeline::config::http::HttpResponse;
use aws_sdk_codepipeline::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_codepipeline::types::ActionExecutionFilter;
use tokio::time::Instant;

use super::convert;
use super::credentials::{ConnectError, Connection, Settings};
use super::error::read_error;
use super::observed::{ActionRun, Definition, Listing, PipelineState, ReadError, Run, RunDetail};
use super::pace::Pace;
use crate::config::SourceConfig;
use crate::domain::ids::{ExecutionId, PipelineName};
use crate::random::Random;

/// How often a read is tried in all (D-05).
const ATTEMPTS: u32 = 3;
/// No list has more pages than this; an endless one is a broken answer, not work.
const MOST_PAGES: usize = 200;
/// Credentials are not loaded afresh more often than this.
const RENEW_EVERY: Duration = Duration::from_secs(5);
/// What a person waits for is read at this pace, beside the sweep's.
const URGENT_PER_SECOND: u32 = 20;
/// How long STS may take to say which account this is; without an answer the account is learnt elsewhere.
const IDENTITY_TIME: Duration = Duration::from_secs(3);

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

/// Whose credentials are used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub account: String,
    pub arn: String,
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
            urgent: Pace::new(URGENT_PER_SECOND, URGENT_PER_SECOND),
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

    /// Whose credentials these are; asked once. `None` where there is no STS to ask: not every endpoint has one.
    pub async fn identify(&self) -> Option<Identity> {
        if let Some(known) = self.identity() {
            return Some(known);
        }
        let sts = self.connection().sts;
        let asked = tokio::time::timeout(IDENTITY_TIME, sts.get_caller_identity().send()).await.ok()?.ok()?;
        let identity = Identity { account: asked.account.filter(|it| convert::is_account(it))?, arn: asked.arn? };
        *self.shared.identity.lock().unwrap_or_else(PoisonError::into_inner) = Some(identity.clone());
        Some(identity)
    }

    fn identity(&self) -> Option<Identity> {
        self.shared.identity.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether an ARN that AWS names as the author of something is this portal's own: the role that is assumed, whatever
    /// the session, or the user. False where that is not known.
    #[must_use]
    pub fn is_own(&self, arn: &str) -> bool {
        let role = self.shared.source.role_arn.as_deref();
        let known = self.identity().map(|identity| identity.arn);
        role.or(known.as_deref()).is_some_and(|own| is_same_caller(own, arn))
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

    /// Loads the credentials again, from wherever the configuration says. False if that was done a moment ago.
    pub(super) async fn renew_credentials(&self) -> bool {
        {
            let mut renewed = self.shared.renewed.lock().unwrap_or_else(PoisonError::into_inner);
            if renewed.elapsed() < RENEW_EVERY {
                return false;
            }
            *renewed = Instant::now();
        }
        match Connection::open(&self.shared.source, &self.shared.settings).await {
            Ok(connection) => {
                *self.shared.connection.write().unwrap_or_else(PoisonError::into_inner) = connection;
                true
            }
            Err(_) => false,
        }
    }

    fn pace(&self) -> &Pace {
        if self.urgent { &self.shared.urgent } else { &self.shared.sweeps }
    }

    async fn read<T, E, F>(&self, action: &'static str, call: impl Fn(Client) -> F) -> Result<T, ReadError>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        let mut spent = Duration::ZERO;
        let mut tried = 0;
        loop {
            self.pace().turn().await;
            let started = Instant::now();
            let left = self.shared.settings.attempt.saturating_sub(spent);
            let error = match tokio::time::timeout(left, call(self.connection().reads)).await {
                Ok(Ok(output)) => {
                    self.pace().answered();
                    return Ok(output);
                }
                Ok(Err(failure)) => read_error(action, &failure),
                Err(_) => ReadError::Unreachable("it did not answer in time".into()),
            };
            tried += 1;
            spent += started.elapsed();
            if error == ReadError::Throttled {
                // The limit is the account's: what one asks too often, the other must not ask either.
                self.shared.sweeps.throttled();
                self.shared.urgent.throttled();
            }
            let again = match &error {
                ReadError::Credentials(_) => tried == 1 && self.renew_credentials().await,
                error => error.is_passing(),
            };
            if !again || tried >= ATTEMPTS || spent >= self.shared.settings.attempt {
                return Err(error);
            }
            self.wait(tried).await;
        }
    }

    /// Full jitter: somewhere between nothing and a wait that doubles with each try.
    async fn wait(&self, tried: u32) {
        let most = self.shared.settings.first_wait * 2_u32.saturating_pow(tried);
        tokio::time::sleep(most.mul_f64(self.shared.random.fraction())).await;
    }
}

/// Reads page after page, at most `most` of them.
async fn all_pages<T, F>(page: impl Fn(Option<String>) -> F, most: usize) -> Result<Vec<T>, ReadError>
where
    F: Future<Output = Result<Page<T>, ReadError>>,
{
    let mut all = Vec::new();
    let mut token = None;
    for _ in 0..most {
        let got = page(token.clone()).await?;
        all.extend(got.items);
        if got.next.is_none() {
            return Ok(all);
        }
        if got.next == token {
            return Err(ReadError::Broken("a list whose next page is the same page again".into()));
        }
        token = got.next;
    }
    // A caller that wants only the newest pages asked for no more; an endless list ends here for everybody.
    if most >= MOST_PAGES {
        return Err(ReadError::Broken(format!("a list of more than {MOST_PAGES} pages")));
    }
    Ok(all)
}

/// Compares callers without the session of an assumed role: `arn:aws:iam::1:role/path/R` acts as
/// `arn:aws:sts::1:assumed-role/R/session`.
fn is_same_caller(own: &str, other: &str) -> bool {
    caller(own) == caller(other)
}

fn caller(arn: &str) -> (&str, &str, &str) {
    let mut parts = arn.splitn(6, ':').skip(4);
    let account = parts.next().unwrap_or_default();
    let resource = parts.next().unwrap_or(arn);
    match resource.split_once('/') {
        Some(("assumed-role", rest)) => (account, "role", rest.split('/').next().unwrap_or(rest)),
        Some(("role", path)) => (account, "role", path.rsplit('/').next().unwrap_or(path)),
        _ => (account, "", resource),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_recognised_whatever_its_session() {
        let role = "arn:aws:iam::111122223333:role/teams/countersign";
        assert!(is_same_caller(role, "arn:aws:sts::111122223333:assumed-role/countersign/countersign-rec-7"));
        assert!(!is_same_caller(role, "arn:aws:sts::444455556666:assumed-role/countersign/x"));
        assert!(!is_same_caller(role, "arn:aws:iam::111122223333:user/countersign"));
        let user = "arn:aws:iam::111122223333:user/portal";
        assert!(is_same_caller(user, user));
        assert!(!is_same_caller(user, "arn:aws:iam::111122223333:user/ines"));
    }
}
