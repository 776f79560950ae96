//! When nobody decides: the group that an admin chose hears of it, and is let decide nothing thereby.

use countersign::domain::people::Role;
use jiff::SignedDuration;
use serde_json::json;

use crate::harness::{Browser, Page, Portal, email};
use crate::support::smtp::Sink;

const GATHERED: SignedDuration = SignedDuration::from_secs(10);
const MINUTE: SignedDuration = SignedDuration::from_mins(1);
const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// Makes a group of these people; its page.
async fn group(admin: &Browser, name: &str, people: &[&str]) -> String {
    let page = admin.open("/admin/groups").await;
    let made = admin.submit(&page, "/admin/groups", &[("name", name)]).await;
    let at = made.location().unwrap().to_owned();
    let page = admin.open(&at).await;
    for person in people {
        let added = admin.submit(&page, &format!("{at}/members"), &[("email", &email(person))]).await;
        assert_eq!(added.status, 303, "{}", added.text());
    }
    at
}

async fn look(admin: &Browser, fields: &[(&str, &str)]) -> Page {
    let query: String = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields.iter().chain(&[("look", "1")]))
        .finish();
    admin.open(&format!("/admin/access/escalations/new?{query}")).await
}

async fn escalate(admin: &Browser, fields: &[(&str, &str)]) -> Page {
    let page = look(admin, fields).await;
    let made = admin.submit(&page, "/admin/access/escalations", &[]).await;
    assert_eq!((made.status, made.location()), (303, Some("/admin/access")), "{}", made.text());
    page
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_hears_of_what_nobody_decided_in_time_and_what_became_of_it() {
    let sink = Sink::start().await;
    let portal = Portal::telling(&sink).await;
    let adam = portal.as_admin().await;
    portal.create_account("ana", &[Role::Approver]).await;
    let otto = portal.as_person("otto", &[Role::Auditor]).await;
    otto.choose(&[("reminders", "on"), ("decided", "on")]).await;
    portal.create_account("norma", &[]).await;
    portal.create_account("zoe", &[Role::Auditor]).await;
    portal.waiting("shop").await;
    portal.waiting("blog").await;
    group(&adam, "Leads", &["otto", "norma", "zoe"]).await;
    let preview =
        escalate(&adam, &[("group", "leads"), ("after", "30"), ("pipeline", "sh*"), ("note", "As agreed")]).await;
    preview
        .says("Everybody in Leads is told when nobody has decided what waits at pipeline sh* within 30 minutes.")
        .says("It fits 1 gate now")
        .says("default › shop");
    adam.open("/admin/access")
        .await
        .says("Leads is told when nobody has decided what waits at pipeline sh* within 30 minutes")
        .says("As agreed");
    let made = portal.records_of("escalation.made").await.remove(0).payload;
    assert_eq!((&made["name"], &made["after_minutes"]), (&json!("Leads"), &json!(30)));
    assert_eq!(made["by"]["email"], email("adam"));

    portal.pass(MINUTE * 29, MINUTE).await;
    assert!(sink.notices_for("otto").is_empty());
    portal.advance(MINUTE);
    portal.tell().await;
    // Between the notice and the letter.
    portal
        .run_sql(
            "update portal.group_member set until_at = from_at
                where account_id = (select id from portal.account where email = 'zoe@example.com')",
        )
        .await;
    portal.pass(HOUR, GATHERED).await;
    let mail = sink.notices_for("otto").remove(0);
    assert_eq!(mail.subject(), "Nobody has decided yet: shop, Release in Production");
    for part in [mail.text(), mail.html()] {
        for said in ["nobody who may decide it has done so", "in the group Leads", "who may decide it", "Free shipping"]
        {
            assert!(part.contains(said), "{said:?} in {part}");
        }
    }
    assert_eq!(sink.notices_for("otto").len(), 1, "once");
    for nobody in ["norma", "zoe"] {
        assert!(sink.notices_for(nobody).is_empty(), "{nobody}");
    }
    assert_eq!(sink.subjects_for("ana"), ["2 approvals wait for you"], "who may decide it knows already");

    let ana = portal.sign_in_again("ana").await;
    ana.decide(&portal, "shop", "rejected", "Not today").await;
    portal.settle().await;
    portal.watcher.activate().await;
    portal.pass(MINUTE * 3, GATHERED).await;
    let mail = sink.notices_for("otto").remove(1);
    assert_eq!(mail.subject(), "Rejected: shop, Release in Production");
    assert!(mail.text().contains("because you were told that nobody had decided it"), "{}", mail.text());
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_hears_of_what_is_decided_in_time_nor_of_anything_once_it_has_ended() {
    let sink = Sink::start().await;
    let portal = Portal::telling(&sink).await;
    let (adam, ana) = (portal.as_admin().await, portal.as_approver("ana").await);
    portal.create_account("otto", &[Role::Auditor]).await;
    let leads = group(&adam, "Leads", &["otto"]).await;
    escalate(&adam, &[("group", "Leads")]).await.says("by half of its time");
    escalate(&adam, &[("group", "Leads"), ("after", "10"), ("pipeline", "blog")]).await;
    let blog = portal.records_of("escalation.made").await.remove(1).payload;
    for pipeline in ["shop", "blog", "wiki"] {
        portal.waiting(pipeline).await;
    }
    ana.decide(&portal, "shop", "approved", "Fine").await;
    portal.settle().await;
    portal.watcher.activate().await;
    // It is due, and ended before anybody was told.
    portal.advance(MINUTE * 11);
    portal.tell().await;
    let adam = portal.sign_in_again("adam").await;
    let page = adam.open("/admin/access").await;
    let end = format!("/admin/access/escalations/{}/end", blog["escalation"].as_str().unwrap());
    assert_eq!(adam.submit(&page, &end, &[]).await.status, 303);
    assert_eq!(adam.submit(&page, &end, &[]).await.status, 404, "it has ended already");
    assert_eq!(portal.records_of("escalation.ended").await.len(), 1);
    portal.pass(HOUR * 4, MINUTE * 10).await;
    assert!(sink.notices_for("otto").is_empty(), "{:?}", sink.subjects_for("otto"));
    portal.pass(HOUR, MINUTE * 5).await;
    assert_eq!(sink.subjects_for("otto"), ["2 approvals that nobody has decided"]);
    let text = sink.notices_for("otto").remove(0).text();
    assert!(text.contains("blog, Release") && text.contains("wiki, Release") && !text.contains("shop"), "{text}");

    let adam = portal.sign_in_again("adam").await;
    let page = adam.open(&leads).await;
    assert_eq!(adam.submit(&page, &format!("{leads}/remove"), &[]).await.status, 303);
    adam.open("/admin/access").await.says("Nobody else is told.");
    assert_eq!(portal.records_of("group.removed").await.remove(0).payload["escalations_ended"], 1);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mistake_is_told_at_its_field_and_what_was_typed_is_kept() {
    let portal = Portal::start().await;
    let adam = portal.as_admin().await;
    adam.open("/admin/access/escalations/new").await.says("There is no group yet.").says("This portal sends no mail.");
    group(&adam, "Leads", &[]).await;
    let wrong = [("group", ""), ("after", "\"><b>soon"), ("pipeline", "shop web"), ("note", "Why <not>")];
    let page = look(&adam, &wrong).await;
    assert_eq!(page.status, 422);
    page.says("Choose a group.").says("Give whole minutes from 1 to 43200").says("cannot be in a name");
    assert!(page.body.contains("value=\"shop web\"") && !page.body.contains("<b>soon"), "{}", page.body);
    assert!(!page.body.contains("Tell this group</button>"), "nothing to go on with");
    let right = look(&adam, &[("group", "Leads"), ("after", "5"), ("pipeline", "shop")]).await;
    // S-34: a form that lost its patterns would be about every gate.
    let lost = [("csrf", right.csrf()), ("group", "Leads".to_owned()), ("after", String::new())];
    let lost = lost.each_ref().map(|(name, value)| (*name, value.as_str()));
    assert_eq!(adam.post("/admin/access/escalations", &lost).await.status, 400);
    let changed = adam.submit(&right, "/admin/access/escalations", &[("after", "0")]).await;
    assert_eq!(changed.status, 422);
    changed.says("Give whole minutes");
    assert!(portal.records_of("escalation.made").await.is_empty());
    portal.finish().await;
}
