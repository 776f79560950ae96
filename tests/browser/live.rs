//! Pages that are open keep themselves true (H-05): two replicas on one database, a person with a page open at one of
//! them, and something that happens at the other. Nobody clicks, nobody reloads, and no timer runs: pages hear of it.

use countersign::domain::people::Role;

use crate::chrome::{Chrome, DESKTOP};
use crate::harness::{Hearing, Portal, Replica, email, hear, password};

struct Story {
    portal: Portal,
    b: Replica,
    hearing: Vec<Hearing>,
    chrome: Chrome,
}

impl Story {
    /// Ana, in Chromium, signed in at B.
    async fn begin() -> Self {
        let portal = Portal::start().await;
        portal.watcher.activate().await;
        let b = portal.replica_under_its_own_address().await;
        let hearing = vec![hear(&portal.state), b.hear()];
        portal.create_account("ana", &[Role::Approver]).await;
        let chrome = Chrome::start(DESKTOP).await;
        chrome.without_timers().await;
        let story = Self { portal, b, hearing, chrome };
        story.chrome.open(&story.at_b("/sign-in")).await;
        story.chrome.fill("Email", &email("ana")).await;
        story.chrome.fill("Password", &password("ana")).await;
        story.chrome.click("button", "Sign in").await;
        story.chrome.read("Waiting for a decision").await;
        story
    }

    fn at_b(&self, path: &str) -> String {
        format!("http://{}{path}", self.b.running.address)
    }

    /// Ben decides at A.
    async fn ben_decides(&self, path: &str, verdict: &str, summary: &str) {
        let ben = self.portal.as_approver("ben").await;
        let page = ben.open(path).await;
        let told = ben.submit(&page, &format!("{path}/decision"), &[("verdict", verdict), ("summary", summary)]).await;
        assert_eq!(told.status, 303, "{}", told.text());
    }

    async fn end(self) {
        self.chrome.quit().await;
        for hearing in self.hearing {
            hearing.stop().await;
        }
        self.portal.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_queue_shows_what_opens_and_what_is_decided_at_another_replica() {
    let story = Story::begin().await;
    story.chrome.read("Nothing waits for a decision").await;
    story.portal.waiting("shop").await;
    story.chrome.read("1 approval waits for a decision.").await;
    let path = format!("/approvals/{}", story.portal.approval_id("shop").await);
    story.ben_decides(&path, "approved", "Looks right").await;
    story.chrome.read("Nothing waits for a decision").await;
    assert_eq!(story.chrome.path().await, "/");
    story.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_approval_tells_that_it_was_decided_and_keeps_what_was_written() {
    let story = Story::begin().await;
    story.portal.waiting("shop").await;
    let path = format!("/approvals/{}", story.portal.approval_id("shop").await);
    story.chrome.open(&story.at_b(&path)).await;
    story.chrome.fill("Summary", "I am still thinking").await;
    story.ben_decides(&path, "approved", "Looks right").await;
    let told = story.chrome.read("Show it as it is now").await;
    assert!(told.contains("What waits here has changed") || told.contains("pproved"), "{told}");
    let written = story.chrome.typed("Summary").await;
    assert_eq!(written, "I am still thinking", "nothing is taken away");
    story.chrome.click("link", "Show it as it is now").await;
    story.chrome.read("Looks right").await;
    assert!(story.chrome.list("button", "Approve").await.is_empty());
    story.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_approval_that_nobody_works_on_shows_what_became_of_it() {
    let story = Story::begin().await;
    story.portal.waiting("shop").await;
    let path = format!("/approvals/{}", story.portal.approval_id("shop").await);
    story.chrome.open(&story.at_b(&path)).await;
    story.chrome.find("button", "Approve").await;
    story.ben_decides(&path, "rejected", "Not on a Friday").await;
    story.chrome.read("Not on a Friday").await;
    assert!(story.chrome.list("button", "Approve").await.is_empty());
    assert_eq!(story.chrome.path().await, path);
    story.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_was_unsure_tells_by_itself_how_it_was_settled() {
    use countersign::simulator::{Fault, FaultKind};
    let story = Story::begin().await;
    story.portal.waiting("shop").await;
    let path = format!("/approvals/{}", story.portal.approval_id("shop").await);
    let lost = FaultKind::Reset { applied: true };
    story.portal.simulator.add_fault(Fault::on("PutApprovalResult", lost).times(1));
    story.chrome.open(&story.at_b(&path)).await;
    story.chrome.fill("Summary", "Looks right").await;
    story.chrome.click("button", "Approve").await;
    story.chrome.read("It is not known yet whether").await;
    let before = story.chrome.path().await;
    // The other replica reads back.
    story.portal.settle().await;
    story.chrome.read("Approved at AWS").await;
    assert_eq!(story.chrome.path().await, before);
    story.end().await;
}
