//! The two questions of a review, at any time that is known about, as pages and as files.

use countersign::accounts::By;
use countersign::domain::people::Role;
use jiff::SignedDuration;

use crate::harness::{Browser, Portal, email};

const SHOP: &str = "default%2Fshop%2FProduction%2FRelease";

/// The clock begins on 21 November 2026 at 08:00.
async fn who_could(browser: &Browser, at: &str) -> String {
    let page = browser.open(&format!("/admin/access/gate?gate={SHOP}&at={at}")).await;
    assert_eq!(page.status, 200, "{}", page.text());
    page.text()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_could_decide_a_gate_is_known_for_every_moment_since_it_is_written_down() {
    let portal = Portal::start().await;
    let ana = portal.as_approver("ana").await;
    portal.waiting("shop").await;
    ana.decide(&portal, "shop", "approved", "Looks right").await;
    portal.advance(SignedDuration::from_hours(1));
    let id = portal.state.accounts.find_by_email(&email("ana")).await.unwrap().unwrap();
    let roles = [Role::Auditor].into_iter().collect();
    portal.state.accounts.change_roles(&By::Operator, id, roles).await.unwrap();
    portal.advance(SignedDuration::from_hours(1));
    let roles = [Role::Approver].into_iter().collect();
    portal.state.accounts.change_roles(&By::Operator, id, roles).await.unwrap();
    portal.advance(SignedDuration::from_hours(1));
    portal.state.accounts.disable(&By::Operator, id).await.unwrap();
    portal.advance(SignedDuration::from_hours(1));

    let auditor = portal.as_auditor().await;
    assert!(who_could(&auditor, "2026-11-21T08:30").await.contains("ana@example.com"));
    assert!(who_could(&auditor, "2026-11-21T09:30").await.contains("Nobody could."), "no approver then");
    assert!(who_could(&auditor, "2026-11-21T10:30").await.contains("grant for every gate"));
    assert!(who_could(&auditor, "2026-11-21T11:30").await.contains("Nobody could."), "disabled then");
    assert!(who_could(&auditor, "").await.contains("Who could decide it now"));
    let before = who_could(&auditor, "2026-11-20T08:00").await;
    assert!(before.contains("Nothing is known about this time: who may decide what is written down since"), "{before}");
    let future = auditor.open(&format!("/admin/access/gate?gate={SHOP}&at=2027-01-01T00:00")).await;
    assert_eq!(future.status, 422);
    future.says("This is in the future.");

    let person = auditor.open("/admin/access/person?email=ana%40example.com&at=2026-11-21T10%3A30").await;
    person.says("enabled; approver").says("default › shop › Production › Release").says("1 in all");
    person.says("default › blog › Production › Release").says("never");
    let person = auditor.open("/admin/access/person?email=ana%40example.com&at=").await;
    person.says("disabled; approver").says("They could decide no gate.");
    let nobody = auditor.open("/admin/access/person?email=who%40example.com&at=").await;
    assert_eq!(nobody.status, 422);
    nobody.says("There is no account with this e-mail address.");
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answers_say_where_mails_decide_and_where_the_portal_rejects_at_that_time() {
    let portal = Portal::start().await;
    portal.as_approver("ana").await;
    let auditor = portal.as_auditor().await;
    portal.waiting("shop").await;
    portal.advance(SignedDuration::from_mins(10));
    portal.let_mail_decide("shop", 45).await;
    portal.let_mail_decide("*", 60).await;
    portal.reject_after(90, "shop").await;
    portal.reject_after(120, "sh*").await;
    portal.advance(SignedDuration::from_mins(10));

    let page = auditor.open(&format!("/admin/access/gate?gate={SHOP}&at=")).await;
    page.says("Mails about it decide too, without signing in, for 45 minutes").says("within 120 minutes");
    let before = auditor.open(&format!("/admin/access/gate?gate={SHOP}&at=2026-11-21T08%3A05")).await.text();
    assert!(!before.contains("Mails about it") && !before.contains("Countersign rejects"), "{before}");
    let gate = auditor.open(&format!("/admin/access/gate.csv?gate={SHOP}&at=")).await;
    assert!(gate.body.lines().next().unwrap().ends_with("\"mail_decides_minutes\",\"rejected_after_minutes\""));
    assert!(gate.body.lines().nth(1).unwrap().ends_with(",\"45\",\"120\""), "{}", gate.body);
    let review = auditor.open("/admin/access/review.csv").await.body;
    assert!(review.lines().next().unwrap().ends_with("\"mail_decides_gates\",\"rejects_unattended_gates\""));
    let ana = review.lines().find(|line| line.contains("ana@example.com")).unwrap();
    assert!(ana.ends_with(",\"3\",\"1\""), "every grant's gates are counted: {ana}");

    // Where fresh proof is asked for, no mail decides; and what holds is told also where nobody could decide.
    portal
        .run_sql(
            "insert into portal.step_up_gate (id, source, pipeline, stage, action, from_at)
        values (gen_random_uuid(), '*', 'shop', '*', '*', '2026-11-21T08:15:00Z')",
        )
        .await;
    portal.end_grants_of("ana").await;
    let gate = auditor.open(&format!("/admin/access/gate.csv?gate={SHOP}&at=")).await.body;
    assert_eq!(gate.lines().count(), 2, "{gate}");
    assert!(gate.lines().nth(1).unwrap().ends_with(",\"\",\"\",\"120\""), "{gate}");
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_review_and_the_answers_are_files_that_no_spreadsheet_computes() {
    // U-09
    let portal = Portal::start().await;
    let ana = portal.as_approver("ana").await;
    let auditor = portal.as_auditor().await;
    portal.waiting("shop").await;
    ana.decide(&portal, "shop", "approved", "Looks right").await;
    let mut conn = portal.database.connect_superuser().await;
    let hostile = "update portal.account set name = '=HYPERLINK(\"http://evil.example\")' where email = $1";
    sqlx::query(hostile).bind(email("ana")).execute(&mut conn).await.unwrap();
    portal.advance(SignedDuration::from_mins(5));

    let review = auditor.open("/admin/access/review.csv").await;
    assert_eq!(review.header("content-type"), Some("text/csv; charset=utf-8"));
    assert_eq!(review.header("content-disposition"), Some("attachment; filename=\"access-review.csv\""));
    assert!(review.body.contains("\"'=HYPERLINK(\"\"http://evil.example\"\")\""), "{}", review.body);
    let mut reader = csv::Reader::from_reader(review.body.as_bytes());
    let head = reader.headers().unwrap().clone();
    let column = |name: &str| head.iter().position(|it| it == name).unwrap();
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    let of = |who: &str| rows.iter().find(|row| row[column("email")] == email(who)).unwrap();
    assert_eq!(&of("ana")[column("gates")], "every gate");
    assert_eq!(&of("ana")[column("times_used")], "1");
    assert!(of("ana")[column("last_used")].starts_with("2026-11-21T08:0"));
    assert_eq!(&of("audrey")[column("grant")], "", "everybody is in it");

    let gate = auditor.open(&format!("/admin/access/gate.csv?gate={SHOP}&at=")).await;
    assert!(gate.body.contains("\"ana@example.com\"") && gate.body.contains("grant for every gate"), "{}", gate.body);
    let person = auditor.open("/admin/access/person.csv?email=ana%40example.com&at=").await;
    assert_eq!(person.body.lines().count(), 4, "three gates are known: {}", person.body);
    for path in [
        "gate.csv?gate=a%2Fb%2Fc%2Fd",
        "person.csv?email=x",
        "review.csv?at=soon",
        "person.csv?email=ana%40example.com&at=2020-01-01",
    ] {
        assert_eq!(auditor.open(&format!("/admin/access/{path}")).await.status, 422, "{path}");
    }
    portal.finish().await;
}
