//! Admins and the people they look after: found, invited, changed, taken away. What the admin sees, what the person meets,
//! what the record says.

use countersign::domain::people::Role;
use serde_json::json;

use crate::harness::{Browser, Page, Portal, email, password};
use crate::support::smtp::Sink;

impl Portal {
    /// The page of somebody's account, as an admin opens it.
    async fn account_of(&self, name: &str) -> String {
        let id = self.state.accounts.find_by_email(&email(name)).await.unwrap().unwrap();
        format!("/admin/accounts/{id}")
    }
}

impl Browser {
    /// Presses a button on somebody's account page.
    async fn act(&self, account: &str, action: &str) -> Page {
        let page = self.open(account).await;
        self.submit(&page, &format!("{account}/{action}"), &[]).await
    }
}

/// The one-time link on a page that shows it, as a path.
fn link_on(page: &Page) -> String {
    let start = page.body.find("data-copy").map(|at| page.body[..at].rfind("value=\"").unwrap() + 7).unwrap();
    let link = page.body[start..].split('"').next().unwrap();
    format!("/{}", link.splitn(4, '/').nth(3).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_finds_people_by_name_role_and_state() {
    let portal = Portal::start().await;
    for name in ["ana", "anselm", "ben"] {
        portal.create_account(name, &[Role::Approver]).await;
    }
    portal.disable("anselm").await;
    let adam = portal.as_admin().await;

    let page = adam.open("/admin/accounts").await;
    assert_eq!(page.heading(), "Accounts");
    page.says("4 accounts").says("ana@example.com").says("Disabled");

    let page = adam.open("/admin/accounts?q=AN&state=active").await;
    page.says("1 account match").says("ana@example.com");
    assert!(!page.text().contains("anselm") && !page.text().contains("ben@"), "{}", page.text());
    adam.open("/admin/accounts?role=admin").await.says("1 account match").says("adam");
    // What would be a wildcard in a query is a letter here.
    adam.open("/admin/accounts?q=%25").await.says("Nobody matches");
    assert_eq!(adam.open("/admin/accounts?state=gone").await.status, 400);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_is_listed_once_however_many_pages_it_takes() {
    let portal = Portal::start().await;
    for n in 0..59 {
        portal.create_account(&format!("person{n:02}"), &[]).await;
    }
    let adam = portal.as_admin().await;
    let mut path = "/admin/accounts".to_owned();
    let mut seen = Vec::new();
    for pages in 1.. {
        let page = adam.open(&path).await;
        page.says("60 accounts");
        seen.extend(page.body.matches("@example.com</bdi>").map(|_| pages));
        let Some(at) = page.body.find("rel=\"next\"") else { break };
        let href = page.body[..at].rfind("href=\"").unwrap() + 6;
        path = page.body[href..].split('"').next().unwrap().replace("&#38;", "&").replace("&amp;", "&");
    }
    assert_eq!((seen.len(), seen.last()), (60, Some(&2)));
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_invited_chooses_how_to_sign_in_and_no_admin_ever_knows() {
    // S-06
    let portal = Portal::start().await;
    let adam = portal.as_admin().await;
    let form = adam.open("/admin/accounts/invite").await;
    let fields = [("email", "zoe@example.com"), ("name", "Zoe"), ("role_approver", "on"), ("role_auditor", "on")];
    let invited = adam.submit(&form, "/admin/accounts/invite", &fields).await;
    assert_eq!((invited.status, invited.heading().as_str()), (200, "They are invited"));
    invited.says("This portal sends no mail");
    assert_eq!(invited.header("cache-control"), Some("no-store"));
    adam.open("/admin/accounts?state=invited").await.says("zoe@example.com").says("approver, auditor");

    let zoe = portal.anonymous();
    let link = link_on(&invited);
    let page = zoe.open(&link).await;
    assert!(page.body.contains("value=\"Zoe\""), "{}", page.body);
    let own = password("zoe");
    let fields = [("name", "Zoë Ångström"), ("password", own.as_str())];
    assert_eq!(zoe.submit(&page, &link, &fields).await.status, 303);
    zoe.open("/me").await.says("Zoë Ångström").says("approver, auditor");
    adam.open("/admin/accounts").await.says("Zoë Ångström");
    assert_eq!(portal.anonymous().open(&link).await.status, 404, "the link worked once");

    let created = portal.records_of("account.created").await.pop().unwrap().payload;
    assert_eq!(created["roles"], json!(["approver", "auditor"]));
    assert_eq!(created["by"]["email"], email("adam"));
    let secret = link.rsplit('/').next().unwrap();
    assert!(portal.records().await.iter().all(|record| !record.payload.to_string().contains(secret)));
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_an_account_is_told_at_its_field_and_nothing_typed_is_lost() {
    let portal = Portal::start().await;
    portal.create_account("ana", &[Role::Approver]).await;
    let adam = portal.as_admin().await;
    let form = adam.open("/admin/accounts/invite").await;
    let refused = |fields: &'static [(&str, &str)]| adam.submit(&form, "/admin/accounts/invite", fields);

    let page = refused(&[("email", "nowhere"), ("name", "Zoe"), ("role_auditor", "on")]).await;
    assert_eq!(page.status, 422);
    page.says("This is no e-mail address");
    assert!(page.body.contains("value=\"nowhere\"") && page.body.contains("value=\"Zoe\""), "{}", page.body);
    assert!(page.body.contains("name=\"role_auditor\" value=\"on\" checked"), "{}", page.body);
    assert!(!page.body.contains("name=\"role_approver\" value=\"on\" checked"));

    let page = refused(&[("email", "ANA@example.com"), ("name", "Ana again")]).await;
    assert_eq!(page.status, 409);
    page.says("There is an account with this e-mail address already.");
    let page = refused(&[("email", "zoe@example.com"), ("name", " ")]).await;
    page.says("A name has 1 to 120 characters.");
    assert_eq!(portal.records_of("account.invited").await.len(), 0);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn new_roles_sign_their_person_out_and_the_record_says_before_and_after() {
    // S-25, S-35
    let portal = Portal::start().await;
    let ana = portal.as_approver("ana").await;
    let adam = portal.as_admin().await;
    let account = portal.account_of("ana").await;
    let page = adam.open(&account).await;
    let fields = [("email", "anna@example.com"), ("name", "Anna"), ("role_auditor", "on")];
    let done = adam.submit(&page, &account, &fields).await;
    assert_eq!((done.status, done.location()), (303, Some(account.as_str())));
    adam.follow(&done).await.says("The account is changed.").says("anna@example.com");
    assert_eq!(ana.open("/").await.status, 303, "she has to sign in again");
    let changed = portal.records_of("account.changed").await.pop().unwrap().payload;
    assert_eq!(changed["before"], json!({ "email": email("ana"), "name": "ana", "roles": ["approver"] }));
    assert_eq!((&changed["email"], &changed["roles"]), (&json!("anna@example.com"), &json!(["auditor"])));
    assert_eq!(changed["sessions_ended"], 1);

    let browser = portal.anonymous();
    let page = browser.open("/sign-in").await;
    let own = password("ana");
    let fields = [("email", "anna@example.com"), ("password", own.as_str())];
    assert_eq!(
        browser.submit(&page, "/sign-in", &fields).await.status,
        303,
        "with the new e-mail and the old password"
    );
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_admins_who_change_one_account_the_second_is_told_what_the_first_did() {
    let portal = Portal::start().await;
    portal.create_account("ana", &[Role::Approver]).await;
    let (adam, eve) = (portal.as_admin().await, portal.as_person("eve", &[Role::Admin]).await);
    let account = portal.account_of("ana").await;
    let (first, second) = (adam.open(&account).await, eve.open(&account).await);
    let fields = [("email", email("ana")), ("name", "Anna".into()), ("role_approver", "on".into())];
    let fields: Vec<_> = fields.iter().map(|(name, value): &(_, String)| (*name, value.as_str())).collect();
    assert_eq!(adam.submit(&first, &account, &fields).await.status, 303);

    let mine = [("email", "ana@elsewhere.example"), ("name", "ana"), ("role_approver", "on")];
    let told = eve.submit(&second, &account, &mine).await;
    assert_eq!(told.status, 409);
    told.says("Nothing of yours was done.").says("Name: it was ana , it is Anna");
    assert!(told.body.contains("value=\"ana@elsewhere.example\""), "what Eve typed is kept");
    assert_eq!(portal.records_of("account.changed").await.len(), 1);

    assert_eq!(eve.submit(&told, &account, &mine).await.status, 303, "she has seen it and saves again");
    eve.open(&account).await.says("ana@elsewhere.example");
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_person_is_out_at_once_and_can_be_let_in_again() {
    // S-27
    let portal = Portal::start().await;
    portal.waiting("shop").await;
    let ana = portal.as_approver("ana").await;
    let open = ana.approval(&portal, "shop").await;
    let adam = portal.as_admin().await;
    let account = portal.account_of("ana").await;
    let done = adam.act(&account, "disable").await;
    adam.follow(&done).await.says("signed out everywhere").says("Disabled");
    let refused = ana.press(&open, "approved", "Go").await;
    assert_eq!(refused.status, 401);
    assert_eq!(portal.simulator.count("PutApprovalResult"), 0);
    let again = adam.act(&account, "enable").await;
    adam.follow(&again).await.says("enabled again").says("Active");
    portal.sign_in("ana").await;
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_person_leaves_nothing_behind_but_the_record() {
    let portal = Portal::start().await;
    portal.waiting("shop").await;
    let ana = portal.as_approver("ana").await;
    assert_eq!(ana.decide(&portal, "shop", "approved", "Go").await.status, 303);
    portal.settle().await;
    let adam = portal.as_admin().await;
    let account = portal.account_of("ana").await;
    let page = adam.open(&account).await;
    let wrong = adam.submit(&page, &format!("{account}/delete"), &[("confirm", "ben@example.com")]).await;
    assert_eq!(wrong.status, 422);
    wrong.says("This is not the account's e-mail address. Nothing was deleted.");

    let done = adam.submit(&page, &format!("{account}/delete"), &[("confirm", &email("ana").to_uppercase())]).await;
    adam.follow(&done).await.says("deleted for good").says("Deleted person");
    assert_eq!(ana.open("/").await.status, 303);
    let mut conn = portal.database.connect_superuser().await;
    let row: String = sqlx::query_scalar("select a::text from portal.account a where a.deleted_at is not null")
        .fetch_one(&mut conn)
        .await
        .unwrap();
    assert!(!row.contains("ana@") && row.contains("deleted.invalid") && !row.contains("argon2"), "{row}");
    assert!(!adam.open("/admin/accounts").await.text().contains("ana@"));
    adam.open("/admin/accounts?state=deleted").await.says("Deleted person");

    let intent = portal.records_of("decision.intended").await.remove(0).payload;
    assert_eq!((&intent["name"], &intent["email"]), (&json!("ana"), &json!(email("ana"))), "the record is sacred");
    let deleted = portal.records_of("account.deleted").await.remove(0).payload;
    assert_eq!(deleted["person"], intent["person"]);
    let csrf = adam.open(&account).await.csrf();
    let enabled = adam.post(&format!("{account}/enable"), &[("csrf", &csrf)]).await;
    assert_eq!(enabled.status, 404, "it cannot come back");
    // The address is free for somebody new, who is somebody else.
    portal.create_account("ana", &[]).await;
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_admin_stays_and_nobody_deletes_themselves() {
    // S-35
    let portal = Portal::start().await;
    let adam = portal.as_admin().await;
    let account = portal.account_of("adam").await;
    let page = adam.open(&account).await;
    page.says("This is your own account. Another admin can disable or delete it.");
    let fields = [("email", email("adam")), ("name", "adam".to_owned()), ("role_approver", "on".to_owned())];
    let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let refused = adam.submit(&page, &account, &fields).await;
    assert_eq!(refused.status, 409);
    refused.says("This is the last enabled admin.");
    let csrf = page.csrf();
    let refused = adam.post(&format!("{account}/disable"), &[("csrf", &csrf)]).await;
    assert_eq!(refused.status, 409);
    portal.as_person("eve", &[Role::Admin]).await;
    let fields = [("csrf", csrf.as_str()), ("confirm", &email("adam"))];
    let refused = adam.post(&format!("{account}/delete"), &fields).await;
    assert_eq!(refused.status, 409);
    refused.says("This is your own account.");
    assert_eq!(portal.records_of("account.deleted").await.len(), 0);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_ends_one_session_of_somebody_or_all() {
    // S-28
    let portal = Portal::start().await;
    let (phone, desk) = (portal.as_approver("ana").await, portal.sign_in_again("ana").await);
    let adam = portal.as_admin().await;
    let account = portal.account_of("ana").await;
    let page = adam.open(&account).await;
    let action =
        page.body.split("action=\"").find(|part| part.contains("/sessions/") && !part.contains("/sessions/end"));
    let action = action.unwrap().split('"').next().unwrap().to_owned();
    assert_eq!(adam.submit(&page, &action, &[]).await.status, 303);
    let left = [phone.open("/").await.status, desk.open("/").await.status];
    assert_eq!(left.iter().filter(|status| **status == 200).count(), 1, "{left:?}");
    assert_eq!(adam.submit(&page, &action, &[]).await.status, 404, "it is gone");
    let done = adam.act(&account, "sessions/end").await;
    adam.follow(&done).await.says("Every session of theirs is ended.").says("Nowhere.");
    assert_eq!((phone.open("/").await.status, desk.open("/").await.status), (303, 303));
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_is_started_by_an_admin_and_finished_by_the_person() {
    // S-06
    let sink = Sink::start().await;
    let portal = Portal::start_with(&sink.config()).await;
    let ana = portal.as_approver("ana").await;
    let adam = portal.as_admin().await;
    let started = adam.act(&portal.account_of("ana").await, "reset").await;
    assert_eq!((started.status, started.heading().as_str()), (200, "A reset is started"));
    assert!(!started.body.contains("/reset/"), "the link is hers alone: {}", started.body);
    assert_eq!(ana.open("/").await.status, 200, "until she uses it, everything stays");
    portal.deliver().await;
    let link = sink.link_for(&email("ana"), "/reset/");
    let browser = portal.anonymous();
    let page = browser.open(&link).await;
    let done = browser.submit(&page, &link, &[("password", "an entirely new password of hers")]).await;
    assert_eq!(done.status, 303, "{}", done.text());
    assert_eq!(ana.open("/").await.status, 303);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_becomes_nobody_else_unseen() {
    // S-06: without mail there is no link that only its person sees, so there is none at all.
    let portal = Portal::start().await;
    portal.create_account("ana", &[Role::Approver]).await;
    let adam = portal.as_admin().await;
    let bert = portal.as_person("bert", &[Role::Admin]).await;
    let account = portal.account_of("ana").await;
    let page = adam.open(&account).await;
    page.says("This portal sends no mail").says("countersign account reset-password --email ana@example.com");
    assert!(!page.body.contains("Start a reset"));
    let refused = adam.post(&format!("{account}/reset"), &[("csrf", &page.csrf())]).await;
    assert_eq!(refused.status, 409);
    refused.says("This portal sends no mail").says("countersign account reset-password");
    assert_eq!(portal.records_of("account.reset_started").await.len(), 0);

    let page = adam.open(&account).await;
    let fields = [("email", "adams.other@example.com"), ("name", "ana"), ("role_approver", "on")];
    assert_eq!(adam.submit(&page, &account, &fields).await.status, 303);
    bert.open("/").await.says(
        "For every admin: adam changed the e-mail address of ana from ana@example.com to adams.other@example.com. \
         Whoever reads mail there can sign in as them.",
    );
    let own = portal.account_of("adam").await;
    let page = adam.open(&own).await;
    let fields = [("email", "adam@example.com"), ("name", "adam"), ("role_admin", "on"), ("role_approver", "on")];
    assert_eq!(adam.submit(&page, &own, &fields).await.status, 303);
    bert.open("/").await.says("adam gave themselves other roles: approver, admin.");
    portal.finish().await;
}

const FILE: &str = "email,name,roles\n\
    p2@example.com,Person 2,approver\n\
    p3@example.com,\"Three, Person\",approver auditor\n\
    p4@example.com,Person 4,auditor\n\
    p5@example.com,Person 5,approver\n\
    p6@example.com,Person 6,approver\n\
    p7@example.com,Person 7,WRONG\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_a_broken_line_seven_names_line_seven_and_applies_nothing() {
    let portal = Portal::start().await;
    let adam = portal.as_admin().await;
    let before = portal.records().await.len();
    let broken = FILE.replace("WRONG", "boss");
    let form = adam.open("/admin/accounts/import").await;
    let page = adam.submit(&form, "/admin/accounts/import/preview", &[("people", &broken)]).await;
    assert_eq!(page.status, 422);
    page.says("Line 7 : “boss” is no role").says("Nobody was invited");
    assert!(page.body.contains("Person 6,approver\np7@example.com"), "the text is still in the form");
    // Also for who goes around the preview.
    let csrf = form.csrf();
    let page = adam.post("/admin/accounts/import", &[("csrf", &csrf), ("people", &broken)]).await;
    assert_eq!(page.status, 422);
    page.says("Line 7");
    assert_eq!(portal.records().await.len(), before);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_file_is_shown_first_and_then_invites_everybody_new() {
    let portal = Portal::start().await;
    portal.create_account("p3", &[Role::Admin]).await;
    let adam = portal.as_admin().await;
    let good = FILE.replace("WRONG", "approver");
    let form = adam.open("/admin/accounts/import").await;
    let preview = adam.submit(&form, "/admin/accounts/import/preview", &[("people", &good)]).await;
    assert_eq!(preview.status, 200);
    preview.says("5 people will be invited").says("left as they are").says("Three, Person");
    assert_eq!(portal.records_of("account.invited").await.len(), 0, "nothing was done yet");

    let done = adam.submit(&preview, "/admin/accounts/import", &[]).await;
    assert_eq!((done.status, done.heading().as_str()), (200, "5 people are invited"));
    assert_eq!(portal.records_of("account.invited").await.len(), 5);
    let again = adam.submit(&preview, "/admin/accounts/import", &[]).await;
    again.says("0 people are invited");
    let p3 = adam.open(&portal.account_of("p3").await).await;
    p3.says("Roles admin");
    let link = done.body.split("<code class=\"whole\">").nth(1).unwrap().split('<').next().unwrap();
    let path = format!("/{}", link.splitn(4, '/').nth(3).unwrap());
    assert!(portal.anonymous().open(&path).await.body.contains("value=\"Person 2\""));
    portal.finish().await;
}
