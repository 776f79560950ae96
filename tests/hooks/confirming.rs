//! Whether a subscription is confirmed, and how: by a call that is signed, never by the address in the message (U-07).

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Once;

use aws_lc_rs::{digest, hmac};
use jiff::SignedDuration;
use serde_json::json;

use crate::server::{Answer, Asked};
use crate::signing::Signer;
use crate::stage::{HOST, PATH, STRANGE_TOPIC, Stage, TOPIC};

thread_local! {
    static SAID: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// What is logged on this thread. One listener for the whole program: whether anybody listens to a line at all is remembered
/// for all threads at once.
struct Log;

impl Log {
    fn text() -> String {
        SAID.with_borrow(|said| String::from_utf8(said.clone()).unwrap())
    }

    /// Of everything that happens, however little of it matters.
    fn listen() {
        static LISTENS: Once = Once::new();
        LISTENS.call_once(|| {
            let filter = tracing_subscriber::EnvFilter::new("info,countersign=trace");
            let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(|| Log);
            tracing::subscriber::set_global_default(subscriber.finish()).unwrap();
        });
        SAID.with_borrow_mut(Vec::clear);
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        SAID.with_borrow_mut(|said| said.extend(bytes));
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Checks Signature Version 4 as AWS documents it, apart from the crate that made it.
fn assert_signed(asked: &Asked, secret: &str) {
    let header = |name: &str| asked.headers.get(name).unwrap_or_else(|| panic!("no {name}")).to_str().unwrap();
    let (date, authorization) = (header("x-amz-date"), header("authorization"));
    let scope = format!("{}/eu-west-1/sns/aws4_request", &date[..8]);
    let rest = authorization.strip_prefix("AWS4-HMAC-SHA256 Credential=AKIAPORTAL/").unwrap();
    let rest = rest.strip_prefix(&format!("{scope}, SignedHeaders=")).unwrap();
    let (names, signature) = rest.split_once(", Signature=").unwrap();
    assert!(names.split(';').any(|name| name == "host"), "{names}");
    let signed: String = names.split(';').map(|name| format!("{name}:{}\n", header(name))).collect();
    let hex_of = |text: &str| hex::encode(digest::digest(&digest::SHA256, text.as_bytes()));
    let canonical = format!("POST\n/\n\n{signed}\n{names}\n{}", hex_of(&asked.body));
    let to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", hex_of(&canonical));
    let mac = |key: &[u8], text: &str| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes());
    let mut key = mac(format!("AWS4{secret}").as_bytes(), &date[..8]);
    for part in ["eu-west-1", "sns", "aws4_request"] {
        key = mac(key.as_ref(), part);
    }
    assert_eq!(signature, hex::encode(mac(key.as_ref(), &to_sign)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listed_topic_is_confirmed_by_a_signed_call() {
    let stage = Stage::start().await;
    stage.server.answer("/", Answer::ok("<ConfirmSubscriptionResponse/>"));
    assert_eq!(stage.send(&stage.question(TOPIC, "2336412f37fb687f")).await, 200);
    let asked = stage.server.asked();
    assert_eq!(asked.len(), 2);
    assert_eq!((asked[0].method.as_str(), asked[0].path.as_str()), ("GET", PATH));
    let call = &asked[1];
    assert_eq!((call.method.as_str(), call.host.as_str(), call.path.as_str()), ("POST", HOST, "/"));
    assert_signed(call, "portal-secret");
    let fields: BTreeMap<_, _> = url::form_urlencoded::parse(call.body.as_bytes()).into_owned().collect();
    let expected = [
        ("Action", "ConfirmSubscription"),
        ("AuthenticateOnUnsubscribe", "true"),
        ("Token", "2336412f37fb687f"),
        ("TopicArn", TOPIC),
        ("Version", "2010-03-31"),
    ];
    assert_eq!(fields, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    assert!(stage.server.resolved().iter().all(|name| name == HOST), "{:?}", stage.server.resolved());
    assert_eq!(stage.status().confirmed, 1);
    stage.finish().await;
}

#[tokio::test]
async fn without_a_source_for_the_topic_the_operator_is_told_the_command() {
    Log::listen();
    let stage = Stage::start().await;
    assert_eq!(stage.send(&stage.question(STRANGE_TOPIC, "2336412f37fb687f")).await, 200);
    let command = format!(
        "aws sns confirm-subscription --region eu-west-1 --topic-arn {STRANGE_TOPIC} --authenticate-on-unsubscribe true \
         --token 2336412f37fb687f"
    );
    assert!(Log::text().contains(&command), "{}", Log::text());
    assert_eq!(stage.server.asked().len(), 1, "the certificate");
    assert_eq!((stage.status().taken, stage.status().confirmed), (1, 0));
    stage.finish().await;
}

#[tokio::test]
async fn where_sns_refuses_the_operator_is_told_why_and_the_command() {
    Log::listen();
    let stage = Stage::start().await;
    stage.server.answer("/", Answer::status(403));
    assert_eq!(stage.send(&stage.question(TOPIC, "2336412f37fb687f")).await, 200);
    let text = Log::text();
    assert!(text.contains("allow sns:ConfirmSubscription to the source default"), "{text}");
    assert!(text.contains("aws sns confirm-subscription"), "{text}");
    assert!(!text.contains("portal-secret") && !text.contains("AWS4-HMAC-SHA256"), "{text}");
    stage.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_sns_does_not_answer_it_may_ask_again() {
    let stage = Stage::start().await;
    stage.server.answer("/", Answer::status(500));
    let question = stage.question(TOPIC, "2336412f37fb687f");
    assert_eq!(stage.send(&question).await, 503);
    stage.server.answer("/", Answer::ok(""));
    assert_eq!(stage.send(&question).await, 200);
    assert_eq!(stage.send(&question).await, 403, "once");
    assert_eq!((stage.status().taken, stage.status().confirmed), (1, 1));
    stage.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_a_process_took_and_died_over_is_answered_when_sns_asks_again() {
    let stage = Stage::start().await;
    stage.server.answer("/", Answer::ok(""));
    let question = stage.question(TOPIC, "2336412f37fb687f");
    let claim = "insert into portal.hook_message (message_id, taken_at) values ($1, $2)";
    let now = jiff_sqlx::ToSqlx::to_sqlx(stage.portal.state.clock.now());
    let mut dba = stage.portal.database.connect_superuser().await;
    sqlx::query(claim).bind(question["MessageId"].as_str()).bind(now).execute(&mut dba).await.unwrap();
    assert_eq!(stage.send(&question).await, 503, "somebody is at it, for all anybody knows");
    stage.portal.advance(SignedDuration::from_secs(30));
    assert_eq!(stage.send(&question).await, 200);
    assert_eq!(stage.send(&question).await, 403, "once");
    assert_eq!((stage.status().taken, stage.status().confirmed), (1, 1));
    stage.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_sns_did_not_ask_is_not_answered() {
    let stage = Stage::start().await;
    let mut forged = stage.question(TOPIC, "2336412f37fb687f");
    Signer::somebody().sign(&mut forged);
    assert_eq!(stage.send(&forged).await, 403);
    let mut other = stage.question("arn:aws:sns:eu-west-1:111122223333:somebody-elses", "2336412f37fb687f");
    assert_eq!(stage.send(&other).await, 403);
    other["TopicArn"] = json!(TOPIC);
    assert_eq!(stage.send(&other).await, 403);
    assert!(stage.server.asked().iter().all(|asked| asked.path == PATH));
    assert_eq!(stage.status().confirmed, 0);
    stage.finish().await;
}

#[tokio::test]
async fn nothing_that_a_message_holds_is_in_the_log_however_much_is_logged() {
    // S-48
    Log::listen();
    let stage = Stage::start().await;
    let mut genuine = stage.unsigned(r#"{"marker": "marker-message"}"#);
    genuine["Subject"] = "marker-subject".into();
    Signer::sns().sign(&mut genuine);
    assert_eq!(stage.send(&genuine).await, 200);
    genuine["Message"] = "marker-forged".into();
    genuine["MessageId"] = "marker-id".into();
    for _ in 0..10 {
        assert_eq!(stage.send(&genuine).await, 403);
    }
    genuine["TopicArn"] = "arn:aws:sns:eu-west-1:111122223333:marker-topic".into();
    assert_eq!(stage.send(&genuine).await, 403);
    let text = Log::text();
    assert!(!text.contains("marker"), "{text}");
    assert_eq!(text.matches("what came to /hooks/sns was not taken").count(), 2, "each reason once: {text}");
    stage.finish().await;
}
