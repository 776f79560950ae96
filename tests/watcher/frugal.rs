//! What watching costs: nothing is read twice without need.

use std::collections::BTreeMap;

use countersign::simulator::Verdict;

use crate::harness::{INES, Stage, source};

fn counts(pairs: &[(&str, u64)]) -> BTreeMap<String, u64> {
    pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

/// Ten pipelines without a gate, two with one, of which one waits.
pub const SMALL: &str = r#"
[[templates]]
name = "plain"
[[templates.stages]]
name = "Source"
actions = [{ name = "Repo", kind = "source", seconds = 5 }]
[[templates.stages]]
name = "Build"
actions = [{ name = "Compile", kind = "build", seconds = 30 }]
[[templates]]
name = "gated"
[[templates.stages]]
name = "Source"
actions = [{ name = "Repo", kind = "source", seconds = 5 }]
[[templates.stages]]
name = "Release"
actions = [{ name = "Approve", kind = "approval", comment = "Ship {name}" }]
[[worlds]]
account = "111122223333"
region = "eu-west-1"
[[worlds.generate]]
prefix = "svc-"
count = 12
template = "plain"
gated_template = "gated"
gated = 2
waiting = 1
"#;

#[tokio::test]
async fn a_steady_state_costs_one_list_and_one_read_per_gate() {
    let stage = Stage::start(SMALL, |sim| vec![source(sim)]).await;
    let first = stage.sweep().await;
    assert_eq!((first.pipelines, first.gated, first.waiting), (12, 2, 1));
    assert_eq!(
        stage.calls(),
        counts(&[
            ("GetCallerIdentity", 1),
            ("ListPipelines", 1),
            ("GetPipeline", 12),
            ("GetPipelineState", 2),
            ("ListActionExecutions", 1),
            ("GetPipelineExecution", 1),
        ])
    );
    for _ in 0..3 {
        stage.step(15);
        stage.sweep().await;
        assert_eq!(stage.calls(), counts(&[("ListPipelines", 1), ("GetPipelineState", 2)]));
    }
}

#[tokio::test]
async fn a_restart_reads_no_definition_again() {
    let mut stage = Stage::start(SMALL, |sim| vec![source(sim)]).await;
    stage.sweep().await;
    stage.calls();
    stage.restart(vec![source(&stage.sim)]).await;
    stage.sweep().await;
    assert_eq!(stage.calls(), counts(&[("GetCallerIdentity", 1), ("ListPipelines", 1), ("GetPipelineState", 2)]));
}

#[tokio::test]
async fn an_edited_pipeline_is_read_again_and_no_other() {
    let stage = Stage::gates().await;
    stage.sweep().await;
    stage.calls();
    stage.step(1);
    stage.world.edit_comment("shop", "Something new: #{SourceVariables.CommitMessage}");
    stage.sweep().await;
    assert_eq!(stage.calls()["GetPipeline"], 1);
    stage.open("shop");
    stage.sweep().await;
    assert!(stage.only().await.shown.comment.unwrap().text.starts_with("Something new: "));
}

#[tokio::test]
async fn a_parallel_pipeline_costs_one_list_while_nothing_changes() {
    let stage = Stage::gates().await;
    let open = stage.open("swarm");
    stage.open("swarm");
    stage.sweep().await;
    stage.calls();
    stage.step(10);
    stage.sweep().await;
    let calls = stage.calls();
    assert_eq!((calls["ListPipelineExecutions"], calls.get("ListActionExecutions")), (1, None), "{calls:?}");

    stage.world.decide(&open, Verdict::Approved, "", INES);
    stage.step(5);
    stage.sweep().await;
    let calls = stage.calls();
    assert_eq!(stage.waiting().await.len(), 1);
    assert!(calls["ListActionExecutions"] <= 2, "only the run that changed is looked into: {calls:?}");
}

#[tokio::test]
async fn a_parallel_pipeline_with_a_long_past_costs_one_page() {
    let stage = Stage::gates().await;
    for _ in 0..130 {
        let open = stage.open("swarm");
        stage.world.decide(&open, Verdict::Rejected, "", INES);
        stage.step(1);
    }
    stage.sweep().await;
    assert_eq!(stage.calls()["ListPipelineExecutions"], 2, "the whole past, once");
    stage.step(15);
    stage.open("swarm");
    stage.sweep().await;
    assert_eq!(stage.calls()["ListPipelineExecutions"], 1);
    assert_eq!(stage.waiting().await.len(), 1);
}

#[tokio::test]
async fn a_decision_and_its_end_cost_a_handful_of_reads() {
    let stage = Stage::gates().await;
    stage.sweep().await;
    stage.calls();
    let open = stage.open("shop");
    stage.sweep().await;
    let calls = stage.calls();
    assert_eq!((calls["ListActionExecutions"], calls["GetPipelineExecution"]), (1, 1), "{calls:?}");
    stage.step(1);
    stage.world.decide(&open, Verdict::Approved, "", INES);
    let status = stage.sweep().await;
    let calls = stage.calls();
    assert_eq!(status.closed, 1);
    assert_eq!(calls.get("ListActionExecutions"), None, "the state says it all: {calls:?}");
    assert_eq!(calls.get("GetPipelineExecution"), None);
}

#[tokio::test]
async fn all_1205_pipelines_are_found_page_by_page() {
    let world = SMALL
        .replace("count = 12", "count = 1205")
        .replace("gated = 2", "gated = 30")
        .replace("waiting = 1", "waiting = 7");
    let stage = Stage::start(&world, |sim| vec![source(sim)]).await;
    let status = stage.sweep().await;
    assert_eq!((status.pipelines, status.gated, status.waiting), (1205, 30, 7));
    let calls = stage.calls();
    assert_eq!((calls["ListPipelines"], calls["GetPipeline"], calls["GetPipelineState"]), (2, 1205, 30));
    stage.sweep().await;
    assert_eq!(stage.calls(), counts(&[("ListPipelines", 2), ("GetPipelineState", 30)]));
    assert_eq!(stage.waiting().await.len(), 7);
}
