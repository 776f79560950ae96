//! Whatever AWS answers, nothing panics, nothing is misread, and what people are shown is bounded and true.

use countersign::domain::approval::AtAws;
use countersign::domain::text::{link, visible};
use countersign::simulator::{Commit, Fault, FaultKind, Verdict};
use countersign::watcher::Ended;

use crate::harness::{INES, Stage, source};

fn world(stage: &str, action: &str, pipeline: &str, comment: &str, url: &str) -> String {
    let comment = toml_text(comment);
    let url = toml_text(url);
    format!(
        r#"
[[worlds]]
account = "111122223333"
region = "eu-west-1"
[[worlds.pipelines]]
name = "{pipeline}"
[[worlds.pipelines.stages]]
name = "Source"
actions = [{{ name = "Repo", kind = "source", seconds = 5 }}]
[[worlds.pipelines.stages]]
name = "{stage}"
actions = [{{ name = "{action}", kind = "approval", comment = {comment}, url = {url} }}]
"#
    )
}

fn toml_text(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

#[tokio::test]
async fn long_and_hostile_comments_are_kept_whole_enough_and_say_what_was_cut() {
    // U-01, U-02, U-03: the resolved comment is 100 KB of commit message.
    let hostile = "<script>alert(1)</script>\u{202e}gnp.exe\u{200b}";
    let comment = format!("{hostile} #{{SourceVariables.CommitMessage}}");
    let text = world("Gate", "Approve", "shop", &comment, "javascript:alert(document.cookie)");
    let stage = Stage::start(&text, |sim| vec![source(sim)]).await;
    let message = format!("{}\u{1b}[31m", "é".repeat(50_000));
    let commit = Commit { id: None, message: message.clone(), author: Some("Mallory \u{202e}yrollaM".into()) };
    stage.world.open_approval("shop", Some(commit)).unwrap();
    stage.sweep().await;

    let found = stage.only().await;
    let comment = found.shown.comment.as_ref().unwrap();
    assert!(comment.text.starts_with(hostile));
    assert!(visible(&comment.text).contains("⟨U+202E⟩"));
    let whole = comment.whole.as_ref().unwrap();
    assert!(whole.characters > 50_000 && whole.sha256.len() == 64);
    assert!(comment.text.len() < 4096);
    assert_eq!(found.shown.review_url.as_ref().unwrap().text, "javascript:alert(document.cookie)");
    assert_eq!(link(&found.shown.review_url.as_ref().unwrap().text), None);
    let (_, record) = stage.last_record().await;
    assert_eq!(record["shown"]["comment"]["whole"]["sha256"], whole.sha256);
    let again = stage.reader.refresh(found.id).await.unwrap();
    assert_eq!(again.fingerprint, found.fingerprint);
}

#[tokio::test]
async fn names_at_their_limits_work() {
    let (stage_name, action, pipeline) = ("S".repeat(100), "a.@-_".repeat(20), "p".repeat(100));
    let stage =
        Stage::start(&world(&stage_name, &action, &pipeline, "c", "https://x.example"), |sim| vec![source(sim)]).await;
    stage.world.open_approval(&pipeline, None).unwrap();
    stage.sweep().await;
    let gate = stage.only().await.gate;
    assert_eq!(
        (gate.pipeline.as_str(), gate.stage.as_str(), gate.action.as_str()),
        (&*pipeline, &*stage_name, &*action)
    );
    assert_eq!(stage.reader.refresh(stage.only().await.id).await.unwrap().gate, gate);
}

#[tokio::test]
async fn missing_members_unknown_words_and_broken_answers_never_stop_a_sweep() {
    // U-04
    let missing = |names: &[&str]| FaultKind::Missing { members: names.iter().map(ToString::to_string).collect() };
    let kinds = [
        missing(&["pipelineExecutionId", "actionExecutionId", "lastStatusChange", "startTime"]),
        missing(&["status", "token", "output", "input", "nextToken", "updated", "version"]),
        missing(&["stageName", "actionName", "actionStates", "stages", "name", "pipelines"]),
        missing(&[
            "pipelineExecution",
            "pipeline",
            "stageStates",
            "actionExecutionDetails",
            "pipelineExecutionSummaries",
        ]),
        missing(&["actionTypeId", "latestExecution", "inboundExecutions", "trigger", "executionMode", "configuration"]),
        FaultKind::UnknownEnum,
        FaultKind::Truncate,
        FaultKind::Empty { applied: false },
        FaultKind::UnknownCode { code: "BrandNewException".into() },
    ];
    let operations = [
        "ListPipelines",
        "GetPipeline",
        "GetPipelineState",
        "ListPipelineExecutions",
        "ListActionExecutions",
        "GetPipelineExecution",
    ];
    for kind in kinds {
        let stage = Stage::gates().await;
        let open: Vec<_> = ["queue", "shop", "swarm"].map(|name| stage.open(name).token).to_vec();
        for operation in operations {
            stage.sim.add_fault(Fault::on(operation, kind.clone()));
            stage.step(1);
            let status = stage.sweep().await;
            assert!(!matches!(status.ended, Ended::Failed(_)), "{operation} {kind:?}: {status:?}");
            stage.sim.clear_faults();
        }
        // Once AWS talks sense again, everything is there.
        stage.step(3000);
        stage.sweep().await;
        stage.sweep().await;
        let mut found: Vec<_> = stage.waiting().await.iter().map(|it| it.token.expose().to_owned()).collect();
        found.retain(|token| open.contains(token));
        assert_eq!(found.len(), 3, "{kind:?}");
    }
}

#[tokio::test]
async fn an_answer_beyond_eight_mebibytes_is_refused() {
    let stage = Stage::gates().await;
    stage.open("shop");
    stage.sim.add_fault(Fault::on("GetPipelineState", FaultKind::Huge { bytes: 20 << 20 }).of("shop"));
    let status = stage.sweep().await;
    assert_eq!((status.ended, status.unreadable), (Ended::Read, 1));
    assert!(stage.waiting().await.is_empty());
}

#[tokio::test]
async fn a_token_that_aws_would_not_take_is_shown_as_not_answerable_here() {
    // In PARALLEL an answer without the external id has no token at all.
    let stage = Stage::gates().await;
    stage.open("swarm");
    stage.sim.add_fault(Fault::on(
        "ListActionExecutions",
        FaultKind::Missing { members: vec!["externalExecutionId".into()] },
    ));
    stage.sweep().await;
    let found = stage.only().await;
    assert!(!found.details.answerable);
    assert!(!found.token.is_answerable());
}

#[tokio::test]
async fn an_answered_parallel_request_whose_token_is_shown_no_more_is_told_by_its_id() {
    let stage = Stage::gates().await;
    let open = stage.open("swarm");
    stage.sweep().await;
    stage.step(1);
    stage.world.decide(&open, Verdict::Approved, "Go", INES);
    let no_token = FaultKind::Missing { members: vec!["externalExecutionId".into()] };
    stage.sim.add_fault(Fault::on("ListActionExecutions", no_token));
    stage.sweep().await;
    let found = stage.only().await;
    assert_eq!((found.at_aws, found.decided_by.as_deref()), (AtAws::Approved, Some(INES)));
}

#[tokio::test]
async fn what_is_remembered_of_a_parallel_run_does_not_count_as_seen_again() {
    // D-11: a send relies on the approval having been read as open a moment ago.
    let stage = Stage::gates().await;
    stage.open("swarm");
    stage.sweep().await;
    let first = stage.only().await.seen_open_at;
    stage.calls();
    stage.step(10);
    stage.sweep().await;
    assert_eq!(stage.calls().get("ListActionExecutions"), None);
    assert_eq!(stage.only().await.seen_open_at, first);
    stage.step(30);
    stage.sweep().await;
    assert_eq!(stage.only().await.seen_open_at, stage.clock.now(), "now it was looked at");
}

#[tokio::test]
async fn without_ids_a_retry_is_not_taken_for_the_request_it_replaced() {
    let stage = Stage::gates().await;
    for operation in ["GetPipelineState", "ListActionExecutions"] {
        let no_id = FaultKind::Missing { members: vec!["actionExecutionId".into()] };
        stage.sim.add_fault(Fault::on(operation, no_id));
    }
    let open = stage.open("shop");
    stage.sweep().await;
    stage.step(60);
    stage.world.decide(&open, Verdict::Rejected, "No", INES);
    stage.world.retry("shop", &open.stage, &open.execution);
    stage.step(1);
    stage.sweep().await;
    let all = stage.all().await;
    let old = all.iter().find(|it| it.token.expose() == open.token).unwrap();
    assert_eq!((old.at_aws, old.decided_by.as_deref()), (AtAws::Rejected, Some(INES)));
    assert_eq!(stage.waiting().await.len(), 1);
}
