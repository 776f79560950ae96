//! From the button to the result: what the person sees, what AWS saw, what the record says.

use countersign::simulator::{Fault, FaultKind, Verdict};
use jiff::SignedDuration;

use crate::harness::{Browser, Page, Portal};

const PUT: &str = "PutApprovalResult";
const CONSOLE: &str = "arn:aws:iam::111122223333:user/ines";

impl Browser {
    /// Opens the approval that waits at this pipeline's gate and presses a button.
    pub async fn decide(&self, portal: &Portal, pipeline: &str, verdict: &str, summary: &str) -> Page {
        let page = self.approval(portal, pipeline).await;
        self.press(&page, verdict, summary).await
    }

    pub async fn approval(&self, portal: &Portal, pipeline: &str) -> Page {
        self.open(&format!("/approvals/{}", portal.approval_id(pipeline).await)).await
    }

    pub async fn press(&self, page: &Page, verdict: &str, summary: &str) -> Page {
        let path = page.path.trim_end_matches("/decision");
        self.submit(page, &format!("{path}/decision"), &[("summary", summary), ("verdict", verdict)]).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approver_approves_and_the_record_proves_it() {
    let portal = Portal::start().await;
    portal.waiting("shop").await;
    let ana = portal.as_approver("ana").await;
    let sent = ana.decide(&portal, "shop", "approved", "Checked on staging").await;
    assert_eq!(sent.status, 303);

    let result = ana.follow(&sent).await;
    assert!(result.heading().starts_with("Approved at AWS: run "), "{}", result.heading());
    assert!(!result.body.contains("http-equiv=\"refresh\""), "settled pages stay");

    let effects = portal.simulator.effects();
    assert_eq!(effects.len(), 1);
    let intended = portal.records_of("decision.intended").await.remove(0);
    let marker = format!("[ana, rec {} ", intended.seq);
    assert!(effects[0].summary.starts_with("Checked on staging [ana, rec "), "{}", effects[0].summary);
    assert!(effects[0].summary.contains(&marker));
    result.says(&format!("Record {}", intended.seq)).says(&effects[0].summary);

    assert_eq!(intended.payload["verdict"], "approved");
    assert_eq!(intended.payload["summary"], "Checked on staging");
    assert_eq!(intended.payload["name"], "ana");
    assert_eq!(intended.payload["shown"]["comment"]["text"], "Ship shop: Free shipping");
    assert_eq!(portal.records_of("decision.accepted").await.len(), 1);

    ana.open("/").await.says("0 approvals wait for a decision.");
    ana.open(result.path.split("/result").next().unwrap()).await.says("ana approved this here.");
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejection_needs_a_reason_and_comes_back_with_the_field_marked() {
    let portal = Portal::start().await;
    portal.waiting("shop").await;
    let ana = portal.as_approver("ana").await;
    let page = ana.decide(&portal, "shop", "rejected", "  ").await;
    assert_eq!(page.status, 422);
    page.says("Please say why you reject");
    assert!(page.body.contains("aria-invalid=\"true\" autofocus"));
    assert_eq!(portal.simulator.count(PUT), 0);

    let sent = ana.press(&page, "rejected", "Not on a Friday").await;
    let result = ana.follow(&sent).await;
    assert!(result.heading().starts_with("Rejected at AWS"), "{}", result.heading());
    assert!(portal.simulator.effects()[0].summary.starts_with("Not on a Friday [ana, rec "));
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_summary_that_does_not_fit_is_given_back_whole() {
    let portal = Portal::start().await;
    portal.waiting("shop").await;
    let ana = portal.as_approver("ana").await;
    let long = format!("</textarea><b>{}", "é".repeat(500));
    let page = ana.decide(&portal, "shop", "approved", &long).await;
    assert_eq!(page.status, 422);
    page.says("characters too long").says(&long);
    assert!(!page.body.contains("<b>é"), "what was typed is text");
    assert_eq!(portal.simulator.count(PUT), 0);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_longer_as_it_was_shown_is_refused_and_nothing_is_lost() {
    // S-36
    let portal = Portal::start().await;
    portal.waiting("shop").await;
    let ana = portal.as_approver("ana").await;
    let page = ana.approval(&portal, "shop").await;
    let action = format!("{}/decision", page.path);
    let mut fields = page.hidden_fields(&action);
    fields.insert("fingerprint".into(), "ab".repeat(32));
    let mut all: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    all.extend([("summary", "I have read it"), ("verdict", "approved")]);
    let refused = ana.post(&action, &all).await;
    assert_eq!(refused.status, 409);
    refused
        .says("What waits has changed since you looked. Nothing was sent.")
        .says("Look again")
        .says("I have read it");
    assert_eq!(portal.simulator.count(PUT), 0);
    assert_eq!(portal.records_of("decision.attempt_refused").await.len(), 1);

    // The page that came back is about what is there now, so it can be used.
    let sent = ana.press(&refused, "approved", "I have read it").await;
    assert_eq!(sent.status, 303);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_approver_sees_the_first_decision() {
    let portal = Portal::start().await;
    portal.waiting("shop").await;
    let (ana, ben) = (portal.as_approver("ana").await, portal.as_approver("ben").await);
    let seen_by_ben = ben.approval(&portal, "shop").await;
    assert_eq!(ana.decide(&portal, "shop", "approved", "").await.status, 303);
    let refused = ben.press(&seen_by_ben, "rejected", "Too early").await;
    assert_eq!(refused.status, 409);
    refused.says("ana has already approved this. Nothing of yours was sent.");
    assert_eq!(portal.simulator.effects().len(), 1);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_made_in_the_console_meanwhile_wins_and_is_named() {
    let portal = Portal::start().await;
    let open = portal.waiting("shop").await;
    let ana = portal.as_approver("ana").await;
    let page = ana.approval(&portal, "shop").await;
    portal.advance(SignedDuration::from_secs(40));
    portal.world().decide(&open, Verdict::Rejected, "Not today", CONSOLE);
    let refused = ana.press(&page, "approved", "Go").await;
    assert_eq!(refused.status, 409);
    refused
        .says("It no longer waits for a decision: it is rejected. Nothing was sent.")
        .says("user ines (111122223333)")
        .says("Not today");
    assert_eq!(portal.simulator.count(PUT), 0);
    ana.open("/history").await.says("user ines").says("Outside Countersign");
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_form_sent_twice_is_one_decision_and_with_other_words_it_is_refused() {
    // D-03
    let portal = Portal::start().await;
    portal.waiting("shop").await;
    let ana = portal.as_approver("ana").await;
    let page = ana.approval(&portal, "shop").await;
    let (first, second) = tokio::join!(ana.press(&page, "approved", "Go"), ana.press(&page, "approved", "Go"));
    assert_eq!((first.status, second.status), (303, 303));
    assert_eq!(first.location(), second.location());
    assert_eq!(portal.simulator.effects().len(), 1);
    let other = ana.press(&page, "rejected", "Stop").await;
    assert_eq!(other.status, 422);
    other.says("This form was sent before, with something else in it.");
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_click_after_the_session_ended_claims_nothing_about_the_first() {
    let portal = Portal::start().await;
    portal.waiting("shop").await;
    let ana = portal.as_approver("ana").await;
    let page = ana.approval(&portal, "shop").await;
    assert_eq!(ana.press(&page, "approved", "Go").await.status, 303);
    portal.disable("ana").await;
    let again = ana.press(&page, "approved", "Go").await;
    assert_eq!(again.status, 401);
    again.says("so this time nothing was sent").says("If you pressed the button before");
    assert!(!again.text().contains("Nothing was"), "the first click did decide: {}", again.text());
    assert_eq!(portal.simulator.effects().len(), 1);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_got_lost_is_named_as_unknown_until_aws_was_read() {
    // D-13: the page says "approved" only once that is known.
    let portal = Portal::start().await;
    portal.waiting("shop").await;
    let ana = portal.as_approver("ana").await;
    portal.simulator.add_fault(Fault::on(PUT, FaultKind::Reset { applied: true }).times(1));
    let sent = ana.decide(&portal, "shop", "approved", "Go").await;
    let result = ana.follow(&sent).await;
    assert_eq!(result.heading(), "It is not known yet whether the approval took effect");
    assert!(result.body.contains("http-equiv=\"refresh\""), "the page looks again without script");
    ana.open("/").await.says("Unsure: asking AWS").says("ana said “approve”; AWS has not confirmed it yet.");

    portal.settle().await;
    let result = ana.open(&result.path).await;
    assert!(result.heading().starts_with("Approved at AWS"), "{}", result.heading());
    assert_eq!(portal.simulator.effects().len(), 1);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_aws_cannot_be_read_nothing_is_sent_and_the_page_says_so() {
    let portal = Portal::start().await;
    portal.waiting("shop").await;
    let ana = portal.as_approver("ana").await;
    let page = ana.approval(&portal, "shop").await;
    portal.world().deny("GetPipelineState", Some("shop"));
    let refused = ana.press(&page, "approved", "Go").await;
    assert_eq!(refused.status, 503);
    refused.says("AWS could not be read just now, so this time nothing was sent.").says("Go");
    assert_eq!(portal.simulator.count(PUT), 0);
    portal.simulator.clear_faults();
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_is_not_ours_is_not_read_loosely() {
    // S-34
    let portal = Portal::start().await;
    portal.waiting("shop").await;
    let ana = portal.as_approver("ana").await;
    let page = ana.approval(&portal, "shop").await;
    let action = format!("{}/decision", page.path);
    for odd in [("verdict", "maybe"), ("fingerprint", "zz"), ("key", "'"), ("role", "admin")] {
        let mut fields = page.hidden_fields(&action);
        fields.insert("verdict".into(), "approved".into());
        fields.insert(odd.0.into(), odd.1.into());
        let all: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(ana.post(&action, &all).await.status, 400, "{odd:?}");
    }
    assert_eq!(portal.simulator.count(PUT), 0);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_auditor_who_posts_a_decision_is_refused_and_on_record() {
    let portal = Portal::start().await;
    portal.waiting("shop").await;
    let approval = portal.approval_id("shop").await;
    let tomas = portal.as_auditor().await;

    let page = tomas.post(&format!("/approvals/{approval}/decision"), &[("verdict", "approved")]).await;

    assert_eq!(page.status, 403);
    page.says("it needs the role approver");
    assert!(portal.simulator.receipts().is_empty());
    let attempt = portal.records_of("decision.attempt_refused").await.remove(0);
    assert_eq!(attempt.payload["outcome"], "forbidden");
    assert_eq!(attempt.payload["pipeline"], "shop");
    assert_eq!(attempt.payload["approval"], approval.as_str());
    assert_eq!(attempt.payload["roles"], serde_json::json!(["auditor"]));
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_posted_by_another_site_is_refused_and_counted() {
    let portal = Portal::start().await;
    portal.waiting("shop").await;
    let ana = portal.as_approver("ana").await;
    let page = ana.approval(&portal, "shop").await;
    let action = format!("{}/decision", page.path);
    let mut form = page.hidden_fields(&action);
    form.insert("verdict".into(), "approved".into());
    form.insert("summary".into(), "ok".into());

    let request = ana.request(reqwest::Method::POST, &action).header("sec-fetch-site", "cross-site").form(&form);
    assert_eq!(ana.send(&action, request).await.status, 403);

    assert!(portal.simulator.receipts().is_empty());
    portal.advance(SignedDuration::from_secs(120));
    portal.state.accounts.flush_stranger_counts().await.unwrap();
    portal.advance(SignedDuration::from_secs(120));
    portal.state.accounts.flush_stranger_counts().await.unwrap();
    let sums = portal.records_of("strangers.counted").await;
    assert_eq!(sums.last().unwrap().payload["counts"]["request.foreign"], 1, "{sums:?}");
    portal.finish().await;
}
