//! The history and its records: complete, filtered by the database, and open to whom they concern.

use countersign::database::Role as Login;
use countersign::simulator::Verdict;
use jiff::SignedDuration;

use crate::harness::{Browser, Page, Portal};

impl Portal {
    /// Decisions of the past, as records alone: enough to fill pages. The oldest is number 1 of `count`.
    async fn past_decisions(&self, count: usize) {
        let mut conn = self.database.connect(Login::App).await;
        for n in 1..=count {
            let payload = serde_json::json!({
                "source": "default", "pipeline": if n % 2 == 0 { "shop" } else { "blog" }, "stage": "Production",
                "action": "Release", "execution": format!("run-{n}"), "verdict": if n % 3 == 0 { "rejected" } else { "approved" },
                "name": "Old Hand", "email": "old@example.com", "summary": format!("past {n} of many"),
                "salt": format!("{n:032x}"),
            });
            sqlx::query("select audit.append('decision.intended', 'system', $1)")
                .bind(serde_json::to_vec(&payload).unwrap())
                .execute(&mut conn)
                .await
                .unwrap();
        }
    }
}

/// The numbers of the records that a page of the history lists, in its order.
fn listed(body: &str) -> Vec<i64> {
    let links = body.split("<a href=\"/history/").skip(1);
    links.filter_map(|link| link.split('"').next()?.parse().ok()).collect()
}

/// The address behind a link with this relation.
fn linked(body: &str, rel: &str) -> Option<String> {
    let end = body.find(&format!("\" rel=\"{rel}\""))?;
    let start = body[..end].rfind("href=\"")? + 6;
    Some(body[start..end].replace("&#38;", "&").replace("&amp;", "&"))
}

async fn walk(browser: &Browser, from: &str, rel: &str) -> Vec<Vec<i64>> {
    let mut pages = Vec::new();
    let mut next = Some(from.to_owned());
    while let Some(path) = next {
        let page = browser.open(&path).await;
        assert_eq!(page.status, 200, "{path}");
        pages.push(listed(&page.body));
        next = linked(&page.body, rel);
        assert!(pages.len() < 20, "the pages never end");
    }
    pages
}

#[tokio::test(flavor = "multi_thread")]
async fn paging_through_the_history_meets_every_decision_once_and_never_shifts() {
    let portal = Portal::start().await;
    portal.past_decisions(120).await;
    let audrey = portal.as_auditor().await;
    let mut all: Vec<i64> = portal.records_of("decision.intended").await.iter().map(|record| record.seq).collect();
    all.reverse();
    let pages = walk(&audrey, "/history", "next").await;
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [50, 50, 20]);
    assert_eq!(pages.concat(), all);

    // A decision made meanwhile shifts nothing: the second page, by its address, is the same.
    let second = format!("/history?before={}", pages[0][49]);
    portal.past_decisions(1).await;
    assert_eq!(listed(&audrey.open(&second).await.body), pages[1]);

    let back = walk(&audrey, &second, "prev").await;
    assert_eq!(back[1], pages[0]);
    assert_eq!(back[2].len(), 1);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_filter_narrows_and_survives_paging() {
    let portal = Portal::start().await;
    portal.past_decisions(120).await;
    portal.watcher.activate().await;
    let audrey = portal.as_auditor().await;
    let pages = walk(&audrey, "/history?pipeline=sho", "next").await;
    assert_eq!(pages.concat().len(), 60);
    assert_eq!(walk(&audrey, "/history?pipeline=shop&verdict=rejected", "next").await.concat().len(), 20);
    assert_eq!(walk(&audrey, "/history?pipeline=%25", "next").await.concat().len(), 0);
    audrey.open("/history?pipeline=nonesuch").await.says("No decision matches the filter");
    assert_eq!(walk(&audrey, "/history?to=2020-01-01", "next").await.concat().len(), 0);
    assert_eq!(walk(&audrey, "/history?from=2020-01-01", "next").await.concat().len(), 120);
    assert_eq!(walk(&audrey, "/history?from=2199-01-01", "next").await.concat().len(), 0);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_in_the_filter_is_told_at_its_field_and_kept() {
    let portal = Portal::start().await;
    let audrey = portal.as_auditor().await;
    let page = audrey.open("/history?from=2026-02-30&pipeline=%22%3E%3Cscript%3E").await;
    assert_eq!(page.status, 422);
    page.says("This is not a day. Write it as 2026-11-21.");
    assert!(page.body.contains("value=\"2026-02-30\"") && !page.body.contains("<script>"));
    for odd in ["verdict=maybe", "outcome=x", "before=0", "before=9&after=9", "order=desc", "before=1;drop"] {
        assert_eq!(audrey.open(&format!("/history?{odd}")).await.status, 400, "{odd}");
    }
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn decisions_made_here_and_outside_are_found_by_person_outcome_and_arn() {
    let portal = Portal::start().await;
    let ana = portal.as_approver("ana").await;
    portal.waiting("shop").await;
    ana.decide(&portal, "shop", "approved", "Go").await;
    let open = portal.waiting("blog").await;
    portal.advance(SignedDuration::from_secs(40));
    portal.world().decide(&open, Verdict::Approved, "From the console", "arn:aws:iam::111122223333:user/ines");
    portal.watcher.activate().await;

    let audrey = portal.as_auditor().await;
    audrey.open("/history").await.says("ana").says("Accepted by AWS").says("user ines").says("From the console");
    for (filter, found, not) in [
        ("person=ana", "ana@example.com", "user ines"),
        ("person=ANA%40example", "ana@example.com", "user ines"),
        ("person=arn:aws:iam::111122223333:user/ines", "user ines", "ana@example.com"),
        ("outcome=outside", "user ines", "ana@example.com"),
        ("outcome=accepted", "ana@example.com", "user ines"),
    ] {
        let page = audrey.open(&format!("/history?{filter}")).await;
        page.says(found);
        assert!(!page.text().contains(not), "{filter}: {}", page.text());
    }
    audrey.open("/history?outcome=refused").await.says("No decision matches the filter");
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_shows_what_was_shown_its_story_and_that_its_hashes_hold() {
    let portal = Portal::start().await;
    let ana = portal.as_approver("ana").await;
    portal.waiting("shop").await;
    ana.decide(&portal, "shop", "approved", "Go").await;
    let intended = portal.records_of("decision.intended").await.remove(0);
    let accepted = portal.records_of("decision.accepted").await.remove(0);
    for browser in [ana, portal.as_auditor().await] {
        let page = browser.open(&format!("/history/{}", intended.seq)).await;
        assert_eq!(page.heading(), format!("Record {}: Decision made", intended.seq));
        page.says("What the approver was shown")
            .says("Ship shop: Free shipping")
            .says("ana@example.com")
            .says("The hash is that of the entry below.")
            .says("The previous hash is that of the record before.")
            .says("The payload is the one the entry names.")
            .says("countersign audit verify");
        assert!(!page.text().contains("NOT"), "{}", page.text());
        assert!(listed(&page.body).contains(&accepted.seq), "the story leads on to the answer");
    }
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_about_people_do_not_exist_for_approvers() {
    // S-31
    let portal = Portal::start().await;
    let ana = portal.as_approver("ana").await;
    let started = portal.records_of("session.started").await.remove(0);
    // Which request it was is the one thing that may differ.
    let words = |page: &Page| page.text().split(" Request ").next().unwrap().to_owned();
    let hidden = ana.open(&format!("/history/{}", started.seq)).await;
    let absent = ana.open("/history/999999").await;
    assert_eq!((hidden.status, absent.status), (404, 404));
    assert_eq!(words(&hidden), words(&absent));
    portal.as_auditor().await.open(&format!("/history/{}", started.seq)).await.says("Session started");
    portal.finish().await;
}
