//! Every constraint of the service model, at its limit and one beyond, in AWS's words.

use serde_json::{Value, json};

use crate::harness::{Stage, gates};

const ID: &str = "00000000-0000-4000-8000-000000000000";

async fn error(stage: &Stage, operation: &str, body: &Value) -> (String, String) {
    let (_, text) = stage.raw_text(operation, &body.to_string()).await;
    let body: Value = serde_json::from_str(&text).unwrap_or_default();
    let member = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    (member("__type"), member("message"))
}

fn put(change: impl FnOnce(&mut Value)) -> Value {
    let mut body = json!({ "pipelineName": "shop", "stageName": "Production", "actionName": "Approve", "token": ID,
                           "result": { "status": "Approved", "summary": "" } });
    change(&mut body);
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_just_within_the_limits_passes_validation() {
    let stage = gates().await;
    let long = "n".repeat(100);
    for (operation, body) in [
        ("GetPipelineState", json!({ "name": long })),
        ("GetPipelineState", json!({ "name": "A.b@c-d_9", "somethingNew": { "x": 1 } })),
        ("ListPipelines", json!({ "maxResults": 1000 })),
        ("ListPipelines", json!({ "maxResults": 1 })),
        ("ListPipelineExecutions", json!({ "pipelineName": "shop", "maxResults": 100 })),
        ("PutApprovalResult", put(|body| body["result"]["summary"] = "s".repeat(512).into())),
        ("PutApprovalResult", put(|body| body["result"]["summary"] = "😀".repeat(256).into())),
        (
            "StopPipelineExecution",
            json!({ "pipelineName": "shop", "pipelineExecutionId": ID, "reason": "r".repeat(200) }),
        ),
        ("GetPipeline", json!({ "name": "none", "version": 1 })),
    ] {
        let (code, message) = error(&stage, operation, &body).await;
        assert_ne!(code, "ValidationException", "{operation} {body}: {message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_just_beyond_the_limits_is_refused_in_awss_words() {
    let stage = gates().await;
    let long = "n".repeat(101);
    let name = r"[A-Za-z0-9.@\-_]+";
    let uuid = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}";
    let upper = "00000000-0000-4000-8000-00000000000A";
    let retry = json!({ "pipelineName": "shop", "stageName": "s", "pipelineExecutionId": ID, "retryMode": "SOME" });
    let close = |reason: &str| json!({ "pipelineName": "shop", "stageName": "s", "transitionType": "Inbound", "reason": reason });
    let variables =
        |count: usize| json!({ "name": "shop", "variables": vec![json!({ "name": "n", "value": "v" }); count] });
    for (operation, body, expected) in [
        ("GetPipelineState", json!({}), "Value null at 'name' failed to satisfy constraint: Member must not be null".to_owned()),
        ("GetPipelineState", json!({ "name": "" }), "Value '' at 'name' failed to satisfy constraint: Member must have length greater than or equal to 1".to_owned()),
        ("GetPipelineState", json!({ "name": long }), format!("Value '{long}' at 'name' failed to satisfy constraint: Member must have length less than or equal to 100")),
        ("GetPipelineState", json!({ "name": "p q" }), format!("Value 'p q' at 'name' failed to satisfy constraint: Member must satisfy regular expression pattern: {name}")),
        ("GetPipeline", json!({ "name": "shop", "version": 0 }), "Value '0' at 'version' failed to satisfy constraint: Member must have value greater than or equal to 1".to_owned()),
        ("ListPipelines", json!({ "maxResults": 1001 }), "Value '1001' at 'maxResults' failed to satisfy constraint: Member must have value less than or equal to 1000".to_owned()),
        ("ListPipelines", json!({ "nextToken": "" }), "Member must have length greater than or equal to 1".to_owned()),
        ("ListPipelines", json!({ "nextToken": "t".repeat(2049) }), "Member must have length less than or equal to 2048".to_owned()),
        ("ListActionExecutions", json!({ "pipelineName": "shop", "maxResults": 101 }), "less than or equal to 100".to_owned()),
        ("ListActionExecutions", json!({ "pipelineName": "shop", "filter": { "latestInPipelineExecution": { "pipelineExecutionId": ID, "startTimeRange": "Some" } } }),
            "Value 'Some' at 'filter.latestInPipelineExecution.startTimeRange' failed to satisfy constraint: Member must satisfy enum value set: [Latest, All]".to_owned()),
        ("ListPipelineExecutions", json!({ "pipelineName": "shop", "filter": { "succeededInStage": { "stageName": "a b" } } }), "'filter.succeededInStage.stageName'".to_owned()),
        ("GetPipelineExecution", json!({ "pipelineName": "shop", "pipelineExecutionId": upper }), format!("pattern: {uuid}")),
        ("PutApprovalResult", put(|body| body["token"] = upper.into()), format!("Value '{upper}' at 'token' failed to satisfy constraint: Member must satisfy regular expression pattern: {uuid}")),
        ("PutApprovalResult", put(|body| body["result"]["summary"] = "s".repeat(513).into()), "at 'result.summary' failed to satisfy constraint: Member must have length less than or equal to 512".to_owned()),
        ("PutApprovalResult", put(|body| body["result"]["summary"] = Value::Null), "Value null at 'result.summary'".to_owned()),
        ("PutApprovalResult", put(|body| body["result"]["status"] = "Maybe".into()), "Value 'Maybe' at 'result.status' failed to satisfy constraint: Member must satisfy enum value set: [Approved, Rejected]".to_owned()),
        ("PutApprovalResult", put(|body| body["stageName"] = "a/b".into()), "'stageName'".to_owned()),
        ("PutApprovalResult", put(|body| body["actionName"] = "é".into()), "'actionName'".to_owned()),
        ("PutApprovalResult", json!({}), "5 validation errors detected: ".to_owned()),
        ("StopPipelineExecution", json!({ "pipelineName": "shop", "pipelineExecutionId": ID, "reason": "r".repeat(201) }), "less than or equal to 200".to_owned()),
        ("RetryStageExecution", retry, "enum value set: [FAILED_ACTIONS, ALL_ACTIONS]".to_owned()),
        ("DisableStageTransition", close("no, thanks"), "pattern: [a-zA-Z0-9!@ \\(\\)\\.\\*\\?\\-]+".to_owned()),
        ("DisableStageTransition", close(&"r".repeat(301)), "less than or equal to 300".to_owned()),
        ("EnableStageTransition", json!({ "pipelineName": "shop", "stageName": "s", "transitionType": "Sideways" }), "enum value set: [Inbound, Outbound]".to_owned()),
        ("StartPipelineExecution", variables(51), "at 'variables' failed to satisfy constraint: Member must have length less than or equal to 50".to_owned()),
        ("StartPipelineExecution", variables(0), "greater than or equal to 1".to_owned()),
        ("StartPipelineExecution", json!({ "name": "shop", "variables": [{ "name": "a b", "value": "two\nlines" }] }), "2 validation errors detected: ".to_owned()),
        ("StartPipelineExecution", json!({ "name": "shop", "clientRequestToken": "a_b" }), "pattern: ^[a-zA-Z0-9-]+$".to_owned()),
        ("StartPipelineExecution", json!({ "name": "shop", "sourceRevisions": [{ "actionName": "Repo", "revisionType": "BRANCH", "revisionValue": "x" }] }), "'sourceRevisions.1.member.revisionType'".to_owned()),
    ] {
        let (code, message) = error(&stage, operation, &body).await;
        assert_eq!(code, "ValidationException", "{operation} {body}: {message}");
        assert!(message.contains(&expected), "{operation} {body}:\n{message}\ndoes not contain\n{expected}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_violation_is_told_in_the_singular() {
    let stage = gates().await;
    let (_, message) = error(&stage, "GetPipelineState", &json!({ "name": "p q" })).await;
    assert!(message.starts_with("1 validation error detected: Value 'p q' at 'name' "), "{message}");
}
