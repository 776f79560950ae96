//! Every modelled error of every operation, as the AWS CLI reports it, and the forms errors take on the wire.

use aws_sdk_codepipeline::Client;
use countersign::simulator::{Fault, FaultKind};
use futures::{StreamExt, stream};
use serde_json::{Value, json};

use crate::harness::{Cli, Stage, code, gates, refusal, start};

const NO_ID: &str = "00000000-0000-4000-8000-000000000000";

/// What has to be so for the errors to occur.
struct Scene {
    stage: Stage,
    waiting: String,
    token: String,
    decided: String,
    decided_token: String,
    superseded_by_newer: String,
    old_version: String,
    never_in_production: String,
}

async fn scene() -> Scene {
    let stage = gates().await;
    let outdated = stage.open("shop");
    stage.put(&outdated, "Approved", "").await.unwrap();
    stage.step(60);
    stage.world.edit_comment("shop", "new");
    let decided = stage.open("shop");
    stage.put(&decided, "Rejected", "").await.unwrap();
    let failed_first = stage.open("queue");
    stage.put(&failed_first, "Rejected", "").await.unwrap();
    let waiting = stage.open("queue");
    for _ in 0..50 {
        stage.world.start("swarm", None);
    }
    let crowded = stage.world.open_approvals();
    assert_eq!(crowded.len(), 1);
    Scene {
        waiting: waiting.execution,
        token: waiting.token,
        decided: decided.execution,
        decided_token: decided.token,
        superseded_by_newer: failed_first.execution,
        old_version: outdated.execution,
        never_in_production: stage.world.start("pair", None),
        stage,
    }
}

fn table(scene: &Scene) -> Vec<(&'static str, Value, &'static str)> {
    let put = |pipeline: &str, stage: &str, action: &str, token: &str| {
        json!({ "pipelineName": pipeline, "stageName": stage, "actionName": action, "token": token,
                "result": { "status": "Approved", "summary": "" } })
    };
    let retry = |pipeline: &str, stage: &str, id: &str| json!({ "pipelineName": pipeline, "stageName": stage, "pipelineExecutionId": id, "retryMode": "FAILED_ACTIONS" });
    let back = |pipeline: &str, stage: &str, id: &str| json!({ "pipelineName": pipeline, "stageName": stage, "targetPipelineExecutionId": id });
    let of = |pipeline: &str, id: &str| json!({ "pipelineName": pipeline, "pipelineExecutionId": id });
    let move_in = |pipeline: &str, stage: &str| json!({ "pipelineName": pipeline, "stageName": stage, "transitionType": "Inbound", "reason": "r" });
    let enable = |pipeline: &str, stage: &str| json!({ "pipelineName": pipeline, "stageName": stage, "transitionType": "Inbound" });
    let (waiting, decided) = (&*scene.waiting, &*scene.decided);
    vec![
        ("list-pipelines", json!({ "nextToken": "x" }), "InvalidNextTokenException"),
        ("get-pipeline", json!({ "name": "p q" }), "ValidationException"),
        ("get-pipeline", json!({ "name": "none" }), "PipelineNotFoundException"),
        ("get-pipeline", json!({ "name": "shop", "version": 99 }), "PipelineVersionNotFoundException"),
        ("get-pipeline-state", json!({ "name": "p/q" }), "ValidationException"),
        ("get-pipeline-state", json!({ "name": "none" }), "PipelineNotFoundException"),
        ("get-pipeline-execution", of("shop", "no-uuid"), "ValidationException"),
        ("get-pipeline-execution", of("none", NO_ID), "PipelineNotFoundException"),
        ("get-pipeline-execution", of("shop", waiting), "PipelineExecutionNotFoundException"),
        ("list-pipeline-executions", json!({ "pipelineName": "p q" }), "ValidationException"),
        ("list-pipeline-executions", json!({ "pipelineName": "none" }), "PipelineNotFoundException"),
        ("list-pipeline-executions", json!({ "pipelineName": "shop", "nextToken": "x" }), "InvalidNextTokenException"),
        ("list-action-executions", json!({ "pipelineName": "p q" }), "ValidationException"),
        ("list-action-executions", json!({ "pipelineName": "none" }), "PipelineNotFoundException"),
        ("list-action-executions", json!({ "pipelineName": "shop", "nextToken": "x" }), "InvalidNextTokenException"),
        (
            "list-action-executions",
            json!({ "pipelineName": "shop", "filter": { "pipelineExecutionId": NO_ID } }),
            "PipelineExecutionNotFoundException",
        ),
        ("put-approval-result", put("queue", "Production", "Approve", "NO-UUID"), "ValidationException"),
        ("put-approval-result", put("none", "Production", "Approve", &scene.token), "PipelineNotFoundException"),
        ("put-approval-result", put("queue", "None", "Approve", &scene.token), "StageNotFoundException"),
        ("put-approval-result", put("queue", "Production", "None", &scene.token), "ActionNotFoundException"),
        ("put-approval-result", put("queue", "Production", "Approve", NO_ID), "InvalidApprovalTokenException"),
        (
            "put-approval-result",
            put("shop", "Production", "Approve", &scene.decided_token),
            "ApprovalAlreadyCompletedException",
        ),
        ("start-pipeline-execution", json!({ "name": "p q" }), "ValidationException"),
        ("start-pipeline-execution", json!({ "name": "none" }), "PipelineNotFoundException"),
        ("start-pipeline-execution", json!({ "name": "swarm" }), "ConcurrentPipelineExecutionsLimitExceededException"),
        ("stop-pipeline-execution", of("queue", "no-uuid"), "ValidationException"),
        ("stop-pipeline-execution", of("none", NO_ID), "PipelineNotFoundException"),
        ("stop-pipeline-execution", of("shop", decided), "PipelineExecutionNotStoppableException"),
        ("retry-stage-execution", retry("p q", "Production", NO_ID), "ValidationException"),
        ("retry-stage-execution", retry("none", "Production", NO_ID), "PipelineNotFoundException"),
        ("retry-stage-execution", retry("shop", "None", decided), "StageNotFoundException"),
        ("retry-stage-execution", retry("shop", "Build", decided), "StageNotRetryableException"),
        (
            "retry-stage-execution",
            retry("queue", "Production", &scene.superseded_by_newer),
            "NotLatestPipelineExecutionException",
        ),
        ("enable-stage-transition", enable("p q", "Production"), "ValidationException"),
        ("enable-stage-transition", enable("none", "Production"), "PipelineNotFoundException"),
        ("enable-stage-transition", enable("shop", "None"), "StageNotFoundException"),
        ("disable-stage-transition", move_in("p q", "Production"), "ValidationException"),
        ("disable-stage-transition", move_in("none", "Production"), "PipelineNotFoundException"),
        ("disable-stage-transition", move_in("shop", "None"), "StageNotFoundException"),
        ("rollback-stage", back("shop", "Production", "no-uuid"), "ValidationException"),
        ("rollback-stage", back("none", "Production", NO_ID), "PipelineNotFoundException"),
        ("rollback-stage", back("shop", "None", decided), "StageNotFoundException"),
        ("rollback-stage", back("shop", "Production", NO_ID), "PipelineExecutionNotFoundException"),
        ("rollback-stage", back("shop", "Production", &scene.old_version), "PipelineExecutionOutdatedException"),
        ("rollback-stage", back("pair", "Gate", &scene.never_in_production), "UnableToRollbackStageException"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_modelled_error_reaches_the_aws_cli_by_its_name() {
    let scene = scene().await;
    let cli = Cli::new(&scene.stage.sim);
    let runs = table(&scene).into_iter().map(|(command, input, expected)| {
        let cli = &cli;
        async move {
            let input = input.to_string();
            let ran = cli.run(&["codepipeline", command, "--no-paginate", "--cli-input-json", &input]).await;
            assert_ne!(ran.code, 0, "{command} {input}");
            let wanted = format!("({expected})");
            assert!(ran.stderr.contains(&wanted), "{command} {input}: {} instead of {expected}", ran.stderr);
        }
    });
    // A few at a time: the CLI takes a second to start.
    stream::iter(runs).buffer_unordered(4).collect::<Vec<()>>().await;
    let before = scene.stage.sim.effects().len();
    assert_eq!(before, 3, "only the three answers that set the scene took effect");
}

/// The code the SDK gives for `command` with exactly the body `input`.
async fn code_by_sdk(sdk: &Client, command: &str, input: &Value) -> String {
    let body = input.to_string();
    macro_rules! send {
        ($call:ident) => {{
            let call = sdk.$call().customize().mutate_request(move |request| {
                request.headers_mut().insert("content-length", body.len().to_string());
                *request.body_mut() = body.clone().into();
            });
            code(call.send().await)
        }};
    }
    match command {
        "list-pipelines" => send!(list_pipelines),
        "get-pipeline" => send!(get_pipeline),
        "get-pipeline-state" => send!(get_pipeline_state),
        "get-pipeline-execution" => send!(get_pipeline_execution),
        "list-pipeline-executions" => send!(list_pipeline_executions),
        "list-action-executions" => send!(list_action_executions),
        "put-approval-result" => send!(put_approval_result),
        "start-pipeline-execution" => send!(start_pipeline_execution),
        "stop-pipeline-execution" => send!(stop_pipeline_execution),
        "retry-stage-execution" => send!(retry_stage_execution),
        "enable-stage-transition" => send!(enable_stage_transition),
        "disable-stage-transition" => send!(disable_stage_transition),
        "rollback-stage" => send!(rollback_stage),
        other => panic!("{other} is not in the table"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_modelled_error_reaches_the_rust_sdk_by_its_name() {
    let scene = scene().await;
    for (command, input, expected) in table(&scene) {
        assert_eq!(code_by_sdk(&scene.stage.sdk, command, &input).await, expected, "{command} {input}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn conflicts_and_repeated_stops_are_told() {
    let stage = gates().await;
    let approval = stage.open("shop");
    let stop = || stage.sdk.stop_pipeline_execution().pipeline_name("shop").pipeline_execution_id(&approval.execution);
    stop().reason("wait").send().await.unwrap();
    assert_eq!(refusal(stop().send().await).0, "DuplicatedStopRequestException");
    stop().abandon(true).send().await.unwrap();

    let begin = |version: &str| {
        let revision = aws_sdk_codepipeline::types::SourceRevisionOverride::builder();
        let revision = revision.action_name("Repo").revision_type("COMMIT_ID".into()).revision_value(version).build();
        let call = stage.sdk.start_pipeline_execution().name("shop").client_request_token("once");
        call.source_revisions(revision.unwrap())
    };
    let first = begin("abc").send().await.unwrap();
    let again = begin("abc").send().await.unwrap();
    assert_eq!(first.pipeline_execution_id(), again.pipeline_execution_id());
    let error = begin("def").send().await.unwrap_err();
    assert_eq!(error.raw_response().unwrap().status().as_u16(), 409);
    assert!(error.into_service_error().is_conflict_exception());

    stage.sim.add_fault(Fault::on(
        "RetryStageExecution",
        FaultKind::Error {
            status: 409,
            code: "ConflictException".to_owned(),
            message: "another change is under way".to_owned(),
            body: countersign::simulator::ErrorBody::Json,
            applied: false,
        },
    ));
    let retry = stage.sdk.retry_stage_execution().pipeline_name("shop").stage_name("Production");
    let retry = retry.pipeline_execution_id(&approval.execution).retry_mode("FAILED_ACTIONS".into());
    assert!(retry.send().await.unwrap_err().into_service_error().is_conflict_exception());
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_take_every_form_that_aws_uses_and_the_sdk_reads_them_all() {
    for (form, expected) in [
        ("bare", json!("PipelineNotFoundException")),
        ("namespaced", json!("com.amazonaws.codepipeline#PipelineNotFoundException")),
        ("header", Value::Null),
    ] {
        let world = include_str!("../data/worlds/gates.toml");
        let stage = start(&format!("error_form = \"{form}\"\n{world}")).await;
        let answer = stage.send("GetPipelineState", r#"{"name":"none"}"#).await.unwrap();
        assert_eq!(answer.status(), 400);
        let header = answer.headers().get("x-amzn-errortype").map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(header.is_some(), form != "bare", "{header:?}");
        let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        assert_eq!(body["__type"], expected);
        let (code, message) = refusal(stage.sdk.get_pipeline_state().name("none").send().await);
        assert_eq!(code, "PipelineNotFoundException");
        assert_eq!(message, "Account '111122223333' does not have a pipeline with name 'none'");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_operations_and_broken_bodies_are_refused() {
    let stage = gates().await;
    for (operation, body, expected) in [
        ("PollForJobs", "{}", "UnknownOperationException"),
        ("GetPipelineState", "{", "SerializationException"),
        ("GetPipelineState", "[]", "SerializationException"),
        ("GetPipelineState", r#"{"name":7}"#, "SerializationException"),
    ] {
        let (status, text) = stage.raw_text(operation, body).await;
        assert!(status == 400 && text.contains(expected), "{operation} {body}: {status} {text}");
    }
}
