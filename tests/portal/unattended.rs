//! What nobody decides is rejected by the portal where an admin chose that: chosen and ended on the access page, told beforehand
//! to everybody who sees what waits, and told afterwards as the portal's own act.

use countersign::accounts::By;
use countersign::domain::access::{GateFields, OptionKind};
use jiff::SignedDuration;

use crate::harness::{Portal, email};
use crate::support::smtp::Sink;

const MINUTE: SignedDuration = SignedDuration::from_mins(1);

impl Portal {
    /// From now on the portal rejects what nobody decides at this pipeline's gate.
    pub async fn reject_after(&self, minutes: i32, pipeline: &str) {
        let gates = GateFields { pipeline: pipeline.to_owned(), ..GateFields::default() };
        let (access, minutes) = (&self.state.access, minutes.to_string());
        let chosen = access.check_option(OptionKind::RejectUnattended, &gates, &minutes, "").unwrap().unwrap();
        access.set_option(&By::Operator, &chosen).await.unwrap();
    }

    /// One pass of the duty; how many it rejected.
    async fn reject_unattended(&self) -> usize {
        let rejected = self.state.decisions.reject_unattended().await.unwrap();
        self.state.decisions.quiet().await;
        rejected
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_chooses_where_the_portal_rejects_and_takes_it_back() {
    let portal = Portal::start().await;
    let (adam, audrey) = (portal.as_admin().await, portal.as_auditor().await);
    portal.waiting("shop").await;
    audrey.open("/admin/access").await.says("Gates where Countersign rejects").says("None: what nobody decides waits");
    let address = "/admin/access/options/new?kind=reject_unattended";
    adam.open(address).await.says("A rejected release has to be started again.").says("From 5 to 10080");
    let wrong = adam.open(&format!("{address}&look=1&pipeline=shop&minutes=4")).await;
    assert_eq!(wrong.status, 422);
    wrong.says("Type a whole number of minutes from 5 to 10080.");
    assert_eq!(adam.open("/admin/access/options/new?kind=reject_everything").await.status, 404);
    let page = adam.open(&format!("{address}&look=1&pipeline=shop&minutes=1500&note=As+before")).await;
    page.says("It fits 1 gate now").says("within 1500 minutes of its opening").says("has 1500 minutes from now");
    // A form that lost which option it gives gives none.
    assert_eq!(adam.submit(&page, "/admin/access/options", &[("kind", "")]).await.status, 404);
    assert!(portal.records_of("gate_option.set").await.is_empty());
    let given = adam.submit(&page, "/admin/access/options", &[]).await;
    assert_eq!((given.status, given.location()), (303, Some("/admin/access")), "{}", given.text());
    adam.follow(&given).await.says("From now on Countersign rejects at these gates what nobody decides in time.");
    let set = portal.records_of("gate_option.set").await.remove(0);
    assert_eq!((&set.payload["holds"], &set.payload["minutes"]), (&"reject_unattended".into(), &1500.into()));
    let seen = audrey.open("/admin/access").await;
    seen.says("pipeline shop").says("after 1500 minutes").says("As before").says("by adam");
    assert!(!seen.body.contains("/admin/access/options/"), "auditors change nothing");
    seen.says("None: mails only open the approval");

    let page = adam.open("/admin/access").await;
    let end = format!("/admin/access/options/{}/end", set.payload["option"].as_str().unwrap());
    let ended = adam.submit(&page, &end, &[]).await;
    adam.follow(&ended).await.says("Under this rule Countersign rejects nothing any more.");
    assert_eq!(portal.records_of("gate_option.ended").await.remove(0).payload["holds"], "reject_unattended");
    portal.advance(SignedDuration::from_mins(1600));
    assert_eq!(portal.reject_unattended().await, 0);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_is_told_beforehand_and_afterwards_that_it_was_the_portal() {
    let sink = Sink::start().await;
    let portal = Portal::telling(&sink).await;
    let (ana, ben) = (portal.as_approver("ana").await, portal.as_approver("ben").await);
    let audrey = portal.as_auditor().await;
    for browser in [&ana, &ben] {
        let page = browser.choose(&[("waiting", "on"), ("decided", "on")]).await;
        assert_eq!(page.status, 303, "{}", page.text());
    }
    portal.reject_after(20, "shop").await;
    portal.waiting("shop").await;
    portal.waiting("wiki").await;
    portal.tell_all().await;
    let due = "Countersign rejects it at 2026-11-21 08:20:";
    for browser in [&ana, &audrey] {
        browser.approval(&portal, "shop").await.says(due).says("if nobody decides.");
        browser.open("/").await.says(due);
        assert!(!browser.approval(&portal, "wiki").await.text().contains("Countersign rejects"));
    }
    // Nothing is rejected of a source that is no longer configured, and nothing else is said.
    portal.run_sql("update portal.source set configured = false").await;
    for path in ["/", &ana.approval(&portal, "shop").await.path] {
        assert!(!ana.open(path).await.text().contains("Countersign rejects"), "{path}");
    }
    portal.run_sql("update portal.source set configured = true").await;
    let mail = sink.newest_for(&email("ana"));
    assert!(mail.text().contains("Countersign rejects it at Sat 21 Nov 2026, 08:20 UTC"), "{}", mail.text());
    assert_eq!(mail.text().matches("Countersign rejects it").count(), 1, "{}", mail.text());

    let form = ana.approval(&portal, "shop").await;
    portal.advance(20 * MINUTE);
    assert_eq!(portal.reject_unattended().await, 1);
    let refused = ana.press(&form, "approved", "Just in time").await;
    refused.says("Countersign (rule)").says("rejected");
    assert_eq!(portal.simulator.count("PutApprovalResult"), 1);

    let page = ana.approval(&portal, "shop").await;
    page.says("Countersign (rule) rejected this here.").says("nobody decided within 20 minutes");
    assert!(!page.text().contains("if nobody decides"));
    let intended = portal.records_of("decision.intended").await.remove(0);
    assert_eq!((intended.actor.as_str(), &intended.payload["channel"]), ("system", &"rule".into()));
    audrey.open("/history").await.says("Countersign (rule)").says("nobody decided within 20 minutes");
    let record = audrey.open(&format!("/history/{}", intended.seq)).await;
    record
        .says("the portal itself (system)")
        .says("What was read at AWS")
        .says("Due at")
        .says("2026-11-21T08:20:")
        .says("the operator");
    let result = page.body.split("href=\"").find(|rest| rest.contains("/result/")).unwrap().split('"').next().unwrap();
    ana.open(result).await.says("Rejected at AWS").says("by Countersign (rule)");

    portal.watcher.activate().await;
    portal.tell_all().await;
    portal.advance(2 * MINUTE);
    portal.tell_all().await;
    let mail = sink.newest_for(&email("ben"));
    assert!(mail.subject().starts_with("Rejected: shop"), "{}", mail.subject());
    let text = mail.text();
    assert!(text.contains("so Countersign rejected it.") && text.contains("Countersign (rule)"), "{text}");
    let earlier = ana.approval(&portal, "shop").await;
    assert_eq!(earlier.status, 200);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_option_of_a_kind_this_version_does_not_know_is_shown_as_such() {
    let portal = Portal::start().await;
    let adam = portal.as_admin().await;
    portal.run_sql("alter table portal.gate_option drop constraint gate_option_kind").await;
    portal
        .run_sql(
            "insert into portal.gate_option (id, kind, source, pipeline, stage, action, minutes, from_at)
            values (gen_random_uuid(), 'decide_by_pigeon', '*', 'shop', '*', '*', 60, now())",
        )
        .await;
    portal.reject_after(60, "shop").await;
    let page = adam.open("/admin/access").await;
    page.says("Options this version does not know").says("decide_by_pigeon").says("after 60 minutes");
    portal.finish().await;
}
