//! Telling people when something comes in between: stand-ins that end, tags that are not read yet, deadlines that move, a
//! database that takes no notices, a clock that changes, people who are no longer who they were.

use countersign::domain::people::Role;
use countersign::simulator::Act;
use jiff::SignedDuration;

use crate::harness::{Portal, email};
use crate::support::smtp::{Mood, Sink, Stage};

const GATHERED: SignedDuration = SignedDuration::from_secs(10);
const MINUTE: SignedDuration = SignedDuration::from_mins(1);
const HOUR: SignedDuration = SignedDuration::from_hours(1);

impl Portal {
    pub async fn run_sql(&self, sql: &'static str) {
        sqlx::raw_sql(sql).execute(&mut self.database.connect_superuser().await).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stands_in_is_told_in_whose_place_and_only_for_as_long() {
    // S-27, U-02
    let sink = Sink::start().await;
    let portal = Portal::telling(&sink).await;
    for name in ["lee", "sam"] {
        portal.create_account(name, &[Role::Approver]).await;
    }
    portal
        .run_sql(
            "update portal.access_grant set capability = 'stand_in'
                where account_id = (select id from portal.account where email = 'sam@example.com');
            insert into portal.stand_in (id, for_account, by_account, from_at, until_at, made_at)
                select gen_random_uuid(), l.id, s.id, s.created_at, '2026-11-21T12:00:00Z', s.created_at
                from portal.account l, portal.account s
                where l.email = 'lee@example.com' and s.email = 'sam@example.com';
            update portal.account set name = E'Lee\\r\\nBcc: evil@example.com <b>\\u202e' where email = 'lee@example.com'",
        )
        .await;
    portal.waiting("shop").await;
    portal.tell_all().await;
    let mail = sink.notices_for("sam").remove(0);
    assert!(mail.text().contains("You may decide it in place of Lee"), "{}", mail.text());
    assert!(mail.header("Bcc").is_none() && !mail.text().lines().any(|line| line.starts_with("Bcc")));
    assert!(!mail.html().contains("<b>") && !mail.html().contains('\u{202e}'), "{}", mail.html());
    // Half of its time is over at one o'clock.
    portal.pass(HOUR * 6, MINUTE * 5).await;
    assert_eq!(sink.subjects_for("sam").len(), 1);
    assert_eq!(sink.subjects_for("lee").last().unwrap(), "Still waiting: shop, Release in Production");
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_a_tag_lets_decide_is_told_as_soon_as_the_tags_are_read() {
    let sink = Sink::start().await;
    let portal = Portal::telling(&sink).await;
    for name in ["ana", "ben"] {
        portal.create_account(name, &[Role::Approver]).await;
    }
    portal
        .run_sql(
            "update portal.access_grant set tag_key = 'team', tag_value = 'sh*'
                where account_id = (select id from portal.account where email = 'ana@example.com')",
        )
        .await;
    let tags = [("team".to_owned(), "shop".to_owned())].into();
    portal.world().act(Act::Tag { pipeline: "shop".into(), tags }).unwrap();
    portal.world().deny("ListTagsForResource", None);
    portal.waiting("shop").await;
    portal.waiting("blog").await;
    portal.tell_all().await;
    assert_eq!(sink.subjects_for("ben"), ["2 approvals wait for you"], "who needs no tag does not wait for them");
    portal.pass(MINUTE * 5, MINUTE).await;
    assert!(sink.notices_for("ana").is_empty());
    portal.simulator.clear_faults();
    portal.advance(MINUTE);
    portal.watcher.activate().await;
    portal.pass(MINUTE * 5, MINUTE).await;
    assert_eq!(sink.subjects_for("ana"), ["Waiting for you: shop, Release in Production"]);
    for _ in 0..4 {
        portal.pass(MINUTE * 10, MINUTE).await;
        portal.watcher.activate().await;
    }
    assert_eq!((sink.subjects_for("ana").len(), sink.subjects_for("ben").len()), (1, 1), "once");
    assert_eq!(portal.untold().await, 0);
    portal.finish().await;
}

impl Portal {
    /// Notices that are due and not worked out.
    async fn untold(&self) -> i64 {
        let sql = "select count(*) from portal.notice where done_at is null and kind = 'waiting'";
        sqlx::query_scalar(sql).fetch_one(&mut self.database.connect_superuser().await).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reminders_go_by_the_deadline_as_it_is_known_by_then() {
    let sink = Sink::start().await;
    let portal = Portal::telling(&sink).await;
    portal.create_account("ana", &[Role::Approver]).await;
    portal.waiting("shop").await;
    portal.tell_all().await;
    // Not at six but at noon already: half of the time at ten, the last hour from eleven.
    portal.run_sql("update portal.approval set expires_at = '2026-11-21T12:00:00Z', expires_about = false").await;
    portal.pass(HOUR * 2 + MINUTE * 5, MINUTE).await;
    assert_eq!(sink.subjects_for("ana")[1..], ["Still waiting: shop, Release in Production"]);
    portal.pass(HOUR, MINUTE).await;
    assert_eq!(sink.subjects_for("ana")[2..], ["Less than an hour left: shop, Release in Production"]);
    // After all at four.
    portal.run_sql("update portal.approval set expires_at = '2026-11-21T16:00:00Z'").await;
    portal.pass(HOUR * 3 + MINUTE * 40, MINUTE * 5).await;
    assert_eq!(sink.subjects_for("ana").len(), 3, "{:?}", sink.subjects_for("ana"));
    portal.pass(MINUTE * 30, MINUTE).await;
    assert_eq!(sink.subjects_for("ana")[3..], ["Less than an hour left: shop, Release in Production"]);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_told_of_is_shown_to_admins_and_told_once_it_can_be() {
    // H-04
    let sink = Sink::start().await;
    let portal = Portal::telling(&sink).await;
    let (adam, ana) = (portal.as_admin().await, portal.as_approver("ana").await);
    portal.create_account("ben", &[Role::Approver]).await;
    portal.run_sql("revoke insert on portal.notice from countersign_app").await;
    portal.waiting("shop").await;
    portal.waiting("blog").await;
    let sent = ana.decide(&portal, "shop", "approved", "Fine").await;
    assert!(ana.follow(&sent).await.heading().starts_with("Approved at AWS"));
    portal.settle().await;
    portal.watcher.activate().await;
    adam.open("/admin/system").await.says("1 notice could not be written since").says("nobody was told");
    assert!(portal.state.notices.look_around().await.is_err(), "it is tried, and says so");
    assert!(sink.taken().is_empty());
    portal.run_sql("grant insert on portal.notice to countersign_app").await;
    portal.tell_all().await;
    assert_eq!(sink.subjects_for("ben"), ["Waiting for you: blog, Release in Production"]);
    let page = adam.open("/admin/system").await;
    assert!(!page.text().contains("could not be written"), "{}", page.text());
    // Its reminders were planned with it.
    portal.pass(HOUR * 5 + MINUTE * 10, MINUTE * 10).await;
    assert_eq!(sink.subjects_for("ben")[1..], ["Still waiting: blog, Release in Production"]);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_could_not_be_told_of_is_told_later() {
    let sink = Sink::start().await;
    let portal = Portal::telling(&sink).await;
    let (adam, ana, ben) = (portal.as_admin().await, portal.as_approver("ana").await, portal.as_approver("ben").await);
    ben.choose(&[("waiting", "on"), ("decided", "on")]).await;
    portal.waiting("shop").await;
    portal.tell_all().await;
    portal.run_sql("revoke insert on portal.notice from countersign_app").await;
    ana.decide(&portal, "shop", "approved", "Fine").await;
    portal.settle().await;
    portal.watcher.activate().await;
    adam.open("/admin/system").await.says("1 notice could not be written since");
    portal.run_sql("grant insert on portal.notice to countersign_app").await;
    portal.pass(MINUTE * 3, GATHERED).await;
    assert_eq!(sink.subjects_for("ben")[1..], ["Approved: shop, Release in Production"]);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_night_that_has_an_hour_less_ends_by_the_persons_clock() {
    let sink = Sink::start().await;
    let portal = Portal::telling(&sink).await;
    let ana = portal.as_approver("ana").await;
    ana.choose(&[("waiting", "on"), ("reminders", "on"), ("quiet_from", "22:00"), ("quiet_until", "07:00")]).await;
    let page = ana.open("/me").await;
    ana.submit(&page, "/me/time-zone", &[("time_zone", "Europe/Berlin")]).await;
    // Half past ten in the evening of 27 March 2027; summer time begins that night.
    let start: jiff::Timestamp = "2027-03-27T21:30:00Z".parse().unwrap();
    portal.advance(start.duration_since(portal.clock.now()));
    portal.waiting("shop").await;
    portal.pass(HOUR * 7 + MINUTE * 25, MINUTE * 5).await;
    assert!(sink.notices_for("ana").is_empty(), "{:?}", sink.subjects_for("ana"));
    portal.pass(MINUTE * 6, MINUTE).await;
    let mail = sink.notices_for("ana").remove(0);
    assert_eq!(mail.subject(), "Still waiting: shop, Release in Production");
    assert!(mail.text().contains("09:30 CEST"), "{}", mail.text());
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_waits_for_the_mail_server_is_not_delivered_to_who_may_not_have_it_any_more() {
    // S-27
    let sink = Sink::start().await;
    let portal = Portal::telling(&sink).await;
    for name in ["ana", "ben", "cleo"] {
        portal.create_account(name, &[Role::Approver]).await;
    }
    sink.is(Mood::Says(Stage::Greeting, "421 4.3.2 closing"));
    portal.waiting("shop").await;
    portal.tell_all().await;
    portal
        .run_sql(
            "update portal.account set email = 'ann@example.com', email_key = 'ann@example.com'
                where email = 'ana@example.com';
            update portal.account set roles = '{}' where email = 'ben@example.com'",
        )
        .await;
    sink.is(Mood::Kind);
    portal.pass(HOUR, MINUTE).await;
    let to: Vec<String> = sink.taken().into_iter().flat_map(|mail| mail.to).collect();
    assert_eq!(to, [email("cleo")]);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_was_wrong_for_a_moment_makes_nobody_wait_for_that_time_to_come() {
    let sink = Sink::start().await;
    let portal = Portal::telling(&sink).await;
    portal.create_account("ana", &[Role::Approver]).await;
    portal.waiting("shop").await;
    // As if it had been tomorrow for a moment, in the middle of the work.
    portal
        .run_sql(
            "update portal.notice set lease_holder = gen_random_uuid(), lease_until = due_at + interval '1 day';
            insert into portal.notice_pace (account_id, last_letter_at, lease_holder, lease_until)
                select id, '2026-11-22T08:00:00Z', gen_random_uuid(), '2026-11-22T08:01:00Z' from portal.account",
        )
        .await;
    portal.tell_all().await;
    assert_eq!(sink.subjects_for("ana"), ["Waiting for you: shop, Release in Production"]);
    portal.open_more("shop", 3).await;
    portal.pass(MINUTE * 10, GATHERED).await;
    assert_eq!(sink.subjects_for("ana")[1..], ["3 approvals wait for you"]);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_text_about_an_end_or_a_blind_source_makes_a_header_markup_or_a_line_of_its_own() {
    // L-10, U-02, U-03
    let sink = Sink::start().await;
    let portal = Portal::telling(&sink).await;
    let ana = portal.as_approver("ana").await;
    ana.choose(&[("waiting", "on"), ("decided", "on")]).await;
    portal.create_account("adam", &[Role::Admin]).await;
    portal.waiting("shop").await;
    portal.tell_all().await;
    portal
        .run_sql(
            "create function pg_temp.hostile() returns text language sql return repeat(
                E'x\\r\\nBcc: evil@example.com\\n<img src=x onerror=alert(1)>\\u202e\\u001b[31m\\u200b\"''&', 300);
            update portal.approval set at_aws = 'rejected', closed_at = '2026-11-21T08:05:00Z', decided = 'elsewhere',
                decided_by = pg_temp.hostile(), decided_summary = pg_temp.hostile(), closed_why = pg_temp.hostile();
            update portal.source set blind_since = '2026-11-21T08:00:00Z', blind_why = pg_temp.hostile()",
        )
        .await;
    portal.pass(MINUTE * 3, GATHERED).await;
    let (ended, blind) = (sink.notices_for("ana").pop().unwrap(), sink.notices_for("adam").pop().unwrap());
    assert_eq!(ended.subject(), "Rejected: shop, Release in Production");
    assert_eq!(blind.subject(), "Source default cannot be read");
    for mail in [ended, blind] {
        assert!(mail.header("Bcc").is_none() && mail.raw.len() < 60_000, "{}", mail.raw.len());
        for part in [mail.text(), mail.html()] {
            assert!(!part.contains(['\u{202e}', '\u{1b}', '\u{200b}']), "{part}");
            assert!(!part.lines().any(|line| line.starts_with("Bcc:")), "{part}");
        }
        assert!(!mail.html().contains("<img") && mail.text().contains("⟨U+202E⟩"), "{}", mail.html());
    }
    portal.run_sql("update portal.source set blind_since = null, blind_why = null").await;
    portal.finish().await;
}
