//! Who asks: signatures, roles, sessions, and what AWS will show of them.

use aws_sdk_codepipeline::config::Credentials;
use aws_sdk_sts::config::{BehaviorVersion, Region, retry::RetryConfig};
use countersign::simulator::{Fault, FaultKind, SimulatorHandle};
use serde_json::json;

use crate::harness::{Cli, PORTAL, REGION, client, client_with, code, gates, put_with, start};

const ROLE: &str = "arn:aws:iam::444455556666:role/countersign";

fn sts(sim: &SimulatorHandle) -> aws_sdk_sts::Client {
    let config = aws_sdk_sts::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(REGION))
        .credentials_provider(aws_sdk_sts::config::Credentials::new("AKIAPORTAL", "portal-secret", None, None, "test"))
        .endpoint_url(sim.endpoint())
        .retry_config(RetryConfig::disabled())
        .build();
    aws_sdk_sts::Client::from_conf(config)
}

async fn assume(sim: &SimulatorHandle, session: &str) -> Credentials {
    let call = sts(sim).assume_role().role_arn(ROLE).role_session_name(session).external_id("only-us");
    let given = call.send().await.unwrap().credentials.unwrap();
    let token = Some(given.session_token().to_owned());
    Credentials::new(given.access_key_id(), given.secret_access_key(), token, None, "test")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_assumed_role_works_in_its_own_account_under_the_name_of_its_session() {
    let stage = gates().await;
    let sdk = client_with(&stage.sim, assume(&stage.sim, "ana@example.com").await);
    let listed = sdk.list_pipelines().send().await.unwrap();
    assert_eq!(listed.pipelines().len(), 1, "the other account has one pipeline");
    let approval = stage.sim.world("444455556666", REGION).open_approval("shop", None).unwrap();
    put_with(&sdk, &approval, "Approved", "").await.unwrap();
    let arn = "arn:aws:sts::444455556666:assumed-role/countersign/ana@example.com";
    assert_eq!(stage.sim.effects()[0].caller, arn);
    let state = sdk.get_pipeline_state().name("shop").send().await.unwrap();
    let latest = state.stage_states()[2].action_states()[0].latest_execution().unwrap();
    assert_eq!(latest.last_updated_by(), Some(arn));
    assert_eq!(latest.summary(), Some(&*format!("Approved by {arn}")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_is_refused_without_the_agreed_external_id() {
    let stage = gates().await;
    for external in [None, Some("guessed")] {
        let call = sts(&stage.sim).assume_role().role_arn(ROLE).role_session_name("ana");
        let (code, message) = crate::harness::refusal(call.set_external_id(external.map(str::to_owned)).send().await);
        assert_eq!(code, "AccessDenied");
        let expected = format!("User: {PORTAL} is not authorized to perform: sts:AssumeRole on resource: {ROLE}");
        assert_eq!(message, expected);
    }
    let call = sts(&stage.sim).assume_role().role_arn(ROLE).role_session_name("a b").external_id("only-us");
    assert_eq!(crate::harness::code(call.send().await), "ValidationError");
}

#[tokio::test(flavor = "multi_thread")]
async fn assuming_a_role_can_be_denied_throttled_and_cut_off() {
    let stage = gates().await;
    let call = || sts(&stage.sim).assume_role().role_arn(ROLE).role_session_name("ana").external_id("only-us").send();
    let hit = |kind| stage.sim.add_fault(Fault::on("AssumeRole", kind).times(1));
    hit(FaultKind::Denied);
    assert_eq!(code(call().await), "AccessDenied");
    hit(FaultKind::Throttle);
    assert_eq!(code(call().await), "Throttling");
    hit(FaultKind::Reset { applied: false });
    assert!(call().await.unwrap_err().raw_response().is_none());
    call().await.unwrap();
    assert_eq!(stage.sim.count("AssumeRole"), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_sessions_are_refused_until_the_role_is_assumed_again() {
    let stage = gates().await;
    let old = client_with(&stage.sim, assume(&stage.sim, "portal").await);
    old.list_pipelines().send().await.unwrap();
    assert_eq!(stage.sim.expire_credentials(), 1);
    assert_eq!(code(old.list_pipelines().send().await), "ExpiredTokenException");
    let new = client_with(&stage.sim, assume(&stage.sim, "portal").await);
    new.list_pipelines().send().await.unwrap();
    stage.step(3600);
    assert_eq!(code(new.list_pipelines().send().await), "ExpiredTokenException");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_caller_identity_is_told_to_sdk_and_cli() {
    let stage = gates().await;
    let identity = sts(&stage.sim).get_caller_identity().send().await.unwrap();
    assert_eq!((identity.arn(), identity.account()), (Some(PORTAL), Some("111122223333")));
    let cli = Cli::new(&stage.sim);
    let told = cli.json(&["sts", "get-caller-identity"]).await;
    assert_eq!(told["Arn"], PORTAL);
    let role = ["sts", "assume-role", "--role-arn", ROLE, "--role-session-name", "ines", "--external-id", "only-us"];
    let assumed = cli.json(&role).await;
    assert_eq!(assumed["AssumedRoleUser"]["Arn"], "arn:aws:sts::444455556666:assumed-role/countersign/ines");
}

#[tokio::test(flavor = "multi_thread")]
async fn signatures_are_verified_where_the_secret_is_known() {
    let stage = gates().await;
    let wrong = client(&stage.sim, "AKIAPORTAL", "guessed");
    assert_eq!(code(wrong.list_pipelines().send().await), "InvalidSignatureException");
    client(&stage.sim, "AKIAUNKNOWN", "anything").list_pipelines().send().await.unwrap();
    let world = include_str!("../data/worlds/gates.toml").replace("seed = 7", "seed = 7\nstrict = true");
    let strict = start(&world).await;
    let unknown = client(&strict.sim, "AKIAUNKNOWN", "anything");
    assert_eq!(code(unknown.list_pipelines().send().await), "UnrecognizedClientException");
    strict.sdk.list_pipelines().send().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_off_is_noticed_when_the_world_asks_for_it() {
    let world = include_str!("../data/worlds/gates.toml").replace("seed = 7", "seed = 7\ncheck_time = true");
    let stage = start(&world).await;
    let (status, text) = stage.raw_text("ListPipelines", "{}").await;
    assert_eq!(status, 200, "{text}");
    stage.step(301);
    let (_, text) = stage.raw_text("ListPipelines", "{}").await;
    assert!(text.contains("InvalidSignatureException") && text.contains("Signature expired"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_and_malformed_authorization_is_refused() {
    let stage = gates().await;
    let scope = "Credential=A/20261121/eu-west-1/codepipeline/aws4_request";
    for (header, expected) in [
        (None, "MissingAuthenticationTokenException"),
        (Some("Bearer x".to_owned()), "IncompleteSignatureException"),
        (
            Some("AWS4-HMAC-SHA256 Credential=A/eu-west-1, SignedHeaders=host, Signature=0".to_owned()),
            "IncompleteSignatureException",
        ),
        (Some(format!("AWS4-HMAC-SHA256 {scope}, Signature=0")), "IncompleteSignatureException"),
        (Some(format!("AWS4-HMAC-SHA256 {scope}, SignedHeaders=host")), "IncompleteSignatureException"),
    ] {
        let mut request = reqwest::Client::new().post(stage.sim.endpoint()).body("{}");
        request = request
            .header("x-amz-target", "CodePipeline_20150709.ListPipelines")
            .header("x-amz-date", "20261121T080000Z");
        if let Some(header) = &header {
            request = request.header("authorization", header);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 400);
        let text = answer.text().await.unwrap();
        assert!(text.contains(expected), "{header:?}: {text}");
    }
    assert_eq!(stage.sim.calls().counts, serde_json::from_value(json!({ "ListPipelines": 5 })).unwrap());
}
