//! SUPERSEDED, QUEUED and PARALLEL, and what stands between stages.

use countersign::simulator::{Act, Commit, Mode};
use serde_json::{Value, json};

use crate::harness::{INES, Stage, code, gates};

fn commit(message: &str) -> Option<Commit> {
    Some(Commit { message: message.to_owned(), ..Commit::default() })
}

async fn start(stage: &Stage, pipeline: &str, message: &str) -> String {
    let execution = stage.world.start(pipeline, commit(message));
    stage.world.rush(pipeline, &execution);
    execution
}

fn ids(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|entry| entry["pipelineExecutionId"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn superseded_newer_runs_replace_each_other_but_never_the_waiting_approval() {
    let stage = gates().await;
    let approval = stage.open("shop");
    let second = start(&stage, "shop", "second").await;
    let third = start(&stage, "shop", "third").await;
    assert_eq!(stage.status("shop", &second).await, "Superseded");
    assert_eq!(stage.status("shop", &approval.execution).await, "InProgress");
    let gate = stage.stage_state("shop", "Production").await;
    assert_eq!(gate["inboundExecution"]["pipelineExecutionId"], *third);
    assert_eq!(ids(&gate["inboundExecutions"]), [&*third]);
    assert_eq!(gate["latestExecution"]["pipelineExecutionId"], *approval.execution);
    stage.put(&approval, "Approved", "go").await.unwrap();
    assert_eq!(stage.world.open_approvals(), []);
    stage.step(20);
    let next = stage.world.open_approvals();
    assert_eq!((next.len(), &*next[0].execution), (1, &*third));
    let deploy = stage.action_state("shop", "Production", "Deploy").await;
    assert_eq!(deploy["latestExecution"]["status"], "Succeeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn queued_runs_wait_in_order_and_none_is_lost() {
    let stage = gates().await;
    let first = stage.open("queue");
    let second = start(&stage, "queue", "second").await;
    let third = start(&stage, "queue", "third").await;
    let gate = stage.stage_state("queue", "Production").await;
    assert_eq!(ids(&gate["inboundExecutions"]), [&*second, &*third]);
    stage.put(&first, "Rejected", "no").await.unwrap();
    assert_eq!(stage.world.open_approvals()[0].execution, second);
    stage.put(&stage.world.open_approvals()[0], "Rejected", "no").await.unwrap();
    assert_eq!(stage.world.open_approvals()[0].execution, third);
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_runs_all_wait_at_once_and_the_state_names_no_token() {
    let stage = gates().await;
    let (first, second) = (stage.open("swarm"), stage.open("swarm"));
    assert_ne!(first.token, second.token);
    let state = stage.raw("GetPipelineState", &json!({ "name": "swarm" })).await.to_string();
    assert!(!state.contains("\"token\"") && !state.contains(&first.token) && !state.contains(&second.token));
    for approval in [&first, &second] {
        let listed = stage.action_executions("swarm", &approval.execution).await;
        assert_eq!(listed[0]["output"]["executionResult"]["externalExecutionId"], *approval.token);
        assert_ne!(listed[0]["actionExecutionId"], *approval.token);
    }
    stage.put(&second, "Approved", "second first").await.unwrap();
    assert_eq!(stage.status("swarm", &first.execution).await, "InProgress");
    assert_eq!(code(stage.put(&second, "Approved", "twice").await), "ApprovalAlreadyCompletedException");
    stage.put(&first, "Rejected", "").await.unwrap();
    assert_eq!(stage.status("swarm", &first.execution).await, "Failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn outside_parallel_the_external_id_is_no_token_unless_the_world_says_so() {
    let stage = gates().await;
    let mut approval = stage.open("shop");
    let listed = stage.action_executions("shop", &approval.execution).await;
    let external = listed[0]["output"]["executionResult"]["externalExecutionId"].as_str().unwrap().to_owned();
    assert_ne!(external, approval.token);
    approval.token = external;
    assert_eq!(code(stage.put(&approval, "Approved", "").await), "InvalidApprovalTokenException");

    let world = include_str!("../data/worlds/gates.toml").replace("seed = 7", "seed = 7\nexternal_ids = \"same\"");
    let same = crate::harness::start(&world).await;
    let approval = same.open("shop");
    assert_eq!(approval.token, approval.action_execution);
}

#[tokio::test(flavor = "multi_thread")]
async fn at_most_fifty_runs_are_active_outside_superseded() {
    let stage = gates().await;
    for _ in 0..50 {
        stage.world.start("swarm", None);
    }
    let refused = stage.sdk.start_pipeline_execution().name("swarm").send().await;
    assert_eq!(code(refused), "ConcurrentPipelineExecutionsLimitExceededException");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_transition_holds_runs_back_and_says_why() {
    let stage = gates().await;
    let disable = stage.sdk.disable_stage_transition().pipeline_name("shop").stage_name("Production");
    disable.transition_type("Inbound".into()).reason("Release freeze!").send().await.unwrap();
    let execution = start(&stage, "shop", "held").await;
    assert_eq!(stage.world.open_approvals(), []);
    let gate = stage.stage_state("shop", "Production").await;
    assert_eq!(gate["inboundTransitionState"]["enabled"], false);
    assert_eq!(gate["inboundTransitionState"]["disabledReason"], "Release freeze!");
    assert_eq!(gate["inboundTransitionState"]["lastChangedBy"], crate::harness::PORTAL);
    assert_eq!(gate["inboundExecution"]["pipelineExecutionId"], *execution);
    let enable = stage.sdk.enable_stage_transition().pipeline_name("shop").stage_name("Production");
    enable.transition_type("Inbound".into()).send().await.unwrap();
    assert_eq!(stage.world.open_approvals()[0].execution, execution);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_mode_leaves_what_runs_in_its_own_mode() {
    let stage = gates().await;
    let old = stage.open("shop");
    stage.world.act(Act::SetMode { pipeline: "shop".to_owned(), mode: Mode::Parallel }).unwrap();
    let new = stage.open("shop");
    let listed = stage.raw("ListPipelineExecutions", &json!({ "pipelineName": "shop" })).await;
    let modes: Vec<_> =
        listed["pipelineExecutionSummaries"].as_array().unwrap().iter().map(|e| &e["executionMode"]).collect();
    assert_eq!(modes, ["PARALLEL", "SUPERSEDED"]);
    stage.put(&old, "Approved", "").await.unwrap();
    stage.put(&new, "Approved", "").await.unwrap();
    assert_eq!(stage.sim.effects().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gates_of_one_stage_wait_together_and_both_are_needed() {
    let stage = gates().await;
    stage.open("pair");
    let waiting = stage.world.open_approvals();
    let names: Vec<_> = waiting.iter().map(|approval| &*approval.action).collect();
    assert_eq!(names, ["Security", "Business"]);
    let resolved = stage.action_executions("pair", &waiting[0].execution).await;
    let business = resolved.iter().find(|action| action["actionName"] == "Business").unwrap();
    let expected = format!("For none in {}", waiting[0].execution);
    assert_eq!(business["input"]["resolvedConfiguration"]["CustomData"], *expected);
    let mut crossed = waiting[0].clone();
    crossed.action = "Business".to_owned();
    assert_eq!(code(stage.put(&crossed, "Approved", "").await), "InvalidApprovalTokenException");
    stage.put(&waiting[0], "Approved", "").await.unwrap();
    assert_eq!(stage.status("pair", &waiting[0].execution).await, "InProgress");
    stage.put(&waiting[1], "Approved", "").await.unwrap();
    // The change board's own action type sits in the category and is not answered by PutApprovalResult.
    let board = stage.action_state("pair", "Gate", "Board").await;
    assert_eq!(board["latestExecution"]["status"], "InProgress");
    assert!(board["latestExecution"].get("token").is_none(), "{board}");
    let order = json!({ "act": "decide", "pipeline": "pair", "verdict": "Approved", "by": INES });
    stage.sim.order(serde_json::from_value(order).unwrap()).unwrap();
    assert_eq!(stage.status("pair", &waiting[0].execution).await, "Succeeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_is_labelled_and_asks_again() {
    let stage = gates().await;
    let good = stage.open("shop");
    stage.put(&good, "Approved", "").await.unwrap();
    stage.step(60);
    assert_eq!(stage.status("shop", &good.execution).await, "Succeeded");
    let back = stage.sdk.rollback_stage().pipeline_name("shop").stage_name("Production");
    let back = back.target_pipeline_execution_id(&good.execution).send().await.unwrap();
    let approval = stage.world.open_approvals().pop().unwrap();
    assert_eq!(approval.execution, back.pipeline_execution_id());
    let gate = stage.stage_state("shop", "Production").await;
    assert_eq!(gate["latestExecution"]["type"], "ROLLBACK");
    let listed = stage.raw("ListPipelineExecutions", &json!({ "pipelineName": "shop", "maxResults": 1 })).await;
    let newest = &listed["pipelineExecutionSummaries"][0];
    assert_eq!(newest["executionType"], "ROLLBACK");
    assert_eq!(newest["trigger"]["triggerType"], "ManualRollback");
    assert_eq!(newest["rollbackMetadata"]["rollbackTargetPipelineExecutionId"], *good.execution);
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_and_regions_are_worlds_of_their_own() {
    let stage = gates().await;
    let here = stage.open("shop");
    let elsewhere = stage.sim.world("444455556666", "eu-west-1").open_approval("shop", None).unwrap();
    assert_ne!(here.token, elsewhere.token);
    assert_eq!(code(stage.put(&elsewhere, "Approved", "").await), "InvalidApprovalTokenException");
    assert!(stage.sim.world("111122223333", "us-east-1").open_approvals().is_empty());
    assert_eq!(stage.sim.open_approvals().len(), 2);
}
