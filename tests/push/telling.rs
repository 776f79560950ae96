//! What browsers are told, and that it is taken back.

use countersign::domain::people::Role;
use countersign::simulator::{Commit, Verdict};
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::service::{HOST, Phone, proven};
use crate::stage::{CONTACT, GATHERED, HOUR, MINUTE, Stage};

const SOME: &[(&str, &str)] =
    &[("waiting", "on"), ("reminders", "on"), ("expired", "on"), ("pace", "at_once"), ("hour", "8")];

/// Saves what somebody is told; what is not named stays unticked or empty.
async fn choose(browser: &crate::harness::Browser, more: &[(&str, &str)]) {
    let page = browser.open("/me/notifications").await;
    let mut all: Vec<(&str, &str)> = vec![("quiet_from", ""), ("quiet_until", "")];
    all.extend_from_slice(SOME);
    all.retain(|(name, _)| more.iter().all(|(given, _)| given != name));
    all.extend_from_slice(more);
    assert_eq!(browser.submit(&page, "/me/notifications", &all).await.status, 303);
}

fn titles(told: &[Value]) -> Vec<&str> {
    told.iter().map(|one| one["title"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_comes_to_the_phone_and_only_the_phone_can_read_it() {
    let stage = Stage::start().await;
    let (_ana, phone) = stage.approver("ana").await;
    let (_ben, other) = stage.approver("ben").await;
    stage.portal.end_grants_of("ben").await;
    stage.portal.waiting("shop").await;
    stage.write().await;
    assert_eq!(stage.waiting_messages().await, 0, "what comes together is gathered first");
    stage.portal.advance(GATHERED);
    stage.write().await;
    assert_eq!(stage.waiting_messages().await, 1);
    let now = stage.portal.clock.now();
    stage.send().await;

    let told = phone.told(&stage.service);
    assert_eq!(titles(&told), ["Waiting for you: shop, Release in Production"]);
    let path = format!("/approvals/{}", stage.portal.approval_id("shop").await);
    assert_eq!((&told[0]["path"], &told[0]["silent"]), (&json!(path), &json!(false)));
    let body = told[0]["body"].as_str().unwrap();
    assert!(body.contains("Decide by Sat 21 Nov 2026, 18:0") && body.contains("Free shipping"), "{body}");
    assert!(!told[0].to_string().contains("action"), "nothing that decides");
    assert!(other.told(&stage.service).is_empty(), "who may not decide it is told nothing");

    let asked = &stage.service.asked()[0];
    assert_eq!(asked.host, HOST);
    let (key, contact) = proven(asked, now);
    assert_eq!(contact, CONTACT);
    assert_eq!(stage.portal.state.push.public_key().await.unwrap().as_deref(), Some(key.as_str()));
    let ttl: i64 = asked.header("ttl").parse().unwrap();
    assert!((9 * 3600..=10 * 3600).contains(&ttl), "until the deadline: {ttl}");
    assert_eq!(asked.header("urgency"), "normal");
    assert!(asked.header("topic").len() <= 32 && !asked.header("topic").contains(&path[11..]));
    assert!(!asked.body.windows(4).any(|part| part == b"shop"));

    stage.pass(HOUR, MINUTE * 5).await;
    assert_eq!(phone.told(&stage.service).len(), 1, "once");
    stage.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_the_database_nor_the_record_tells_where_a_phone_is_reached_or_what_it_is_told() {
    let stage = Stage::start().await;
    let (_ana, phone) = stage.approver("ana").await;
    stage.portal.waiting("shop").await;
    stage.portal.advance(GATHERED);
    stage.write().await;
    stage.portal.advance(GATHERED);
    stage.write().await;
    assert_eq!(stage.waiting_messages().await, 1);
    let mut conn = stage.portal.database.connect_superuser().await;
    let sql = "select coalesce(string_agg(t::text, ' '), '') from (select to_jsonb(b) from portal.push_browser b
        union all select to_jsonb(m) from portal.push_message m union all select to_jsonb(k) from portal.push_key k) t";
    let dump: String = sqlx::query_scalar(sql).fetch_one(&mut conn).await.unwrap();
    let records = format!("{:?}", stage.portal.records().await);
    let hex = |text: &str| text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    for secret in [phone.path.as_str(), &phone.key(), &phone.secret(), "Release in Production"] {
        assert!(!dump.contains(secret) && !dump.contains(&hex(secret)), "{secret}");
        assert!(secret == "Release in Production" || !records.contains(secret), "{secret}");
    }
    assert!(dump.contains(HOST));
    stage.send().await;
    assert_eq!(stage.count("select count(*) from portal.push_message where sealed is not null").await, 0, "erased");
    stage.finish().await;
}

/// What its push service replaces its messages by.
fn topics_of(stage: &Stage, phone: &Phone) -> Vec<String> {
    let asked = stage.service.asked().into_iter().filter(|asked| asked.path == phone.path);
    asked.map(|asked| asked.header("topic").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_decides_it_the_phone_shows_how_it_ended() {
    let stage = Stage::start().await;
    let (_ana, anas) = stage.approver("ana").await;
    let (ben, bens) = stage.approver("ben").await;
    choose(&ben, &[("decided", "on")]).await;
    let open = stage.portal.waiting("shop").await;
    stage.tell().await;
    assert_eq!((anas.told(&stage.service).len(), bens.told(&stage.service).len()), (1, 1));
    stage.decided_elsewhere(&open, Verdict::Rejected).await;
    stage.write().await;
    stage.send().await;

    for (phone, is_silent) in [(&anas, true), (&bens, false)] {
        let told = phone.told(&stage.service);
        assert_eq!(told.len(), 2);
        assert_eq!(told[1]["title"], "Rejected: shop, Release in Production");
        assert!(told[1]["body"].as_str().unwrap().starts_with("Rejected by user ines"), "{told:?}");
        assert_eq!(told[1]["tag"], told[0]["tag"], "in place of what asked");
        assert_eq!(told[1]["silent"], is_silent, "quiet for who did not choose to be told of ends");
    }
    for phone in [&anas, &bens] {
        let topics = topics_of(&stage, phone);
        assert!(topics.iter().all(|topic| *topic == topics[0]));
    }
    stage.pass(MINUTE * 10, MINUTE).await;
    let told = bens.told(&stage.service);
    assert_eq!(told.len(), 2, "not told again by the letter's turn: {told:?}");
    stage.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_decides_at_their_desk_is_right_on_their_phone_too() {
    let stage = Stage::start().await;
    let (ana, phone) = stage.approver("ana").await;
    stage.portal.waiting("shop").await;
    stage.tell().await;
    let path = format!("/approvals/{}", stage.portal.approval_id("shop").await);
    let page = ana.open(&path).await;
    let fields = [("summary", "Checked"), ("verdict", "approved")];
    assert_eq!(ana.submit(&page, &format!("{path}/decision"), &fields).await.status, 303);
    stage.portal.settle().await;
    stage.portal.watcher.activate().await;
    stage.write().await;
    stage.send().await;
    let told = phone.told(&stage.service);
    assert_eq!(told.len(), 2);
    assert!(told[1]["title"].as_str().unwrap().starts_with("Approved: shop"), "{told:?}");
    stage.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_over_before_it_was_sent_is_never_sent() {
    let stage = Stage::start().await;
    let (_ana, phone) = stage.approver("ana").await;
    let open = stage.portal.waiting("shop").await;
    stage.write().await;
    stage.portal.advance(GATHERED);
    stage.write().await;
    assert_eq!(stage.waiting_messages().await, 1);
    stage.decided_elsewhere(&open, Verdict::Approved).await;
    stage.write().await;
    stage.send().await;
    assert!(phone.told(&stage.service).is_empty());
    assert_eq!(stage.waiting_messages().await, 0);
    stage.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn quiet_hours_hold_for_the_phone_as_for_mail_but_for_what_would_expire() {
    let stage = Stage::start().await;
    let (ana, anas) = stage.approver("ana").await;
    let (ben, bens) = stage.approver("ben").await;
    // It is eight; what waits expires at six in the evening.
    choose(&ana, &[("quiet_from", "07:00"), ("quiet_until", "12:00"), ("except_expiring", "on")]).await;
    choose(&ben, &[("quiet_from", "07:00"), ("quiet_until", "19:00"), ("except_expiring", "on")]).await;
    stage.portal.waiting("shop").await;
    stage.tell().await;
    assert!(anas.told(&stage.service).is_empty());
    assert_eq!(bens.told(&stage.service).len(), 1);
    stage.pass(HOUR * 4, MINUTE * 10).await;
    assert_eq!(titles(&anas.told(&stage.service)), ["Waiting for you: shop, Release in Production"]);
    stage.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ended_in_quiet_hours_is_shown_when_they_end() {
    let stage = Stage::start().await;
    let (ana, phone) = stage.approver("ana").await;
    let open = stage.portal.waiting("shop").await;
    stage.tell().await;
    choose(&ana, &[("quiet_from", "07:00"), ("quiet_until", "12:00")]).await;
    stage.decided_elsewhere(&open, Verdict::Approved).await;
    stage.write().await;
    stage.send().await;
    assert_eq!(phone.told(&stage.service).len(), 1);
    stage.pass(HOUR * 4, MINUTE * 10).await;
    assert_eq!(phone.told(&stage.service).len(), 2);
    stage.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_wants_to_be_told_is_not_pushed() {
    let stage = Stage::start().await;
    let (ana, phone) = stage.approver("ana").await;
    let page = ana.open("/me/notifications").await;
    let nothing = [("pace", "at_once"), ("hour", "8"), ("quiet_from", ""), ("quiet_until", "")];
    ana.submit(&page, "/me/notifications", &nothing).await;
    stage.portal.waiting("shop").await;
    stage.pass(HOUR * 9, MINUTE * 30).await;
    assert!(phone.told(&stage.service).is_empty());
    stage.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reminder_takes_the_place_of_what_it_reminds_of_and_presses() {
    let stage = Stage::start().await;
    let (_ana, phone) = stage.approver("ana").await;
    stage.portal.waiting("shop").await;
    stage.pass(HOUR * 9 + MINUTE * 30, MINUTE * 10).await;
    let told = phone.told(&stage.service);
    assert_eq!(titles(&told).len(), 3, "{told:?}");
    assert!(titles(&told)[2].starts_with("Less than an hour left: shop"), "{told:?}");
    assert!(told.iter().all(|one| one["tag"] == told[0]["tag"]));
    assert_eq!(stage.service.asked()[2].header("urgency"), "high");
    let ttl: i64 = stage.service.asked()[2].header("ttl").parse().unwrap();
    assert!((300..=3600).contains(&ttl), "{ttl}");
    stage.portal.advance(HOUR);
    stage.portal.watcher.activate().await;
    stage.pass(MINUTE * 5, MINUTE).await;
    let told = phone.told(&stage.service);
    assert!(titles(&told)[3].starts_with("Expired: shop"), "{told:?}");
    assert_eq!(told.len(), 4);
    stage.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_is_one_message_that_counts() {
    let stage = Stage::start().await;
    let (_ana, phone) = stage.approver("ana").await;
    stage.portal.waiting("shop").await;
    let sql = "insert into portal.approval select (jsonb_populate_record(a, jsonb_build_object('id', gen_random_uuid(),
            'token_hash', '\\x' || encode(sha256(uuid_send(gen_random_uuid())), 'hex')))).*
        from generate_series(1, 49), portal.approval a";
    sqlx::query(sql).execute(&mut stage.portal.database.connect_superuser().await).await.unwrap();
    stage.tell().await;
    let told = phone.told(&stage.service);
    assert_eq!(titles(&told), ["50 approvals wait for you"]);
    assert_eq!(told[0]["path"], Value::Null, "it opens the queue");
    stage.portal.finish_unsettled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_texts_from_aws_are_short_plain_text_on_the_phone() {
    // U-01
    let stage = Stage::start().await;
    let (_ana, phone) = stage.approver("ana").await;
    let message = format!("\u{202e}<img src=x onerror=alert(1)> https://evil.example/{}", "x".repeat(5000));
    let commit = Commit { id: None, message, author: Some("\u{202e}<b>Eve".to_owned()) };
    stage.portal.world().open_approval("shop", Some(commit)).expect("the gate is free");
    stage.portal.watcher.activate().await;
    stage.tell().await;
    let told = phone.told(&stage.service);
    let body = told[0]["body"].as_str().unwrap();
    assert!(body.contains("<img") && !body.contains('\u{202e}') && body.chars().count() <= 400, "{body}");
    assert!(body.starts_with("Decide by"), "what is ours comes first: {body}");
    stage.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_and_push_tell_the_same_person_each_once() {
    let sink = crate::support::smtp::Sink::start().await;
    let stage = Stage::with(&sink.config()).await;
    let (_ana, phone) = stage.approver("ana").await;
    stage.portal.create_account("audrey", &[Role::Auditor]).await;
    stage.portal.waiting("shop").await;
    stage.tell().await;
    while stage.portal.state.mailer.step().await.unwrap() > 0 {}
    let mails = sink.taken_for("ana@example.com");
    let mails: Vec<_> = mails.iter().filter(|mail| mail.header("List-Unsubscribe").is_some()).collect();
    assert_eq!((mails.len(), phone.told(&stage.service).len()), (1, 1));
    stage.pass(MINUTE * 5, SignedDuration::from_secs(30)).await;
    assert_eq!(phone.told(&stage.service).len(), 1);
    stage.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_somebodys_browsers_is_told() {
    let stage = Stage::start().await;
    let (ana, phone) = stage.approver("ana").await;
    let laptop = Phone::new("laptop");
    stage.turn_on(&ana, &laptop).await;
    stage.portal.waiting("shop").await;
    stage.tell().await;
    assert_eq!((phone.told(&stage.service).len(), laptop.told(&stage.service).len()), (1, 1));
    stage.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_cannot_tell_by_what_replaces_what_who_is_told_of_the_same() {
    let stage = Stage::start().await;
    let (_ana, hers) = stage.approver("ana").await;
    let (_ben, his) = stage.approver("ben").await;
    let open = stage.portal.waiting("shop").await;
    stage.tell().await;
    stage.decided_elsewhere(&open, Verdict::Approved).await;
    stage.pass(MINUTE * 2, MINUTE).await;
    let (hers, his) = (topics_of(&stage, &hers), topics_of(&stage, &his));
    assert_eq!((hers.len(), his.len()), (2, 2));
    assert!(hers[0] == hers[1] && his[0] == his[1], "in place of what asked");
    assert_ne!(hers[0], his[0]);
    stage.finish().await;
}
