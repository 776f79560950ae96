//! The documented walk: read the state, take the token, write a file, put the result.

use serde_json::json;

use crate::harness::{Cli, PORTAL, gates};

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_walk_works_with_the_aws_cli() {
    let stage = gates().await;
    let approval = stage.open("shop");
    let cli = Cli::new(&stage.sim);

    let state = cli.json(&["codepipeline", "get-pipeline-state", "--name", "shop"]).await;
    let action = &state["stageStates"][2]["actionStates"][0];
    assert_eq!(action["actionName"], "Approve");
    assert_eq!(action["latestExecution"]["status"], "InProgress");
    assert_eq!(action["latestExecution"]["token"], *approval.token);

    let input = json!({
        "pipelineName": "shop", "stageName": "Production", "actionName": "Approve",
        "token": action["latestExecution"]["token"],
        "result": { "status": "Approved", "summary": "Looks good" },
    });
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), input.to_string()).unwrap();
    let from_file = format!("file://{}", file.path().display());
    let answer = cli.json(&["codepipeline", "put-approval-result", "--cli-input-json", &from_file]).await;
    assert!(answer["approvedAt"].is_number() || answer["approvedAt"].is_string(), "{answer}");

    let state = cli.json(&["codepipeline", "get-pipeline-state", "--name", "shop"]).await;
    let latest = &state["stageStates"][2]["actionStates"][0]["latestExecution"];
    assert_eq!(
        (&latest["status"], &latest["summary"], &latest["lastUpdatedBy"]),
        (&json!("Succeeded"), &json!("Looks good"), &json!(PORTAL))
    );
    assert!(latest.get("token").is_none(), "{latest}");
    let effects = stage.sim.effects();
    assert_eq!(effects.len(), 1);
    assert_eq!(
        (&*effects[0].token, &*effects[0].summary, &*effects[0].caller),
        (&*approval.token, "Looks good", PORTAL)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_walk_works_with_the_rust_sdk() {
    let stage = gates().await;
    let approval = stage.open("shop");
    let state = stage.sdk.get_pipeline_state().name("shop").send().await.unwrap();
    let gate = state.stage_states().iter().find(|state| state.stage_name() == Some("Production")).unwrap();
    let latest = gate.action_states()[0].latest_execution().unwrap();
    assert_eq!(latest.token(), Some(&*approval.token));
    let answer = stage.put(&approval, "Rejected", "Not on a Friday").await.unwrap();
    assert_eq!(answer.approved_at().unwrap().secs(), stage.sim.now().as_second());
    assert_eq!(stage.status("shop", &approval.execution).await, "Failed");
    let listed = stage.action_executions("shop", &approval.execution).await;
    let result = &listed[0]["output"]["executionResult"];
    assert_eq!(result["externalExecutionSummary"], "Not on a Friday");
    assert_eq!(listed[0]["updatedBy"], PORTAL);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_read_of_the_sdk_shows_the_waiting_approval_in_its_own_way() {
    let stage = gates().await;
    let approval = stage.open("shop");
    let listed = stage.sdk.list_pipelines().send().await.unwrap();
    let names: Vec<_> = listed.pipelines().iter().filter_map(|summary| summary.name()).collect();
    assert_eq!(names, ["pair", "queue", "shop", "swarm"]);

    let definition = stage.sdk.get_pipeline().name("shop").send().await.unwrap();
    let gate = definition.pipeline().unwrap().stages()[2].actions()[0].clone();
    assert_eq!(gate.configuration().unwrap()["CustomData"], "Ship shop: #{SourceVariables.CommitMessage}");
    assert_eq!(gate.timeout_in_minutes(), Some(60));

    let execution = stage.sdk.get_pipeline_execution().pipeline_name("shop").pipeline_execution_id(&approval.execution);
    let execution = execution.send().await.unwrap().pipeline_execution.unwrap();
    assert!(execution.artifact_revisions()[0].revision_summary().unwrap().contains("Free shipping"));
    assert_eq!(execution.trigger().unwrap().trigger_type().unwrap().as_str(), "WebhookV2");

    let executions = stage.sdk.list_pipeline_executions().pipeline_name("shop").send().await.unwrap();
    let summary = &executions.pipeline_execution_summaries()[0];
    assert_eq!(summary.pipeline_execution_id(), Some(&*approval.execution));
    assert_eq!(summary.source_revisions()[0].action_name(), "Repo");

    let actions = stage.sdk.list_action_executions().pipeline_name("shop").send().await.unwrap();
    let newest = &actions.action_execution_details()[0];
    let resolved = newest.input().unwrap().resolved_configuration().unwrap();
    assert_eq!(resolved["CustomData"], "Ship shop: Free shipping");
    assert_eq!(newest.action_execution_id(), Some(&*approval.action_execution));
}
