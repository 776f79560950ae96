//! The queue: what waits, what is hidden by a filter, and what the portal cannot see.

use countersign::domain::ids::SourceName;
use jiff::SignedDuration;

use crate::harness::Portal;

#[tokio::test(flavor = "multi_thread")]
async fn an_approver_sees_what_waits_with_the_soonest_to_expire_first() {
    let portal = Portal::start().await;
    portal.waiting("shop").await;
    portal.advance(SignedDuration::from_hours(1));
    portal.waiting("blog").await;
    let page = portal.as_approver("ana").await.open("/").await;
    assert_eq!((page.status, page.heading().as_str()), (200, "Waiting for a decision"));
    page.says("2 approvals wait for a decision.")
        .says("Production › Release")
        .says("default · 111122223333 · eu-west-1")
        .says("Free shipping")
        .says("Ship shop: Free shipping")
        .says("opens review.example in a new tab")
        .says("left");
    assert!(
        page.body
            .contains("href=\"https://review.example/shop\" rel=\"noopener noreferrer nofollow\" target=\"_blank\"")
    );
    let (shop, blog) = (page.body.find(">shop</bdi>").unwrap(), page.body.find(">blog</bdi>").unwrap());
    assert!(shop < blog, "the one that expires first comes first");
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_queue_says_why_it_is_empty() {
    let portal = Portal::start().await;
    let ana = portal.as_approver("ana").await;
    ana.open("/").await.says("AWS is being read for the first time");
    portal.watcher.activate().await;
    ana.open("/").await.says("Nothing waits for a decision").says("Everything was last read");
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_filter_works_by_its_form_and_says_when_nothing_matches() {
    let portal = Portal::start().await;
    portal.waiting("shop").await;
    portal.waiting("blog").await;
    let ana = portal.as_approver("ana").await;
    let page = ana.open("/?q=free+SHIPPING&source=").await;
    page.says("1 of 2 approvals match the filter.").says("shop");
    assert!(!page.text().contains("New fonts"));
    let page = ana.open("/?q=%3Cscript%3E%25").await;
    page.says("Nothing matches the filter").says("0 of 2 approvals match the filter.");
    assert!(!page.body.contains("<script>%"));
    // S-34: a parameter that the page does not know, or gives twice, is not taken loosely.
    assert_eq!(ana.open("/?q=a&q=b").await.status, 400);
    assert_eq!(ana.open("/?order=x").await.status, 400);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_cannot_be_read_is_loud_and_keeps_its_last_known_approvals() {
    let portal = Portal::start().await;
    portal.waiting("shop").await;
    let denied = portal.world().deny("ListPipelines", None);
    portal.advance(SignedDuration::from_secs(30));
    portal.watcher.activate().await;
    let ana = portal.as_approver("ana").await;
    ana.open("/")
        .await
        .says("Source default (111122223333, eu-west-1) cannot be read.")
        .says("ListPipelines")
        .says("Tell the operator")
        .says("Last seen")
        .says("Ship shop: Free shipping");
    portal.simulator.release(denied);
    portal.simulator.clear_faults();
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_cannot_be_read_is_loud_and_hides_nothing() {
    let portal = Portal::start().await;
    portal.watcher.activate().await;
    let source = SourceName::parse("default").unwrap();
    let why = Some("The queue cannot be read. AWS says there is no such queue.".to_owned());
    portal.state.watcher.is_deaf(&source, why, portal.clock.now());
    portal.watcher.activate().await;
    let ana = portal.as_approver("ana").await;
    ana.open("/")
        .await
        .says("What AWS announces of source default (111122223333, eu-west-1) cannot be relied on.")
        .says("Since 2026-11-21")
        .says("AWS says there is no such queue.")
        .says("none is missed")
        .says("tell the operator to look at the queue")
        .says("Nothing waits for a decision");
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_that_has_stopped_is_noticed() {
    let portal = Portal::start().await;
    portal.watcher.activate().await;
    portal.advance(SignedDuration::from_mins(20));
    let page = portal.as_approver("ana").await.open("/").await;
    page.says("was last read completely 20 min ago").says("Nothing is known to wait");
    portal.finish().await;
}
