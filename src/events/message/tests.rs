//! Every recorded form, whole and mangled.

use proptest::prelude::*;
use serde_json::json;

use super::*;

const TOKEN: &str = "0c35520a-b7e6-403d-ba3f-e02120b524c3";

fn hint(body: &str) -> Hint {
    match read(body) {
        Reading::Hint(hint) => hint,
        other => panic!("{other:?}: {body}"),
    }
}

fn place(hint: &Hint) -> (&str, Option<&str>, Option<&str>) {
    (hint.pipeline.as_str(), hint.account.as_deref(), hint.region.as_deref())
}

/// An event as EventBridge writes it.
fn event(kind: &str, detail: &Value) -> Value {
    json!({"version": "0", "id": "1", "detail-type": kind, "source": "aws.codepipeline", "account": "111122223333",
        "time": "2022-04-13T00:02:16Z", "region": "eu-west-1",
        "resources": ["arn:aws:codepipeline:eu-west-1:111122223333:shop"], "detail": detail})
}

fn action(state: &str, category: &str, provider: &str) -> Value {
    let kind = json!({"owner": "AWS", "category": category, "provider": provider, "version": "1"});
    event(
        "CodePipeline Action Execution State Change",
        &json!({"pipeline": "shop", "execution-id": "31c2dcbd-2a1d-42b0-9f37-5bf8cb693b28", "stage": "Production",
            "action": "Approve", "state": state, "region": "eu-west-1", "type": kind, "version": 3.0}),
    )
}

fn execution(kind: &str, state: &str) -> Value {
    event(kind, &json!({"pipeline": "shop", "execution-id": "e", "state": state, "version": 3.0}))
}

/// As a developer tools notification of 2022.
fn codestar(state: &str) -> Value {
    json!({"account": "111122223333", "detailType": "CodePipeline Action Execution State Change",
        "region": "ap-southeast-2", "source": "aws.codepipeline", "time": "2022-04-13T00:02:16Z",
        "notificationRuleArn": "arn:aws:codestar-notifications:ap-southeast-2:111122223333:notificationrule/0648",
        "detail": {"pipeline": "lena-test-pipeline", "execution-id": "31c2dcbd-2a1d-42b0-9f37-5bf8cb693b28",
            "stage": "ManualApproval", "action": "Approval", "state": state, "region": "ap-southeast-2",
            "type": {"owner": "AWS", "provider": "Manual", "category": "Approval", "version": "1"}, "version": 2},
        "resources": ["arn:aws:codepipeline:ap-southeast-2:111122223333:lena-test-pipeline"],
        "additionalAttributes": {"externalEntityLink": "", "customData": ""}})
}

/// CodePipeline's own, as recorded in 2022.
fn approval() -> Value {
    json!({"region": "us-east-1",
        "consoleLink": "https://console.aws.amazon.com/codesuite/codepipeline/pipelines/p/view?region=us-east-1",
        "approval": {"pipelineName": "p", "stageName": "Approval", "actionName": "ManualApproval", "token": TOKEN,
            "expires": "2022-08-30T11:09Z", "externalEntityLink": null,
            "approvalReviewLink": format!("https://console.aws.amazon.com/x#/Approval/ManualApproval/approve/{TOKEN}"),
            "customData": "Testing ... is completed, please approve\n"}})
}

fn wrapped(inner: &Value) -> Value {
    json!({"Type": "Notification", "MessageId": "m", "TopicArn": "arn:aws:sns:us-east-1:111122223333:approvals",
        "Subject": "APPROVAL NEEDED: AWS CodePipeline vrathore-slack-test2-san... for action ManualApproval",
        "Message": inner.to_string(), "Timestamp": "2022-08-23T11:09:00.000Z", "SignatureVersion": "1",
        "Signature": "c2ln", "SigningCertURL": "https://sns.us-east-1.amazonaws.com/x.pem",
        "UnsubscribeURL": "https://sns.us-east-1.amazonaws.com/?Action=Unsubscribe"})
}

fn all() -> Vec<Value> {
    let bare = [action("STARTED", "Approval", "Manual"), codestar("STARTED"), approval()];
    bare.iter().cloned().chain(bare.iter().map(wrapped)).collect()
}

#[test]
fn an_event_names_pipeline_account_and_region() {
    for state in ["STARTED", "SUCCEEDED", "FAILED", "ABANDONED", "CANCELED"] {
        let hint = hint(&action(state, "Approval", "Manual").to_string());
        assert_eq!(place(&hint), ("shop", Some("111122223333"), Some("eu-west-1")));
        assert_eq!(hint.deadline, None);
    }
}

#[test]
fn a_developer_tools_notification_says_the_same_in_its_own_spelling() {
    for body in [codestar("STARTED"), wrapped(&codestar("SUCCEEDED"))] {
        let hint = hint(&body.to_string());
        assert_eq!(place(&hint), ("lena-test-pipeline", Some("111122223333"), Some("ap-southeast-2")));
    }
}

#[test]
fn the_message_about_an_approval_tells_its_deadline_and_of_its_token_only_the_hash() {
    for body in [approval(), wrapped(&approval())] {
        let hint = hint(&body.to_string());
        assert_eq!(place(&hint), ("p", None, Some("us-east-1")));
        let deadline = hint.deadline.unwrap();
        assert_eq!(deadline.expires_at.to_string(), "2022-08-30T11:09:00Z");
        assert_eq!(deadline.token_hash, ApprovalToken::new(TOKEN).hash());
        assert!(!format!("{hint:?}").contains(TOKEN));
    }
}

#[test]
fn aws_s_own_example_is_read_though_its_token_is_no_uuid() {
    // CodePipeline User Guide, JSON data format for manual approval notifications.
    let body = r##"{"region":"us-east-2",
        "consoleLink":"https://console.aws.amazon.com/codepipeline/home?region=us-east-2#/view/MyFirstPipeline",
        "approval":{"pipelineName":"MyFirstPipeline","stageName":"MyApprovalStage","actionName":"MyApprovalAction",
        "token":"1a2b3c4d-573f-4ea7-a67E-XAMPLETOKEN","expires":"2016-07-07T20:22Z",
        "externalEntityLink":"http://example.com","customData":"Review the latest changes."}}"##;
    let hint = hint(body);
    assert_eq!(hint.pipeline.as_str(), "MyFirstPipeline");
    assert_eq!(hint.deadline.unwrap().expires_at.to_string(), "2016-07-07T20:22:00Z");
}

#[test]
fn what_an_approval_message_lacks_or_has_as_null_is_no_reason_not_to_look() {
    for member in
        ["stageName", "actionName", "token", "expires", "externalEntityLink", "approvalReviewLink", "customData"]
    {
        for odd in
            [None, Some(Value::Null), Some(json!("")), Some(json!(7)), Some(json!({})), Some(json!("x".repeat(9_999)))]
        {
            let mut body = approval();
            match &odd {
                None => drop(body["approval"].as_object_mut().unwrap().remove(member)),
                Some(odd) => body["approval"][member] = odd.clone(),
            }
            let told = matches!(member, "token" | "expires");
            assert_eq!(hint(&body.to_string()).deadline.is_some(), !told, "{member} {odd:?}");
        }
    }
}

#[test]
fn a_deadline_is_read_with_and_without_seconds_and_in_any_zone() {
    for expires in ["2022-08-30T11:09Z", "2022-08-30T11:09:00Z", "2022-08-30T13:09+02:00", "2022-08-30T11:09:00.000Z"] {
        let mut body = approval();
        body["approval"]["expires"] = json!(expires);
        assert_eq!(hint(&body.to_string()).deadline.unwrap().expires_at.to_string(), "2022-08-30T11:09:00Z");
    }
    for nonsense in ["soon", "2022-08-30", "2022-13-30T11:09Z", "99999-01-01T00:00Z", "1661857740"] {
        let mut body = approval();
        body["approval"]["expires"] = json!(nonsense);
        assert_eq!(hint(&body.to_string()).deadline, None, "{nonsense}");
    }
}

#[test]
fn what_is_not_about_waiting_approvals_is_put_aside() {
    let mut beside = vec![
        action("STARTED", "Build", "CodeBuild"),
        action("FAILED", "Deploy", "CloudFormation"),
        action("STARTED", "Approval", "SomebodysOwn"),
        json!({"detail-type": "CodeBuild Build State Change", "source": "aws.codebuild", "detail": {}}),
    ];
    for kind in ["CodePipeline Pipeline Execution State Change", "CodePipeline Stage Execution State Change"] {
        beside.extend(["STARTED", "RESUMED", "SUCCEEDED"].map(|state| execution(kind, state)));
    }
    for body in beside {
        assert_eq!(read(&body.to_string()), Reading::Beside, "{body}");
        assert_eq!(read(&wrapped(&body).to_string()), Reading::Beside, "{body}");
    }
}

#[test]
fn a_run_that_ends_otherwise_may_have_taken_an_approval_with_it() {
    for state in ["CANCELED", "FAILED", "STOPPED", "STOPPING", "SUPERSEDED", "SOMETHING_NEW"] {
        hint(&execution("CodePipeline Pipeline Execution State Change", state).to_string());
    }
    for state in ["CANCELED", "FAILED", "STOPPED", "STOPPING"] {
        hint(&execution("CodePipeline Stage Execution State Change", state).to_string());
    }
}

#[test]
fn members_that_older_events_lack_are_not_needed() {
    let mut body = action("STARTED", "Approval", "Manual");
    for member in ["version", "id", "account", "time", "region"] {
        body.as_object_mut().unwrap().remove(member);
    }
    for member in ["execution-id", "stage", "action", "state", "region", "type", "version", "pipeline"] {
        body["detail"].as_object_mut().unwrap().remove(member);
        assert_eq!(place(&hint(&body.to_string())), ("shop", Some("111122223333"), Some("eu-west-1")), "by its ARN");
    }
    body.as_object_mut().unwrap().remove("resources");
    assert_eq!(read(&body.to_string()), Reading::NotUnderstood("it names no pipeline"));
}

#[test]
fn what_cannot_be_understood_says_why_and_nothing_of_itself() {
    let mut two = action("STARTED", "Approval", "Manual");
    two["detail"]["pipeline"] = json!("blog");
    let mut hostile = approval();
    hostile["approval"]["pipelineName"] = json!("p'; drop table approval; --");
    let confirm = json!({"Type": "SubscriptionConfirmation", "Token": "t", "Message": "You have chosen to subscribe"});
    let too_large = json!({"approval": {"pipelineName": "p"}, "x": "x".repeat(LARGEST)}).to_string();
    let deep = "[".repeat(100_000);
    let cases = [
        ("", "JSON object"),
        ("not JSON", "JSON object"),
        ("[]", "JSON object"),
        ("\"text\"", "JSON object"),
        (&deep, "JSON object"),
        ("{}", "neither"),
        (r#"{"approval":{}}"#, "names no pipeline"),
        (r#"{"approval":null,"detail-type":7}"#, "neither"),
        (&too_large, "256 KiB"),
        (&two.to_string(), "two pipelines"),
        (&hostile.to_string(), "would name so"),
        (&confirm.to_string(), "confirmed"),
        (&wrapped(&wrapped(&approval())).to_string(), "within another"),
        (&wrapped(&json!("plain words")).to_string(), "JSON object"),
    ];
    for (body, part) in cases {
        let Reading::NotUnderstood(why) = read(body) else { panic!("{:?}", body.get(..200)) };
        assert!(why.contains(part), "{why}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read_without_a_panic(text in ".{0,400}") {
        let _ = read(&text);
    }

    #[test]
    fn a_message_cut_short_or_changed_anywhere_is_read_without_a_panic_and_tells_no_token(
        which in 0..6_usize, at in 0.0..1.0_f64, with in "[\\x00-\\x7f]{0,3}", cut in any::<bool>()
    ) {
        let body = all()[which].to_string();
        #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in a short text")]
        let mut at = (body.len() as f64 * at) as usize;
        while !body.is_char_boundary(at) {
            at -= 1;
        }
        let (head, tail) = body.split_at(at);
        let rest = tail.chars().skip(1).collect::<String>();
        let changed = if cut { format!("{head}{with}") } else { format!("{head}{with}{rest}") };
        let reading = read(&changed);
        let printed = format!("{reading:?}");
        prop_assert!(!printed.contains(TOKEN));
        if let Reading::Hint(hint) = reading {
            prop_assert!(PipelineName::parse(hint.pipeline.as_str()).is_ok());
        }
    }
}
