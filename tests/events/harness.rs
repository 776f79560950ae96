//! The watcher's stage with a queue, and what AWS would put in it.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use countersign::config::SourceConfig;
use countersign::events::{Events, QueueStatus};
use countersign::random::Random;
use countersign::simulator::OpenApproval;
use countersign::store::queue;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::support::aws_stand_in::{AwsStandIn, TestQueue};
use crate::watching::{ACCOUNT, GATES, REGION, Stage, source};

static AWS: LazyLock<AwsStandIn> = LazyLock::new(AwsStandIn::start);
static QUEUES: AtomicU32 = AtomicU32::new(0);

pub struct Hearing {
    pub stage: Stage,
    pub queue: TestQueue<'static>,
    pub events: Events,
}

pub fn listen(stage: &Stage) -> Events {
    Events::new(&stage.reader, &stage.watcher, &stage.clock, &Random::seeded(5))
}

pub async fn deaf(stage: &Stage) -> Option<(Timestamp, String)> {
    let mut conn = stage.database.pages.acquire().await.unwrap();
    queue::list_sight(&mut conn).await.unwrap().swap_remove(0).deaf
}

impl Hearing {
    pub async fn start() -> Self {
        Self::of(|source| source).await
    }

    /// With another source than usual.
    pub async fn of(change: impl FnOnce(SourceConfig) -> SourceConfig) -> Self {
        let queue = AWS.queue(&format!("q{}", QUEUES.fetch_add(1, Ordering::SeqCst))).await;
        let url = Some(queue.url.clone());
        let stage = Stage::start(GATES, |sim| vec![change(SourceConfig { queue_url: url, ..source(sim) })]).await;
        let events = listen(&stage);
        Self { stage, queue, events }
    }

    /// Receives once and looks where something happened.
    pub async fn hear(&self) {
        self.events.activate(Duration::ZERO).await;
    }

    /// Since when and why the page says that what is announced cannot be relied on.
    pub async fn deaf(&self) -> Option<(Timestamp, String)> {
        deaf(&self.stage).await
    }

    pub fn status(&self) -> QueueStatus {
        self.events.status().swap_remove(0)
    }
}

/// As EventBridge writes it.
pub fn event(pipeline: &str, state: &str) -> Value {
    json!({
        "version": "0", "id": "01234567-0123-0123-0123-012345678901", "source": "aws.codepipeline",
        "detail-type": "CodePipeline Action Execution State Change", "account": ACCOUNT, "region": REGION,
        "time": "2026-11-21T08:00:00Z", "resources": [format!("arn:aws:codepipeline:{REGION}:{ACCOUNT}:{pipeline}")],
        "detail": {
            "pipeline": pipeline, "execution-id": "e", "stage": "Production", "action": "Approve", "state": state,
            "region": REGION, "version": 1.0,
            "type": {"owner": "AWS", "category": "Approval", "provider": "Manual", "version": "1"},
        },
    })
}

/// The same as a developer tools notification.
pub fn notification(pipeline: &str) -> Value {
    let mut body = event(pipeline, "STARTED");
    let kind = body.as_object_mut().unwrap().remove("detail-type").unwrap();
    body["detailType"] = kind;
    body["additionalAttributes"] = json!({"externalEntityLink": "", "customData": ""});
    body
}

/// CodePipeline's own message about a request.
pub fn message(open: &OpenApproval, expires: &str) -> Value {
    json!({
        "region": REGION,
        "consoleLink": "https://console.aws.amazon.com/codesuite/codepipeline/pipelines/x/view",
        "approval": {
            "pipelineName": open.pipeline, "stageName": open.stage, "actionName": open.action, "token": open.token,
            "expires": expires, "externalEntityLink": null,
            "approvalReviewLink": format!("https://console.aws.amazon.com/x#/approve/{}", open.token),
        },
    })
}
