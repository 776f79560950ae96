//! One's own account: name and time zone, what one may decide, where one is signed in, what one is told. What the person sees,
//! what the record says, and that nobody else is touched by it.

use countersign::accounts::By;
use countersign::domain::people::Role;
use jiff::SignedDuration;
use secrecy::ExposeSecret as _;
use serde_json::json;

use crate::factors::portal_with_a_name;
use crate::harness::{Browser, Page, Portal, email};

impl Browser {
    /// Saves something on one's own account page.
    async fn save(&self, form: &str, field: &str, value: &str) -> Page {
        let page = self.open("/me").await;
        self.submit(&page, form, &[(field, value)]).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_changes_their_name_and_the_record_says_before_and_after() {
    // S-16, S-35: recorded with before and after; no session ends and no proof is asked for.
    let portal = Portal::start().await;
    let ana = portal.as_approver("ana").await;
    let elsewhere = portal.sign_in_again("ana").await;
    portal.advance(SignedDuration::from_mins(10));
    let saved = ana.save("/me/name", "name", "  Zoë Ångström ").await;
    assert_eq!((saved.status, saved.location()), (303, Some("/me")));
    let page = ana.follow(&saved).await;
    page.says("Your name is changed.").says("Signed in as Zoë Ångström");
    assert!(page.body.contains("value=\"Zoë Ångström\""), "{}", page.body);
    assert_eq!(elsewhere.open("/me").await.status, 200, "nothing ended");

    let changed = portal.records_of("account.changed").await;
    assert_eq!(changed.len(), 1);
    assert_eq!(changed[0].payload["name"], "Zoë Ångström");
    assert_eq!(changed[0].payload["before"], json!({ "name": "ana" }));
    assert_eq!(changed[0].payload["by"]["email"], email("ana"));
    assert!(changed[0].actor.ends_with(changed[0].payload["person"].as_str().unwrap()));

    ana.save("/me/name", "name", "Zoë Ångström").await;
    ana.open("/me").await.says("It was like that already.");
    assert_eq!(portal.records_of("account.changed").await.len(), 1);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_cannot_be_one_is_told_at_its_field_and_kept() {
    let portal = Portal::start().await;
    let ana = portal.as_approver("ana").await;
    let long = "x".repeat(121);
    for (name, said) in [
        (" ", "A name has 1 to 120 characters."),
        (long.as_str(), "A name has 1 to 120 characters."),
        ("ana\u{202e}nimda", "A name cannot hold line breaks or characters that cannot be seen."),
    ] {
        let page = ana.save("/me/name", "name", name).await;
        assert_eq!(page.status, 422);
        page.says(said);
        assert!(page.body.contains("aria-describedby=\"name-error\"") && page.body.contains(name), "{}", page.body);
    }
    // S-34: nothing but the name.
    let csrf = ana.open("/me").await.csrf();
    let more = [("csrf", csrf.as_str()), ("name", "Ana"), ("roles", "admin")];
    assert_eq!(ana.post("/me/name", &more).await.status, 400);
    assert!(portal.records_of("account.changed").await.is_empty());
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn times_are_shown_in_the_zone_somebody_chose_and_records_stay_in_utc() {
    // S-16
    let portal = Portal::start().await;
    let roles = &[Role::Approver, Role::Auditor];
    let ana = portal.as_person("ana", roles).await;
    let ben = portal.as_person("ben", roles).await;
    portal.waiting("shop").await;
    ana.open("/me").await.says("Signed in 2026-11-21 08:00:00 UTC");
    let saved = ana.save("/me/time-zone", "time_zone", "Europe/Berlin").await;
    assert_eq!(saved.status, 303);
    let page = ana.follow(&saved).await;
    page.says("Pages show you times in this time zone from now on.").says("Signed in 2026-11-21 09:00:00 CET");
    assert!(page.body.contains("<option value=\"Europe/Berlin\" selected>"), "{}", page.body);
    assert!(page.body.contains("title=\"2026-11-21 08:00:00 UTC\""), "UTC is beside it");
    let approval = format!("/approvals/{}", portal.approval_id("shop").await);
    let page = ana.open(&approval).await;
    page.says("2026-11-21 09:00:00 CET");
    assert!(!page.text().contains("UTC"), "one zone on one page: {}", page.text());
    ana.open("/me/stand-ins").await.says("Times are in your time zone, Europe/Berlin.");

    ben.open(&approval).await.says("2026-11-21 08:00:00 UTC");
    ana.open("/history/1").await.says(" UTC (");
    for path in ["/history", "/history/1"] {
        let page = ana.open(path).await;
        assert!(!page.text().contains("CET"), "{path}: {}", page.text());
    }
    let changed = &portal.records_of("account.changed").await[0].payload;
    assert_eq!((&changed["time_zone"], &changed["before"]), (&json!("Europe/Berlin"), &json!({ "time_zone": "UTC" })));

    // Summer time.
    portal.advance(SignedDuration::from_hours(24 * 200));
    let ana = portal.sign_in_again("ana").await;
    ana.open("/me").await.says("Signed in 2027-06-09 10:00:00 CEST");
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_in_utc_whoever_downloads_them() {
    // S-16
    let portal = Portal::start().await;
    portal.create_account("ana", &[Role::Approver]).await;
    let adam = portal.as_admin().await;
    adam.save("/me/time-zone", "time_zone", "Asia/Tokyo").await;
    let csv = adam.open("/admin/access/review.csv").await.body;
    assert!(csv.contains("2026-11-21T08:00:00") && !csv.contains("17:00") && !csv.contains("JST"), "{csv}");
    adam.open("/admin/access/person?email=ana@example.com&at=2026-11-21T08:00").await.says("08:00 UTC");
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_time_zone_is_refused() {
    let portal = Portal::start().await;
    let ana = portal.as_approver("ana").await;
    for zone in ["", "Europe/Atlantis", "../../etc/localtime", "Etc/GMT+5", "<script>"] {
        let page = ana.save("/me/time-zone", "time_zone", zone).await;
        assert_eq!(page.status, 422, "{zone}");
        page.says("There is no time zone of this name.");
        assert!(!page.body.contains("<script>"));
    }
    assert!(portal.records_of("account.changed").await.is_empty());
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_must_choose_a_password_first_changes_nothing_else() {
    // S-06
    let portal = Portal::start().await;
    let id = portal.create_account("ana", &[Role::Approver]).await;
    let made_up = portal.state.accounts.reset_password(&By::Operator, id, None).await.unwrap().unwrap();
    let ana = portal.anonymous();
    let page = ana.open("/sign-in").await;
    ana.submit(&page, "/sign-in", &[("email", &email("ana")), ("password", made_up.expose_secret())]).await;
    let page = ana.open("/me").await;
    page.says("Others know your password, or may know it.")
        .says("Nothing before you have chosen a password of your own.");
    assert!(!page.body.contains("action=\"/me/name\"") && !page.body.contains("action=\"/me/time-zone\""));
    let csrf = page.csrf();
    for (path, field) in [("/me/name", "name"), ("/me/time-zone", "time_zone")] {
        let refused = ana.post(path, &[("csrf", &csrf), (field, "UTC")]).await;
        assert_eq!(refused.status, 403, "{path}");
        refused.says("Choose a password of your own first.");
    }
    assert!(portal.records_of("account.changed").await.is_empty());
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_sees_what_they_may_decide_and_by_what() {
    // S-18, S-30
    let portal = Portal::start().await;
    let ana = portal.as_approver("ana").await;
    let una = portal.as_approver_without_grant("una").await;
    let adam = portal.as_admin().await;
    portal.waiting("shop").await;
    portal.waiting("blog").await;
    ana.open("/me").await.says("What I may decide Every gate.");
    let page = ana.open("/me/access").await;
    assert_eq!(page.heading(), "What I may decide");
    page.says("May decide : every gate").says("default › shop › Production › Release").says("never");

    una.open("/me").await.says("Nothing yet: no grant lets you decide a gate. Ask an admin of this portal: adam.");
    let page = una.open("/me/access").await;
    page.says("Nothing yet: no grant lets you decide a gate. Ask an admin of this portal: adam.");
    assert!(!page.text().contains("default ›"), "{}", page.text());
    adam.open("/me/access").await.says("Nothing: only approvers decide, and you are none.");

    // By a group, in the words of the pattern; a mark that touches it, and one that does not.
    let page = adam.open("/admin/groups").await;
    let group = adam.submit(&page, "/admin/groups", &[("name", "Shop team")]).await.location().unwrap().to_owned();
    let page = adam.open(&group).await;
    adam.submit(&page, &format!("{group}/members"), &[("email", &email("una"))]).await;
    let page = adam.open("/admin/access/grants/new?group=Shop+team&pipeline=sh*&note=Since+spring&look=1").await;
    assert_eq!(adam.submit(&page, "/admin/access/grants", &[]).await.status, 303);
    for pipeline in ["shop", "blog"] {
        let page = adam.open(&format!("/admin/access/marks/new?look=1&pipeline={pipeline}&note=Money")).await;
        assert_eq!(adam.submit(&page, "/admin/access/marks", &[]).await.status, 303);
    }
    una.open("/me").await.says("What I may decide Pipeline sh*.");
    let page = una.open("/me/access").await;
    page.says("May decide : pipeline sh*")
        .says("As a member of Shop team , since")
        .says("Fits 1 gate now.")
        .says("Since spring")
        .says("default › shop › Production › Release asks for fresh proof")
        .says("grant of the group Shop team for pipeline sh*")
        .says("pipeline shop : Money");
    assert!(!page.text().contains("blog"), "{}", page.text());
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_sees_in_whose_place_they_decide_and_until_when_in_their_zone() {
    let portal = Portal::start().await;
    let lee = portal.as_approver("lee").await;
    let sam = portal.as_approver_without_grant("sam").await;
    let adam = portal.as_admin().await;
    portal.waiting("shop").await;
    let page = adam.open("/admin/access/grants/new?email=sam@example.com&lets=stand_in&pipeline=*&look=1").await;
    assert_eq!(adam.submit(&page, "/admin/access/grants", &[]).await.status, 303);
    sam.open("/me/access").await.says("be named as a stand-in").says("None of this fits a gate");
    let page = lee.open("/me/stand-ins").await;
    let named = [("email", "sam@example.com"), ("from", "2026-11-21T08:00"), ("until", "2026-11-24T18:00")];
    assert_eq!(lee.submit(&page, "/me/stand-ins", &named).await.status, 303);
    sam.save("/me/time-zone", "time_zone", "America/New_York").await;
    sam.open("/me").await.says("What lee may, as their stand-in.");
    sam.open("/me/access")
        .await
        .says("For lee until 2026-11-24 13:00:00 EST")
        .says("in place of lee until Tue 24 Nov 2026, 13:00 EST: their grant for every gate");
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_says_where_it_began_and_where_it_was_last_seen() {
    // S-28
    let portal = Portal::start().await;
    let ana = portal.as_approver("ana").await;
    let home = ana.address.clone();
    let page = ana.open("/me").await;
    page.says(&format!("from {home}"));
    let moved = ana.moved_to("203.0.113.77");
    portal.advance(SignedDuration::from_mins(2));
    moved.open("/").await;
    let text = moved.open("/me").await.text();
    assert!(text.contains(&format!("from {home}")) && text.contains("just now) from 203.0.113.77"), "{text}");
    let id = portal.state.accounts.find_by_email(&email("ana")).await.unwrap().unwrap();
    portal.as_admin().await.open(&format!("/admin/accounts/{id}")).await.says("from 203.0.113.77");
    // Back home there is one place again.
    portal.advance(SignedDuration::from_mins(2));
    ana.open("/").await;
    assert!(!ana.open("/me").await.text().contains("203.0.113.77"));
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_says_which_mail_there_is_and_promises_none_where_none_is_sent() {
    // S-06
    let portal = Portal::start().await;
    portal.as_approver("ana").await.open("/me").await.says("This portal sends no mail, so you are not told");
    portal.finish().await;

    let mail = "[mail]\nsmtp_url = \"smtp://127.0.0.1:9\"\nfrom = \"a@example.com\"";
    let portal = Portal::start_with(mail).await;
    let page = portal.as_approver("ana").await.open("/me").await;
    page.says(&format!("Mail goes to {} ;", email("ana"))).says("cannot be switched off");
    assert!(!page.text().contains("an admin gives themselves"));
    portal.as_admin().await.open("/me").await.says("an admin gives themselves something");
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_takes_lost_factors_away_but_not_their_own() {
    // S-15, S-35
    let portal = Portal::start().await;
    let eve = portal.as_person("eve", &[Role::Admin]).await;
    let adam = portal.as_admin().await;
    portal.create_account("ana", &[Role::Approver]).await;
    let account = async |name: &str| {
        format!("/admin/accounts/{}", portal.state.accounts.find_by_email(&email(name)).await.unwrap().unwrap())
    };
    let (ana, own, theirs) = (account("ana").await, account("adam").await, account("eve").await);
    assert!(!adam.open(&ana).await.text().contains("Reset second factors"), "there are none");
    assert!(!adam.open(&own).await.text().contains("Reset second factors"), "not one's own");
    let csrf = adam.open(&ana).await.csrf();
    let none = adam.post(&format!("{ana}/factors/reset"), &[("csrf", &csrf)]).await;
    assert_eq!(none.status, 409);
    none.says("They have no second factor.");
    let refused = adam.post(&format!("{own}/factors/reset"), &[("csrf", &csrf)]).await;
    assert_eq!(refused.status, 409);
    refused.says("Another admin has to do it.");

    let page = adam.open(&theirs).await;
    let done = adam.submit(&page, &format!("{theirs}/factors/reset"), &[]).await;
    assert_eq!(done.location(), Some(theirs.as_str()));
    adam.follow(&done).await.says("Their second factors are taken away");
    assert_eq!(eve.open("/me").await.status, 303, "signed out");
    let removed = &portal.records_of("factor.removed").await[0].payload;
    assert_eq!((&removed["factor"], &removed["by"]["email"]), (&json!("all"), &json!(email("adam"))));
    assert_eq!(removed["sessions_ended"], 1);

    // Not without fresh proof.
    portal.advance(SignedDuration::from_mins(6));
    let page = adam.open(&ana).await;
    let asked = adam.post(&format!("{ana}/factors/reset"), &[("csrf", &page.csrf())]).await;
    assert!(asked.status == 303 || asked.text().contains("Prove"), "{} {}", asked.status, asked.text());
    assert_eq!(portal.records_of("factor.removed").await.len(), 1);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_name_of_a_passkey_is_kept_when_it_is_refused() {
    let portal = portal_with_a_name().await;
    let ana = portal.as_approver("ana").await;
    let (_, added) = ana.add_passkey("Key on my ring").await;
    assert_eq!(added.status, 200, "the recovery codes: {}", added.text());
    let page = ana.open("/me/factors").await;
    let fields = [("name", "This laptop"), ("ceremony", "none"), ("credential", "")];
    let refused = ana.submit(&page, "/me/factors/passkeys", &fields).await;
    assert_eq!(refused.status, 422);
    refused.says("Your browser made no passkey.");
    assert!(refused.body.contains("value=\"This laptop\""), "{}", refused.body);

    let rename = page.body.split("action=\"").find(|rest| rest.contains("/rename\"")).unwrap();
    let rename = rename.split('"').next().unwrap();
    let long = "k".repeat(81);
    let refused = ana.submit(&page, rename, &[("name", &long)]).await;
    assert_eq!(refused.status, 422);
    refused.says("A passkey's name has 1 to 80 characters.").says("Key on my ring");
    assert!(refused.body.contains(&format!("value=\"{long}\"")), "{}", refused.body);
    assert!(refused.body.contains("aria-describedby=\"name-1-error\""));
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notice_is_put_away_without_being_asked_for_proof() {
    // S-35: it is no act on roles, rules or sources.
    let portal = Portal::start().await;
    portal.create_account("first", &[Role::Approver]).await;
    let eve = portal.as_person("eve", &[Role::Admin, Role::Approver]).await;
    let adam = portal.as_admin().await;
    let page = eve.open("/admin/access/grants/new?email=eve@example.com&look=1").await;
    assert_eq!(eve.submit(&page, "/admin/access/grants", &[]).await.status, 303);
    let before = portal.records().await.len();
    portal.advance(SignedDuration::from_mins(10));
    let page = adam.open("/").await;
    page.says("For every admin:");
    let start = page.body.find("/admin/notices/").unwrap();
    let seen = page.body[start..].split('"').next().unwrap();
    assert_eq!(adam.submit(&page, seen, &[]).await.location(), Some("/"));
    assert!(!adam.open("/").await.text().contains("For every admin"));
    assert_eq!(portal.records().await.len(), before, "what it told of is recorded, and stays so");
    portal.finish().await;
}
