//! The page of one approval: what a person is told before they decide, and why they cannot when they cannot.

use jiff::SignedDuration;

use crate::harness::Portal;

#[tokio::test(flavor = "multi_thread")]
async fn an_approver_is_told_what_they_let_out_and_what_each_button_does() {
    let portal = Portal::start().await;
    let open = portal.waiting("shop").await;
    let page = portal.as_approver("ana").await.open(&format!("/approvals/{}", portal.approval_id("shop").await)).await;
    assert_eq!((page.status, page.heading().as_str()), (200, "<bdi>shop</bdi>"));
    let run = &open.execution[..8];
    page.says("Free shipping")
        .says("Ship shop: Free shipping")
        .says(&open.execution)
        .says("Release ← you are here")
        .says(&format!("Approve lets run {run} of shop go on to action Deploy of stage Production."))
        .says(&format!("Reject fails stage Production of run {run} of shop"))
        .says("[ana, rec 1234 9f2c61d04b7e83aa]")
        .says("None that the portal knows of.");
    // S-48: the token that answers the approval never reaches a page.
    assert!(!page.body.contains(&open.token));
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_decide_reads_everything_and_is_told_why() {
    let portal = Portal::start().await;
    portal.waiting("shop").await;
    let path = format!("/approvals/{}", portal.approval_id("shop").await);
    for browser in [portal.as_auditor().await, portal.as_admin().await] {
        let page = browser.open(&path).await;
        page.says("Free shipping").says("You cannot decide this").says("does not have the approver role");
        assert!(!page.body.contains("name=\"verdict\""));
    }
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_that_does_not_exist_looks_like_any_other_page_that_does_not() {
    // S-31
    let portal = Portal::start().await;
    let ana = portal.as_approver("ana").await;
    for path in ["/approvals/0190cafe-0000-7000-8000-000000000000", "/approvals/x", "/history/99999", "/history/x"] {
        let page = ana.open(path).await;
        assert_eq!((page.status, page.heading().as_str()), (404, "There is no such page"), "{path}");
    }
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn earlier_decisions_at_the_gate_are_told_wherever_they_were_made() {
    let portal = Portal::start().await;
    let ben = portal.as_approver("ben").await;
    portal.waiting("shop").await;
    ben.decide(&portal, "shop", "approved", "Looks right").await;
    // The run goes on and frees the gate.
    portal.advance(SignedDuration::from_mins(5));
    portal.waiting("shop").await;
    let page = ben.open(&format!("/approvals/{}", portal.approval_id("shop").await)).await;
    page.says("Approved by ben").says("Looks right").says("record ");
    portal.finish().await;
}
