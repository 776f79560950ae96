//! A push service that is away, overloaded, slow, or wants nothing.

use countersign::simulator::Verdict;
use jiff::SignedDuration;

use crate::service::{Answer, HOST, PushService};
use crate::stage::{HOUR, MINUTE, Stage};

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_down_for_an_hour_blocks_nothing_and_loses_nothing() {
    let stage = Stage::start().await;
    let (ana, phone) = stage.approver("ana").await;
    stage.service.answers(Answer::status(503));
    stage.portal.waiting("shop").await;
    stage.tell().await;
    stage.pass(MINUTE * 20, MINUTE).await;
    // Meanwhile what waits is decided, and more waits.
    let path = format!("/approvals/{}", stage.portal.approval_id("shop").await);
    let page = ana.open(&path).await;
    let fields = [("summary", "Checked"), ("verdict", "approved")];
    assert_eq!(ana.submit(&page, &format!("{path}/decision"), &fields).await.status, 303);
    stage.portal.settle().await;
    stage.portal.watcher.activate().await;
    stage.portal.waiting("blog").await;
    stage.pass(MINUTE * 40, MINUTE).await;
    let tried = stage.service.asked().len();
    assert!((5..30).contains(&tried), "tried again, and less and less often: {tried}");

    stage.service.answers(Answer::status(201));
    stage.pass(HOUR * 2, MINUTE).await;
    let told = phone.told(&stage.service).split_off(tried);
    let said: Vec<&str> = told.iter().map(|one| one["title"].as_str().unwrap()).collect();
    assert!(said.iter().any(|title| title.starts_with("Waiting for you: blog")), "{said:?}");
    assert!(said.iter().any(|title| title.starts_with("Approved: shop")), "{said:?}");
    assert!(!said.iter().any(|title| title.starts_with("Waiting for you: shop")), "{said:?}");
    assert_eq!(stage.waiting_messages().await, 0);
    stage.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_asks_to_be_left_alone_is() {
    let stage = Stage::start().await;
    let (_ana, phone) = stage.approver("ana").await;
    for status in [429, 503] {
        let before = stage.service.asked().len();
        stage.service.answers(Answer::status(status).with("retry-after", "1800"));
        stage.portal.waiting(if status == 429 { "shop" } else { "blog" }).await;
        stage.tell().await;
        assert_eq!(stage.service.asked().len(), before + 1);
        stage.pass(MINUTE * 29, MINUTE).await;
        assert_eq!(stage.service.asked().len(), before + 1, "{status}");
        stage.service.answers(Answer::status(201));
        stage.pass(MINUTE * 2, MINUTE).await;
        assert_eq!(stage.service.asked().len(), before + 2, "{status}");
    }
    assert_eq!(phone.told(&stage.service).len(), 4);
    stage.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_told_in_time_is_given_up_and_admins_see_it() {
    let stage = Stage::start().await;
    let admin = stage.portal.as_admin().await;
    let (_ana, phone) = stage.approver("ana").await;
    let long = format!("{} {}", phone.path, "x".repeat(1000));
    stage.service.answers(Answer { body: long, ..Answer::status(500) });
    stage.portal.waiting("shop").await;
    stage.tell().await;
    let page = admin.open("/admin/system").await;
    page.says("Push to browsers").says("in 1 browser").says("1 message").says("it answered 500");
    assert!(!page.body.contains(&phone.path) && !page.body.contains(&phone.path[6..]), "{}", page.body);
    stage.pass(HOUR * 12, MINUTE * 10).await;
    assert_eq!(stage.count("select count(*) from portal.push_message where due_at is not null and asks").await, 0);
    stage.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_answers_in_its_place_can_say_much_and_little_of_it_is_kept() {
    // Of the certificate that it shows, whoever answers chooses what is in an error.
    let stage = Stage::start().await;
    let names = (0..1000).map(|n| format!("host-{n}.evil.example")).collect();
    let evil = PushService::start_as(names).await;
    let push = stage.portal.state.push.by_way_of(evil.client()).unwrap();
    let (_ana, phone) = stage.approver("ana").await;
    stage.portal.waiting("shop").await;
    stage.write().await;
    stage.portal.advance(SignedDuration::from_secs(10));
    stage.write().await;
    assert_eq!(push.send().await.unwrap(), 1);
    assert_eq!(stage.waiting_messages().await, 1, "tried again later");
    let kept = "select max(char_length(last_error))::bigint from portal.push_message";
    assert!((1..=500).contains(&stage.count(kept).await));
    stage.pass(HOUR, MINUTE).await;
    assert_eq!(phone.told(&stage.service).len(), 1);
    stage.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_the_service_refuses_is_not_sent_again() {
    let stage = Stage::start().await;
    let (_ana, _phone) = stage.approver("ana").await;
    for status in [400, 401, 403, 413] {
        stage.service.answers(Answer::status(status));
        let before = stage.service.asked().len();
        let open = stage.portal.waiting("shop").await;
        stage.tell().await;
        assert_eq!(stage.service.asked().len(), before + 1, "{status}");
        stage.pass(MINUTE * 10, MINUTE).await;
        assert_eq!(stage.service.asked().len(), before + 1, "{status}");
        stage.service.answers(Answer::status(201));
        stage.decided_elsewhere(&open, Verdict::Approved).await;
        stage.pass(MINUTE * 2, MINUTE).await;
    }
    stage.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_not_followed() {
    // U-13
    let stage = Stage::start().await;
    let (_ana, _phone) = stage.approver("ana").await;
    for status in [301, 307, 308] {
        stage.service.answers(Answer::status(status).with("location", "https://other.service.example/elsewhere"));
        let before = stage.service.asked().len();
        let open = stage.portal.waiting("shop").await;
        stage.tell().await;
        assert_eq!(stage.service.asked().len(), before + 1, "{status}");
        stage.decided_elsewhere(&open, Verdict::Approved).await;
        stage.pass(MINUTE * 2, MINUTE).await;
    }
    assert!(stage.service.asked().iter().all(|asked| asked.path.starts_with("/send/")));
    assert!(stage.service.resolved().iter().all(|name| name == HOST), "{:?}", stage.service.resolved());
    stage.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_attempt_is_committed_before_the_service_is_asked_and_no_transaction_waits_for_it() {
    // H-04
    let stage = Stage::start().await;
    let (_ana, phone) = stage.approver("ana").await;
    stage.service.hold();
    stage.portal.waiting("shop").await;
    stage.write().await;
    stage.portal.advance(SignedDuration::from_secs(10));
    stage.write().await;
    let push = stage.push.clone();
    let sending = tokio::spawn(async move { push.send().await });
    stage.service.until_asked().await;
    assert_eq!(stage.count("select attempts::bigint from portal.push_message").await, 1);
    let busy = "select count(*) from pg_stat_activity where datname = current_database() and state like 'idle in%'";
    assert_eq!(stage.count(busy).await, 0);
    let another = stage.portal.state.push.by_way_of(stage.service.client()).unwrap();
    assert_eq!(another.send().await.unwrap(), 0, "nobody else takes it");
    stage.service.go_on();
    assert_eq!(sending.await.unwrap().unwrap(), 1);
    assert_eq!(phone.told(&stage.service).len(), 1);
    stage.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_replica_that_died_was_sending_is_sent_by_another() {
    let stage = Stage::start().await;
    let (_ana, phone) = stage.approver("ana").await;
    stage.service.hold();
    stage.portal.waiting("shop").await;
    stage.write().await;
    stage.portal.advance(SignedDuration::from_secs(10));
    stage.write().await;
    let push = stage.push.clone();
    let sending = tokio::spawn(async move { push.send().await });
    stage.service.until_asked().await;
    sending.abort();
    let _ = sending.await;
    stage.service.go_on();
    let another = stage.portal.state.push.by_way_of(stage.service.client()).unwrap();
    assert_eq!(another.send().await.unwrap(), 0);
    stage.portal.advance(MINUTE * 2);
    assert_eq!(another.send().await.unwrap(), 1);
    let told = phone.told(&stage.service);
    assert_eq!(told.len(), 2, "at least once");
    assert_eq!(told[0]["tag"], told[1]["tag"], "and seen once");
    stage.finish().await;
}
