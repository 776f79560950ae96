//! The send: exactly one request to `PutApprovalResult` per call, whatever happens (D-05).

use std::time::Duration;

use aws_sdk_codepipeline::types::{ApprovalResult, ApprovalStatus};
use tokio::time::Instant;

use super::answer::{Answer, NotApplied};
use super::gateway::Gateway;
use crate::domain::decision::Verdict;
use crate::domain::ids::{ActionName, ApprovalToken, PipelineName, StageName};

/// One decision as AWS gets it.
#[derive(Debug, Clone)]
pub struct Submission {
    pub pipeline: PipelineName,
    pub stage: StageName,
    pub action: ActionName,
    pub token: ApprovalToken,
    pub verdict: Verdict,
    /// The person's words and the marker: what is recorded at AWS.
    pub summary: String,
    /// Names the role session, where a role is assumed: `countersign-rec-1234`.
    pub session_name: String,
}

impl Gateway {
    /// Sends a decision once and says what is known afterwards. Never repeats the request and never waits for reads; ends
    /// within the attempt's time (10 s).
    pub async fn submit(&self, submission: &Submission) -> Answer {
        let answer = self.attempt(submission).await;
        if let Answer::NotApplied { why: NotApplied::Credentials, .. } = &answer {
            self.renew_credentials().await;
        }
        answer
    }

    async fn attempt(&self, submission: &Submission) -> Answer {
        let started = Instant::now();
        let connection = self.connection();
        let fetching = connection.credentials_for(self.source(), &submission.session_name);
        let credentials = match tokio::time::timeout(self.settings().attempt, fetching).await {
            Ok(Ok(credentials)) => credentials,
            Ok(Err(message)) => return Answer::never_left(&message),
            Err(_) => return Answer::never_left("fetching the AWS credentials took too long"),
        };
        let left = self.settings().attempt.saturating_sub(started.elapsed()).max(Duration::from_millis(1));
        let request = connection
            .decision_client(credentials, left)
            .put_approval_result()
            .pipeline_name(submission.pipeline.as_str())
            .stage_name(submission.stage.as_str())
            .action_name(submission.action.as_str())
            .result(result(submission))
            .token(submission.token.expose());
        Answer::from_result(request.send().await)
    }
}

fn result(submission: &Submission) -> ApprovalResult {
    let status = match submission.verdict {
        Verdict::Approved => ApprovalStatus::Approved,
        Verdict::Rejected => ApprovalStatus::Rejected,
    };
    ApprovalResult::builder()
        .summary(&submission.summary)
        .status(status)
        .build()
        .expect("both members that the model requires are set")
}
