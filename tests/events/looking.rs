//! What is announced is seen at once, once, and without a sweep.

use countersign::domain::approval::AtAws;
use countersign::events::{Hearing as Heard, Heeded};
use countersign::simulator::Verdict;
use tokio_util::sync::CancellationToken;

use crate::harness::{Hearing, event, message, notification};
use crate::watching::INES;

#[tokio::test]
async fn an_event_in_the_queue_shows_the_approval_without_a_sweep_and_is_deleted() {
    let hearing = Hearing::start().await;
    let open = hearing.stage.open("shop");
    hearing.queue.send(&event("shop", "STARTED").to_string()).await;
    hearing.hear().await;

    let found = hearing.stage.only().await;
    assert_eq!((found.execution.as_str(), found.token.expose()), (open.execution.as_str(), open.token.as_str()));
    assert_eq!(found.shown.comment.as_ref().unwrap().text, "Ship shop: Free shipping");
    assert!(found.details.complete && found.details.resolved);
    assert_eq!(hearing.stage.kinds().await, ["approval.opened"]);
    assert_eq!(hearing.stage.sim.count("ListPipelines"), 0, "nothing was swept");
    assert_eq!(hearing.queue.left().await, (0, 0));
    let status = hearing.status();
    assert_eq!((status.hearing, status.received, status.deleted, status.looks), (Heard::Well, 1, 1, 1));

    // The sweep finds what is known.
    hearing.stage.sweep().await;
    assert_eq!(hearing.stage.kinds().await, ["approval.opened"]);
}

#[tokio::test]
async fn every_way_to_the_queue_and_every_form_shows_what_waits() {
    let hearing = Hearing::start().await;
    let mut shown = 0;
    for pipeline in ["shop", "queue", "swarm"] {
        for (raw, notified) in
            [(None, false), (Some(false), false), (Some(true), false), (None, true), (Some(false), true)]
        {
            let open = hearing.stage.open(pipeline);
            let told = match (raw, notified) {
                (_, true) => notification(pipeline),
                (None, _) => event(pipeline, "STARTED"),
                (Some(_), _) => message(&open, "2026-11-21T09:00Z"),
            };
            match raw {
                None => hearing.queue.send(&told.to_string()).await,
                Some(raw) => hearing.queue.publish(&told.to_string(), raw).await,
            }
            hearing.hear().await;
            shown += 1;
            assert_eq!(hearing.stage.all().await.len(), shown, "{pipeline} raw {raw:?} notified {notified}");
            let known = hearing.stage.waiting().await;
            assert!(known.iter().any(|it| it.token.expose() == open.token), "{pipeline} {raw:?} {notified}");
            hearing.stage.step(3);
            hearing.stage.world.decide(&open, Verdict::Approved, "", INES);
            // Until the run is over; the next may begin then.
            hearing.stage.step(60);
            hearing.stage.sweep().await;
            hearing.stage.step(3);
        }
    }
    let (left, hidden) = hearing.queue.left().await;
    assert_eq!((left, hidden), (0, 0));
}

#[tokio::test]
async fn the_end_of_a_request_is_heard_as_well() {
    let hearing = Hearing::start().await;
    let open = hearing.stage.open("shop");
    hearing.stage.sweep().await;
    hearing.stage.step(5);
    hearing.stage.world.decide(&open, Verdict::Rejected, "not today", INES);
    hearing.queue.send(&event("shop", "FAILED").to_string()).await;
    hearing.hear().await;
    let ended = hearing.stage.only().await;
    assert_eq!((ended.at_aws, ended.decided_summary.as_deref()), (AtAws::Rejected, Some("not today")));
}

#[tokio::test]
async fn events_that_come_twice_in_the_wrong_order_or_late_change_nothing_more() {
    // U-08
    let hearing = Hearing::start().await;
    let open = hearing.stage.open("shop");
    hearing.stage.step(5);
    hearing.stage.world.decide(&open, Verdict::Approved, "yes", INES);
    // The end before the beginning, each three times: what is read is what counts.
    let told: Vec<String> = ["SUCCEEDED", "STARTED", "SUCCEEDED", "STARTED", "STARTED", "SUCCEEDED"]
        .iter()
        .map(|state| event("shop", state).to_string())
        .collect();
    hearing.queue.send_many(&told).await;
    hearing.hear().await;
    assert_eq!(hearing.stage.kinds().await, Vec::<String>::new(), "nothing waits, so nothing opened");
    assert_eq!(hearing.stage.sim.count("GetPipelineState"), 1);
    assert_eq!(hearing.queue.left().await, (0, 0));
}

#[tokio::test]
async fn a_thousand_events_of_one_pipeline_cost_few_reads_and_those_in_the_queue_are_all_deleted() {
    // U-08. No more of them in the queue: `moto` takes a second for each batch of a long one.
    let hearing = Hearing::start().await;
    hearing.stage.open("shop");
    let told = event("shop", "STARTED").to_string();
    hearing.queue.send_many(&vec![told.clone(); 100]).await;
    while hearing.status().received < 100 {
        for _ in 0..90 {
            hearing.events.heed(&told).await.unwrap();
        }
        hearing.hear().await;
    }
    assert_eq!(hearing.stage.sim.count("GetPipelineState"), 1, "however many come within two seconds");
    hearing.stage.step(2);
    hearing.hear().await;
    assert_eq!(hearing.stage.sim.count("GetPipelineState"), 2, "and one more at their end");
    assert_eq!(hearing.queue.left().await, (0, 0));
    assert_eq!(hearing.stage.kinds().await, ["approval.opened"]);
}

#[tokio::test]
async fn a_gate_that_was_added_since_the_last_sweep_is_seen() {
    let hearing = Hearing::start().await;
    hearing.stage.sweep().await;
    hearing.stage.world.edit_comment("shop", "Look twice");
    let open = hearing.stage.open("shop");
    hearing.stage.calls();
    hearing.queue.send(&event("shop", "STARTED").to_string()).await;
    hearing.hear().await;
    assert_eq!(hearing.stage.only().await.token.expose(), open.token);
    assert_eq!(hearing.stage.calls().get("GetPipeline"), Some(&1), "the definition is not the one that was known");
}

#[tokio::test]
async fn a_pipeline_that_aws_does_not_know_is_not_made_one() {
    let hearing = Hearing::start().await;
    hearing.stage.sweep().await;
    hearing.queue.send(&event("made-up", "STARTED").to_string()).await;
    hearing.hear().await;
    let mut conn = hearing.stage.database.pages.acquire().await.unwrap();
    let name = hearing.status().source;
    let known = countersign::store::pipelines::list(&mut conn, &name).await.unwrap();
    assert!(known.iter().all(|it| it.name.as_str() != "made-up"));
    assert_eq!(hearing.queue.left().await, (0, 0));

    // Asked again and again with another name each time, nothing is left behind for long.
    hearing.stage.step(3 * 3_600);
    hearing.stage.reader.forget_announced().await.unwrap();
    let looks: i64 = sqlx::query_scalar("select count(*) from portal.look").fetch_one(&mut *conn).await.unwrap();
    assert_eq!(looks, 0);
}

#[tokio::test]
async fn what_comes_by_another_way_than_the_queue_is_heeded_too() {
    let hearing = Hearing::start().await;
    hearing.stage.open("shop");
    let heeded = hearing.events.heed(&event("shop", "STARTED").to_string()).await.unwrap();
    assert_eq!(heeded, Heeded::Held);
    hearing.hear().await;
    assert_eq!(hearing.stage.waiting().await.len(), 1);
    assert_eq!(hearing.events.heed("nonsense").await.unwrap(), Heeded::NotUnderstood("it is not a JSON object"));
}

#[tokio::test]
async fn what_runs_receives_and_looks_by_itself_and_ends_when_told_to() {
    let hearing = Hearing::start().await;
    hearing.stage.open("shop");
    let stop = CancellationToken::new();
    let running = tokio::spawn(hearing.events.clone().run(Default::default(), stop.clone()));
    hearing.queue.send(&event("shop", "STARTED").to_string()).await;
    hearing.stage.sim.until_called("ListActionExecutions", 1).await;
    stop.cancel();
    running.await.unwrap();
    assert_eq!(hearing.stage.waiting().await.len(), 1, "what was begun was done to its end");
    assert_eq!(hearing.queue.left().await, (0, 0));
}
