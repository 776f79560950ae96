//! What people choose to be told, and when: their page, their zone, quiet hours, digests; and what admins see of it all.

use countersign::domain::people::Role;
use jiff::SignedDuration;
use serde_json::json;

use crate::harness::{Portal, email};
use crate::support::smtp::{Mood, Sink, Stage};

const MINUTE: SignedDuration = SignedDuration::from_mins(1);
const HOUR: SignedDuration = SignedDuration::from_hours(1);
const TOLD: &[(&str, &str)] = &[("waiting", "on"), ("reminders", "on"), ("expired", "on"), ("except_expiring", "on")];

fn with<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    TOLD.iter().chain(more).copied().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_chooses_is_kept_shown_and_recorded() {
    let sink = Sink::start().await;
    let portal = Portal::telling(&sink).await;
    let ana = portal.as_approver("ana").await;
    ana.open("/me").await.says("What I am told about approvals, and when");
    let page = ana.open("/me/notifications").await;
    page.says("Mail goes to ana@example.com").says("your time zone, UTC");
    assert_eq!(page.body.matches(" checked").count(), 4, "waiting, reminders, expired, except");
    assert!(!page.body.contains("name=\"blind\""), "sources are for admins");

    let daily = with(&[("pace", "daily"), ("hour", "7"), ("quiet_from", "22:00"), ("quiet_until", "6:30")]);
    let saved = ana.choose(&daily).await;
    assert_eq!((saved.status, saved.location()), (303, Some("/me/notifications")));
    let page = ana.follow(&saved).await;
    page.says("Saved. From now on you are told this.");
    for kept in ["value=\"daily\" selected", "value=\"7\" selected", "value=\"22:00\"", "value=\"06:30\""] {
        assert!(page.body.contains(kept), "{kept}: {}", page.body);
    }
    let changed = portal.records_of("account.changed").await;
    assert_eq!(changed.len(), 1);
    assert_eq!(changed[0].payload["notifications"]["quiet"], "22:00-06:30");
    assert_eq!(changed[0].payload["before"]["notifications"]["pace"], "at_once");
    assert_eq!(changed[0].payload["by"]["email"], email("ana"));

    ana.choose(&daily).await;
    ana.open("/me/notifications").await.says("It was like that already.");
    assert_eq!(portal.records_of("account.changed").await.len(), 1);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_is_told_at_its_field_and_what_was_typed_stays() {
    let portal = Portal::start().await;
    let ana = portal.as_approver("ana").await;
    ana.open("/me/notifications").await.says("This portal sends no mail.");
    let page =
        ana.choose(&[("decided", "on"), ("quiet_from", "\"><b>ten"), ("quiet_until", "7:00"), ("hour", "99")]).await;
    assert_eq!(page.status, 422);
    page.says("This is no time of day. Write it as 22:00.").says("Choose an hour of the day.");
    assert!(page.body.contains("aria-describedby=\"quiet_from-error\""), "{}", page.body);
    assert!(page.body.contains("value=\"7:00\"") && !page.body.contains("<b>ten"), "{}", page.body);
    assert_eq!(page.body.matches(" checked").count(), 1, "only what was ticked");
    // S-34
    let page = ana.choose(&[("roles", "admin")]).await;
    assert_eq!(page.status, 400);
    assert!(portal.records_of("account.changed").await.is_empty());
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_wants_to_be_told_nothing_is_told_nothing() {
    let sink = Sink::start().await;
    let portal = Portal::telling(&sink).await;
    let ana = portal.as_approver("ana").await;
    portal.waiting("shop").await;
    portal.tell().await;
    // Also what was on its way already.
    assert_eq!(ana.choose(&[]).await.status, 303);
    portal.pass(HOUR * 11, MINUTE * 10).await;
    portal.watcher.activate().await;
    portal.tell_all().await;
    assert!(sink.notices_for("ana").is_empty(), "{:?}", sink.subjects_for("ana"));
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_goes_out_in_quiet_hours_by_the_persons_clock_but_what_expires_within_them() {
    let sink = Sink::start().await;
    let portal = Portal::telling(&sink).await;
    // It is nine in Berlin. Approvals there have ten hours.
    let ana = portal.as_approver("ana").await;
    ana.choose(&with(&[("quiet_from", "22:00"), ("quiet_until", "07:00")])).await;
    let page = ana.open("/me").await;
    ana.submit(&page, "/me/time-zone", &[("time_zone", "Europe/Berlin")]).await;
    portal.advance(HOUR * 11);
    portal.pass(MINUTE * 30, MINUTE).await;
    portal.waiting("blog").await;
    portal.pass(MINUTE * 10, MINUTE).await;
    assert_eq!(sink.subjects_for("ana"), ["Waiting for you: blog, Release in Production"], "at half past eight");

    portal.advance(HOUR * 3);
    portal.waiting("shop").await;
    portal.pass(HOUR * 7 + MINUTE * 15, MINUTE * 5).await;
    // The one expires at half past six. The other would wait until ten to ten, and nothing of it is told before seven.
    assert_eq!(
        sink.subjects_for("ana")[1..],
        ["Still waiting: blog, Release in Production", "Less than an hour left: blog, Release in Production"]
    );
    portal.pass(MINUTE * 15, MINUTE).await;
    assert_eq!(sink.subjects_for("ana")[3..], ["Still waiting: shop, Release in Production"]);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daily_letter_comes_at_its_hour_with_everything_that_still_waits() {
    let sink = Sink::start().await;
    let portal = Portal::telling(&sink).await;
    let ana = portal.as_approver("ana").await;
    ana.choose(&[("waiting", "on"), ("pace", "daily"), ("hour", "16")]).await;
    portal.waiting("shop").await;
    portal.waiting("wiki").await;
    let wiki = portal.world().open_approvals().into_iter().find(|open| open.pipeline == "wiki").unwrap();
    portal.pass(HOUR * 4, MINUTE * 10).await;
    portal.waiting("blog").await;
    portal.advance(SignedDuration::from_secs(40));
    portal.world().decide(
        &wiki,
        countersign::simulator::Verdict::Approved,
        "Go",
        "arn:aws:iam::111122223333:user/ines",
    );
    portal.watcher.activate().await;
    portal.pass(HOUR * 3 + MINUTE * 58, MINUTE).await;
    assert!(sink.notices_for("ana").is_empty(), "{:?}", sink.subjects_for("ana"));
    portal.pass(MINUTE * 3, MINUTE).await;
    assert_eq!(sink.subjects_for("ana"), ["2 approvals wait for you"]);
    let text = sink.notices_for("ana").remove(0).text();
    assert!(text.contains("shop, Release") && text.contains("blog, Release") && !text.contains("wiki"), "{text}");
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_sees_what_could_not_be_delivered_and_sends_it_again() {
    // S-48: nothing of what a mail says.
    let sink = Sink::start().await;
    let portal = Portal::telling(&sink).await;
    let adam = portal.as_admin().await;
    portal.create_account("ana", &[Role::Approver]).await;
    portal.tell().await;
    sink.is(Mood::Says(Stage::Mail, "554 5.7.1 <script>alert(1)</script> no"));
    portal.waiting("shop").await;
    portal.tell_all().await;
    let page = adam.open("/admin/system").await;
    page.says("ana@example.com notice-waiting").says("none: given up").says("does not take the mail");
    assert!(!page.body.contains("<script>alert") && !page.text().contains("Free shipping"), "{}", page.body);
    sink.is(Mood::Kind);
    let start = page.body.find("/admin/system/mail/").unwrap();
    let action = page.body[start..].split('"').next().unwrap().to_owned();
    let again = adam.submit(&page, &action, &[]).await;
    assert_eq!((again.status, again.location()), (303, Some("/admin/system")));
    adam.follow(&again).await.says("It is tried again at once");
    portal.tell().await;
    assert_eq!(sink.subjects_for("ana"), ["Waiting for you: shop, Release in Production"]);
    adam.open("/admin/system").await.says("Nothing.");
    let record = portal.records_of("mail.sent_again").await.remove(0).payload;
    assert_eq!((&record["mail_kind"], &record["by"]["email"]), (&json!("notice-waiting"), &json!(email("adam"))));
    assert_eq!(adam.submit(&page, &action, &[]).await.status, 404, "what was delivered is not sent twice");
    portal.finish().await;
}
