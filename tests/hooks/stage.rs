//! A portal that listens to topics, and what SNS would send it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use countersign::events::sns::{SnsStatus, Trust};
use countersign::web::{App, Running};
use jiff::SignedDuration;
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::harness::Portal;
use crate::server::{Answer, Server};
use crate::signing::{Authority, Signer, named};

pub const HOST: &str = "sns.eu-west-1.amazonaws.com";
pub const TOPIC: &str = "arn:aws:sns:eu-west-1:111122223333:approvals";
/// A topic of an account that no source has.
pub const STRANGE_TOPIC: &str = "arn:aws:sns:eu-west-1:444455556666:approvals";
pub const PATH: &str = "/SimpleNotificationService-0123456789abcdef0123456789abcdef.pem";

pub struct Stage {
    pub portal: Portal,
    /// The same portal, with a trust of the test's own.
    pub running: Running,
    pub server: Server,
    /// Whose certificates are believed.
    pub authority: Authority,
    /// Stands between it and SNS's certificates, as the portal knows.
    pub between: Authority,
    http: reqwest::Client,
    senders: AtomicU32,
    messages: AtomicU32,
}

impl Stage {
    pub async fn start() -> Self {
        Self::with(&format!("[hooks]\nsns_topics = [{TOPIC:?}, {STRANGE_TOPIC:?}]")).await
    }

    pub async fn with(config: &str) -> Self {
        let portal = Portal::start_with(config).await;
        let (server, authority) = (Server::start(&[HOST]).await, Authority::new("For SNS"));
        let between = authority.between("Between");
        let trust =
            Trust { roots: vec![authority.anchor()], intermediates: vec![between.der()], http: server.client() };
        let mut state = portal.state.clone();
        state.sns = state.sns.trusting(trust).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut config = (*state.config).clone();
        config.listen = listener.local_addr().unwrap();
        state.config = Arc::new(config);
        let running = App::start(state, listener).unwrap();
        let (http, senders, messages) = (reqwest::Client::new(), AtomicU32::new(0), AtomicU32::new(0));
        let stage = Self { portal, running, server, authority, between, http, senders, messages };
        stage.server.answer(PATH, Answer::ok(stage.certificate()));
        stage
    }

    /// SNS's own.
    pub fn certificate(&self) -> String {
        self.between.issue_pem(&Signer::sns(), &named("sns.amazonaws.com"))
    }

    /// A message that is not signed yet.
    pub fn unsigned(&self, message: &str) -> Value {
        let number = self.messages.fetch_add(1, Ordering::SeqCst);
        json!({
            "Type": "Notification", "MessageId": format!("9d2c5580-b61d-550c-8583-{number:012}"), "TopicArn": TOPIC,
            "Subject": "APPROVAL NEEDED: AWS CodePipeline shop for action Release", "Message": message,
            "Timestamp": self.timestamp(SignedDuration::ZERO), "SignatureVersion": "2",
            "SigningCertURL": format!("https://{HOST}{PATH}"),
            "UnsubscribeURL": format!("https://{HOST}/?Action=Unsubscribe&SubscriptionArn={TOPIC}:1"),
        })
    }

    /// A genuine message about what waits at this pipeline's gate.
    pub fn message(&self, pipeline: &str) -> Value {
        let approval = json!({"pipelineName": pipeline, "stageName": "Production", "actionName": "Release"});
        let mut envelope = self.unsigned(&json!({"region": "eu-west-1", "approval": approval}).to_string());
        Signer::sns().sign(&mut envelope);
        envelope
    }

    /// A genuine question whether the portal wants what a topic delivers.
    pub fn question(&self, topic: &str, token: &str) -> Value {
        let mut envelope = self.unsigned("You have chosen to subscribe to the topic.\nVisit the SubscribeURL.");
        envelope["Type"] = "SubscriptionConfirmation".into();
        envelope["TopicArn"] = topic.into();
        envelope["Token"] = token.into();
        envelope["SubscribeURL"] = "http://169.254.169.254/latest/meta-data/iam/security-credentials/".into();
        envelope.as_object_mut().unwrap().remove("Subject");
        Signer::sns().sign(&mut envelope);
        envelope
    }

    /// As SNS writes it, this long ago.
    pub fn timestamp(&self, ago: SignedDuration) -> String {
        format!("{:.3}", self.portal.clock.now().checked_sub(ago).unwrap())
    }

    /// As SNS sends it, from an address that nobody used before.
    pub fn request(&self) -> RequestBuilder {
        let sender = self.senders.fetch_add(1, Ordering::SeqCst);
        self.request_from(&format!("203.0.113.{}", sender % 250))
    }

    pub fn request_from(&self, address: &str) -> RequestBuilder {
        let request = self.http.post(format!("http://{}/hooks/sns", self.running.address));
        let request = request.header("content-type", "text/plain; charset=UTF-8").header("x-forwarded-for", address);
        request.header("user-agent", "Amazon Simple Notification Service Agent")
    }

    /// Sends a message; the status of the answer, which says nothing else.
    pub async fn send(&self, body: &Value) -> u16 {
        self.send_as(self.request(), body.to_string()).await
    }

    pub async fn send_as(&self, request: RequestBuilder, body: impl Into<reqwest::Body>) -> u16 {
        let response = request.body(body).send().await.unwrap();
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        assert!(status == 413 || status == 404 || status == 429 || text.is_empty(), "{status} tells {text}");
        status
    }

    pub fn status(&self) -> SnsStatus {
        self.running.state.sns.status().expect("it listens")
    }

    /// How often each reason held.
    pub fn refused(&self) -> BTreeMap<&'static str, u64> {
        self.status().refused.into_iter().map(|(why, n)| (why.name(), n)).collect()
    }

    /// Looks wherever something is said to have happened; the pipelines whose state was read.
    pub async fn looks(&self) -> u64 {
        let before = self.portal.simulator.count("GetPipelineState");
        self.running.state.events.activate(std::time::Duration::ZERO).await;
        self.portal.simulator.count("GetPipelineState") - before
    }

    pub async fn finish(self) {
        self.running.stop(std::time::Duration::from_secs(5)).await;
        self.portal.finish().await;
    }
}
