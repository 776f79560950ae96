//! Who may decide what, from the admin's page to the button that is there or not: grants, groups, stand-ins, and what an
//! admin cannot do unseen.

use countersign::domain::people::Role;
use jiff::SignedDuration;

use crate::harness::{Browser, Page, Portal};
use crate::support::smtp::Sink;

/// Fills in the form for a grant, looks at what it fits, and gives it.
async fn give(admin: &Browser, fields: &[(&str, &str)]) -> Page {
    let query: String = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields.iter().chain(&[("look", "1")]))
        .finish();
    let page = admin.open(&format!("/admin/access/grants/new?{query}")).await;
    assert_eq!(page.status, 200, "{}", page.text());
    let given = admin.submit(&page, "/admin/access/grants", &[]).await;
    assert_eq!((given.status, given.location()), (303, Some("/admin/access")), "{}", given.text());
    page
}

async fn approval_page(browser: &Browser, portal: &Portal, pipeline: &str) -> Page {
    browser.open(&format!("/approvals/{}", portal.approval_id(pipeline).await)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_grant_is_told_why_and_whom_to_ask_and_finds_no_button() {
    // S-30, S-32
    let portal = Portal::start().await;
    let ana = portal.as_approver("ana").await;
    portal.as_admin().await;
    portal.waiting("shop").await;
    let form = approval_page(&ana, &portal, "shop").await;
    portal.end_grants_of("ana").await;
    let page = approval_page(&ana, &portal, "shop").await;
    page.says("You cannot decide this")
        .says("No grant lets you decide action Release of stage Production of pipeline shop (source default).")
        .says("Ask an admin of this portal: adam.")
        .says("Nobody: no grant fits this gate.");
    assert!(!page.body.contains("name=\"verdict\""));
    ana.open("/").await.says("No grant lets you decide anything yet.");
    let action = format!("{}/decision", form.path);
    let refused = ana.submit(&form, &action, &[("verdict", "approved"), ("summary", "Looks right")]).await;
    assert_eq!(refused.status, 403);
    refused
        .says("You may not decide this, so this time nothing was sent.")
        .says("No grant lets ana decide")
        .says("adam");
    let attempt = &portal.records_of("decision.attempt_refused").await[0];
    assert_eq!(attempt.payload["outcome"], "not_allowed");
    assert!(attempt.payload["reason"].as_str().unwrap().starts_with("No grant lets ana decide"));
    assert_eq!(portal.simulator.count("PutApprovalResult"), 0);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_for_another_gate_lets_nobody_decide_this_one() {
    // S-30: the approver with the wrong gate, with everything right about the form but the person.
    let portal = Portal::start().await;
    let (ana, otto) = (portal.as_approver("ana").await, portal.as_approver("otto").await);
    portal.let_decide_only("otto", "blog").await;
    portal.waiting("shop").await;
    portal.waiting("blog").await;
    let page = approval_page(&otto, &portal, "shop").await;
    page.says("You cannot decide this")
        .says("No grant lets you decide action Release of stage Production of pipeline shop");
    assert!(!page.body.contains("name=\"verdict\""));
    let (of_ana, csrf) = (approval_page(&ana, &portal, "shop").await, otto.open("/me").await.csrf());
    let action = format!("{}/decision", of_ana.path);
    let decided = [("verdict", "approved"), ("summary", "Looks right"), ("csrf", csrf.as_str())];
    let refused = otto.submit(&of_ana, &action, &decided).await;
    assert_eq!(refused.status, 403, "{}", refused.text());
    refused.says("You may not decide this, so this time nothing was sent.").says("No grant lets otto decide");
    assert_eq!(portal.records_of("decision.attempt_refused").await[0].payload["outcome"], "not_allowed");
    assert_eq!(portal.simulator.count("PutApprovalResult"), 0);
    assert_eq!(otto.decide(&portal, "blog", "approved", "").await.status, 303, "that one is otto's");
    assert_eq!(portal.simulator.effects()[0].pipeline, "blog");
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_sees_what_a_grant_fits_gives_it_and_the_person_decides() {
    let portal = Portal::start().await;
    let (ana, adam) = (portal.as_approver_without_grant("ana").await, portal.as_admin().await);
    portal.waiting("shop").await;
    portal.waiting("blog").await;
    let fields =
        [("email", "Ana@example.com"), ("pipeline", "sh*"), ("stage", "Production"), ("note", "Leads the shop")];
    let preview = give(&adam, &fields).await;
    preview.says("ana may decide pipeline sh*, stage Production.").says("It fits 1 gate now").says("default › shop");
    assert!(!preview.text().contains("default › blog"));
    adam.open("/admin/access").await.says("pipeline sh*, stage Production").says("Leads the shop").says("by adam");

    let page = approval_page(&ana, &portal, "shop").await;
    page.says("Who may decide this ana");
    let decided = ana.decide(&portal, "shop", "approved", "Looks right").await;
    ana.follow(&decided).await.says("Approved at AWS");
    let given = &portal.records_of("grant.given").await.pop().unwrap();
    assert_eq!(given.payload["given_to"]["email"], "ana@example.com");
    assert_eq!(given.payload["by"]["name"], "adam");
    let intended = &portal.records_of("decision.intended").await[0];
    assert_eq!(intended.payload["rule"]["grants"][0]["grant"], given.payload["grant"]);
    approval_page(&ana, &portal, "blog").await.says("No grant lets you decide");

    let page = adam.open("/admin/access").await;
    let end = format!("/admin/access/grants/{}/end", given.payload["grant"].as_str().unwrap());
    assert_eq!(adam.submit(&page, &end, &[]).await.status, 303);
    assert_eq!(adam.submit(&page, &end, &[]).await.status, 404, "it has ended already");
    assert_eq!(portal.records_of("grant.ended").await.len(), 1);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mistake_in_a_grant_is_told_at_its_field_and_what_was_typed_is_kept() {
    let portal = Portal::start().await;
    portal.create_account("audrey", &[Role::Auditor]).await;
    let adam = portal.as_admin().await;
    let page = adam
        .open("/admin/access/grants/new?look=1&email=audrey%40example.com&pipeline=shop+web&stage=%7Ba%2Cb%7D&tag_value=x&note=n")
        .await;
    assert_eq!(page.status, 422);
    page.says("does not have the role approver").says("cannot be in a name");
    for kept in ["value=\"audrey@example.com\"", "value=\"shop web\"", "value=\"{a,b}\"", "value=\"x\""] {
        assert!(page.body.contains(kept), "{kept} was not kept");
    }
    assert!(!page.body.contains("Give this grant"));
    for (query, said) in [
        ("look=1", "Give it to a person or to a group."),
        ("look=1&email=a%40b.example&group=Shop", "not to both"),
        ("look=1&email=nobody%40example.com", "There is no account with this e-mail address."),
        ("look=1&group=Nonesuch", "There is no group of this name."),
    ] {
        let page = adam.open(&format!("/admin/access/grants/new?{query}")).await;
        assert_eq!(page.status, 422, "{query}");
        page.says(said);
    }
    assert_eq!(portal.records_of("grant.given").await.len(), 0);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_holds_people_and_grants_until_it_is_removed() {
    let portal = Portal::start().await;
    let (ana, adam) = (portal.as_approver_without_grant("ana").await, portal.as_admin().await);
    portal.waiting("shop").await;
    let page = adam.open("/admin/groups").await;
    page.says("There is no group yet");
    let made = adam.submit(&page, "/admin/groups", &[("name", " Shop  team "), ("note", "Owns the shop")]).await;
    let group = made.location().unwrap().to_owned();
    let taken = adam.submit(&page, "/admin/groups", &[("name", "SHOP TEAM")]).await;
    assert_eq!(taken.status, 422);
    taken.says("There is a group of this name already.");
    assert!(taken.body.contains("value=\"SHOP TEAM\""));

    let page = adam.open(&group).await;
    page.says("Shop team").says("Nobody is in it.");
    let members = format!("{group}/members");
    let unknown = adam.submit(&page, &members, &[("email", "who@example.com")]).await;
    assert_eq!(unknown.status, 422);
    unknown.says("There is no account with this e-mail address.");
    assert_eq!(adam.submit(&page, &members, &[("email", "ana@example.com")]).await.status, 303);
    let again = adam.submit(&page, &members, &[("email", "ana@example.com")]).await;
    again.says("They are in the group already.");
    give(&adam, &[("group", "Shop team"), ("pipeline", "shop")]).await;
    approval_page(&ana, &portal, "shop").await.says("Who may decide this ana").says("Groups: Shop team");

    let page = adam.open(&group).await;
    adam.submit(&page, &group, &[("name", "Checkout"), ("note", "")]).await;
    let changed = &portal.records_of("group.changed").await.pop().unwrap();
    assert_eq!((&changed.payload["name_before"], &changed.payload["name"]), (&"Shop team".into(), &"Checkout".into()));
    let page = adam.open(&group).await;
    assert_eq!(adam.submit(&page, &format!("{group}/remove"), &[]).await.location(), Some("/admin/groups"));
    let removed = &portal.records_of("group.removed").await[0];
    assert_eq!((&removed.payload["members"], &removed.payload["grants_ended"]), (&1.into(), &1.into()));
    assert_eq!(adam.open(&group).await.status, 404);
    approval_page(&ana, &portal, "shop").await.says("No grant lets you decide");
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_decide_some_gates_sees_those_first_and_the_others_when_they_ask() {
    let portal = Portal::start().await;
    let (ana, adam) = (portal.as_approver_without_grant("ana").await, portal.as_admin().await);
    let ben = portal.as_approver("ben").await;
    portal.waiting("shop").await;
    portal.waiting("blog").await;
    give(&adam, &[("email", "ana@example.com"), ("pipeline", "wiki")]).await;
    let page = ana.open("/").await;
    page.says("0 of 2 approvals are yours to decide.").says("Nothing waits for your decision");
    give(&adam, &[("email", "ana@example.com"), ("pipeline", "blog")]).await;
    let page = ana.open("/").await;
    page.says("1 of 2 approvals is yours to decide.").says("Yours to decide").says("New fonts");
    assert!(!page.text().contains("Free shipping"));
    let page = ana.open("/?q=&source=&show=all").await;
    page.says("2 approvals wait for a decision.").says("For others to decide").says("Yours to decide");
    for browser in [&ben, &adam] {
        let page = browser.open("/").await;
        page.says("2 approvals wait for a decision.");
        assert!(!page.text().contains("to decide For") && !page.text().contains("Yours"), "nothing to tell apart");
    }
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_who_gives_themselves_something_is_seen_by_every_admin() {
    let portal = Portal::start().await;
    portal.create_account("first", &[Role::Approver]).await;
    let eve = portal.as_person("eve", &[Role::Admin, Role::Approver]).await;
    portal.end_grants_of("eve").await;
    let adam = portal.as_admin().await;
    let preview = give(&eve, &[("email", "eve@example.com")]).await;
    preview.says("You would give this to yourself. Every other admin will be shown that.");
    let given = &portal.records_of("grant.given").await.pop().unwrap();
    assert_eq!(given.payload["to_themselves"], true);
    let page = adam.open("/").await;
    page.says("For every admin: eve gave themselves a grant to decide every gate.");
    let auditor = portal.as_auditor().await;
    assert!(!auditor.open("/").await.text().contains("For every admin"));
    let start = page.body.find("/admin/notices/").unwrap();
    let seen = page.body[start..].split('"').next().unwrap();
    let gone = adam.submit(&page, seen, &[]).await;
    assert_eq!((gone.status, gone.location()), (303, Some("/")));
    assert!(!adam.open("/history").await.text().contains("For every admin"));
    eve.open("/").await.says("For every admin");

    // By a group they put themselves into, and by a grant to a group they are in.
    let page = eve.open("/admin/groups").await;
    let group = eve.submit(&page, "/admin/groups", &[("name", "Everything")]).await;
    let group = group.location().unwrap().to_owned();
    let page = eve.open(&group).await;
    eve.submit(&page, &format!("{group}/members"), &[("email", "eve@example.com")]).await;
    give(&eve, &[("group", "Everything")]).await;
    adam.open("/")
        .await
        .says("eve put themselves into the group Everything.")
        .says("eve gave the group Everything, which they are in, a grant to decide every gate.");
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approver_names_a_stand_in_who_decides_for_them_until_then() {
    let sink = Sink::start().await;
    let portal = Portal::start_with(&sink.config()).await;
    let (lee, sam) = (portal.as_approver_without_grant("lee").await, portal.as_approver_without_grant("sam").await);
    let adam = portal.as_admin().await;
    portal.waiting("shop").await;
    portal.waiting("blog").await;
    give(&adam, &[("email", "lee@example.com"), ("pipeline", "shop")]).await;
    lee.open("/me/stand-ins").await.says("Nobody may be named");
    give(&adam, &[("email", "sam@example.com"), ("lets", "stand_in"), ("pipeline", "*")]).await;
    let page = lee.open("/me/stand-ins").await;
    let name = async |fields: &[(&str, &str)]| lee.submit(&page, "/me/stand-ins", fields).await;
    let wrong = name(&[("email", "sam@example.com"), ("from", "soon"), ("until", ""), ("note", "Holidays")]).await;
    assert_eq!(wrong.status, 422);
    wrong.says("This is no day and time.").says("Give a day and time.");
    assert!(wrong.body.contains("value=\"Holidays\""));
    for (until, said) in
        [("2026-11-20T08:00", "over before it begins"), ("2027-03-01T08:00", "at most 90 days at a time")]
    {
        name(&[("email", "sam@example.com"), ("from", "2026-11-21T08:00"), ("until", until)]).await.says(said);
    }
    name(&[("email", "adam@example.com"), ("from", "2026-11-21T08:00"), ("until", "2026-11-24T18:00")])
        .await
        .says("does not have the role approver");
    let named =
        name(&[("email", "sam@example.com"), ("from", "2026-11-21T08:00"), ("until", "2026-11-24T18:00")]).await;
    assert_eq!(named.status, 303, "{}", named.text());
    lee.open("/me/stand-ins").await.says("sam until Tue 24 Nov 2026, 18:00 UTC");
    sam.open("/me/stand-ins").await.says("For lee until Tue 24 Nov 2026, 18:00 UTC");
    portal.deliver().await;
    let told = sink.newest_for("sam@example.com");
    assert_eq!(told.subject(), "Standing in for lee in Countersign");
    assert!(told.text().contains("Until: 2026-11-24 18:00 UTC"), "{}", told.text());
    let told = sink.newest_for("lee@example.com");
    assert_eq!(told.subject(), "sam stands in for you in Countersign");
    assert!(told.text().contains("If that was not you"), "{}", told.text());

    sam.open("/").await.says("1 of 2 approvals is yours to decide.").says("Yours to decide for lee until");
    approval_page(&sam, &portal, "shop").await.says("You decide for lee").says("sam for lee until");
    let decided = sam.decide(&portal, "shop", "approved", "Lee would").await;
    sam.follow(&decided).await.says("by sam for lee");
    let intended = &portal.records_of("decision.intended").await[0];
    assert_eq!(intended.payload["rule"]["stand_in"]["for_name"], "lee");
    approval_page(&sam, &portal, "blog").await.says("No grant lets you decide");
    let named = &portal.records_of("stand_in.named").await[0];
    assert_eq!((&named.payload["for_name"], &named.payload["by_name"]), (&"lee".into(), &"sam".into()));

    let id = named.payload["stand_in"].as_str().unwrap().to_owned();
    let theirs = sam.open("/me/stand-ins").await;
    let end = format!("/me/stand-ins/{id}/end");
    assert_eq!(sam.post(&end, &[("csrf", &theirs.csrf())]).await.status, 404, "it is Lee's to end");
    let page = adam.open("/admin/access").await;
    page.says("sam for lee");
    assert_eq!(adam.submit(&page, &format!("/admin/access/stand-ins/{id}/end"), &[]).await.status, 303);
    assert_eq!(portal.records_of("stand_in.ended").await.len(), 1);
    portal.deliver().await;
    assert!(sink.newest_for("sam@example.com").text().contains("You stand in for lee no longer."));
    sam.open("/").await.says("No grant lets you decide anything yet.");
    portal.advance(SignedDuration::from_mins(1));
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gates_are_marked_and_the_mark_is_lifted() {
    // S-18
    let portal = Portal::start().await;
    let adam = portal.as_admin().await;
    portal.waiting("shop").await;
    let page = adam.open("/admin/access/marks/new?look=1&pipeline=shop&note=Money").await;
    page.says("Deciding pipeline shop asks for fresh proof of who decides.").says("It fits 1 gate now");
    assert_eq!(adam.submit(&page, "/admin/access/marks", &[]).await.status, 303);
    let marked = &portal.records_of("step_up.required").await[0];
    assert_eq!(marked.payload["gates"], "pipeline shop");
    let wrong = adam.open("/admin/access/marks/new?look=1&pipeline=a+b").await;
    assert_eq!(wrong.status, 422);
    assert_eq!(adam.submit(&page, "/admin/access/marks", &[("stage", "a b")]).await.status, 422);
    let page = adam.open("/admin/access").await;
    page.says("Money");
    let lift = format!("/admin/access/marks/{}/lift", marked.payload["mark"].as_str().unwrap());
    assert_eq!(adam.submit(&page, &lift, &[]).await.status, 303);
    assert_eq!(adam.submit(&page, &lift, &[]).await.status, 404);
    assert_eq!(portal.records_of("step_up.lifted").await.len(), 1);
    portal.finish().await;
}
