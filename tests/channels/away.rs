//! What is at the other end hangs, is away, answers anything: nothing is lost, nobody else waits, and the portal asks nobody but it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use countersign::channels::Channels;
use countersign::wire;
use jiff::SignedDuration;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::server::{Answer, Asked};
use crate::stage::{OTHER, PATIENCE, PROGRAM, SLACK, Stage};

const HOUR: SignedDuration = SignedDuration::from_hours(1);
const MINUTE: SignedDuration = SignedDuration::from_mins(1);

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_that_is_away_for_an_hour_loses_nothing_and_is_told_in_one_message() {
    let stage = Stage::start().await;
    stage.answers(SLACK, Answer::status(503));
    stage.make("slack", "releases", SLACK, "").await;
    stage.portal.waiting("shop").await;
    stage.tell_chats().await;
    assert_eq!(stage.sent_to(SLACK).len(), 1);
    for pipeline in ["blog", "wiki"] {
        stage.portal.waiting(pipeline).await;
        for _ in 0..30 {
            stage.portal.advance(MINUTE);
            stage.tell().await;
        }
    }
    let tried = stage.sent_to(SLACK).len();
    assert!((5..15).contains(&tried), "less often each time: {tried}");
    stage.takes(SLACK);
    // The longest wait after an hour of trying.
    stage.portal.advance(MINUTE * 60);
    stage.tell().await;
    stage.tell().await;
    let told: Vec<String> = stage.sent_to(SLACK)[tried..].iter().map(|asked| asked.body.clone()).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("Waiting for a decision: shop"), "{}", told[0]);
    assert!(told[1].contains("blog, Release") && told[1].contains("wiki, Release"), "{}", told[1]);
    stage.finish().await;
}

fn id_of(asked: &Asked) -> String {
    asked.headers["countersign-delivery"].to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_hangs_holds_up_nobody_and_is_asked_one_thing_at_a_time() {
    let stage = Stage::start().await;
    stage.takes(PROGRAM);
    stage.takes(OTHER);
    stage.hangs(PROGRAM);
    stage.make("webhook", "Hangs", PROGRAM, "").await;
    stage.make("webhook", "Works", OTHER, "").await;
    for pipeline in ["shop", "blog", "wiki"] {
        stage.portal.waiting(pipeline).await;
    }
    while stage.channels.step().await.unwrap() > 0 {}
    // Takes a message of each, and waits for the one that hangs.
    let waits = stage.channels.clone();
    let waits = tokio::spawn(async move { waits.send().await.unwrap() });
    stage.came(PROGRAM, 1).await;
    while stage.sent_to(OTHER).len() < 3 {
        stage.channels.send().await.unwrap();
    }
    assert!(!waits.is_finished() && stage.sent_to(PROGRAM).len() == 1);
    stage.goes_on(PROGRAM);
    assert_eq!(waits.await.unwrap(), 2);
    stage.tell().await;
    assert_eq!((stage.types_to(PROGRAM).len(), stage.types_to(OTHER).len()), (3, 3));
    stage.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_says_nothing_in_time_is_left_alone_and_its_page_says_so() {
    let stage = Stage::start().await;
    stage.hangs(PROGRAM);
    let (page, _) = stage.make("webhook", "Hangs", PROGRAM, "").await;
    stage.portal.waiting("shop").await;
    stage.portal.waiting("blog").await;
    let hasty = stage.channels.by_way_of(stage.server.client(), Duration::from_millis(1)).unwrap();
    while hasty.step().await.unwrap() > 0 {}
    assert_eq!(hasty.send().await.unwrap(), 1);
    assert_eq!(hasty.send().await.unwrap(), 0, "it is left alone");
    let shown = stage.adam.open(&page).await;
    shown.says("It could not be told, and is tried again").says("2 messages to be sent").says("timed out");
    stage.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_replica_holds_no_other_sends_and_what_is_sent_twice_has_one_id() {
    // H-04
    let stage = Stage::start().await;
    stage.takes(PROGRAM);
    stage.hangs(PROGRAM);
    let other = stage.replica();
    let (page, _) = stage.make("webhook", "Board", PROGRAM, "").await;
    stage.portal.waiting("shop").await;
    while stage.channels.step().await.unwrap() > 0 {}
    let first = stage.channels.clone();
    let first = tokio::spawn(async move { first.send().await.unwrap() });
    stage.came(PROGRAM, 1).await;
    assert_eq!(other.send().await.unwrap(), 0, "it is held");
    // Whoever holds it is taken for dead when its lease is over; it was only slow.
    stage.portal.advance(SignedDuration::from_secs(61));
    let second = other.clone();
    let second = tokio::spawn(async move { second.send().await.unwrap() });
    stage.came(PROGRAM, 2).await;
    stage.goes_on(PROGRAM);
    assert_eq!((first.await.unwrap(), second.await.unwrap()), (1, 1));
    stage.tell().await;
    let sent = stage.sent_to(PROGRAM);
    assert_eq!(sent.len(), 2);
    assert_eq!((id_of(&sent[0]), &sent[0].body), (id_of(&sent[1]), &sent[1].body));
    stage.adam.open(&page).await.says("Told").says("2 tries");
    stage.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_replicas_tell_a_program_everything_once() {
    // H-04
    let stage = Stage::start().await;
    stage.takes(PROGRAM);
    stage.make("webhook", "Board", PROGRAM, "").await;
    stage.portal.waiting("shop").await;
    stage.open_more("shop", 40).await;
    let work = async |channels: &Channels| {
        while channels.step().await.unwrap() + channels.send().await.unwrap() > 0 {}
    };
    let (second, third) = (stage.replica(), stage.replica());
    tokio::join!(work(&stage.channels), work(&second), work(&third));
    stage.tell().await;
    let sent = stage.sent_to(PROGRAM);
    assert_eq!(sent.len(), 41);
    assert_eq!(sent.iter().map(id_of).collect::<BTreeSet<_>>().len(), 41);
    stage.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_taken_for_three_days_is_given_up_seen_and_sent_again_when_asked_for() {
    let mut stage = Stage::start().await;
    stage.answers(PROGRAM, Answer::status(503));
    let (page, _) = stage.make("webhook", "Board", PROGRAM, "").await;
    stage.portal.waiting("shop").await;
    // What asks is of no use for so long.
    stage.approve("shop").await;
    stage.tell().await;
    for _ in 0..73 {
        stage.portal.advance(HOUR);
        stage.tell().await;
    }
    let id = id_of(&stage.sent_to(PROGRAM)[0]);
    let times = |stage: &Stage| stage.sent_to(PROGRAM).iter().filter(|asked| id_of(asked) == id).count();
    let tried = times(&stage);
    assert!((20..80).contains(&tried), "{tried}");
    stage.takes(PROGRAM);
    stage.portal.advance(HOUR);
    stage.tell().await;
    assert_eq!(times(&stage), tried, "no longer");
    stage.adam = stage.portal.sign_in_again("adam").await;
    let shown = stage.adam.open(&page).await;
    shown.says("Given up").says("1 message given up").says("answered 503");
    stage.adam.open("/admin/system").await.says("1 message to channels given up");
    assert_eq!(stage.press(&page, &format!("/deliveries/{id}/again")).await, 303);
    stage.tell().await;
    assert_eq!(times(&stage), tried + 1);
    let shown = stage.adam.open(&page).await;
    shown.says("Told");
    assert!(!shown.text().contains("given up"), "{}", shown.text());
    stage.finish().await;
}

/// A message that could not be told for hours, was tried just now, and is left alone for long therefore.
async fn failed_for_hours(stage: &mut Stage) -> String {
    stage.answers(PROGRAM, Answer::status(503));
    let (page, _) = stage.make("webhook", "Board", PROGRAM, "").await;
    stage.portal.waiting("shop").await;
    for _ in 0..40 {
        stage.tell().await;
        stage.portal.advance(MINUTE * 5);
    }
    let tried = stage.sent_to(PROGRAM).len();
    while stage.sent_to(PROGRAM).len() == tried {
        stage.portal.advance(MINUTE);
        stage.tell().await;
    }
    stage.adam = stage.portal.sign_in_again("adam").await;
    page
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_waits_goes_at_once_where_a_channel_is_said_to_be() {
    let mut stage = Stage::start().await;
    stage.takes(OTHER);
    let page = failed_for_hours(&mut stage).await;
    let shown = stage.adam.open(&page).await;
    let told = [("name", "Board"), ("address", OTHER), ("waiting", "on"), ("reminders", "on")];
    assert_eq!(stage.adam.submit(&shown, &page, &told).await.status, 303);
    stage.tell().await;
    assert_eq!(stage.texts("select id::text from portal.channel_delivery where due_at is not null").await.len(), 0);
    assert_eq!(stage.types_to(OTHER), ["approval.waiting"]);
    stage.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_waits_goes_at_once_when_a_test_shows_that_its_channel_is_back() {
    let mut stage = Stage::start().await;
    let page = failed_for_hours(&mut stage).await;
    stage.takes(PROGRAM);
    assert_eq!(stage.press(&page, "/test").await, 303);
    stage.tell().await;
    assert_eq!(stage.texts("select id::text from portal.channel_delivery where due_at is not null").await.len(), 0);
    stage.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_about_gates_that_a_channel_is_told_of_no_longer_is_given_up() {
    let stage = Stage::start().await;
    stage.answers(PROGRAM, Answer::status(503));
    let (page, _) = stage.make("webhook", "Board", PROGRAM, "shop").await;
    let shown = stage.adam.open(&page).await;
    shown.says("messages about its gates that still wait are not sent");
    let ended = shown.body.split("/gates/").nth(1).unwrap().split('/').next().unwrap().to_owned();
    let blog =
        [("source", ""), ("pipeline", "blog"), ("stage", ""), ("action", ""), ("tag_key", ""), ("tag_value", "")];
    assert_eq!(stage.adam.submit(&shown, &format!("{page}/gates"), &blog).await.status, 303);
    stage.portal.waiting("shop").await;
    stage.portal.waiting("blog").await;
    stage.tell().await;
    let tried = stage.sent_to(PROGRAM).len();
    assert_eq!(stage.press(&page, &format!("/gates/{ended}/end")).await, 303);
    stage.takes(PROGRAM);
    for _ in 0..3 {
        stage.portal.advance(MINUTE);
        stage.tell().await;
    }
    let told = stage.bodies_to(PROGRAM).split_off(tried);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0]["approval"]["pipeline"], "blog");
    stage.adam.open(&page).await.says("Given up").says("the channel is no longer told of all that it tells of");
    stage.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_chat_will_not_take_as_it_is_does_not_keep_the_rest_for_days() {
    let mut stage = Stage::start().await;
    stage.answers(SLACK, Answer { body: b"invalid_blocks".to_vec(), ..Answer::status(400) });
    let (page, _) = stage.make("slack", "releases", SLACK, "").await;
    stage.portal.waiting("shop").await;
    stage.tell_chats().await;
    for _ in 0..12 {
        stage.portal.advance(MINUTE * 5);
        stage.tell().await;
    }
    stage.adam = stage.portal.sign_in_again("adam").await;
    stage.adam.open(&page).await.says("1 message to be sent").says("it answered 400 Bad Request: invalid_blocks");
    stage.adam.open("/admin/system").await.says("1 channel could not be told");
    for _ in 0..30 {
        stage.portal.advance(MINUTE * 5);
        stage.tell().await;
    }
    stage.adam = stage.portal.sign_in_again("adam").await;
    stage.adam.open(&page).await.says("Given up");
    stage.takes(SLACK);
    stage.portal.waiting("blog").await;
    stage.tell_chats().await;
    let last = stage.sent_to(SLACK).pop().unwrap().body;
    assert!(last.contains("blog, Release") && !last.contains("shop"), "{last}");
    stage.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_than_five_hundred_messages_wait_for_a_program_and_nothing_is_lost() {
    let stage = Stage::start().await;
    stage.takes(PROGRAM);
    let (page, _) = stage.make("webhook", "Board", PROGRAM, "").await;
    stage.portal.waiting("shop").await;
    stage.open_more("shop", 519).await;
    while stage.channels.step().await.unwrap() > 0 {}
    stage.adam.open(&page).await.says("500 messages to be sent");
    stage.tell().await;
    assert_eq!(stage.sent_to(PROGRAM).len(), 500);
    stage.tell().await;
    let ids: BTreeSet<String> = stage.sent_to(PROGRAM).iter().map(id_of).collect();
    assert_eq!(ids.len(), 520);
    stage.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_end_answers_leads_nowhere_and_is_hardly_shown() {
    // U-13
    let stage = Stage::start().await;
    let secret = "s3cr3t".repeat(10);
    let elsewhere =
        Answer { status: 302, body: secret.clone().into(), location: Some("https://other.example.org/told") };
    stage.answers(PROGRAM, elsewhere);
    let (page, _) = stage.make("webhook", "Board", PROGRAM, "").await;
    stage.portal.waiting("shop").await;
    stage.tell().await;
    let shown = stage.adam.open(&page).await;
    shown.says("it answered 302");
    assert!(!shown.body.contains(&secret), "{}", shown.text());
    assert_eq!(stage.server.resolved(), ["hooks.example.com"]);

    let long = Answer { status: 500, body: vec![b'x'; 10_000_000], location: None };
    stage.answers(PROGRAM, long);
    stage.portal.advance(MINUTE);
    stage.tell().await;
    stage.adam.open(&page).await.says("it answered 500");
    stage.takes(PROGRAM);
    stage.portal.advance(MINUTE);
    stage.tell().await;
    stage.adam.open(&page).await.says("Told");
    let bodies = stage.bodies_to(PROGRAM);
    assert!(bodies.iter().all(|body| body == &bodies[0]), "the same message each time: {bodies:?}");
    stage.finish().await;
}

/// A name server of whoever wants the portal to ask inside.
struct Names(Vec<SocketAddr>);

impl Resolve for Names {
    fn resolve(&self, _name: Name) -> Resolving {
        let found: Addrs = Box::new(self.0.clone().into_iter());
        Box::pin(async move { Ok(found) })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_whose_name_leads_inside_is_not_connected_to_whatever_it_led_to_before() {
    // U-13
    let stage = Stage::start().await;
    stage.takes(PROGRAM);
    let (page, _) = stage.make("webhook", "Board", PROGRAM, "").await;
    stage.portal.waiting("shop").await;
    stage.tell().await;
    stage.adam.open(&page).await.says("Told");
    let before = stage.server.contacts();
    stage.portal.waiting("blog").await;
    let port = stage.server.address().port();
    for inside in [
        vec![format!("127.0.0.1:{port}")],
        vec![format!("[::ffff:127.0.0.1]:{port}")],
        vec!["169.254.169.254:443".to_owned()],
        vec!["[fd00:ec2::254]:443".to_owned()],
        vec!["8.8.8.8:443".to_owned(), format!("127.0.0.1:{port}")],
    ] {
        let names = Names(inside.iter().map(|address| address.parse().unwrap()).collect());
        let channels = stage.channels.by_way_of(wire::strangers_by(Arc::new(names)), PATIENCE).unwrap();
        while channels.step().await.unwrap() > 0 {}
        assert_eq!(channels.send().await.unwrap(), 1, "{inside:?}");
        let shown = stage.adam.open(&page).await;
        shown.says("an address that is not public");
        assert!(!shown.body.contains("hunter2"), "{}", shown.text());
        stage.portal.advance(MINUTE);
    }
    assert_eq!(stage.server.contacts(), before, "nobody was connected to");
    stage.finish().await;
}
