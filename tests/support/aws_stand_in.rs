//! SNS and SQS that are not ours: `moto`, as `script/test` installs it. Spoken to without the portal's SDK.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use reqwest::Client;
use serde_json::{Value, json};
use url::Url;

/// What a request says about who makes it: region and service are read from it, the signature is not looked at.
fn signed(service: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential=AKIAPORTAL/20261121/eu-west-1/{service}/aws4_request, SignedHeaders=host, Signature=0"
    )
}

/// The server's process. It ends with this.
pub struct AwsStandIn {
    process: Child,
    endpoint: String,
}

/// One queue in it.
pub struct TestQueue<'a> {
    aws: &'a AwsStandIn,
    /// Of the test's own runtime.
    client: Client,
    pub url: Url,
    name: String,
}

impl AwsStandIn {
    pub fn start() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let installed = std::env::var_os("COUNTERSIGN_TEST_AWS_STAND_IN").map(PathBuf::from);
        let python = installed.unwrap_or_else(|| root.join("target/tools/aws-stand-in/bin/python"));
        assert!(
            python.exists(),
            "moto is not installed; run script/test, which installs it, or set COUNTERSIGN_TEST_AWS_STAND_IN"
        );
        let mut process = Command::new(python)
            .arg(root.join("tests/data/aws/server.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python runs");
        let lines = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
        let port: Option<u16> = lines.into_iter().find_map(|line| line.strip_prefix("Ready: ")?.parse().ok());
        let endpoint = format!("http://127.0.0.1:{}", port.expect("moto gets ready"));
        Self { process, endpoint }
    }

    pub async fn queue(&self, name: &str) -> TestQueue<'_> {
        let client = Client::new();
        let made = self.sqs(&client, "CreateQueue", &json!({"QueueName": name})).await;
        TestQueue { aws: self, client, url: made["QueueUrl"].as_str().unwrap().parse().unwrap(), name: name.to_owned() }
    }

    /// The server dies.
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    async fn sqs(&self, client: &Client, operation: &str, body: &Value) -> Value {
        let request = client.post(&self.endpoint).header("X-Amz-Target", format!("AmazonSQS.{operation}"));
        let request =
            request.header("Authorization", signed("sqs")).header("Content-Type", "application/x-amz-json-1.0");
        let response = request.body(body.to_string()).send().await.unwrap();
        let (status, text) = (response.status(), response.text().await.unwrap());
        assert!(status.is_success(), "{operation}: {status} {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }

    async fn sns(&self, client: &Client, parameters: &[(&str, &str)]) -> String {
        let request = client.post(&self.endpoint).header("Authorization", signed("sns"));
        let response = request.form(parameters).send().await.unwrap();
        let (status, text) = (response.status(), response.text().await.unwrap());
        assert!(status.is_success(), "{parameters:?}: {status} {text}");
        text
    }
}

impl TestQueue<'_> {
    /// Puts a message in, as EventBridge does.
    pub async fn send(&self, body: &str) {
        self.aws.sqs(&self.client, "SendMessage", &json!({"QueueUrl": self.url.as_str(), "MessageBody": body})).await;
    }

    pub async fn send_many(&self, bodies: &[String]) {
        for batch in bodies.chunks(10) {
            let entry = |(id, body): (usize, &String)| json!({"Id": id.to_string(), "MessageBody": body});
            let entries: Vec<_> = batch.iter().enumerate().map(entry).collect();
            self.aws
                .sqs(&self.client, "SendMessageBatch", &json!({"QueueUrl": self.url.as_str(), "Entries": entries}))
                .await;
        }
    }

    /// Publishes to a topic of its own that delivers here.
    pub async fn publish(&self, message: &str, raw: bool) {
        let topic = format!("arn:aws:sns:eu-west-1:123456789012:{}", self.name);
        let queue = format!("arn:aws:sqs:eu-west-1:123456789012:{}", self.name);
        let version = ("Version", "2010-03-31");
        self.aws.sns(&self.client, &[("Action", "CreateTopic"), version, ("Name", &self.name)]).await;
        let raw = if raw { "true" } else { "false" };
        let subscribe = [
            ("Action", "Subscribe"),
            version,
            ("TopicArn", &topic),
            ("Protocol", "sqs"),
            ("Endpoint", &queue),
            ("Attributes.entry.1.key", "RawMessageDelivery"),
            ("Attributes.entry.1.value", raw),
        ];
        self.aws.sns(&self.client, &subscribe).await;
        self.aws.sns(&self.client, &[("Action", "Publish"), version, ("TopicArn", &topic), ("Message", message)]).await;
    }

    /// How many messages can be received, and how many were received and not deleted.
    pub async fn left(&self) -> (u64, u64) {
        let asked = json!({"QueueUrl": self.url.as_str(), "AttributeNames": ["All"]});
        let told = self.aws.sqs(&self.client, "GetQueueAttributes", &asked).await;
        let number = |name: &str| told["Attributes"][name].as_str().unwrap().parse().unwrap();
        (number("ApproximateNumberOfMessages"), number("ApproximateNumberOfMessagesNotVisible"))
    }

    pub async fn delete(&self) {
        self.aws.sqs(&self.client, "DeleteQueue", &json!({"QueueUrl": self.url.as_str()})).await;
    }
}

impl Drop for AwsStandIn {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
