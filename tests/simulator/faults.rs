//! Every fault, as it looks on the wire and in the journal.

use std::sync::Arc;

use aws_sdk_codepipeline::error::SdkError;
use countersign::simulator::{ErrorBody, Fault, FaultKind, Moment};
use serde_json::json;

use crate::harness::{PORTAL, Stage, code, gates, put_with, refusal};

const PUT: &str = "PutApprovalResult";
const STATE: &str = "GetPipelineState";

fn error(status: u16, body: ErrorBody, applied: bool) -> FaultKind {
    FaultKind::Error { status, code: "InternalFailure".to_owned(), message: "went wrong".to_owned(), body, applied }
}

async fn token_is_alive(stage: &Stage, pipeline: &str) -> bool {
    let action = stage.action_state(pipeline, "Production", "Approve").await;
    action["latestExecution"].get("token").is_some()
}

#[tokio::test(flavor = "multi_thread")]
async fn throttling_by_order_hits_the_next_calls_and_no_more() {
    let stage = gates().await;
    stage.sim.add_fault(Fault::on(STATE, FaultKind::Throttle).times(2));
    for _ in 0..2 {
        let (code, message) = refusal(stage.sdk.get_pipeline_state().name("shop").send().await);
        assert_eq!((&*code, &*message), ("ThrottlingException", "Rate exceeded"));
    }
    stage.sdk.get_pipeline_state().name("shop").send().await.unwrap();
    assert!(stage.sim.faults().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn throttling_by_rate_is_shared_by_an_account_and_region_and_refills_with_time() {
    let stage = gates().await;
    let rate = serde_json::from_value(json!({ "per_second": 2.0, "burst": 3.0 })).unwrap();
    stage.world.limit_calls(Some(rate));
    let call = || async { stage.sdk.get_pipeline_state().name("shop").send().await };
    for _ in 0..3 {
        call().await.unwrap();
    }
    assert_eq!(code(call().await), "ThrottlingException");
    let elsewhere = stage.raw_text(STATE, r#"{"name":"shop"}"#).await;
    assert_eq!(elsewhere.0, 400, "another key of the same account shares the bucket: {}", elsewhere.1);
    stage.step(1);
    call().await.unwrap();
    call().await.unwrap();
    assert_eq!(code(call().await), "ThrottlingException");
}

#[tokio::test(flavor = "multi_thread")]
async fn server_errors_come_with_json_html_or_nothing_before_or_after_the_effect() {
    for (body, coded) in [(ErrorBody::Json, true), (ErrorBody::Html, false), (ErrorBody::Empty, false)] {
        for (status, applied) in [(500, false), (503, true), (504, true)] {
            let stage = gates().await;
            let approval = stage.open("shop");
            stage.sim.add_fault(Fault::on(PUT, error(status, body, applied)).times(1));
            let failed = stage.put(&approval, "Approved", "x").await.unwrap_err();
            assert_eq!(failed.raw_response().unwrap().status().as_u16(), status);
            assert_eq!(matches!(failed, SdkError::ServiceError(_)), coded, "{body:?} {failed:?}");
            assert_eq!(stage.sim.effects().len(), usize::from(applied));
            assert_eq!(token_is_alive(&stage, "shop").await, !applied);
            assert_eq!(stage.sim.receipts()[0].applied, applied);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_really_cuts_the_connection_before_or_after_the_effect() {
    for applied in [false, true] {
        let stage = gates().await;
        let approval = stage.open("shop");
        stage.sim.add_fault(Fault::on(PUT, FaultKind::Reset { applied }).times(1));
        let failed = stage.put(&approval, "Approved", "x").await.unwrap_err();
        assert!(matches!(failed, SdkError::DispatchFailure(_)), "{failed:?}");
        assert!(failed.raw_response().is_none());
        assert_eq!(stage.sim.effects().len(), usize::from(applied));
        assert_eq!(stage.sim.receipts()[0].answer.as_deref(), Some("reset"));
        let again = stage.put(&approval, "Approved", "x").await;
        if applied {
            assert_eq!(code(again), "ApprovalAlreadyCompletedException");
        } else {
            again.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_is_a_reset_on_the_socket() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let stage = gates().await;
    stage.sim.add_fault(Fault::on(STATE, FaultKind::Reset { applied: false }));
    let mut socket = tokio::net::TcpStream::connect(stage.sim.addr()).await.unwrap();
    let request = "POST / HTTP/1.1\r\nhost: x\r\nx-amz-target: CodePipeline_20150709.GetPipelineState\r\n\
                   x-amz-date: 20261121T080000Z\r\nauthorization: AWS4-HMAC-SHA256 \
                   Credential=A/20261121/eu-west-1/codepipeline/aws4_request, SignedHeaders=host, Signature=0\r\n\
                   content-length: 2\r\n\r\n{}";
    socket.write_all(request.as_bytes()).await.unwrap();
    let error = socket.read(&mut [0; 16]).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hung_call_is_applied_or_dropped_when_its_time_comes() {
    for (applied, effects) in [(true, 1), (false, 0)] {
        let stage = gates().await;
        let approval = stage.open("shop");
        let hang = FaultKind::Hang { seconds: Some(40.0), applied };
        let fault = stage.sim.add_fault(Fault::on(PUT, hang));
        let (sdk, waiting) = (stage.sdk.clone(), approval.clone());
        let call = tokio::spawn(async move { put_with(&sdk, &waiting, "Approved", "x").await });
        stage.sim.until_held(fault).await;
        stage.step(39);
        assert!(token_is_alive(&stage, "shop").await);
        stage.step(1);
        assert_eq!(call.await.unwrap().is_ok(), applied);
        assert_eq!(stage.sim.effects().len(), effects);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hung_call_goes_on_when_its_caller_has_gone_away() {
    let stage = gates().await;
    let approval = stage.open("shop");
    let fault = stage.sim.add_fault(Fault::on(PUT, FaultKind::Hang { seconds: None, applied: true }));
    let (sdk, waiting) = (stage.sdk.clone(), approval.clone());
    let call = tokio::spawn(async move { put_with(&sdk, &waiting, "Approved", "late").await });
    stage.sim.until_held(fault).await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    assert!(stage.sim.effects().is_empty());
    stage.sim.release(fault);
    while stage.sim.effects().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(stage.sim.effects()[0].summary, "late");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_answer_says_nothing_about_the_effect() {
    for applied in [false, true] {
        let stage = gates().await;
        let approval = stage.open("shop");
        stage.sim.add_fault(Fault::on(PUT, FaultKind::Empty { applied }));
        let answer = stage.put(&approval, "Approved", "x").await.unwrap();
        assert_eq!(answer.approved_at(), None);
        assert_eq!(stage.sim.effects().len(), usize::from(applied));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_break_off_swell_lose_members_and_speak_of_the_future() {
    let stage = gates().await;
    stage.open("shop");
    let state = || stage.sdk.get_pipeline_state().name("shop").send();
    stage.sim.add_fault(Fault::on(STATE, FaultKind::Truncate).times(1));
    let broken = stage.send(STATE, r#"{"name":"shop"}"#).await.unwrap();
    let promised = broken.content_length().unwrap();
    assert!(promised > 100 && broken.bytes().await.is_err());

    stage.sim.add_fault(Fault::on(STATE, FaultKind::Huge { bytes: 3_000_000 }).times(1));
    let (_, text) = stage.raw_text(STATE, r#"{"name":"shop"}"#).await;
    assert!(text.len() > 3_000_000);

    let missing = FaultKind::Missing { members: vec!["token".to_owned(), "lastStatusChange".to_owned()] };
    stage.sim.add_fault(Fault::on(STATE, missing).times(1));
    let answer = state().await.unwrap();
    let latest = answer.stage_states()[2].action_states()[0].latest_execution().unwrap();
    assert_eq!((latest.token(), latest.last_status_change()), (None, None));

    stage.sim.add_fault(Fault::on(STATE, FaultKind::UnknownEnum).times(1));
    let answer = state().await.unwrap();
    let latest = answer.stage_states()[2].action_states()[0].latest_execution().unwrap();
    assert_eq!(latest.status().unwrap().as_str(), "Pondering");
}

#[tokio::test(flavor = "multi_thread")]
async fn stale_reads_show_the_world_before_the_decision() {
    let stage = gates().await;
    let approval = stage.open("shop");
    stage.step(10);
    stage.put(&approval, "Approved", "x").await.unwrap();
    let fault = stage.sim.add_fault(Fault { kind: FaultKind::Stale { seconds: 5.0 }, ..Fault::default() });
    assert!(token_is_alive(&stage, "shop").await, "the reads lag behind by five seconds");
    let listed = stage.action_executions("shop", &approval.execution).await;
    assert_eq!(listed[0]["status"], "InProgress");
    stage.step(6);
    assert!(!token_is_alive(&stage, "shop").await, "and catch up");
    stage.sim.release(fault);
    assert!(!token_is_alive(&stage, "shop").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn denied_names_who_may_not_do_what_to_which_resource() {
    let stage = gates().await;
    let approval = stage.open("shop");
    let base = "arn:aws:codepipeline:eu-west-1:111122223333";
    let expected = |operation: &str, resource: &str| {
        format!("User: {PORTAL} is not authorized to perform: codepipeline:{operation} on resource: {resource}")
    };
    let put = stage.world.deny(PUT, Some("shop"));
    let (code, message) = refusal(stage.put(&approval, "Approved", "x").await);
    assert_eq!(
        (code, message),
        ("AccessDeniedException".into(), expected(PUT, &format!("{base}:shop/Production/Approve")))
    );
    stage.world.deny("ListPipelines", None);
    let (_, message) = refusal(stage.sdk.list_pipelines().send().await);
    assert_eq!(message, expected("ListPipelines", &format!("{base}:*")));
    stage.world.deny(STATE, Some("queue"));
    let (_, message) = refusal(stage.sdk.get_pipeline_state().name("queue").send().await);
    assert_eq!(message, expected(STATE, &format!("{base}:queue")));
    stage.sdk.get_pipeline_state().name("shop").send().await.unwrap();
    stage.sim.release(put);
    stage.put(&approval, "Approved", "x").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_and_invented_codes_reach_the_caller_without_effect() {
    let stage = gates().await;
    let approval = stage.open("shop");
    let invented = FaultKind::UnknownCode { code: "MoonPhaseException".to_owned() };
    for (kind, expected) in [(FaultKind::Expired, "ExpiredTokenException"), (invented, "MoonPhaseException")] {
        stage.sim.add_fault(Fault::on(PUT, kind).times(1));
        assert_eq!(code(stage.put(&approval, "Approved", "x").await), expected);
    }
    assert!(stage.sim.effects().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_call_shows_each_moment_of_its_life() {
    for (at, effects) in [(Moment::Received, 0), (Moment::Applied, 1), (Moment::Answering, 1)] {
        let stage = gates().await;
        let approval = stage.open("shop");
        let fault = stage.sim.add_fault(Fault::on(PUT, FaultKind::Block { at }));
        let (sdk, waiting) = (stage.sdk.clone(), approval.clone());
        let call = tokio::spawn(async move { put_with(&sdk, &waiting, "Approved", "x").await });
        stage.sim.until_held(fault).await;
        assert_eq!(stage.sim.effects().len(), effects, "{at:?}");
        assert_eq!(stage.sim.receipts()[0].ended, None);
        stage.sim.release(fault);
        call.await.unwrap().unwrap();
        assert_eq!(stage.sim.effects().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clearing_the_faults_lets_go_a_call_whose_fault_has_run_out() {
    let stage = gates().await;
    let fault = stage.sim.add_fault(Fault::on(STATE, FaultKind::Block { at: Moment::Received }).times(1));
    let sdk = stage.sdk.clone();
    let call = tokio::spawn(async move { sdk.get_pipeline_state().name("shop").send().await.is_ok() });
    stage.sim.until_held(fault).await;
    assert!(stage.sim.faults().is_empty());
    stage.sim.clear_faults();
    assert!(call.await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_kills_the_process_that_is_named() {
    let stage = gates().await;
    let mut child = tokio::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
    let pid = i32::try_from(child.id().unwrap()).unwrap();
    stage.sim.add_fault(Fault::on(STATE, FaultKind::Signal { at: Moment::Applied, pid }).times(1));
    stage.sdk.get_pipeline_state().name("shop").send().await.unwrap();
    let ended = child.wait().await.unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&ended), Some(9));
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_hit_by_pipeline_after_some_calls_and_by_chance() {
    let stage = gates().await;
    stage.sim.add_fault(Fault { skip: 1, ..Fault::on(STATE, FaultKind::Throttle).of("queue").times(1) });
    let state = |name: &'static str| stage.sdk.get_pipeline_state().name(name).send();
    state("shop").await.unwrap();
    state("queue").await.unwrap();
    assert_eq!(code(state("queue").await), "ThrottlingException");
    state("queue").await.unwrap();

    stage.sim.add_fault(Fault { probability: Some(0.5), ..Fault::on(STATE, FaultKind::Throttle) });
    let mut refused = 0;
    for _ in 0..60 {
        refused += u32::from(state("shop").await.is_err());
    }
    assert!((15..=45).contains(&refused), "{refused} of 60 at even odds; the seed is fixed");
}

#[tokio::test(flavor = "multi_thread")]
async fn sends_of_one_token_that_overlap_can_be_told_from_those_that_do_not() {
    let stage = gates().await;
    let approval = stage.open("shop");
    let fault = stage.sim.add_fault(Fault::on(PUT, FaultKind::Block { at: Moment::Received }).times(2));
    let calls = [1, 2].map(|_| {
        let (sdk, waiting) = (stage.sdk.clone(), approval.clone());
        tokio::spawn(async move { put_with(&sdk, &waiting, "Approved", "x").await.is_ok() })
    });
    stage.sim.until_called(PUT, 2).await;
    while stage.sim.receipts().len() < 2 {
        tokio::task::yield_now().await;
    }
    stage.sim.release(fault);
    let mut won = 0;
    for call in calls {
        won += u32::from(call.await.unwrap());
    }
    let receipts = Arc::new(stage.sim.receipts());
    assert_eq!(won, 1);
    assert!(receipts[1].started_order < receipts[0].ended_order.unwrap(), "{receipts:?}");
    assert_eq!(stage.sim.effects().len(), 1);
}
