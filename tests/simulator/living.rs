//! Worlds that live by themselves, and that live the same life again from the same seed.

use std::process::Stdio;

use countersign::simulator::WorldFile;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::harness::{Stage, gates, start};

const LIVING: &str = include_str!("../data/worlds/living.toml");

async fn history(stage: &Stage, pipeline: &str) -> Value {
    let body = json!({ "pipelineName": pipeline });
    let executions = stage.raw("ListPipelineExecutions", &body).await;
    let actions = stage.raw("ListActionExecutions", &body).await;
    let state = stage.raw("GetPipelineState", &json!({ "name": pipeline })).await;
    json!([executions, actions, state])
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_seed_lives_the_same_history_however_often_it_is_looked_at() {
    let (once, often) = (start(LIVING).await, start(LIVING).await);
    once.step(6 * 3600);
    for _ in 0..360 {
        often.step(60);
    }
    for pipeline in ["web", "batch", "mobile"] {
        let (one, other) = (history(&once, pipeline).await, history(&often, pipeline).await);
        assert!(one[0]["pipelineExecutionSummaries"].as_array().unwrap().len() > 5, "{pipeline} lives: {one}");
        assert_eq!(one, other, "{pipeline}");
    }
    let changed = start(&LIVING.replace("seed = 11", "seed = 12")).await;
    changed.step(6 * 3600);
    assert_ne!(history(&once, "web").await, history(&changed, "web").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn builds_fail_people_decide_and_approvals_expire_by_themselves() {
    let stage = start(LIVING).await;
    stage.step(48 * 3600);
    let mut seen = std::collections::BTreeSet::new();
    for pipeline in ["web", "batch", "mobile"] {
        let actions = stage.raw("ListActionExecutions", &json!({ "pipelineName": pipeline })).await;
        for action in actions["actionExecutionDetails"].as_array().unwrap() {
            let category = action["input"]["actionTypeId"]["category"].as_str().unwrap();
            let decided = action.get("updatedBy").is_some();
            seen.insert(format!("{category} {} {decided}", action["status"].as_str().unwrap()));
        }
    }
    for expected in [
        "Build Failed false",
        "Build Succeeded false",
        "Approval Succeeded true",
        "Approval Failed true",
        "Approval Failed false",
    ] {
        assert!(seen.contains(expected), "{expected} is not among {seen:?}");
    }
    assert!(stage.sim.effects().is_empty(), "people in the console are not the portal");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_stage_retries_or_rolls_back_by_itself_when_it_should() {
    let stage = start(LIVING).await;
    stage.world.stop("again", &stage.world.start("again", None), true);
    let first = stage.open("again");
    stage.put(&first, "Rejected", "no").await.unwrap();
    let second = stage.world.open_approvals().into_iter().find(|approval| approval.pipeline == "again").unwrap();
    assert_eq!(second.execution, first.execution);
    let gate = stage.stage_state("again", "Gate").await;
    assert_eq!(gate["retryStageMetadata"]["latestRetryTrigger"], "AutomatedStageRetry");

    let good = stage.open("back");
    stage.put(&good, "Approved", "").await.unwrap();
    let bad = stage.open("back");
    stage.put(&bad, "Rejected", "no").await.unwrap();
    let third = stage.world.open_approvals().into_iter().find(|approval| approval.pipeline == "back").unwrap();
    let body = json!({ "pipelineName": "back", "pipelineExecutionId": third.execution });
    let execution = stage.raw("GetPipelineExecution", &body).await["pipelineExecution"].clone();
    assert_eq!(execution["rollbackMetadata"]["rollbackTargetPipelineExecutionId"], *good.execution);
    assert_eq!(execution["trigger"]["triggerType"], "AutomatedRollback");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_whose_notification_fails_is_over_before_anybody_could_answer() {
    let stage = start(LIVING).await;
    let execution = stage.world.start("mute", None);
    stage.world.rush("mute", &execution);
    assert_eq!(stage.status("mute", &execution).await, "Failed");
    let latest = stage.action_state("mute", "Gate", "Approve").await["latestExecution"].clone();
    assert_eq!(latest["errorDetails"]["code"], "ConfigurationError");
    assert!(latest.get("token").is_none(), "{latest}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sources_say_what_they_bring_each_in_its_own_way() {
    let stage = start(LIVING).await;
    let long = "long story ".repeat(300);
    let commit = countersign::simulator::Commit { message: long.clone(), ..Default::default() };
    for (pipeline, cut) in [("web", true), ("batch", false), ("again", true)] {
        let execution = stage.world.start(pipeline, Some(commit.clone()));
        stage.world.rush(pipeline, &execution);
        let body = json!({ "pipelineName": pipeline, "pipelineExecutionId": execution });
        let found = stage.raw("GetPipelineExecution", &body).await["pipelineExecution"]["artifactRevisions"][0].clone();
        let summary = found["revisionSummary"].as_str().unwrap();
        assert_eq!(summary.chars().count() == 2048, cut, "{pipeline}: {summary}");
        let json = serde_json::from_str::<Value>(summary).is_ok();
        assert!(!json, "{pipeline}: a long message leaves JSON that is cut off, S3 and CodeCommit never send any");
    }
    let gates = gates().await;
    let waiting = gates.world.open_approval("shop", Some(commit)).unwrap();
    let listed = gates.action_executions("shop", &waiting.execution).await;
    let comment = listed[0]["input"]["resolvedConfiguration"]["CustomData"].as_str().unwrap();
    assert_eq!(comment, format!("Ship shop: {long}"), "resolved comments are not limited to 1000 characters");
}

#[test]
fn mistakes_in_a_world_file_are_named() {
    let two = "stages = [{ name = \"S\", actions = [{ name = \"R\", kind = \"source\" }] }, { name = \"B\", actions = [KIND] }]";
    let pipeline =
        |rest: &str| format!("[[worlds]]\naccount = \"1\"\nregion = \"r\"\n[[worlds.pipelines]]\nname = \"p\"\n{rest}");
    for (text, expected) in [
        ("sead = 1".to_owned(), "unknown field `sead`"),
        (
            pipeline("template = \"none\""),
            "pipeline `p` uses the template `none`, which the world file does not define",
        ),
        (pipeline(""), "pipeline `p` needs at least two stages"),
        (pipeline(&two.replace("KIND", "{ name = \"A\", kind = \"magic\" }")), "unknown kind `magic`"),
        (pipeline(&two.replace("KIND", "{ name = \"A\", kind = \"source\" }")), "sources belong in the first stage"),
        (pipeline(&two.replace("KIND", "{ name = \"A b\" }")), "has the name `A b`: names are"),
        (
            pipeline(&two.replace("KIND", &format!("{{ name = \"A\", comment = \"{}\" }}", "x".repeat(1001)))),
            "over 1000 characters",
        ),
        (pipeline("every = \"soon\""), "`soon` is no duration; write 90s, 10m"),
        (
            pipeline(&format!(
                "pipeline_type = \"V1\"\nmode = \"QUEUED\"\n{}",
                two.replace("KIND", "{ name = \"A\" }")
            )),
            "needs pipeline_type V2",
        ),
    ] {
        let error = WorldFile::parse(&text).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}\ndoes not say\n{expected}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_command_serves_a_world_and_is_driven_over_its_control_listener() {
    let mut child = tokio::process::Command::new(env!("CARGO_BIN_EXE_countersign"))
        .args(["simulate", "--world", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/worlds/gates.toml")])
        .args(["--listen", "127.0.0.1:0", "--control", "127.0.0.1:0", "--stepped"])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut address = async |word: &str| {
        let line = lines.next_line().await.unwrap().unwrap();
        format!("http://{}", line.strip_prefix(word).unwrap().trim())
    };
    let (control, endpoint) = (address("control").await, address("listening").await);
    let http = reqwest::Client::new();
    let post = async |path: &str, body: Value| {
        let answer = http.post(format!("{control}{path}")).json(&body).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let read = async |path: &str| -> Value {
        http.get(format!("{control}{path}")).send().await.unwrap().json().await.unwrap()
    };

    let (_, opened) = post("/act", json!({ "act": "start", "pipeline": "shop" })).await;
    assert_eq!(read("/approvals").await, json!([]));
    let (_, stepped) = post("/step", json!({ "seconds": 35 })).await;
    assert!(stepped["now"].is_string(), "{stepped}");
    let waiting = read("/approvals").await;
    assert_eq!(waiting[0]["execution"], opened["execution"]);
    let (status, refused) = post("/act", json!({ "act": "delete", "pipeline": "none" })).await;
    assert_eq!((status, refused["error"].as_str().unwrap().contains("`none`")), (409, true));

    let (_, fault) =
        post("/faults", json!({ "kind": "reset", "applied": true, "operation": "PutApprovalResult" })).await;
    assert_eq!(read("/faults").await[0]["id"], fault["id"]);
    let config = gates().await.sdk.config().to_builder().endpoint_url(&endpoint).build();
    let sdk = aws_sdk_codepipeline::Client::from_conf(config);
    let approval = countersign::simulator::OpenApproval {
        token: waiting[0]["token"].as_str().unwrap().to_owned(),
        ..gates().await.open("shop")
    };
    crate::harness::put_with(&sdk, &approval, "Approved", "cut off").await.unwrap_err();
    assert_eq!(read("/effects").await[0]["summary"], "cut off");
    assert_eq!(read("/receipts").await[0]["answer"], "reset");
    assert_eq!(read("/calls").await["counts"]["PutApprovalResult"], 1);
    child.kill().await.unwrap();
}
