//! U-06: what anybody can send. Each case is one way in which somebody was fooled or could be; none is taken, none is told why,
//! and none makes the portal ask anybody but SNS for anything.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair, date_time_ymd};
use serde_json::{Value, json};

use crate::server::Answer;
use crate::signing::{Authority, Signer, named};
use crate::stage::{HOST, PATH, STRANGE_TOPIC, Stage, TOPIC};

/// Name, reason, a header beside SNS's own, body.
type Case = (&'static str, &'static str, Option<(&'static str, &'static str)>, String);

/// Signed by SNS's own key after the change: only the check that the case is about can refuse it.
fn signed(mut message: Value, change: impl FnOnce(&mut Value)) -> String {
    change(&mut message);
    Signer::sns().sign(&mut message);
    message.to_string()
}

fn with(message: Value, member: &str, value: impl Into<Value>) -> String {
    let value = value.into();
    signed(message, |it| it[member] = value)
}

/// What is no envelope of SNS's.
fn no_envelopes(stage: &Stage) -> Vec<Case> {
    let message = || stage.message("shop");
    let no = |name, body: String| (name, "not_an_envelope", None, body);
    let twice = |member: &str| message().to_string().replacen('{', &format!("{{{member},"), 1);
    let without = |member: &str| {
        let mut it = message();
        it.as_object_mut().unwrap().remove(member);
        it.to_string()
    };
    vec![
        no("nothing", String::new()),
        no("no JSON", "hello".into()),
        no("a list", json!([message()]).to_string()),
        no("two messages", format!("{}{}", message(), message())),
        no("the message without an envelope", message()["Message"].as_str().unwrap().to_owned()),
        ("delivered raw", "raw", Some(("x-amz-sns-rawdelivery", "true")), message().to_string()),
        no("an envelope in an envelope", json!({"Records": [{"Sns": message()}]}).to_string()),
        no("as Lambda spells it", message().to_string().replace("CertURL", "CertUrl")),
        no("of no type", with(message(), "Type", "")),
        no("of an unknown type", with(message(), "Type", "Confirmation")),
        no("without a signature", without("Signature")),
        no("without an id", without("MessageId")),
        no("a question without a token", with(message(), "Type", "SubscriptionConfirmation")),
        no("the topic twice", twice(&format!("\"TopicArn\":{STRANGE_TOPIC:?}"))),
        no("the certificate twice", twice("\"SigningCertURL\":\"https://evil.example/a.pem\"")),
        no("an id of two lines", with(message(), "MessageId", "a\nSubject\nb")),
        no("a version that is a number", with(message(), "SignatureVersion", 2)),
        no("from no time", with(message(), "Timestamp", "now")),
    ]
}

/// Envelopes that are refused before anything is asked of anybody.
fn not_for_us(stage: &Stage) -> Vec<Case> {
    let case = |name, why, member, value: &str| (name, why, None, with(stage.message("shop"), member, value));
    let topic = |name, value: &str| case(name, "other_topic", "TopicArn", value);
    let version = |name, value: &str| case(name, "signature_version", "SignatureVersion", value);
    let time = |name, why, value: &str| case(name, why, "Timestamp", value);
    let ago = |seconds| stage.timestamp(SignedDuration::from_secs(seconds));
    vec![
        topic("a topic that is not listed", "arn:aws:sns:eu-west-1:111122223333:approvals2"),
        topic("the topic of another account", "arn:aws:sns:eu-west-1:999988887777:approvals"),
        topic("the topic of another region", "arn:aws:sns:us-east-1:111122223333:approvals"),
        topic("the topic of another partition", "arn:aws-cn:sns:eu-west-1:111122223333:approvals"),
        topic("the topic in capitals", &TOPIC.to_uppercase()),
        topic("the topic with a space", &format!("{TOPIC} ")),
        topic("the topic with its subscription", &format!("{TOPIC}:1")),
        topic("no topic", ""),
        version("version 1", "1"),
        version("version 3", "3"),
        version("no version", ""),
        version("version 2 and more", "2 "),
        time("from an hour ago", "too_old", &ago(3601)),
        time("from last year", "too_old", "2025-11-21T08:00:00.000Z"),
        time("from the future", "from_the_future", &ago(-301)),
    ]
}

/// Addresses of certificates that are not where SNS has them.
fn addresses() -> Vec<(&'static str, String)> {
    let at = |host: &str| format!("https://{host}{PATH}");
    vec![
        ("a bucket that is called sns", at("sns.s3.amazonaws.com")),
        ("a bucket of the region that is called sns", at("sns.s3-eu-west-1.amazonaws.com")),
        ("a host that goes on", at("sns.eu-west-1.amazonaws.com.evil.example")),
        ("a host that begins so", at("evil.example")),
        ("a host before it", at("evil.sns.eu-west-1.amazonaws.com")),
        ("another region", at("sns.us-east-1.amazonaws.com")),
        ("no region", at("sns.amazonaws.com")),
        ("China", at("sns.eu-west-1.amazonaws.com.cn")),
        ("a dot at the end", at("sns.eu-west-1.amazonaws.com.")),
        ("capitals", at("SNS.eu-west-1.amazonaws.com")),
        ("letters that look like these", at("sns.eu-west-1.amаzonaws.com")),
        ("another service", at("sqs.eu-west-1.amazonaws.com")),
        ("a user who looks like the host", at(&format!("{HOST}@evil.example"))),
        ("a user", at(&format!("user@{HOST}"))),
        ("a user and a password", at(&format!("user:password@{HOST}"))),
        ("a port", at(&format!("{HOST}:8443"))),
        ("the port that it is anyway", at(&format!("{HOST}:443"))),
        ("a backslash", at(&format!("evil.example\\@{HOST}"))),
        ("metadata", at("169.254.169.254")),
        ("this machine", at("localhost")),
        ("this machine by number", at("[::1]")),
        ("no TLS", format!("http://{HOST}{PATH}")),
        ("no scheme", format!("//{HOST}{PATH}")),
        ("a scheme in capitals", format!("HTTPS://{HOST}{PATH}")),
        ("a file", format!("file://{HOST}{PATH}")),
        ("data", "data:application/x-pem-file,SimpleNotificationService-00.pem".into()),
        ("a query", format!("https://{HOST}{PATH}?a=b")),
        ("an API call", format!("https://{HOST}/?Action=ConfirmSubscription&Token=1&x={PATH}")),
        ("a fragment", format!("https://{HOST}{PATH}#a")),
        ("another file", format!("https://{HOST}/evil.pem")),
        ("another folder", format!("https://{HOST}/evil{PATH}")),
        ("a way up", format!("https://{HOST}/a/..{PATH}")),
        ("a name that is no number", format!("https://{HOST}/SimpleNotificationService-evil.pem")),
        ("a name in capitals", format!("https://{HOST}/SimpleNotificationService-ABCD.pem")),
        ("no name", format!("https://{HOST}/SimpleNotificationService-.pem")),
        ("a long name", format!("https://{HOST}/SimpleNotificationService-{}.pem", "a".repeat(65))),
        ("an encoded name", format!("https://{HOST}/SimpleNotificationService-%61.pem")),
        ("another ending", format!("https://{HOST}/SimpleNotificationService-00.cer")),
        ("two endings", format!("https://{HOST}/SimpleNotificationService-00.pem.pem")),
        ("spaces around it", format!(" https://{HOST}{PATH} ")),
        ("nothing", String::new()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_at_first_sight_is_refused_and_nobody_is_asked_for_anything() {
    let stage = Stage::start().await;
    let mut names = BTreeSet::new();
    for (name, why, header, body) in no_envelopes(&stage).into_iter().chain(not_for_us(&stage)) {
        assert!(names.insert(name), "{name}");
        let before = stage.refused().get(why).copied().unwrap_or_default();
        let request = header.into_iter().fold(stage.request(), |request, (name, value)| request.header(name, value));
        assert_eq!(stage.send_as(request, body).await, 403, "{name}");
        assert_eq!(stage.refused().get(why).copied(), Some(before + 1), "{name}: {:?}", stage.refused());
    }
    for (number, (name, address)) in (1..).zip(addresses()) {
        assert_eq!(
            stage.send_as(stage.request(), with(stage.message("shop"), "SigningCertURL", address)).await,
            403,
            "{name}"
        );
        assert_eq!(stage.refused().get("certificate_address").copied(), Some(number), "{name}: {:?}", stage.refused());
    }
    assert!(names.len() + addresses().len() >= 60);
    assert_eq!(stage.server.contacts(), (0, 0), "names looked up, connections made");
    assert_nothing_came_of_it(stage).await;
}

/// What was changed after SNS signed it.
fn changed(stage: &Stage) -> Vec<(&'static str, String)> {
    let edited = |member: &str, value: Value| {
        let mut message = stage.message("shop");
        message[member] = value;
        message.to_string()
    };
    let without_subject = || {
        let mut message = stage.message("shop");
        message.as_object_mut().unwrap().remove("Subject");
        message
    };
    let somebodys = || {
        let mut message = stage.message("shop");
        Signer::somebody().sign(&mut message);
        message
    };
    let (one, mut other) = (stage.message("shop"), stage.message("shop"));
    other["Signature"] = one["Signature"].clone();
    let mut question = stage.question(TOPIC, "2336");
    question["Token"] = "2337".into();
    let mut renamed = stage.question(TOPIC, "2336");
    renamed["Type"] = "UnsubscribeConfirmation".into();
    let mut shifted = stage.message("shop");
    let text = shifted["Message"].as_str().unwrap().to_owned();
    shifted["Message"] = format!("{text}\nMessageId\n{}", shifted["MessageId"].as_str().unwrap()).into();
    vec![
        ("another message", edited("Message", "{}".into())),
        ("a message that goes on", edited("Message", format!("{text} ").into())),
        ("another id", edited("MessageId", "9d2c5580-b61d-550c-8583-37a582870907".into())),
        ("another time", edited("Timestamp", stage.timestamp(SignedDuration::from_secs(1)).into())),
        ("another subject", edited("Subject", "APPROVED".into())),
        ("another listed topic", edited("TopicArn", STRANGE_TOPIC.into())),
        ("a subject taken away", without_subject().to_string()),
        ("a member moved into the message", shifted.to_string()),
        ("another message's signature", other.to_string()),
        ("somebody else's signature", somebodys().to_string()),
        ("an empty signature", edited("Signature", "".into())),
        ("a short signature", edited("Signature", "AAAA".into())),
        ("a signature of nulls", edited("Signature", "A".repeat(344).into())),
        ("another token", question.to_string()),
        ("another type", renamed.to_string()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_sns_did_not_sign_is_refused() {
    let stage = Stage::start().await;
    for (number, (name, body)) in (1..).zip(changed(&stage)) {
        assert_eq!(stage.send_as(stage.request(), body).await, 403, "{name}");
        assert_eq!(stage.refused().get("signature").copied(), Some(number), "{name}: {:?}", stage.refused());
    }
    assert_eq!(stage.server.asked().len(), 1, "SNS's own certificate, once");
    assert_nothing_came_of_it(stage).await;
}

/// Certificates that would lie where SNS has its own, if somebody got them there.
fn certificates(stage: &Stage) -> Vec<(&'static str, String)> {
    let issue = |params: &CertificateParams| stage.between.issue_pem(&Signer::sns(), params);
    let changed = |change: &dyn Fn(&mut CertificateParams)| {
        let mut params = named("sns.amazonaws.com");
        change(&mut params);
        issue(&params)
    };
    let sns = named("sns.amazonaws.com");
    let other_key = KeyPair::generate().unwrap();
    let stranger = Authority::new("For SNS");
    let unknown = stage.authority.between("Not known to the portal");
    vec![
        ("no certificate", "hello".into()),
        ("an empty file", String::new()),
        ("a certificate that is none", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".into()),
        ("only a key", Signer::sns().key().serialize_pem()),
        ("signed by itself", sns.self_signed(&Signer::sns().key()).unwrap().pem()),
        ("by an authority of the same name", stranger.issue_pem(&Signer::sns(), &sns)),
        ("by an authority that comes along", {
            format!("{}{}", stranger.issue_pem(&Signer::sns(), &sns), stranger.certificate.pem())
        }),
        ("by one that nobody knows", unknown.issue_pem(&Signer::sns(), &sns)),
        ("the authority's own", stage.between.certificate.pem()),
        ("behind somebody else's", {
            let evil = stage.between.issue_pem(&Signer::sns(), &named("evil.example"));
            format!("{evil}{}", stage.certificate())
        }),
        ("of another name", issue(&named("evil.example"))),
        ("of a bucket", issue(&named("sns.s3.amazonaws.com"))),
        ("of another region", issue(&named("sns-signing.us-east-1.amazonaws.com"))),
        ("of everybody at AWS", issue(&named("*.amazonaws.com"))),
        ("without a name", issue(&CertificateParams::default())),
        ("of yesterday", changed(&|it| it.not_after = date_time_ymd(2026, 11, 20))),
        ("of tomorrow", changed(&|it| it.not_before = date_time_ymd(2026, 11, 22))),
        ("for something else", changed(&|it| it.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning])),
        ("of an authority", changed(&|it| it.is_ca = IsCa::Ca(BasicConstraints::Unconstrained))),
        ("with a key of another kind", stage.between.issue(&other_key, &sns).pem()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_snss_certificate_is_refused_wherever_it_lies() {
    let stage = Stage::start().await;
    for (number, (name, pem)) in (1_u32..).zip(certificates(&stage)) {
        // No more strange addresses are asked for than ten a minute.
        stage.portal.advance(SignedDuration::from_secs(6));
        let path = format!("/SimpleNotificationService-{number:x}.pem");
        stage.server.answer(&path, Answer::ok(pem));
        let body = with(stage.message("shop"), "SigningCertURL", format!("https://{HOST}{path}"));
        for _ in 0..2 {
            assert_eq!(stage.send_as(stage.request(), body.clone()).await, 403, "{name}: {:?}", stage.refused());
        }
        assert_eq!(stage.server.asked().len(), number as usize, "{name} is asked for once");
    }
    // One is SNS's own by everything but the kind of its key, which no signature fits.
    let refused = stage.refused();
    assert_eq!((refused["certificate"], refused["signature"]), (38, 2), "{refused:?}");
    assert_nothing_came_of_it(stage).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_of_the_region_is_snss_too_and_a_chain_may_come_along() {
    let stage = Stage::start().await;
    let further = stage.between.between("Further");
    let region = named("sns-signing.eu-west-1.amazonaws.com");
    let certificates = [
        stage.between.issue_pem(&Signer::sns(), &region),
        stage.between.issue_pem(&Signer::sns(), &named(HOST)),
        format!("{}{}", further.issue_pem(&Signer::sns(), &region), further.certificate.pem()),
    ];
    for (number, pem) in (1..).zip(certificates) {
        let path = format!("/SimpleNotificationService-{number}.pem");
        stage.server.answer(&path, Answer::ok(pem));
        let body = with(stage.message("shop"), "SigningCertURL", format!("https://{HOST}{path}"));
        assert_eq!(stage.send_as(stage.request(), body).await, 200, "{number}");
    }
    stage.finish().await;
}

/// No message was taken, nothing will be looked at, and nobody but SNS was asked for anything.
async fn assert_nothing_came_of_it(stage: Stage) {
    assert_eq!(stage.status().taken, 0);
    assert_eq!(stage.looks().await, 0);
    assert!(stage.server.resolved().iter().all(|name| name == HOST), "{:?}", stage.server.resolved());
    assert!(stage.server.asked().iter().all(|it| it.method == "GET" && it.path.ends_with(".pem")));
    let mut conn = stage.portal.database.connect_superuser().await;
    let kept: i64 = sqlx::query_scalar("select count(*) from portal.hook_message").fetch_one(&mut conn).await.unwrap();
    assert_eq!(kept, 0);
    stage.finish().await;
}
