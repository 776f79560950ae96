//! The link in a mail about an approval: what it opens, for whom, when it decides, and that nothing but a person with the
//! code from the mail's text ever does.

use base64::Engine as _;
use countersign::accounts::By;
use countersign::domain::access::{GateFields, OptionKind};
use countersign::domain::people::Role;
use countersign::simulator::Verdict;
use futures::future::join_all;
use jiff::SignedDuration;
use reqwest::Method;
use sqlx::Connection as _;

use crate::harness::{Browser, Page, Portal, email};
use crate::support::smtp::{Mail, Sink};

const MINUTE: SignedDuration = SignedDuration::from_mins(1);
const HOUR: SignedDuration = SignedDuration::from_hours(1);
const DEAD: &str = "This link does not work, or does so no longer";

/// A mail that asks for a decision: the path of its link, and the code in its text.
#[derive(Debug, Clone)]
struct Asking {
    link: String,
    code: String,
}

impl Asking {
    fn read(mail: &Mail) -> Self {
        let link = mail.link("https://sign.example/l/");
        let text = mail.text();
        let code = text.split("typing this code there: ").nth(1).map(|rest| rest.chars().take(7).collect());
        Self { link: link.trim_start_matches("https://sign.example").to_owned(), code: code.unwrap_or_default() }
    }

    /// A code that is not the mail's.
    fn other_code(&self) -> &'static str {
        if self.code == "111 111" { "222 222" } else { "111 111" }
    }
}

impl Portal {
    /// A portal where the gate of `shop` is decided from mail.
    async fn deciding_by_mail(sink: &Sink) -> Self {
        let portal = Self::telling(sink).await;
        portal.let_mail_decide("shop", 60).await;
        portal
    }

    pub async fn let_mail_decide(&self, pipeline: &str, minutes: i32) {
        let gates = GateFields { pipeline: pipeline.to_owned(), ..GateFields::default() };
        let chosen = self
            .state
            .access
            .check_option(OptionKind::DecideByMail, &gates, &minutes.to_string(), "")
            .unwrap()
            .unwrap();
        self.state.access.set_option(&By::Operator, &chosen).await.unwrap();
    }

    /// Somebody is mailed that something waits.
    async fn asks(&self, sink: &Sink, name: &str) -> Asking {
        self.tell_all().await;
        Asking::read(&sink.newest_for(&email(name)))
    }

    /// Until some statement waits for a lock that another transaction holds.
    pub async fn until_somebody_waits_for_a_lock(&self) {
        let mut conn = self.database.connect_superuser().await;
        let sql = "select exists (select from pg_stat_activity
            where datname = current_database() and wait_event_type = 'Lock')";
        while !sqlx::query_scalar::<_, bool>(sql).fetch_one(&mut conn).await.unwrap() {
            tokio::task::yield_now().await;
        }
    }

    async fn decided_by_nobody(&self) {
        assert_eq!(self.simulator.count("PutApprovalResult"), 0);
        assert!(self.records_of("decision.intended").await.is_empty());
    }
}

impl Browser {
    /// Follows a mail's link to its page.
    async fn open_mail(&self, asking: &Asking) -> Page {
        let moved = self.open(&asking.link).await;
        assert_eq!(moved.status, 303, "{}", moved.body);
        assert!(moved.location().unwrap().starts_with("/link/"), "{:?}", moved.location());
        self.follow(&moved).await
    }

    async fn send_mailed(&self, page: &Page, verdict: &str, summary: &str, code: &str) -> Page {
        self.submit(page, &page.path, &[("verdict", verdict), ("summary", summary), ("code", code)]).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_is_written_while_its_person_is_given_other_roles_leaves_no_link() {
    // S-27: links end with whoever they were made for, whatever they are given back.
    let sink = Sink::start().await;
    let portal = Portal::deciding_by_mail(&sink).await;
    portal.create_account("ana", &[Role::Approver]).await;
    portal.waiting("shop").await;
    portal.tell().await;
    portal.advance(SignedDuration::from_secs(10));
    let mut dba = portal.database.connect_superuser().await;
    let mut changing = dba.begin().await.unwrap();
    sqlx::query("update portal.account set roles = '{approver,auditor}'").execute(&mut *changing).await.unwrap();
    sqlx::query("delete from portal.mailed_link").execute(&mut *changing).await.unwrap();
    let notices = portal.state.notices.clone();
    let writing = tokio::spawn(async move { notices.step().await.unwrap() });
    portal.until_somebody_waits_for_a_lock().await;
    changing.commit().await.unwrap();
    writing.await.unwrap();
    let links: i64 = sqlx::query_scalar("select count(*) from portal.mailed_link").fetch_one(&mut dba).await.unwrap();
    assert_eq!(links, 0);
    // The letter is written again for whoever they are by then.
    portal.advance(MINUTE * 5);
    portal.tell().await;
    sink.newest_for(&email("ana"));
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_opens_the_approval_for_whoever_signs_in_and_decides_nothing() {
    // L-01, L-06, L-07
    let sink = Sink::start().await;
    let portal = Portal::telling(&sink).await;
    portal.create_account("ana", &[Role::Approver]).await;
    portal.waiting("shop").await;
    let asking = portal.asks(&sink, "ana").await;
    assert_eq!(asking.code, "", "no option says that mail decides here");
    let visitor = portal.anonymous();
    for number in 0..3 {
        // GET and HEAD, again and again, from anywhere.
        let elsewhere = visitor.moved_to(&format!("203.0.113.{number}"));
        let head = elsewhere.request(Method::HEAD, &asking.link);
        assert_eq!(elsewhere.send(&asking.link, head).await.status, 303);
        let page = elsewhere.open_mail(&asking).await;
        page.says("This mail is for ana").says("by itself it decides nothing");
        assert!(!page.body.contains("action=\"/link/"), "nothing can be decided here");
        assert_eq!(page.header("x-robots-tag"), Some("noindex, nofollow"));
    }
    let moved = visitor.open(&asking.link).await;
    let cookie = moved.header("set-cookie").unwrap();
    assert!(cookie.starts_with("__Host-countersign-mail=") && cookie.contains("; HttpOnly"), "{cookie}");
    assert!(cookie.contains("; Secure") && cookie.contains("; Max-Age=600"), "{cookie}");
    let secret = asking.link.trim_start_matches("/l/");
    let page = visitor.follow(&moved).await;
    assert!(!page.body.contains(secret), "the address goes no further");
    let id = portal.approval_id("shop").await;
    assert!(page.body.contains(&format!("href=\"/sign-in?return=%2Fapprovals%2F{id}\"")), "{}", page.body);

    let ana = portal.sign_in("ana").await;
    let page = ana.open(&asking.link).await;
    let page = ana.follow(&page).await;
    assert_eq!(page.location(), Some(format!("/approvals/{id}").as_str()));
    assert_eq!(ana.follow(&page).await.status, 200);
    portal.decided_by_nobody().await;
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_gate_takes_mails_the_code_from_the_text_decides_and_the_record_says_so() {
    // L-02, L-05
    let sink = Sink::start().await;
    let portal = Portal::deciding_by_mail(&sink).await;
    let ana = portal.create_account("ana", &[Role::Approver]).await;
    portal.waiting("shop").await;
    let asking = portal.asks(&sink, "ana").await;
    let mail = sink.newest_for(&email("ana"));
    assert!(!asking.link.contains(&asking.code.replace(' ', "")), "the code is in no address");
    assert!(mail.html().contains(&asking.code), "{}", mail.html());

    let phone = portal.anonymous();
    let page = phone.open_mail(&asking).await;
    page.says("This mail is for ana").says("decides as ana").says("Free shipping").says("Who may decide this");
    page.says("Approve lets run").says("Reject fails stage");
    assert!(!page.body.contains(&asking.code) && !page.body.contains("checked"), "nothing is filled in or chosen");
    assert!(!page.body.contains("live.js") && !page.body.contains("autocomplete=\"one-time-code\""));
    let sent = phone.send_mailed(&page, "approved", "Read on the train", &asking.code).await;
    let to_result = format!("{}/result", page.path);
    assert_eq!((sent.status, sent.location()), (303, Some(to_result.as_str())));
    let result = phone.follow(&sent).await;
    assert!(result.heading().starts_with("Approved at AWS: run "), "{}", result.heading());
    assert!(!result.body.contains("href=\"/history"), "nobody is signed in");

    let effects = portal.simulator.effects();
    assert_eq!(effects.len(), 1);
    assert!(effects[0].summary.starts_with("Read on the train [ana, rec "), "{}", effects[0].summary);
    let intended = portal.records_of("decision.intended").await.remove(0).payload;
    assert_eq!((&intended["channel"], &intended["mail"]["factor"]), (&"link".into(), &"mail".into()));
    assert_eq!((&intended["person"], &intended["name"]), (&ana.to_string().into(), &"ana".into()));
    assert_eq!(intended["mail"]["mailed_to"], email("ana"));
    assert_eq!(
        (&intended["signed_in"]["method"], &intended["address"]),
        (&"link".into(), &phone.address.as_str().into())
    );

    // The second post shows what became of the first, and so does the page; the link in the mail is dead.
    let again = phone.send_mailed(&page, "approved", "Read on the train", &asking.code).await;
    assert_eq!((again.status, again.location()), (303, Some(to_result.as_str())));
    assert_eq!(phone.open(&page.path).await.location(), Some(to_result.as_str()));
    assert_eq!(portal.anonymous().open(&asking.link).await.status, 404);
    assert_eq!(portal.simulator.count("PutApprovalResult"), 1);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scanner_that_follows_and_posts_everything_decides_nothing_and_the_link_still_works() {
    // F-38
    let sink = Sink::start().await;
    let portal = Portal::deciding_by_mail(&sink).await;
    portal.create_account("ana", &[Role::Approver]).await;
    portal.waiting("shop").await;
    let asking = portal.asks(&sink, "ana").await;
    let scanner = portal.anonymous();
    for _ in 0..10 {
        let page = scanner.open_mail(&asking).await;
        for (verdict, code) in [("", ""), ("approved", ""), ("rejected", "test"), ("approved", "on"), ("", "123456")] {
            let fields: Vec<_> = [("verdict", verdict), ("code", code), ("summary", "test")].into();
            let answer = scanner.submit(&page, &page.path, &fields).await;
            assert_eq!(answer.status, 422, "{verdict} {code}");
            answer.says("Nothing was sent.").says("test");
        }
    }
    portal.decided_by_nobody().await;
    portal.state.accounts.flush_stranger_counts().await.unwrap();
    portal.advance(2 * MINUTE);
    portal.state.accounts.flush_stranger_counts().await.unwrap();
    let counted = portal.records_of("strangers.counted").await.remove(0);
    assert_eq!(counted.payload["counts"]["link.code_refused"], 50);

    let phone = portal.anonymous();
    let page = phone.open_mail(&asking).await;
    assert_eq!(phone.send_mailed(&page, "rejected", "Not on a Friday", &asking.code).await.status, 303);
    assert!(portal.simulator.effects()[0].summary.starts_with("Not on a Friday [ana, rec "));
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn five_wrong_codes_and_the_link_is_dead() {
    // L-02
    let sink = Sink::start().await;
    let portal = Portal::deciding_by_mail(&sink).await;
    portal.create_account("ana", &[Role::Approver]).await;
    portal.waiting("shop").await;
    let asking = portal.asks(&sink, "ana").await;
    let guesser = portal.anonymous();
    let page = guesser.open_mail(&asking).await;
    for left in ["4 tries are left", "3 tries are left", "2 tries are left", "One try is left"] {
        let wrong = guesser.send_mailed(&page, "approved", "I am Ana", asking.other_code()).await;
        assert_eq!(wrong.status, 422);
        wrong.says(left).says("I am Ana");
        assert!(wrong.body.contains("value=\"approved\" required aria-describedby=\"if-approved\" checked"));
    }
    let dead = guesser.send_mailed(&page, "approved", "I am Ana", asking.other_code()).await;
    assert_eq!(dead.status, 404);
    dead.says("for the fifth time");
    let right = guesser.send_mailed(&page, "approved", "I am Ana", &asking.code).await;
    assert_eq!(right.status, 404);
    right.says(DEAD);
    let refused = portal.records_of("decision.attempt_refused").await;
    assert_eq!(refused.len(), 5, "each guess is on record");
    for record in refused {
        assert_eq!(
            (&record.payload["outcome"], &record.payload["address"]),
            (&"wrong_code".into(), &guesser.address.as_str().into())
        );
        assert_eq!(record.payload["mailed_to"], email("ana"));
        assert!(record.payload.get("person").is_none(), "nobody knows that it was Ana: {}", record.payload);
    }
    portal.decided_by_nobody().await;
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_guesses_at_once_are_five_and_a_hundred_right_ones_one_decision() {
    // L-02, L-05
    let sink = Sink::start().await;
    let portal = Portal::deciding_by_mail(&sink).await;
    portal.let_mail_decide("wiki", 60).await;
    portal.create_account("ana", &[Role::Approver]).await;
    portal.waiting("shop").await;
    let guessed = portal.asks(&sink, "ana").await;
    let crowd = portal.anonymous();
    let page = crowd.open_mail(&guessed).await;
    let guesses = (0..100).map(|_| crowd.send_mailed(&page, "approved", "", guessed.other_code()));
    let told = join_all(guesses).await;
    for page in told {
        assert!(matches!(page.status, 404 | 422 | 429), "{} {}", page.status, page.text());
    }
    assert_eq!(portal.records_of("decision.attempt_refused").await.len(), 5);
    portal.decided_by_nobody().await;

    portal.waiting("wiki").await;
    portal.advance(MINUTE);
    let asking = portal.asks(&sink, "ana").await;
    let hand = portal.anonymous();
    let page = hand.open_mail(&asking).await;
    let clicks = (0..20).map(|number| {
        // One form many times, and many windows with a form each.
        let (hand, page, asking) = (hand.copy(), page.clone(), asking.clone());
        async move {
            let page = if number % 2 == 0 { page } else { hand.open(&page.path).await };
            if page.location().is_some() {
                return page;
            }
            hand.send_mailed(&page, "approved", "Once", &asking.code).await
        }
    });
    for answer in join_all(clicks).await {
        let to_result = format!("{}/result", page.path);
        assert_eq!((answer.status, answer.location()), (303, Some(to_result.as_str())), "{}", answer.text());
    }
    assert_eq!(portal.simulator.effects().len(), 1);
    assert_eq!(portal.records_of("decision.intended").await.len(), 1);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_dies_with_what_it_is_about_and_with_the_rights_of_its_person() {
    // L-04, L-08
    let ends = [
        "decided by somebody else",
        "changed",
        "disabled",
        "disabled, and enabled again",
        "no approver any more",
        "an approver again",
        "no grant any more",
        "another e-mail",
        "a password others may know",
        "a week later",
    ];
    let mut answers = Vec::new();
    for end in ends {
        let sink = Sink::start().await;
        let portal = Portal::deciding_by_mail(&sink).await;
        let ana = portal.create_account("ana", &[Role::Approver]).await;
        let open = portal.waiting("shop").await;
        let asking = portal.asks(&sink, "ana").await;
        let phone = portal.anonymous();
        let page = phone.open_mail(&asking).await;
        let mut superuser = portal.database.connect_superuser().await;
        match end {
            "decided by somebody else" => {
                portal.world().decide(&open, Verdict::Approved, "Mine", "arn:aws:iam::111122223333:user/ines");
                portal.watcher.activate().await;
            }
            "changed" => {
                portal.world().edit_comment("shop", "Ship it with the new price");
                portal.advance(2 * MINUTE);
                portal.watcher.activate().await;
            }
            "disabled" => portal.disable("ana").await,
            "disabled, and enabled again" => {
                portal.disable("ana").await;
                assert!(portal.state.accounts.enable(&By::Operator, ana).await.unwrap());
            }
            "no approver any more" => {
                let roles = [Role::Auditor].into_iter().collect();
                assert!(portal.state.accounts.change_roles(&By::Operator, ana, roles).await.unwrap());
            }
            "an approver again" => {
                for role in [Role::Auditor, Role::Approver] {
                    let roles = [role].into_iter().collect();
                    assert!(portal.state.accounts.change_roles(&By::Operator, ana, roles).await.unwrap());
                }
            }
            "no grant any more" => portal.end_grants_of("ana").await,
            "another e-mail" => {
                sqlx::query("update portal.account set email = 'new@example.com' where id = $1")
                    .bind(ana.0)
                    .execute(&mut superuser)
                    .await
                    .unwrap();
            }
            "a password others may know" => {
                sqlx::query("update portal.account set must_change_password = true where id = $1")
                    .bind(ana.0)
                    .execute(&mut superuser)
                    .await
                    .unwrap();
            }
            _ => portal.advance(SignedDuration::from_hours(7 * 24)),
        }
        // Where only a grant is gone the link is known, and its page is not.
        let follow = portal.anonymous().open(&asking.link).await;
        assert_eq!(follow.status, if end == "no grant any more" { 303 } else { 404 }, "{end}");
        let shown = phone.open(&page.path).await;
        assert_eq!(shown.status, 404, "{end}");
        shown.says(DEAD).says("Go to the sign-in page");
        answers.push(shown.text().split("Request").next().unwrap().to_owned());
        let sent = phone.send_mailed(&page, "approved", "", &asking.code).await;
        assert_eq!(sent.status, 404, "{end}: {}", sent.text());
        portal.decided_by_nobody().await;
        portal.finish().await;
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "whatever the matter is, it is one answer: {answers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn links_that_never_were_get_the_same_answer_and_few_of_them_a_minute() {
    // L-08
    let sink = Sink::start().await;
    let portal = Portal::deciding_by_mail(&sink).await;
    portal.create_account("ana", &[Role::Approver]).await;
    portal.waiting("shop").await;
    let asking = portal.asks(&sink, "ana").await;
    let prober = portal.anonymous();
    let mut texts = Vec::new();
    for code in ["AAAA", "x", &"A".repeat(43), &asking.link[3..42]] {
        let page = prober.open(&format!("/l/{code}")).await;
        assert_eq!(page.status, 404, "{code}");
        assert!(page.header("set-cookie").is_none_or(|cookie| !cookie.contains("-mail=")), "{code}");
        texts.push(page.text().split("Request").next().unwrap().to_owned());
    }
    texts.dedup();
    assert_eq!(texts.len(), 1);
    let statuses =
        join_all((0..40).map(|number| prober.open(Box::leak(format!("/l/{number}").into_boxed_str())))).await;
    assert!(statuses.iter().any(|page| page.status == 429), "30 a minute");
    assert_eq!(prober.open(&asking.link).await.status, 303, "a colleague behind the same address is let through");
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_hour_the_link_says_so_and_a_fresh_mail_goes_to_the_same_person_once() {
    // L-04
    let sink = Sink::start().await;
    let portal = Portal::deciding_by_mail(&sink).await;
    portal.create_account("ana", &[Role::Approver]).await;
    portal.waiting("shop").await;
    let asking = portal.asks(&sink, "ana").await;
    let phone = portal.anonymous();
    let form = phone.open_mail(&asking).await;
    portal.advance(HOUR);
    let late = phone.send_mailed(&form, "approved", "Written in the tunnel", &asking.code).await;
    assert_eq!(late.status, 409);
    late.says("Its time to decide is over.").says("Written in the tunnel").says("Sign in and open the approval");
    portal.decided_by_nobody().await;

    let before = sink.taken_for(&email("ana")).len();
    // The tunnel was long: the mail is opened again.
    let page = phone.open_mail(&asking).await;
    page.says("Send a fresh mail");
    for _ in 0..3 {
        assert_eq!(phone.submit(&page, &format!("{}/renew", page.path), &[]).await.status, 303);
    }
    phone.open(&page.path).await.says("A fresh mail was asked for.");
    portal.deliver().await;
    assert_eq!(sink.taken_for(&email("ana")).len(), before + 1, "once for each link");
    let fresh = Asking::read(&sink.newest_for(&email("ana")));
    assert_ne!((&fresh.link, &fresh.code), (&asking.link, &asking.code));
    let page = phone.open_mail(&fresh).await;
    let sent = phone.send_mailed(&page, "approved", "Written in the tunnel", &fresh.code).await;
    assert!(sent.location().is_some_and(|path| path.ends_with("/result")), "{}", sent.text());
    assert_eq!(portal.simulator.effects().len(), 1);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gates_that_ask_for_proof_are_never_decided_from_mail_and_what_was_sent_before_decides_no_more() {
    // L-02, S-18
    let sink = Sink::start().await;
    let portal = Portal::deciding_by_mail(&sink).await;
    let adam = portal.as_admin().await;
    portal.create_account("ana", &[Role::Approver]).await;
    portal.waiting("shop").await;
    let asking = portal.asks(&sink, "ana").await;
    let phone = portal.anonymous();
    let form = phone.open_mail(&asking).await;
    let page = adam.open("/admin/access/marks/new?look=1&pipeline=shop").await;
    assert_eq!(adam.submit(&page, "/admin/access/marks", &[]).await.status, 303);
    phone.open(&form.path).await.says("This gate is no longer decided from mail.");
    let sent = phone.send_mailed(&form, "approved", "Quick, before it is marked", &asking.code).await;
    assert_eq!(sent.status, 409);
    sent.says("no longer decided from mail").says("Quick, before it is marked");
    portal.decided_by_nobody().await;
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_else_is_signed_in_sees_a_forwarded_mail_with_their_own_rights() {
    // L-09
    let sink = Sink::start().await;
    let portal = Portal::deciding_by_mail(&sink).await;
    portal.create_account("ana", &[Role::Approver]).await;
    let ben = portal.as_approver_without_grant("ben").await;
    portal.waiting("shop").await;
    let asking = portal.asks(&sink, "ana").await;
    let page = ben.open(&asking.link).await;
    let page = ben.follow(&page).await;
    let id = portal.approval_id("shop").await;
    assert_eq!(page.location(), Some(format!("/approvals/{id}").as_str()));
    let page = ben.follow(&page).await;
    page.says("That mail was written to somebody else.").says("No grant lets you decide");
    portal.decided_by_nobody().await;
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_kept_opens_or_decides_anything() {
    // L-03
    let sink = Sink::start().await;
    let portal = Portal::deciding_by_mail(&sink).await;
    portal.create_account("ana", &[Role::Approver]).await;
    portal.waiting("shop").await;
    let asking = portal.asks(&sink, "ana").await;
    // As texts, and every column that holds bytes as those bytes.
    let sql = "select convert_to(m::text, 'utf8') from portal.mailed_link m
        union all select convert_to(m::text, 'utf8') from portal.mail m
        union all select secret_hash from portal.mailed_link union all select code_hash from portal.mailed_link
        union all select sealed from portal.mail where sealed is not null";
    let mut rows: Vec<Vec<u8>> =
        sqlx::query_scalar(sql).fetch_all(&mut portal.database.connect_superuser().await).await.unwrap();
    rows.extend(portal.records().await.into_iter().map(|record| record.payload.to_string().into_bytes()));
    assert!(rows.len() > 5);
    let secret = asking.link.trim_start_matches("/l/");
    let raw = countersign::domain::mailed::LinkSecret::read(secret);
    let code = asking.code.replace(' ', "");
    let secrets =
        [secret.as_bytes().to_vec(), base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(secret).unwrap()];
    for row in &rows {
        for kept in &secrets {
            assert!(!row.windows(kept.len()).any(|part| part == kept), "{}", String::from_utf8_lossy(row));
        }
        assert!(!row.windows(7).any(|part| part == asking.code.as_bytes()), "{}", String::from_utf8_lossy(row));
        let text = String::from_utf8_lossy(row);
        assert!(!text.split(|c: char| !c.is_ascii_digit()).any(|digits| digits == code), "{text}");
    }
    assert!(rows.iter().any(|row| row.as_slice() == raw.hash()), "what is kept is its hash");
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_chooses_which_gates_mails_decide_and_takes_it_back() {
    // L-02
    let sink = Sink::start().await;
    let portal = Portal::telling(&sink).await;
    let (adam, audrey) = (portal.as_admin().await, portal.as_auditor().await);
    portal.create_account("ana", &[Role::Approver]).await;
    portal.waiting("shop").await;
    let wrong = adam.open("/admin/access/options/new?look=1&pipeline=a+b&minutes=4&note=Night+shift").await;
    assert_eq!(wrong.status, 422);
    wrong.says("Type a whole number of minutes from 5 to 1440.").says("cannot be in a name");
    assert!(
        wrong.body.contains("value=\"Night shift\"") && wrong.body.contains("value=\"4\""),
        "what was typed is kept"
    );
    let page = adam.open("/admin/access/options/new?look=1&pipeline=shop&minutes=30&note=Night+shift").await;
    page.says("Whoever can read that mail can decide.").says("It fits 1 gate now").says("for 30 minutes");
    assert_eq!(adam.submit(&page, "/admin/access/options", &[("minutes", "2000")]).await.status, 422);
    assert_eq!(adam.submit(&page, "/admin/access/options", &[]).await.status, 303);
    let set = portal.records_of("gate_option.set").await.remove(0).payload;
    assert_eq!(
        (&set["holds"], &set["gates"], &set["minutes"]),
        (&"decide_by_mail".into(), &"pipeline shop".into(), &30.into())
    );
    let seen = audrey.open("/admin/access").await;
    seen.says("Gates decided from mail").says("for 30 minutes").says("Night shift");
    assert!(!seen.body.contains("/admin/access/options/"), "auditors change nothing");

    let asking = portal.asks(&sink, "ana").await;
    assert_eq!(asking.code.len(), 7, "{asking:?}");
    let phone = portal.anonymous();
    let form = phone.open_mail(&asking).await;
    let end = format!("/admin/access/options/{}/end", set["option"].as_str().unwrap());
    let page = adam.open("/admin/access").await;
    assert_eq!(adam.submit(&page, &end, &[]).await.status, 303);
    assert_eq!(adam.submit(&page, &end, &[]).await.status, 404);
    assert_eq!(portal.records_of("gate_option.ended").await.len(), 1);
    let sent = phone.send_mailed(&form, "approved", "", &asking.code).await;
    assert_eq!(sent.status, 409);
    sent.says("no longer decided from mail");
    portal.decided_by_nobody().await;
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_page_is_about_the_mail_that_opened_it_whatever_was_opened_since() {
    let sink = Sink::start().await;
    let portal = Portal::deciding_by_mail(&sink).await;
    portal.let_mail_decide("wiki", 60).await;
    portal.create_account("ana", &[Role::Approver]).await;
    portal.waiting("shop").await;
    let shop = portal.asks(&sink, "ana").await;
    portal.advance(MINUTE);
    portal.waiting("wiki").await;
    let wiki = portal.asks(&sink, "ana").await;
    let phone = portal.anonymous();
    let (of_shop, of_wiki) = (phone.open_mail(&shop).await, phone.open_mail(&wiki).await);
    assert_ne!(of_shop.path, of_wiki.path);
    // The code of one mail is wrong on the page of the other, and nothing of one page is shown on the other.
    let wrong = phone.send_mailed(&of_shop, "rejected", "About the shop", &wiki.code).await;
    assert_eq!(wrong.status, 422);
    wrong.says("4 tries are left").says("Free shipping").says("About the shop");
    let sent = phone.send_mailed(&of_shop, "rejected", "About the shop", &shop.code).await;
    let told = phone.follow(&sent).await;
    assert!(told.heading().starts_with("Rejected at AWS"), "{}", told.heading());
    let sent = phone.send_mailed(&of_wiki, "approved", "About the wiki", &wiki.code).await;
    assert!(phone.follow(&sent).await.heading().starts_with("Approved at AWS"));
    assert!(phone.open(&told.path).await.heading().starts_with("Rejected at AWS"), "each result is its own");
    let effects: Vec<_> = portal.simulator.effects().iter().map(|effect| effect.summary.clone()).collect();
    assert!(
        effects[0].starts_with("About the shop [ana") && effects[1].starts_with("About the wiki [ana"),
        "{effects:?}"
    );
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_was_left_alone_says_so_and_gives_back_what_was_written() {
    // L-07
    let sink = Sink::start().await;
    let portal = Portal::deciding_by_mail(&sink).await;
    portal.create_account("ana", &[Role::Approver]).await;
    portal.waiting("shop").await;
    let asking = portal.asks(&sink, "ana").await;
    let phone = portal.anonymous();
    let page = phone.open_mail(&asking).await;
    let shown = phone.open(&page.path).await;
    let cookies = shown.headers.get_all("set-cookie").iter().map(|line| line.to_str().unwrap());
    assert!(
        cookies
            .into_iter()
            .any(|line| line.contains("-mail=") && line.contains("SameSite=Lax") && line.contains("Max-Age=600"))
    );
    // The browser drops the cookie.
    phone.set_cookie("__Host-countersign-mail", "");
    let left = phone.send_mailed(&page, "approved", "Long thought about", &asking.code).await;
    assert_eq!(left.status, 404);
    left.says("Open the link in the mail again").says("Long thought about");
    portal.decided_by_nobody().await;
    let page = phone.open_mail(&asking).await;
    assert_eq!(phone.send_mailed(&page, "approved", "Long thought about", &asking.code).await.status, 303);
    assert_eq!(portal.simulator.effects().len(), 1);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shorter_time_holds_for_mails_that_were_sent_before() {
    // L-04
    let sink = Sink::start().await;
    let portal = Portal::deciding_by_mail(&sink).await;
    portal.create_account("ana", &[Role::Approver]).await;
    portal.waiting("shop").await;
    let asking = portal.asks(&sink, "ana").await;
    let phone = portal.anonymous();
    let page = phone.open_mail(&asking).await;
    portal.let_mail_decide("shop", 5).await;
    portal.advance(5 * MINUTE);
    let sent = phone.send_mailed(&page, "approved", "", &asking.code).await;
    assert_eq!(sent.status, 409);
    sent.says("Its time to decide is over.");
    portal.decided_by_nobody().await;
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_option_that_is_ended_while_somebody_decides_by_mail_decides_nothing() {
    // L-02, S-32: by the locks of the database, whoever is first
    let sink = Sink::start().await;
    let portal = Portal::deciding_by_mail(&sink).await;
    portal.create_account("ana", &[Role::Approver]).await;
    portal.waiting("shop").await;
    let asking = portal.asks(&sink, "ana").await;
    let phone = portal.anonymous();
    let page = phone.open_mail(&asking).await;
    // What an admin holds who ends it, up to the commit.
    let mut conn = portal.database.connect_superuser().await;
    let mut ending = conn.begin().await.unwrap();
    sqlx::raw_sql("select pg_advisory_xact_lock(x'00636f756e746d6b'::bigint)").execute(&mut *ending).await.unwrap();
    sqlx::raw_sql("update portal.gate_option set until_at = from_at").execute(&mut *ending).await.unwrap();
    let (sent, ()) = tokio::join!(phone.send_mailed(&page, "approved", "", &asking.code), async {
        portal.until_somebody_waits_for_a_lock().await;
        ending.commit().await.unwrap();
    });
    assert_eq!(sent.status, 409, "{}", sent.text());
    sent.says("no longer decided from mail");
    portal.decided_by_nobody().await;

    // And the other way round: what was committed first is sent.
    portal.let_mail_decide("shop", 60).await;
    let again = phone.open_mail(&asking).await;
    assert_eq!(phone.send_mailed(&again, "approved", "", &asking.code).await.status, 303);
    portal.run_sql("update portal.gate_option set until_at = from_at where until_at is null").await;
    portal.settle().await;
    assert_eq!(portal.simulator.effects().len(), 1);
    portal.finish().await;
}
