//! Who is told by mail that an approval waits, that its time runs out, what became of it; and who is not.

use countersign::domain::people::Role;
use countersign::simulator::{Commit, Verdict};
use jiff::SignedDuration;
use sqlx::Connection as _;

use crate::harness::{Browser, Portal, email};
use crate::support::smtp::{Mail, Mood, Sink, Stage};

const GATHERED: SignedDuration = SignedDuration::from_secs(10);
const MINUTE: SignedDuration = SignedDuration::from_mins(1);
const HOUR: SignedDuration = SignedDuration::from_hours(1);

impl Portal {
    /// A portal at this address with a mail server.
    pub async fn telling(sink: &Sink) -> Self {
        Self::start_with(&format!("public_url = \"https://sign.example\"\n{}", sink.config())).await
    }

    /// Does everything that is due for telling people, and delivers their mail.
    pub async fn tell(&self) {
        self.state.notices.look_around().await.unwrap();
        while self.state.notices.step().await.unwrap() > 0 {}
        while self.state.mailer.step().await.unwrap() > 0 {}
        assert_eq!(self.count("select count(*) from portal.notice where last_error is not null").await, 0);
    }

    /// As [`Portal::tell`], now and again after the time that is gathered in.
    pub async fn tell_all(&self) {
        self.tell().await;
        self.advance(GATHERED);
        self.tell().await;
    }

    /// The clock moves on in steps, and everything is done at each.
    pub async fn pass(&self, time: SignedDuration, step: SignedDuration) {
        let mut left = time;
        while left > SignedDuration::ZERO {
            self.advance(step.min(left));
            left -= step;
            self.tell().await;
        }
    }

    /// So many more approvals wait at this pipeline's gate, as if as many pipelines had been seen at once.
    pub async fn open_more(&self, pipeline: &str, many: i32) {
        let sql = "insert into portal.approval select (jsonb_populate_record(a, jsonb_build_object(
                'id', gen_random_uuid(),
                'token_hash', '\\x' || encode(sha256(uuid_send(gen_random_uuid())), 'hex')))).*
            from generate_series(1, $2), portal.approval a
            where a.id = (select id from portal.approval where pipeline = $1 order by found_at, id limit 1)";
        sqlx::query(sql).bind(pipeline).bind(many).execute(&mut self.database.connect_superuser().await).await.unwrap();
    }

    async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&mut self.database.connect_superuser().await).await.unwrap()
    }

    /// Ends every decision that was made here, and lets the watcher see what became of it.
    async fn decided(&self) {
        self.settle().await;
        self.watcher.activate().await;
    }
}

impl Sink {
    /// The notices that came for somebody; letters about their account are none.
    pub fn notices_for(&self, name: &str) -> Vec<Mail> {
        let all = self.taken_for(&email(name)).into_iter();
        all.filter(|mail| mail.header("List-Unsubscribe").is_some()).collect()
    }

    pub fn subjects_for(&self, name: &str) -> Vec<String> {
        self.notices_for(name).iter().map(Mail::subject).collect()
    }
}

impl Browser {
    /// Saves what somebody is told; what is not named stays unticked or empty.
    pub async fn choose(&self, fields: &[(&str, &str)]) -> crate::harness::Page {
        let page = self.open("/me/notifications").await;
        let mut all: Vec<(&str, &str)> =
            vec![("pace", "at_once"), ("hour", "8"), ("quiet_from", ""), ("quiet_until", "")];
        all.retain(|(name, _)| fields.iter().all(|(given, _)| given != name));
        all.extend_from_slice(fields);
        self.submit(&page, "/me/notifications", &all).await
    }
}

const EVERYTHING: &[(&str, &str)] = &[("waiting", "on"), ("reminders", "on"), ("decided", "on"), ("expired", "on")];

#[tokio::test(flavor = "multi_thread")]
async fn who_may_decide_is_told_everything_they_need_to_know_and_nobody_else_is_told_anything() {
    // L-10, U-01
    let sink = Sink::start().await;
    let portal = Portal::telling(&sink).await;
    portal.create_account("ana", &[Role::Approver]).await;
    portal.create_account("ben", &[Role::Approver]).await;
    portal.end_grants_of("ben").await;
    portal.create_account("audrey", &[Role::Auditor, Role::Admin]).await;
    portal.create_account("dora", &[Role::Approver]).await;
    portal.disable("dora").await;
    portal.waiting("shop").await;
    portal.tell().await;
    assert!(sink.taken().is_empty(), "what comes together is gathered first");
    portal.advance(GATHERED);
    portal.tell().await;
    assert_eq!(sink.taken().len(), 1);

    let mail = sink.newest_for(&email("ana"));
    assert_eq!(mail.subject(), "Waiting for you: shop, Release in Production");
    assert_eq!(mail.header("Auto-Submitted").unwrap(), "auto-generated");
    assert_eq!(mail.header("List-Unsubscribe").unwrap(), "<https://sign.example/me/notifications>");
    // A long address may be broken in HTML.
    for part in [mail.text(), mail.html().replace("<wbr>", "")] {
        for said in [
            "shop",
            "Release, in stage Production",
            "111122223333 in eu-west-1 (source default)",
            "Free shipping",
            "Ana",
            "Ship shop: Free shipping",
            "https://review.example/shop (opens review.example)",
            "Sat 21 Nov 2026, 18:0",
            "Opening it decides nothing",
        ] {
            assert!(part.contains(said), "{said:?} in {part}");
        }
    }
    assert!(mail.text().contains("\nDecide by: Sat 21 Nov 2026, 18:0"), "{}", mail.text());
    assert!(mail.text().contains("\nStarted: "), "{}", mail.text());
    assert!(!mail.html().contains("href=\"https://review.example"), "an address from AWS is text");
    portal.pass(HOUR, MINUTE).await;
    assert_eq!(sink.taken().len(), 1, "once");
    let ana = portal.sign_in("ana").await;
    let followed = ana.open(mail.link("https://sign.example/l/").trim_start_matches("https://sign.example")).await;
    let page = format!("/approvals/{}", portal.approval_id("shop").await);
    assert_eq!(ana.follow(&followed).await.location(), Some(page.as_str()));
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_out_or_lost_the_right_before_their_letter_is_written_or_delivered_gets_none() {
    // S-27
    let sink = Sink::start().await;
    let portal = Portal::telling(&sink).await;
    for name in ["ana", "ben", "cleo", "dora"] {
        portal.create_account(name, &[Role::Approver]).await;
    }
    portal.waiting("shop").await;
    portal.tell().await;
    // Whom it concerns is worked out by now.
    portal.disable("ana").await;
    portal.end_grants_of("ben").await;
    portal.advance(GATHERED);
    while portal.state.notices.step().await.unwrap() > 0 {}
    // The letters are in the outbox by now.
    portal.disable("cleo").await;
    portal.tell().await;
    let to: Vec<String> = sink.taken().into_iter().flat_map(|mail| mail.to).collect();
    assert_eq!(to, [email("dora")]);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_nobody_has_shown_to_be_theirs_is_told_nothing() {
    let sink = Sink::start().await;
    let portal = Portal::telling(&sink).await;
    let id = portal.create_account("ana", &[Role::Approver]).await;
    let mut conn = portal.database.connect_superuser().await;
    // As an invitation that was not accepted leaves it.
    let sql = "update portal.account set password_phc = null where id = $1";
    sqlx::query(sql).bind(id.0).execute(&mut conn).await.unwrap();
    portal.waiting("shop").await;
    portal.tell_all().await;
    assert!(sink.taken().is_empty());
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_approvals_are_one_letter() {
    let sink = Sink::start().await;
    let portal = Portal::telling(&sink).await;
    portal.create_account("ana", &[Role::Approver]).await;
    portal.waiting("shop").await;
    portal.tell().await;
    portal.advance(SignedDuration::from_secs(5));
    portal.open_more("shop", 49).await;
    portal.tell().await;
    portal.advance(SignedDuration::from_secs(5));
    portal.tell().await;
    let mail = sink.newest_for(&email("ana"));
    assert_eq!(mail.subject(), "50 approvals wait for you");
    let text = mail.text();
    assert_eq!(text.matches("https://sign.example/l/").count(), 20, "{text}");
    assert!(text.contains("Waiting for your decision (50)") && text.contains("And 30 more."), "{text}");
    assert!(mail.html().contains("And 30 more.") && mail.html().contains("href=\"https://sign.example/\""));
    portal.pass(MINUTE * 10, GATHERED).await;
    assert_eq!(sink.notices_for("ana").len(), 1);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_approvals_in_a_minute_are_a_letter_a_minute_and_stand_in_nobodys_way() {
    let sink = Sink::start().await;
    let portal = Portal::telling(&sink).await;
    for name in ["ana", "ben", "cleo"] {
        portal.create_account(name, &[Role::Approver]).await;
    }
    // A reminder falls into it.
    portal.waiting("blog").await;
    portal.tell_all().await;
    portal.advance(SignedDuration::from_mins(299));
    portal.waiting("shop").await;
    for _ in 0..10 {
        portal.open_more("shop", 100).await;
        portal.advance(SignedDuration::from_secs(6));
        portal.tell().await;
    }
    portal.pass(MINUTE * 3, GATHERED).await;
    for name in ["ana", "ben", "cleo"] {
        let subjects = sink.subjects_for(name);
        assert!((2..=5).contains(&subjects.len()), "{name}: {subjects:?}");
        let reminded = sink.notices_for(name).iter().any(|mail| mail.text().contains("Half of the time is over (1)"));
        assert!(reminded, "{name}: {subjects:?}");
    }
    let untold = "select count(*) from portal.notice_to t join portal.notice n on n.id = t.notice_id
        where n.kind = 'waiting' and t.told_at is null";
    assert_eq!(portal.count(untold).await, 0);
    assert_eq!(portal.count("select count(*) from portal.notice_to where told_at is not null").await, 3 * 1003);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_about_an_account_goes_before_any_number_of_notices() {
    let sink = Sink::start().await;
    let portal = Portal::telling(&sink).await;
    for n in 0..12 {
        portal.create_account(&format!("person {n}"), &[Role::Approver]).await;
    }
    portal.waiting("shop").await;
    while portal.state.notices.step().await.unwrap() > 0 {}
    portal.advance(GATHERED);
    while portal.state.notices.step().await.unwrap() > 0 {}
    assert_eq!(portal.count("select count(*) from portal.mail where rank > 0 and due_at is not null").await, 12);
    let zoe = portal.anonymous();
    portal.create_account("zoe", &[]).await;
    let page = zoe.open("/forgot").await;
    zoe.submit(&page, "/forgot", &[("email", &email("zoe"))]).await;
    while portal.state.accounts.answer_request().await.unwrap() {}
    portal.state.mailer.step().await.unwrap();
    assert_eq!(sink.taken_for(&email("zoe")).len(), 1, "in the first handful");
    assert_eq!(sink.taken().len(), 4, "and the others go on");
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_still_has_not_decided_is_reminded_at_half_time_and_an_hour_before_the_end() {
    let sink = Sink::start().await;
    let portal = Portal::telling(&sink).await;
    portal.create_account("ana", &[Role::Approver]).await;
    portal.waiting("shop").await;
    portal.tell_all().await;
    portal.pass(HOUR * 10, MINUTE * 2).await;
    let subjects = sink.subjects_for("ana");
    assert_eq!(
        subjects,
        [
            "Waiting for you: shop, Release in Production",
            "Still waiting: shop, Release in Production",
            "Less than an hour left: shop, Release in Production",
        ]
    );
    let times =
        "select string_agg(to_char(due_at at time zone 'UTC', 'HH24:MI'), ' ' order by due_at) from portal.notice
        where kind in ('half_time', 'last_hour')";
    let times: String =
        sqlx::query_scalar(times).fetch_one(&mut portal.database.connect_superuser().await).await.unwrap();
    assert_eq!(times, "13:00 17:00");
    portal.watcher.activate().await;
    portal.tell_all().await;
    portal.pass(MINUTE * 2, GATHERED).await;
    assert_eq!(sink.subjects_for("ana").last().unwrap(), "Expired: shop, Release in Production");
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_decided_is_nobodys_to_be_reminded_of() {
    let sink = Sink::start().await;
    let portal = Portal::telling(&sink).await;
    portal.create_account("ben", &[Role::Approver]).await;
    portal.waiting("shop").await;
    portal.tell_all().await;
    let ana = portal.as_approver("ana").await;
    assert_eq!(ana.decide(&portal, "shop", "approved", "Fine").await.status, 303);
    portal.decided().await;
    portal.pass(HOUR * 11, MINUTE * 10).await;
    assert_eq!(sink.subjects_for("ben"), ["Waiting for you: shop, Release in Production"]);
    assert!(sink.subjects_for("ana").is_empty());
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_decided_before_the_letter_is_written_asks_nobody() {
    let sink = Sink::start().await;
    let portal = Portal::telling(&sink).await;
    portal.create_account("ben", &[Role::Approver]).await;
    let open = portal.waiting("shop").await;
    portal.tell().await;
    portal.advance(SignedDuration::from_secs(40));
    portal.world().decide(&open, Verdict::Rejected, "No", "arn:aws:iam::111122223333:user/ines");
    portal.watcher.activate().await;
    portal.pass(HOUR * 11, MINUTE * 10).await;
    assert!(sink.taken().is_empty(), "{:?}", sink.subjects_for("ben"));
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_others_who_want_to_know_hear_what_became_of_it_and_who_decided_does_not() {
    let sink = Sink::start().await;
    let portal = Portal::telling(&sink).await;
    let (ana, ben) = (portal.as_approver("ana").await, portal.as_approver("ben").await);
    for browser in [&ana, &ben] {
        assert_eq!(browser.choose(EVERYTHING).await.status, 303);
    }
    portal.create_account("cleo", &[Role::Approver]).await;
    portal.waiting("shop").await;
    portal.tell_all().await;
    ana.decide(&portal, "shop", "rejected", "Not <b>today</b>").await;
    portal.decided().await;
    portal.pass(MINUTE * 3, GATHERED).await;
    let mail = sink.notices_for("ben").pop().unwrap();
    assert_eq!(mail.subject(), "Rejected: shop, Release in Production");
    assert!(mail.text().contains("Summary: Not <b>today</b>") && !mail.html().contains("<b>today"), "{}", mail.text());
    assert!(mail.text().contains("Decided by: ana"), "{}", mail.text());
    for name in ["ana", "cleo"] {
        assert_eq!(sink.notices_for(name).len(), 1, "{name}");
    }
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_started_the_run_hears_what_became_of_it_where_their_account_is_known() {
    let sink = Sink::start().await;
    let portal = Portal::telling(&sink).await;
    let audrey = portal.as_person("audrey", &[Role::Auditor]).await;
    audrey.choose(&[("decided", "on")]).await;
    let open = portal.waiting("shop").await;
    let sql = "update portal.approval set details = jsonb_set(details, '{trigger}', $1)";
    let trigger = serde_json::json!({
        "kind": "StartPipelineExecution",
        "detail": "arn:aws:sts::111122223333:assumed-role/Developer/Audrey@Example.com",
    });
    sqlx::query(sql).bind(trigger).execute(&mut portal.database.connect_superuser().await).await.unwrap();
    portal.advance(SignedDuration::from_secs(40));
    portal.world().decide(&open, Verdict::Approved, "Go", "arn:aws:iam::111122223333:user/ines");
    portal.watcher.activate().await;
    portal.tell_all().await;
    let mail = sink.notices_for("audrey").remove(0);
    assert_eq!(mail.subject(), "Approved: shop, Release in Production");
    assert!(mail.text().contains("Decided by: user ines (111122223333)"), "{}", mail.text());
    assert!(mail.text().contains("because you started its run"), "{}", mail.text());
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_server_that_is_away_for_an_hour_holds_up_no_decision_and_loses_no_letter() {
    // L-11, H-04
    let sink = Sink::start().await;
    let portal = Portal::telling(&sink).await;
    sink.is(Mood::Says(Stage::Greeting, "421 4.3.2 closing"));
    portal.create_account("ben", &[Role::Approver]).await;
    portal.waiting("shop").await;
    portal.tell_all().await;
    let ana = portal.as_approver("ana").await;
    let sent = ana.decide(&portal, "shop", "approved", "Fine").await;
    assert_eq!(sent.status, 303);
    assert!(ana.follow(&sent).await.heading().starts_with("Approved at AWS"));
    portal.decided().await;
    portal.pass(MINUTE * 30, MINUTE).await;
    portal.waiting("blog").await;
    portal.pass(MINUTE * 30, MINUTE).await;
    assert!(sink.taken().is_empty());
    sink.is(Mood::Kind);
    portal.pass(HOUR, MINUTE).await;
    let mut subjects = sink.subjects_for("ben");
    subjects.sort();
    assert_eq!(
        subjects,
        ["Waiting for you: blog, Release in Production", "Waiting for you: shop, Release in Production"],
        "each once"
    );
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_text_from_aws_makes_a_header_markup_or_a_line_of_its_own() {
    // L-10, U-02, U-03
    let sink = Sink::start().await;
    let portal = Portal::telling(&sink).await;
    portal.create_account("ana", &[Role::Approver]).await;
    let hostile = "x\r\nBcc: evil@example.com\n<img src=x onerror=alert(1)>\u{202e}\u{1b}[31m\u{200b}\"'&";
    let commit = Commit { id: None, message: hostile.repeat(40), author: Some(hostile.to_owned()) };
    portal.world().edit_comment("shop", &hostile.repeat(10));
    portal.world().open_approval("shop", Some(commit)).unwrap();
    portal.watcher.activate().await;
    let sql =
        "update portal.approval set shown = jsonb_set(jsonb_set(shown::jsonb, '{review_url,text}', to_jsonb($1::text)),
        '{revisions,0,author}', to_jsonb($1::text))::text, details = jsonb_set(details, '{trigger}', $2)";
    let trigger = serde_json::json!({ "kind": hostile, "detail": hostile });
    let mut conn = portal.database.connect_superuser().await;
    sqlx::query(sql).bind(hostile).bind(trigger).execute(&mut conn).await.unwrap();
    portal.tell_all().await;
    portal.open_more("shop", 2).await;
    portal.pass(MINUTE * 2, GATHERED).await;
    let mails = sink.notices_for("ana");
    assert_eq!(mails.len(), 2);
    for mail in mails {
        assert!(mail.header("Bcc").is_none() && mail.raw.len() < 60_000, "{}", mail.raw.len());
        assert!(mail.subject().chars().count() <= 200 && !mail.subject().chars().any(char::is_control));
        for part in [mail.text(), mail.html()] {
            assert!(!part.contains('\u{202e}') && !part.contains('\u{1b}') && !part.contains('\u{200b}'), "{part}");
            assert!(!part.lines().any(|line| line.starts_with("Bcc:")), "{part}");
        }
        assert!(!mail.html().contains("<img") && !mail.html().contains("onerror=alert(1)>\""), "{}", mail.html());
    }
    let first = sink.notices_for("ana").remove(0).text();
    assert!(first.contains("not a plain web address") && first.contains("⟨U+202E⟩"), "{first}");
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_the_matter_with_notices_approvals_open_and_end() {
    let sink = Sink::start().await;
    let portal = Portal::telling(&sink).await;
    let mut conn = portal.database.connect_superuser().await;
    sqlx::query("revoke insert on portal.notice from countersign_app").execute(&mut conn).await.unwrap();
    let ana = portal.as_approver("ana").await;
    portal.waiting("shop").await;
    let sent = ana.decide(&portal, "shop", "approved", "Fine").await;
    assert!(ana.follow(&sent).await.heading().starts_with("Approved at AWS"));
    assert_eq!(portal.count("select count(*) from portal.notice").await, 0);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn admins_are_told_of_a_source_that_stays_blind_and_that_it_sees_again() {
    let sink = Sink::start().await;
    let portal = Portal::telling(&sink).await;
    portal.create_account("adam", &[Role::Admin]).await;
    portal.create_account("ana", &[Role::Approver]).await;
    // A moment of blindness is worth no letter.
    for time in [SignedDuration::from_secs(30), MINUTE * 5] {
        portal.world().deny("ListPipelines", None);
        portal.watcher.activate().await;
        portal.pass(time, GATHERED).await;
        portal.simulator.clear_faults();
        portal.watcher.activate().await;
        portal.pass(MINUTE * 2, GATHERED).await;
    }
    assert_eq!(sink.subjects_for("adam"), ["Source default cannot be read", "Source default can be read again"]);
    let mail = sink.notices_for("adam").remove(0);
    assert!(mail.text().contains("codepipeline:ListPipelines"), "{}", mail.text());
    assert!(sink.subjects_for("ana").is_empty());
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_tell_everybody_once() {
    // H-04
    let sink = Sink::start().await;
    let portal = Portal::telling(&sink).await;
    for n in 0..5 {
        portal.create_account(&format!("person {n}"), &[Role::Approver]).await;
    }
    let other = portal.replica().await;
    portal.waiting("shop").await;
    portal.open_more("shop", 60).await;
    let work = async |notices: &countersign::notices::Notices| while notices.step().await.unwrap() > 0 {};
    for _ in 0..12 {
        tokio::join!(work(&portal.state.notices), work(&other.state.notices), work(&portal.state.notices));
        portal.advance(GATHERED);
    }
    while portal.state.mailer.step().await.unwrap() > 0 {}
    for n in 0..5 {
        assert_eq!(sink.subjects_for(&format!("person {n}")), ["61 approvals wait for you"]);
    }
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_chooses_while_their_letter_is_written_locks_what_it_locks_in_its_order() {
    // Otherwise both would wait for each other, and one of them would be refused.
    let sink = Sink::start().await;
    let portal = Portal::telling(&sink).await;
    let ana = portal.as_approver("ana").await;
    portal.waiting("shop").await;
    portal.tell().await;
    let mut conn = portal.database.connect_superuser().await;
    let mut letter = conn.begin().await.unwrap();
    sqlx::query("select from portal.notice_pace for update").execute(&mut *letter).await.unwrap();
    let writing = async {
        portal.until_somebody_waits_for_a_lock().await;
        let free = sqlx::query("select from portal.notice_to for update nowait").execute(&mut *letter).await;
        letter.rollback().await.unwrap();
        free.unwrap().rows_affected()
    };
    let (chosen, free) = tokio::join!(ana.choose(&[("waiting", "on")]), writing);
    assert_eq!((chosen.status, free), (303, 1));
    portal.finish().await;
}
