//! A second, tiny implementation of the API, with habits of its own: one id is token, action execution and external
//! execution at once; lists come in another order with every call; nobody is named; comments come back cut or with a line
//! end. One pipeline, one gate, no STS.

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};

pub const ID: &str = "aaaaaaaa-1111-4222-8333-444444444444";
const RUN: &str = "bbbbbbbb-1111-4222-8333-444444444444";
const BEGAN: i64 = 1_795_247_400;

/// What this AWS does differently.
#[derive(Debug, Clone, Copy, Default)]
pub struct Habits {
    pub parallel: bool,
    pub without_action_ids: bool,
    /// How much of a summary comes back.
    pub echoes: Option<usize>,
    pub line_end: bool,
    pub names_nobody: bool,
    /// The answer to a decision is an empty 200.
    pub says_nothing: bool,
}

#[derive(Debug, Default)]
struct Now {
    habits: Habits,
    calls: u64,
    /// Verdict and summary of every decision that was received.
    decided: Vec<(String, String)>,
}

#[derive(Debug, Clone, Default)]
pub struct OtherAws(Arc<Mutex<Now>>);

impl OtherAws {
    pub async fn start(habits: Habits) -> (Self, String) {
        let aws = Self(Arc::new(Mutex::new(Now { habits, ..Now::default() })));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = Router::new().route("/", post(answer)).with_state(aws.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        (aws, format!("http://{address}"))
    }

    pub fn decided(&self) -> Vec<(String, String)> {
        self.with(|now| now.decided.clone())
    }

    fn with<T>(&self, f: impl FnOnce(&mut Now) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn answer(State(aws): State<OtherAws>, headers: HeaderMap, body: Bytes) -> Response {
    let target = headers.get("x-amz-target").and_then(|it| it.to_str().ok()).unwrap_or_default();
    let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
    let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
    match aws.with(|now| now.answer(&operation, &asked)) {
        Ok(Value::Null) => StatusCode::OK.into_response(),
        Ok(said) => ([("content-type", "application/x-amz-json-1.1")], said.to_string()).into_response(),
        Err(code) => (StatusCode::BAD_REQUEST, json!({"__type": code, "message": "no"}).to_string()).into_response(),
    }
}

impl Now {
    fn answer(&mut self, operation: &str, asked: &Value) -> Result<Value, &'static str> {
        self.calls += 1;
        let mode = if self.habits.parallel { "PARALLEL" } else { "SUPERSEDED" };
        match operation {
            "ListPipelines" => Ok(json!({"pipelines": [{"name": "odd", "version": 1, "executionMode": mode}]})),
            "GetPipeline" => Ok(json!({"pipeline": {"name": "odd", "roleArn": "arn:aws:iam::111122223333:role/r",
                "version": 1, "executionMode": mode, "stages": [
                    {"name": "Source", "actions": [action("Repo", "Source", "S3"), action("Docs", "Source", "S3")]},
                    {"name": "Gate", "actions": [action("Release", "Approval", "Manual")]}]}})),
            "GetPipelineState" => Ok(self.state()),
            "ListPipelineExecutions" => {
                Ok(json!({"pipelineExecutionSummaries": [{"pipelineExecutionId": RUN, "status": "InProgress"}]}))
            }
            "GetPipelineExecution" => Ok(self.run()),
            "ListActionExecutions" => Ok(self.actions()),
            "PutApprovalResult" => self.decide(asked),
            _ => Err("UnknownOperationException"),
        }
    }

    fn decide(&mut self, asked: &Value) -> Result<Value, &'static str> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        if asked["token"] != ID || asked["pipelineName"] != "odd" || asked["actionName"] != "Release" {
            return Err("InvalidApprovalTokenException");
        }
        if !self.decided.is_empty() {
            return Err("ApprovalAlreadyCompletedException");
        }
        self.decided.push((text(&asked["result"]["status"]), text(&asked["result"]["summary"])));
        Ok(if self.habits.says_nothing { Value::Null } else { json!({"approvedAt": BEGAN + 60}) })
    }

    fn status(&self) -> &'static str {
        match self.decided.first().map(|(verdict, _)| verdict.as_str()) {
            None => "InProgress",
            Some("Approved") => "Succeeded",
            Some(_) => "Failed",
        }
    }

    fn echo(&self) -> Option<String> {
        let (_, summary) = self.decided.first()?;
        let cut: String = summary.chars().take(self.habits.echoes.unwrap_or(usize::MAX)).collect();
        Some(if self.habits.line_end { cut + "\n" } else { cut })
    }

    fn by(&self) -> Option<&'static str> {
        (!self.habits.names_nobody && !self.decided.is_empty()).then_some("arn:aws:iam::111122223333:user/portal")
    }

    fn state(&self) -> Value {
        let mut latest = json!({"actionExecutionId": ID, "status": self.status(), "externalExecutionId": ID,
            "lastStatusChange": BEGAN + 60 * self.decided.len() as i64, "token": ID});
        set(&mut latest, "summary", self.echo());
        set(&mut latest, "lastUpdatedBy", self.by().map(str::to_owned));
        self.without_ids(&mut latest);
        if !self.decided.is_empty() {
            latest.as_object_mut().unwrap().remove("token");
        }
        json!({"pipelineName": "odd", "pipelineVersion": 1, "stageStates": [
            {"stageName": "Source", "actionStates": [{"actionName": "Repo"}, {"actionName": "Docs"}],
                "inboundExecution": {"pipelineExecutionId": "cccccccc-1111-4222-8333-444444444444", "status": "InProgress"}},
            {"stageName": "Gate", "latestExecution": {"pipelineExecutionId": RUN, "status": "InProgress"},
                "actionStates": [{"actionName": "Release", "latestExecution": latest}]}]})
    }

    fn run(&self) -> Value {
        let revision = |name: &str| json!({"name": name, "revisionId": "c0ffee", "revisionSummary": "Faster"});
        let mut revisions = vec![revision("Code"), revision("Manual")];
        self.shuffle(&mut revisions);
        json!({"pipelineExecution": {"pipelineName": "odd", "pipelineExecutionId": RUN, "status": "InProgress",
            "artifactRevisions": revisions}})
    }

    fn actions(&self) -> Value {
        let source = |name: &str| {
            json!({"pipelineExecutionId": RUN, "actionExecutionId": format!("{name}-1"),
            "stageName": "Source", "actionName": name, "status": "Succeeded", "startTime": BEGAN - 60,
            "input": {"actionTypeId": kind("Source", "S3")}, "output": {"outputVariables": {"CommitId": "c0ffee"}}})
        };
        let mut gate = json!({"pipelineExecutionId": RUN, "actionExecutionId": ID, "stageName": "Gate",
            "actionName": "Release", "status": self.status(), "startTime": BEGAN,
            "lastUpdateTime": BEGAN + 60 * self.decided.len() as i64,
            "input": {"actionTypeId": kind("Approval", "Manual"), "configuration": {"CustomData": "Ship it"}},
            "output": {"executionResult": {"externalExecutionId": ID}}});
        set(&mut gate["output"]["executionResult"], "externalExecutionSummary", self.echo());
        set(&mut gate, "updatedBy", self.by().map(str::to_owned));
        self.without_ids(&mut gate);
        let mut all = vec![gate, source("Repo"), source("Docs")];
        self.shuffle(&mut all);
        json!({"actionExecutionDetails": all})
    }

    fn shuffle(&self, list: &mut [Value]) {
        let by = usize::try_from(self.calls).unwrap() % list.len();
        list.rotate_left(by);
    }

    fn without_ids(&self, value: &mut Value) {
        if self.habits.without_action_ids {
            value.as_object_mut().unwrap().remove("actionExecutionId");
        }
    }
}

fn set(value: &mut Value, member: &str, to: Option<String>) {
    if let Some(to) = to {
        value[member] = to.into();
    }
}

fn kind(category: &str, provider: &str) -> Value {
    json!({"category": category, "owner": "AWS", "provider": provider, "version": "1"})
}

fn action(name: &str, category: &str, provider: &str) -> Value {
    json!({"name": name, "actionTypeId": kind(category, provider), "configuration": {"CustomData": "Ship it"}})
}
