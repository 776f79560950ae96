//! What an approval looks like in every situation it can be in.

use countersign::simulator::Verdict;
use serde_json::Value;

use crate::harness::{INES, PORTAL, code, gates};

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_that_was_never_reached_has_no_execution() {
    let stage = gates().await;
    let gate = stage.stage_state("shop", "Production").await;
    assert!(gate.get("latestExecution").is_none(), "{gate}");
    assert_eq!(gate["inboundExecutions"], serde_json::json!([]));
    assert_eq!(gate["actionStates"][0], serde_json::json!({ "actionName": "Approve" }));
}

#[tokio::test(flavor = "multi_thread")]
async fn actions_take_their_time_and_then_the_approval_waits() {
    let stage = gates().await;
    let execution = stage.world.start("shop", None);
    stage.step(34);
    assert!(stage.world.open_approvals().is_empty());
    stage.step(1);
    let waiting = stage.world.open_approvals();
    assert_eq!((waiting.len(), &*waiting[0].execution), (1, &*execution));
    let latest = stage.action_state("shop", "Production", "Approve").await["latestExecution"].clone();
    let members: Vec<_> = latest.as_object().unwrap().keys().cloned().collect();
    assert_eq!(members, ["actionExecutionId", "status", "lastStatusChange", "token"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_comment_becomes_who_decided() {
    let stage = gates().await;
    for (status, pipeline, after) in [("Approved", "shop", "Succeeded"), ("Rejected", "queue", "Failed")] {
        let approval = stage.open(pipeline);
        stage.put(&approval, status, "").await.unwrap();
        let latest = stage.action_state(pipeline, "Production", "Approve").await["latestExecution"].clone();
        assert_eq!(latest["status"], after);
        assert_eq!(latest["summary"], format!("{status} by {PORTAL}"));
        assert_eq!(latest["lastUpdatedBy"], PORTAL);
        assert_eq!(latest["token"], Value::Null);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timed_out_approval_fails_and_names_nobody() {
    let stage = gates().await;
    let approval = stage.open("shop");
    stage.step(59 * 60 + 59);
    assert_eq!(stage.status("shop", &approval.execution).await, "InProgress");
    stage.step(1);
    assert_eq!(stage.status("shop", &approval.execution).await, "Failed");
    let latest = stage.action_state("shop", "Production", "Approve").await["latestExecution"].clone();
    assert_eq!(latest["status"], "Failed");
    assert!(latest.get("lastUpdatedBy").is_none() && latest.get("summary").is_none(), "{latest}");
    assert_eq!(code(stage.put(&approval, "Approved", "late").await), "InvalidApprovalTokenException");
    assert!(stage.sim.effects().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_own_timeout_the_accounts_seven_days_hold() {
    let stage = gates().await;
    let approval = stage.open("pair");
    stage.step(7 * 86_400 - 1);
    assert_eq!(stage.status("pair", &approval.execution).await, "InProgress");
    stage.step(1);
    assert_eq!(stage.status("pair", &approval.execution).await, "Failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_waits_for_the_approval_and_goes_no_further() {
    let stage = gates().await;
    let approval = stage.open("shop");
    stage.world.stop("shop", &approval.execution, false);
    assert_eq!(stage.status("shop", &approval.execution).await, "Stopping");
    let gate = stage.stage_state("shop", "Production").await;
    assert_eq!(gate["latestExecution"]["status"], "Stopping");
    assert_eq!(gate["actionStates"][0]["latestExecution"]["token"], *approval.token);
    stage.put(&approval, "Approved", "fine").await.unwrap();
    assert_eq!(stage.status("shop", &approval.execution).await, "Stopped");
    let deploy = stage.action_state("shop", "Production", "Deploy").await;
    assert!(deploy.get("latestExecution").is_none(), "{deploy}");
}

#[tokio::test(flavor = "multi_thread")]
async fn abandoning_kills_the_token_at_once() {
    let stage = gates().await;
    let approval = stage.open("shop");
    stage.world.stop("shop", &approval.execution, false);
    stage.world.stop("shop", &approval.execution, true);
    assert_eq!(stage.status("shop", &approval.execution).await, "Stopped");
    let latest = stage.action_state("shop", "Production", "Approve").await["latestExecution"].clone();
    assert_eq!((&latest["status"], latest.get("token")), (&"Abandoned".into(), None));
    assert_eq!(code(stage.put(&approval, "Approved", "late").await), "InvalidApprovalTokenException");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_cancels_what_runs_and_kills_the_token() {
    let stage = gates().await;
    let approval = stage.open("shop");
    let behind = stage.world.start("shop", None);
    stage.world.rush("shop", &behind);
    stage.world.edit_comment("shop", "Another text");
    assert_eq!(stage.status("shop", &approval.execution).await, "Cancelled");
    assert_eq!(stage.status("shop", &behind).await, "Cancelled");
    let gate = stage.stage_state("shop", "Production").await;
    assert_eq!(gate["latestExecution"]["status"], "Cancelled");
    assert_eq!(code(stage.put(&approval, "Approved", "late").await), "InvalidApprovalTokenException");
    let definition = stage.sdk.get_pipeline().name("shop").send().await.unwrap().pipeline.unwrap();
    assert_eq!(definition.version(), Some(2));
    assert_eq!(definition.stages()[2].actions()[0].configuration().unwrap()["CustomData"], "Another text");
    let old = stage.sdk.get_pipeline().name("shop").version(1).send().await.unwrap().pipeline.unwrap();
    assert!(old.stages()[2].actions()[0].configuration().unwrap()["CustomData"].starts_with("Ship shop"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_opens_a_new_approval_with_a_new_token() {
    let stage = gates().await;
    let first = stage.open("shop");
    stage.put(&first, "Rejected", "no").await.unwrap();
    assert_eq!(code(stage.put(&first, "Approved", "again").await), "ApprovalAlreadyCompletedException");
    stage.world.retry("shop", "Production", &first.execution);
    let second = stage.world.open_approvals().pop().unwrap();
    assert_eq!(second.execution, first.execution);
    assert_ne!(second.token, first.token);
    assert_ne!(second.action_execution, first.action_execution);
    assert_eq!(code(stage.put(&first, "Approved", "stale").await), "InvalidApprovalTokenException");
    let gate = stage.stage_state("shop", "Production").await;
    assert_eq!(gate["retryStageMetadata"]["latestRetryTrigger"], "ManualStageRetry");
    stage.put(&second, "Approved", "now yes").await.unwrap();
    let attempts = stage.action_executions("shop", &first.execution).await;
    let statuses: Vec<_> =
        attempts.iter().filter(|a| a["actionName"] == "Approve").map(|a| a["status"].clone()).collect();
    assert_eq!(statuses, ["Succeeded", "Failed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_in_the_console_is_seen_and_is_no_effect_of_ours() {
    let stage = gates().await;
    let approval = stage.open("shop");
    stage.world.decide(&approval, Verdict::Approved, "from the console", INES);
    let latest = stage.action_state("shop", "Production", "Approve").await["latestExecution"].clone();
    assert_eq!((&latest["summary"], &latest["lastUpdatedBy"]), (&"from the console".into(), &INES.into()));
    assert_eq!(code(stage.put(&approval, "Approved", "me too").await), "ApprovalAlreadyCompletedException");
    assert!(stage.sim.effects().is_empty());
    let receipts = stage.sim.receipts();
    assert_eq!(receipts[0].answer.as_deref(), Some("ApprovalAlreadyCompletedException"));
    assert!(!receipts[0].applied);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_pipeline_is_gone_with_its_approvals() {
    let stage = gates().await;
    let approval = stage.open("shop");
    stage.world.delete("shop");
    assert_eq!(code(stage.put(&approval, "Approved", "").await), "PipelineNotFoundException");
    assert!(stage.world.open_approvals().is_empty());
    stage.step(3600);
    assert_eq!(code(stage.sdk.get_pipeline_state().name("shop").send().await), "PipelineNotFoundException");
}
