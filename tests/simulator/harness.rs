//! Starts a simulator on a clock that stands still, and the real clients that talk to it.

use std::path::PathBuf;

use aws_sdk_codepipeline::{
    Client,
    config::{BehaviorVersion, Credentials, Region, retry::RetryConfig, timeout::TimeoutConfig},
    error::{ProvideErrorMetadata, SdkError},
};
use countersign::{
    clock::Clock,
    simulator::{OpenApproval, Simulator, SimulatorHandle, WorldFile, WorldHandle},
};
use jiff::SignedDuration;
use serde_json::Value;

pub const ACCOUNT: &str = "111122223333";
pub const REGION: &str = "eu-west-1";
pub const PORTAL: &str = "arn:aws:iam::111122223333:user/portal";
pub const INES: &str = "arn:aws:iam::111122223333:user/ines";

pub struct Stage {
    pub sim: SimulatorHandle,
    pub world: WorldHandle,
    pub sdk: Client,
}

/// The world of the gates, on a manual clock.
pub async fn gates() -> Stage {
    start(include_str!("../data/worlds/gates.toml")).await
}

pub async fn start(world: &str) -> Stage {
    let clock = Clock::manual("2026-11-21T08:00:00Z".parse().unwrap());
    let file = WorldFile::parse(world).unwrap();
    let sim = Simulator::start(file, clock, "127.0.0.1:0".parse().unwrap()).await.unwrap();
    let sdk = client(&sim, "AKIAPORTAL", "portal-secret");
    Stage { world: sim.world(ACCOUNT, REGION), sdk, sim }
}

pub fn client(sim: &SimulatorHandle, key: &str, secret: &str) -> Client {
    client_with(sim, Credentials::new(key, secret, None, None, "test"))
}

pub fn client_with(sim: &SimulatorHandle, credentials: Credentials) -> Client {
    let config = aws_sdk_codepipeline::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(REGION))
        .credentials_provider(credentials)
        .endpoint_url(sim.endpoint())
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::disabled())
        .build();
    Client::from_conf(config)
}

/// The code and message of a refusal.
pub fn refusal<T: std::fmt::Debug, E>(result: Result<T, SdkError<E>>) -> (String, String)
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let error = result.expect_err("a refusal was expected");
    let text = |found: Option<&str>| found.unwrap_or_default().to_owned();
    (text(error.code()), text(error.message()))
}

pub fn code<T: std::fmt::Debug, E>(result: Result<T, SdkError<E>>) -> String
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    refusal(result).0
}

impl Stage {
    pub fn step(&self, seconds: i64) {
        self.sim.step(SignedDuration::from_secs(seconds));
    }

    pub fn open(&self, pipeline: &str) -> OpenApproval {
        self.world.open_approval(pipeline, None).expect("nothing is in the way of this approval")
    }

    /// Answers by the SDK.
    pub async fn put(
        &self,
        approval: &OpenApproval,
        status: &str,
        summary: &str,
    ) -> Result<
        aws_sdk_codepipeline::operation::put_approval_result::PutApprovalResultOutput,
        SdkError<aws_sdk_codepipeline::operation::put_approval_result::PutApprovalResultError>,
    > {
        put_with(&self.sdk, approval, status, summary).await
    }

    /// The raw answer of an operation, as it is on the wire.
    pub async fn raw(&self, operation: &str, body: &Value) -> Value {
        let (status, text) = self.raw_text(operation, &body.to_string()).await;
        assert_eq!(status, 200, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    pub async fn raw_text(&self, operation: &str, body: &str) -> (u16, String) {
        let answer = self.send(operation, body).await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    pub async fn send(&self, operation: &str, body: &str) -> reqwest::Result<reqwest::Response> {
        let scope = format!("Credential=ANYBODY/20261121/{REGION}/codepipeline/aws4_request");
        reqwest::Client::new()
            .post(self.sim.endpoint())
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", format!("CodePipeline_20150709.{operation}"))
            .header("x-amz-date", "20261121T080000Z")
            .header("authorization", format!("AWS4-HMAC-SHA256 {scope}, SignedHeaders=host;x-amz-date, Signature=00"))
            .body(body.to_owned())
            .send()
            .await
    }

    /// One stage of GetPipelineState, as it is on the wire.
    pub async fn stage_state(&self, pipeline: &str, stage: &str) -> Value {
        let state = self.raw("GetPipelineState", &serde_json::json!({ "name": pipeline })).await;
        let stages = state["stageStates"].as_array().unwrap().clone();
        stages.into_iter().find(|state| state["stageName"] == stage).unwrap()
    }

    /// One action of GetPipelineState.
    pub async fn action_state(&self, pipeline: &str, stage: &str, action: &str) -> Value {
        let actions = self.stage_state(pipeline, stage).await["actionStates"].as_array().unwrap().clone();
        actions.into_iter().find(|state| state["actionName"] == action).unwrap()
    }

    /// Status of an execution.
    pub async fn status(&self, pipeline: &str, execution: &str) -> String {
        let body = serde_json::json!({ "pipelineName": pipeline, "pipelineExecutionId": execution });
        let answer = self.raw("GetPipelineExecution", &body).await;
        answer["pipelineExecution"]["status"].as_str().unwrap().to_owned()
    }

    /// The action executions of an execution, newest first.
    pub async fn action_executions(&self, pipeline: &str, execution: &str) -> Vec<Value> {
        let body = serde_json::json!({ "pipelineName": pipeline, "filter": { "pipelineExecutionId": execution } });
        self.raw("ListActionExecutions", &body).await["actionExecutionDetails"].as_array().unwrap().clone()
    }
}

pub async fn put_with(
    sdk: &Client,
    approval: &OpenApproval,
    status: &str,
    summary: &str,
) -> Result<
    aws_sdk_codepipeline::operation::put_approval_result::PutApprovalResultOutput,
    SdkError<aws_sdk_codepipeline::operation::put_approval_result::PutApprovalResultError>,
> {
    let result = aws_sdk_codepipeline::types::ApprovalResult::builder().status(status.into()).summary(summary).build();
    sdk.put_approval_result()
        .pipeline_name(&approval.pipeline)
        .stage_name(&approval.stage)
        .action_name(&approval.action)
        .token(&approval.token)
        .result(result.unwrap())
        .send()
        .await
}

/// The AWS CLI, as people have it.
pub struct Cli {
    program: PathBuf,
    endpoint: String,
    key: (String, String),
}

/// What the CLI printed and how it ended.
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Cli {
    pub fn new(sim: &SimulatorHandle) -> Self {
        let key = ("AKIAPORTAL".to_owned(), "portal-secret".to_owned());
        Self { program: find_cli(), endpoint: sim.endpoint(), key }
    }

    pub async fn run(&self, arguments: &[&str]) -> Ran {
        let output = tokio::process::Command::new(&self.program)
            .args(["--endpoint-url", &self.endpoint, "--region", REGION, "--output", "json"])
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", std::env::temp_dir())
            .env("AWS_ACCESS_KEY_ID", &self.key.0)
            .env("AWS_SECRET_ACCESS_KEY", &self.key.1)
            .env("AWS_MAX_ATTEMPTS", "1")
            .env("AWS_CONFIG_FILE", "/dev/null")
            .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
            .output()
            .await
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ran { code: output.status.code().unwrap_or(-1), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// The JSON a successful call prints.
    pub async fn json(&self, arguments: &[&str]) -> Value {
        let ran = self.run(arguments).await;
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        if ran.stdout.trim().is_empty() { Value::Null } else { serde_json::from_str(&ran.stdout).unwrap() }
    }
}

fn find_cli() -> PathBuf {
    if let Some(named) = std::env::var_os("COUNTERSIGN_TEST_AWS_CLI") {
        return named.into();
    }
    let installed = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/tools/awscli/bin/aws");
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&paths).map(|folder| folder.join("aws"));
    let found = std::iter::once(installed).chain(on_path).find(|program| program.is_file());
    found.expect("the AWS CLI is not installed; run script/test, which installs it, or set COUNTERSIGN_TEST_AWS_CLI")
}
