//! One call from its first byte to its last: who asks, which faults hit it, what it does, how its answer is spoilt.
//! Runs in a task of its own, so that a caller who hangs up does not undo what AWS would have gone on doing.

use std::sync::{Arc, PoisonError};

use hyper::{body::Bytes, http::request::Parts};
use jiff::SignedDuration;
use serde_json::{Map, Value};

use super::{
    auth::Caller,
    constraints,
    faults::{ErrorBody, FaultKind, Moment, Plan, Target},
    journal::{Call, Receipt},
    operations::{self, Applied, Request},
    shared::{Place, Shared},
    spoil, sts,
    wire::{ApiError, Outcome, Reply},
};

const TARGET_PREFIX: &str = "CodePipeline_20150709.";

/// Answers a request.
pub async fn answer(shared: Arc<Shared>, parts: Parts, body: Bytes) -> Outcome {
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let caller = shared.credentials.identify(&parts, &body, shared.clock.now());
    if header("x-amz-target").is_empty() && header("content-type").starts_with("application/x-www-form-urlencoded") {
        return sts::serve(&shared, caller, &body).await;
    }
    let operation = header("x-amz-target").strip_prefix(TARGET_PREFIX).unwrap_or_default().to_owned();
    shared.journal.received(if constraints::is_operation(&operation) { &operation } else { "(unknown)" });
    let caller = match caller {
        Ok(caller) => caller,
        Err(error) => return Outcome::Answer(Reply::error(&error, shared.file.error_form)),
    };
    let parsed = serde_json::from_slice::<Value>(&body).ok().and_then(|value| value.as_object().cloned());
    let call = Job::new(shared, caller, operation, parsed);
    call.run().await
}

/// A call in the making.
struct Job {
    shared: Arc<Shared>,
    caller: Caller,
    place: Place,
    operation: String,
    pipeline: String,
    body: Option<Map<String, Value>>,
    plan: Plan,
    receipt: Option<u64>,
}

impl Job {
    fn new(shared: Arc<Shared>, caller: Caller, operation: String, body: Option<Map<String, Value>>) -> Self {
        let text = |name: &str| body.as_ref().and_then(|body| body.get(name)).and_then(Value::as_str);
        let named = || text("resourceArn").and_then(|arn| arn.splitn(6, ':').nth(5));
        let pipeline = text("pipelineName").or(text("name")).or_else(named).unwrap_or_default().to_owned();
        let target =
            Target { operation: &operation, pipeline: &pipeline, account: &caller.account, region: &caller.region };
        let plan = shared.faults.plan(target);
        let place = (caller.account.clone(), caller.region.clone());
        Self { shared, caller, place, operation, pipeline, body, plan, receipt: None }
    }

    async fn run(mut self) -> Outcome {
        let began = self.shared.clock.now();
        self.open_receipt();
        let (outcome, word) = self.live().await;
        let now = self.shared.clock.now();
        if let Some(number) = self.receipt {
            self.shared.journal.close_receipt(number, now, &word);
        }
        self.shared.journal.answered(Call {
            began,
            at: now,
            operation: self.operation,
            account: self.caller.account,
            region: self.caller.region,
            pipeline: self.pipeline,
            caller: self.caller.arn,
            answer: word,
        });
        outcome
    }

    /// Everything between receipt and answer, and one word for the journal.
    async fn live(&self) -> (Outcome, String) {
        self.reach(Moment::Received).await;
        let delays = self.plan.hits.iter().filter_map(|(_, kind)| match kind {
            FaultKind::Delay { ms } => Some(*ms),
            _ => None,
        });
        let delay = self.shared.file.latency_ms + delays.sum::<u64>();
        if delay > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(delay)).await;
        }
        if self.hang().await {
            return (Outcome::Reset, "dropped".to_owned());
        }
        if let Some(spoilt) = self.before_effect() {
            return spoilt;
        }
        let result = self.perform();
        self.reach(Moment::Applied).await;
        let finished = self.after_effect(result);
        self.reach(Moment::Answering).await;
        finished
    }

    /// Holds the call when told to; true when it shall be dropped afterwards.
    async fn hang(&self) -> bool {
        let wanted = self.plan.find(|id, kind| match kind {
            FaultKind::Hang { seconds, applied } => Some((id, *seconds, *applied)),
            _ => None,
        });
        let Some((id, seconds, applied)) = wanted else { return false };
        let span = seconds.map(|seconds| SignedDuration::try_from_secs_f64(seconds).unwrap_or_default());
        let until = span.and_then(|span| self.shared.clock.now().checked_add(span).ok());
        self.shared.holds.hold(id, until).await;
        !applied
    }

    async fn reach(&self, moment: Moment) {
        for (id, kind) in &self.plan.hits {
            match kind {
                // Zero and below would mean whole groups of processes.
                FaultKind::Signal { at, pid } if *at == moment && *pid > 1 => {
                    let pid = nix::unistd::Pid::from_raw(*pid);
                    // A process that is already gone needs no signal.
                    let _gone = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
                }
                FaultKind::Block { at } if *at == moment => self.shared.holds.hold(*id, None).await,
                _ => {}
            }
        }
    }

    /// Answers that a fault, the rate or IAM gives before anything is done.
    fn before_effect(&self) -> Option<(Outcome, String)> {
        if !self.shared.may_call(&self.place) {
            return Some(self.refuse(&ApiError::new("ThrottlingException", "Rate exceeded")));
        }
        self.plan.find(|_, kind| match kind {
            FaultKind::Throttle => Some(self.refuse(&ApiError::new("ThrottlingException", "Rate exceeded"))),
            FaultKind::Expired => {
                let message = "The security token included in the request is expired";
                Some(self.refuse(&ApiError::new("ExpiredTokenException", message)))
            }
            FaultKind::Denied => {
                Some(self.refuse(&ApiError::denied(&self.caller.arn, &self.operation, &self.resource())))
            }
            FaultKind::UnknownCode { code } => {
                Some(self.refuse(&ApiError::new(code.clone(), "No such thing happened.")))
            }
            FaultKind::Error { applied: false, .. }
            | FaultKind::Reset { applied: false }
            | FaultKind::Empty { applied: false } => self.lose(kind),
            _ => None,
        })
    }

    fn perform(&self) -> Result<Value, ApiError> {
        if !constraints::is_operation(&self.operation) {
            return Err(ApiError::new("UnknownOperationException", ""));
        }
        let body = self
            .body
            .as_ref()
            .ok_or_else(|| ApiError::new("SerializationException", "Start of structure expected."))?;
        constraints::check(&self.operation, body)?;
        let now = self.shared.clock.now();
        let stale = self.plan.find(|_, kind| match kind {
            FaultKind::Stale { seconds } => SignedDuration::try_from_secs_f64(*seconds).ok(),
            _ => None,
        });
        let world = self.shared.world(&self.place);
        world.lock().unwrap_or_else(PoisonError::into_inner).advance_to(now);
        let request = Request {
            world: &world,
            body,
            caller: &self.caller.arn,
            now,
            as_of: stale.and_then(|span| now.checked_sub(span).ok()),
            default_page: self.shared.file.default_page.unwrap_or(100),
        };
        let (answer, applied) = operations::perform(&self.operation, &request)?;
        self.shared.keep(&self.operation, &request, &self.place);
        if let (Some(Applied { execution, action_execution }), Some(number)) = (applied, self.receipt) {
            self.shared.journal.applied(number, now, execution, action_execution);
        }
        Ok(answer)
    }

    /// The answer, or what faults make of it.
    fn after_effect(&self, result: Result<Value, ApiError>) -> (Outcome, String) {
        let mut value = match result {
            Ok(value) => value,
            Err(error) => return self.refuse(&error),
        };
        if let Some(lost) = self.plan.find(|_, kind| self.lose(kind)) {
            return lost;
        }
        for (_, kind) in &self.plan.hits {
            spoil::value(&mut value, kind);
        }
        let mut reply = Reply::json(&value);
        for (_, kind) in &self.plan.hits {
            spoil::reply(&mut reply, kind);
        }
        (Outcome::Answer(reply), "200".to_owned())
    }

    /// The faults that replace an answer.
    fn lose(&self, kind: &FaultKind) -> Option<(Outcome, String)> {
        match kind {
            FaultKind::Reset { .. } => Some((Outcome::Reset, "reset".to_owned())),
            FaultKind::Empty { .. } => {
                Some((Outcome::Answer(Reply::bytes(200, "application/x-amz-json-1.1", "")), "empty".to_owned()))
            }
            FaultKind::Error { status, code, message, body, .. } => {
                let reply = match body {
                    ErrorBody::Json => {
                        let error = ApiError { status: *status, ..ApiError::new(code.clone(), message.clone()) };
                        Reply::error(&error, self.shared.file.error_form)
                    }
                    ErrorBody::Html => {
                        let page = format!("<html><body><h1>{status}</h1><p>{message}</p></body></html>");
                        Reply::bytes(*status, "text/html", page)
                    }
                    ErrorBody::Empty => Reply::bytes(*status, "text/plain", ""),
                };
                Some((Outcome::Answer(reply), code.clone()))
            }
            _ => None,
        }
    }

    fn refuse(&self, error: &ApiError) -> (Outcome, String) {
        (Outcome::Answer(Reply::error(error, self.shared.file.error_form)), error.code.clone())
    }

    /// The ARN that IAM would name for this call.
    fn resource(&self) -> String {
        let (account, region) = &self.place;
        let text = |name: &str| self.body.as_ref().and_then(|body| body.get(name)?.as_str()).unwrap_or_default();
        let within = match &*self.operation {
            "ListPipelines" => "*".to_owned(),
            "PutApprovalResult" => format!("{}/{}/{}", self.pipeline, text("stageName"), text("actionName")),
            "RetryStageExecution" | "RollbackStage" | "EnableStageTransition" | "DisableStageTransition" => {
                format!("{}/{}", self.pipeline, text("stageName"))
            }
            _ => self.pipeline.clone(),
        };
        format!("arn:aws:codepipeline:{region}:{account}:{within}")
    }

    fn open_receipt(&mut self) {
        if self.operation != "PutApprovalResult" {
            return;
        }
        let body = self.body.clone().unwrap_or_default();
        let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let result = |name: &str| body.get("result").and_then(|r| r[name].as_str()).unwrap_or_default().to_owned();
        self.receipt = Some(self.shared.journal.open_receipt(Receipt {
            number: 0,
            account: self.caller.account.clone(),
            region: self.caller.region.clone(),
            pipeline: self.pipeline.clone(),
            stage: text("stageName"),
            action: text("actionName"),
            token: text("token"),
            verdict: result("status"),
            summary: result("summary"),
            caller: self.caller.arn.clone(),
            access_key: self.caller.access_key.clone(),
            started: self.shared.clock.now(),
            ended: None,
            started_order: 0,
            ended_order: None,
            applied: false,
            answer: None,
        }));
    }
}
