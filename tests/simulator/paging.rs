//! Lists longer than a page, by every paginator of the SDK and the CLI.

use std::collections::BTreeSet;

use serde_json::json;

use crate::harness::{Cli, Stage, code, gates, start};

const MANY: &str = r#"
[[templates]]
name = "plain"
stages = [
  { name = "Source", actions = [{ name = "Repo", kind = "source", seconds = 1 }] },
  { name = "Build", actions = [{ name = "Compile", seconds = 1 }] },
]
[[templates]]
name = "gated"
stages = [
  { name = "Source", actions = [{ name = "Repo", kind = "source", seconds = 1 }] },
  { name = "Gate", actions = [{ name = "Approve", kind = "approval" }] },
]
[[keys]]
id = "AKIAPORTAL"
secret = "portal-secret"
account = "111122223333"
user = "portal"
[[worlds]]
account = "111122223333"
region = "eu-west-1"
[[worlds.generate]]
prefix = "svc-"
count = 1205
template = "plain"
gated_template = "gated"
gated = 300
waiting = 40
"#;

async fn history() -> Stage {
    let stage = gates().await;
    for _ in 0..23 {
        let execution = stage.world.start("pair", None);
        stage.world.rush("pair", &execution);
        stage.world.stop("pair", &execution, true);
    }
    stage
}

#[tokio::test(flavor = "multi_thread")]
async fn all_1205_pipelines_are_found_page_by_page() {
    let stage = start(MANY).await;
    assert_eq!(stage.sim.open_approvals().len(), 40);
    let mut pages = stage.sdk.list_pipelines().max_results(500).into_paginator().send();
    let mut sizes = Vec::new();
    let mut names = BTreeSet::new();
    while let Some(page) = pages.next().await {
        let page = page.unwrap();
        sizes.push(page.pipelines().len());
        names.extend(page.pipelines().iter().filter_map(|summary| summary.name().map(str::to_owned)));
    }
    assert_eq!(sizes, [500, 500, 205]);
    assert_eq!(names.len(), 1205);

    let cli = Cli::new(&stage.sim);
    stage.sim.clear_calls();
    let all = cli.json(&["codepipeline", "list-pipelines", "--page-size", "400"]).await;
    assert_eq!(all["pipelines"].as_array().unwrap().len(), 1205);
    assert_eq!(stage.sim.count("ListPipelines"), 4);
    let some = cli.json(&["codepipeline", "list-pipelines", "--page-size", "10", "--max-items", "25"]).await;
    assert_eq!(some["pipelines"].as_array().unwrap().len(), 25);
    let token = some["NextToken"].as_str().unwrap();
    let more = ["codepipeline", "list-pipelines", "--page-size", "10", "--max-items", "5", "--starting-token", token];
    assert_eq!(cli.json(&more).await["pipelines"][0]["name"], "svc-0026");
}

#[tokio::test(flavor = "multi_thread")]
async fn executions_and_actions_page_newest_first_in_sdk_and_cli() {
    let stage = history().await;
    let pages = stage.sdk.list_pipeline_executions().pipeline_name("pair").max_results(10).into_paginator();
    let executions = pages.items().send().collect::<Result<Vec<_>, _>>().await.unwrap();
    assert_eq!(executions.len(), 23);
    let pages = stage.sdk.list_action_executions().pipeline_name("pair").max_results(7).into_paginator();
    let actions = pages.items().send().collect::<Result<Vec<_>, _>>().await.unwrap();
    assert_eq!(actions.len(), 23 * 3);
    let ids: BTreeSet<_> = actions.iter().filter_map(|action| action.action_execution_id()).collect();
    assert_eq!(ids.len(), actions.len());

    let cli = Cli::new(&stage.sim);
    for (command, key, whole) in [
        ("list-pipeline-executions", "pipelineExecutionSummaries", 23),
        ("list-action-executions", "actionExecutionDetails", 69),
    ] {
        let all = cli.json(&["codepipeline", command, "--pipeline-name", "pair", "--page-size", "9"]).await;
        assert_eq!(all[key].as_array().unwrap().len(), whole);
        let limited = ["codepipeline", command, "--pipeline-name", "pair", "--page-size", "9", "--max-items", "11"];
        let some = cli.json(&limited).await;
        assert_eq!(some[key].as_array().unwrap().len(), 11);
        assert!(some["NextToken"].is_string(), "{some}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_token_is_good_for_its_own_list_only() {
    let stage = history().await;
    let first = stage.sdk.list_pipeline_executions().pipeline_name("pair").max_results(5).send().await.unwrap();
    let token = first.next_token().unwrap();
    let other = stage.sdk.list_pipeline_executions().pipeline_name("shop").next_token(token);
    assert_eq!(code(other.send().await), "InvalidNextTokenException");
    let other = stage.sdk.list_action_executions().pipeline_name("pair").next_token(token);
    assert_eq!(code(other.send().await), "InvalidNextTokenException");
    let filter = json!({ "pipelineName": "pair", "nextToken": token, "filter": { "succeededInStage": { "stageName": "Gate" } } });
    let (_, text) = stage.raw_text("ListPipelineExecutions", &filter.to_string()).await;
    assert!(text.contains("InvalidNextTokenException"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_starts_between_two_pages_does_not_shift_the_second() {
    let stage = history().await;
    let body = json!({ "pipelineName": "pair", "maxResults": 5 });
    let first = stage.raw("ListPipelineExecutions", &body).await;
    stage.world.start("pair", None);
    let body = json!({ "pipelineName": "pair", "maxResults": 5, "nextToken": first["nextToken"] });
    let second = stage.raw("ListPipelineExecutions", &body).await;
    let ids = |page: &serde_json::Value| -> Vec<String> {
        let list = page["pipelineExecutionSummaries"].as_array().unwrap();
        list.iter().map(|entry| entry["pipelineExecutionId"].to_string()).collect()
    };
    assert!(ids(&first).iter().all(|id| !ids(&second).contains(id)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_between_two_pages_of_pipelines_loses_nobody() {
    let stage = start(MANY).await;
    let first = stage.raw("ListPipelines", &json!({ "maxResults": 10 })).await;
    stage.world.delete("svc-0010");
    let second = stage.raw("ListPipelines", &json!({ "maxResults": 10, "nextToken": first["nextToken"] })).await;
    assert_eq!(second["pipelines"][0]["name"], "svc-0011");
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_find_successes_in_a_stage_and_the_last_attempts() {
    let stage = gates().await;
    let good = stage.open("shop");
    stage.put(&good, "Approved", "").await.unwrap();
    stage.step(60);
    let bad = stage.open("shop");
    stage.put(&bad, "Rejected", "").await.unwrap();
    stage.world.retry("shop", "Production", &bad.execution);
    let body = json!({ "pipelineName": "shop", "filter": { "succeededInStage": { "stageName": "Production" } } });
    let found = stage.raw("ListPipelineExecutions", &body).await;
    assert_eq!(found["pipelineExecutionSummaries"].as_array().unwrap().len(), 1);
    assert_eq!(found["pipelineExecutionSummaries"][0]["pipelineExecutionId"], *good.execution);
    for (range, attempts) in [("All", 2), ("Latest", 1)] {
        let latest = json!({ "pipelineExecutionId": bad.execution, "startTimeRange": range });
        let body = json!({ "pipelineName": "shop", "filter": { "latestInPipelineExecution": latest } });
        let found = stage.raw("ListActionExecutions", &body).await;
        let list = found["actionExecutionDetails"].as_array().unwrap();
        assert_eq!(list.iter().filter(|action| action["actionName"] == "Approve").count(), attempts, "{range}");
    }
}

const TAGGED: &str = r#"
[[keys]]
id = "AKIAPORTAL"
secret = "portal-secret"
account = "111122223333"
user = "portal"
[[worlds]]
account = "111122223333"
region = "eu-west-1"
[[worlds.pipelines]]
name = "shop"
tags = { team = "shop", tier = "1", owner = "ana" }
stages = [
  { name = "Source", actions = [{ name = "Repo", kind = "source", seconds = 1 }] },
  { name = "Build", actions = [{ name = "Compile", seconds = 1 }] },
]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn tags_are_told_whole_or_page_by_page_and_only_of_what_exists() {
    let stage = start(TAGGED).await;
    let arn = |name: &str| format!("arn:aws:codepipeline:eu-west-1:111122223333:{name}");
    let ask = |name: &str| stage.sdk.list_tags_for_resource().resource_arn(arn(name));
    let whole = ask("shop").send().await.unwrap();
    assert_eq!((whole.tags().len(), whole.next_token()), (3, None));
    let mut pages = ask("shop").max_results(2).into_paginator().send();
    let mut found = Vec::new();
    while let Some(page) = pages.next().await {
        found.extend(page.unwrap().tags().iter().map(|tag| format!("{}={}", tag.key(), tag.value())));
    }
    assert_eq!(found, ["owner=ana", "team=shop", "tier=1"]);
    assert_eq!(code(ask("nonesuch").send().await), "ResourceNotFoundException");
    let foreign = stage.sdk.list_tags_for_resource().resource_arn("arn:aws:codepipeline:eu-west-1:999999999999:shop");
    assert_eq!(code(foreign.send().await), "InvalidArnException");
}
