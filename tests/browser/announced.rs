//! The whole way with real parts: a pipeline reaches its gate; CodePipeline's message goes through SNS and SQS that are not
//! ours to a portal that runs as it is started; its mail through a mail server that is not ours to a person; and Chromium from
//! the mail's link to AWS. No step of it is called by the test, and no session is begun.

use std::time::Duration;

use countersign::access::Access;
use countersign::accounts::By;
use countersign::clock::Clock;
use countersign::domain::access::{GateFields, OptionKind};
use countersign::random::Random;
use serde_json::json;

use crate::chrome::{Chrome, PHONE};
use crate::narrow_enough;
use crate::processes::{REGION, Stage, until};
use crate::support::aws_stand_in::AwsStandIn;
use crate::support::mail_server::MailServer;

/// As CodePipeline writes it to the topic of a gate ("JSON data format for manual approval notifications in CodePipeline").
fn message(pipeline: &str, token: &str, expires: &str) -> String {
    json!({
        "region": REGION,
        "consoleLink": "https://console.aws.amazon.com/codesuite/codepipeline/pipelines/x/view",
        "approval": {
            "pipelineName": pipeline, "stageName": "Production", "actionName": "Release", "token": token,
            "expires": expires, "externalEntityLink": null,
            "approvalReviewLink": format!("https://console.aws.amazon.com/x#/approve/{token}"),
        },
    })
    .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn from_the_gate_by_a_topic_a_queue_and_a_mail_to_aws_and_the_record() {
    let (aws, mail) = (AwsStandIn::start(), MailServer::start());
    let queue = aws.queue("whole-way").await;
    // An hour between sweeps: what is seen was announced.
    let config = format!(
        "queue_poll_interval = \"1h\"\n{}\n[[sources]]\nname = \"shops\"\nregion = \"{REGION}\"\nqueue_url = \"{}\"\n",
        mail.config(),
        queue.url
    );
    let stage = Stage::start_with(include_str!("../faults/harness/gates.toml"), Some(&config)).await;
    let ana = stage.person("Ana").await;
    let access = Access::new(stage.database.open_for_command(), Clock::system(), Random::system());
    let gates = GateFields { pipeline: "shop".into(), ..GateFields::default() };
    let chosen = access.check_option(OptionKind::DecideByMail, &gates, "60", "").unwrap().unwrap();
    access.set_option(&By::Operator, &chosen).await.unwrap();
    let replica = stage.serving("only").await;

    let open = stage.world().open_approval("shop", None).expect("the gate is free");
    let expires =
        (Clock::system().now() + jiff::SignedDuration::from_hours(24)).strftime("%Y-%m-%dT%H:%MZ").to_string();
    queue.publish(&message("shop", &open.token, &expires), false).await;
    let asking = mail.mail_for("ana@example.com", "/l/").await;
    let link = asking.link("/l/");
    let code = asking.text().split("typing this code there: ").nth(1).expect("the mail has a code")[..7].to_owned();

    let chrome = Chrome::start(PHONE).await;
    chrome.open(&format!("{}{link}", replica.origin())).await;
    chrome.read("This mail is for Ana").await;
    narrow_enough(&chrome, PHONE).await;
    chrome.fill("Summary", "From the train").await;
    chrome.choose("Approve").await;
    chrome.fill("Code from the mail", &code).await;
    chrome.click("button", "Send my decision").await;
    chrome.read("Approved at AWS").await;
    chrome.quit().await;

    let effects = stage.simulator.effects();
    assert_eq!(effects.len(), 1);
    assert!(effects[0].summary.starts_with("From the train [Ana, rec "), "{}", effects[0].summary);
    let left = async || (queue.left().await == (0, 0)).then_some(());
    until("the queue is empty", Duration::from_secs(60), left).await;
    let records = crate::harness::records_in(&stage.database).await;
    let intended = &records.iter().find(|record| record.kind == "decision.intended").unwrap().payload;
    assert_eq!((&intended["channel"], &intended["mail"]["factor"]), (&"link".into(), &"mail".into()));
    assert_eq!((&intended["person"], &intended["name"]), (&ana.account.as_str().into(), &"Ana".into()));
    assert_eq!(intended["mail"]["mailed_to"], "ana@example.com");
    assert!(records.iter().any(|record| record.kind == "decision.accepted"));
    replica.kill().await;
}
