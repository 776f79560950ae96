//! Nothing is lost when the queue, the database or AWS is away.

use std::time::Duration;

use countersign::config::SourceConfig;
use countersign::events::Hearing as Heard;
use countersign::simulator::{Fault, FaultKind, Moment};
use countersign::store::sources;
use countersign::watcher::Ended;
use sqlx::Executor as _;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::harness::{Hearing, deaf, event, listen};
use crate::support::aws_stand_in::AwsStandIn;
use crate::watching::{GATES, Stage, source};

#[tokio::test]
async fn a_message_is_not_deleted_while_the_database_takes_nothing_and_is_followed_later() {
    let hearing = Hearing::start().await;
    hearing.stage.open("shop");
    hearing.queue.send(&event("shop", "STARTED").to_string()).await;
    let mut owner = hearing.stage.test_database.connect_superuser().await;
    owner.execute("revoke insert on portal.approval from countersign_app").await.unwrap();
    hearing.hear().await;
    assert_eq!(hearing.queue.left().await, (0, 1), "received and not deleted");
    assert_eq!(hearing.status().held, 1);

    owner.execute("grant insert on portal.approval to countersign_app").await.unwrap();
    hearing.stage.step(4);
    hearing.hear().await;
    assert_eq!(hearing.stage.waiting().await.len(), 1);
    assert_eq!(hearing.queue.left().await, (0, 0));
}

#[tokio::test]
async fn a_message_is_not_deleted_while_aws_does_not_answer() {
    let hearing = Hearing::start().await;
    hearing.stage.sweep().await;
    hearing.stage.open("shop");
    hearing.queue.send(&event("shop", "STARTED").to_string()).await;
    let fault = hearing.stage.sim.add_fault(Fault::on("GetPipelineState", FaultKind::Reset { applied: false }));
    hearing.hear().await;
    assert_eq!(hearing.queue.left().await, (0, 1));
    hearing.stage.sim.release(fault);
    hearing.stage.step(4);
    hearing.hear().await;
    assert_eq!(hearing.stage.waiting().await.len(), 1);
    assert_eq!(hearing.queue.left().await, (0, 0));
}

#[tokio::test]
async fn what_may_not_be_read_is_left_for_the_dead_letter_queue_and_says_why_on_the_pipeline() {
    let hearing = Hearing::start().await;
    hearing.stage.sweep().await;
    hearing.stage.open("shop");
    hearing.stage.world.deny("GetPipelineState", Some("shop"));
    hearing.queue.send(&event("shop", "STARTED").to_string()).await;
    hearing.hear().await;
    assert_eq!(hearing.queue.left().await, (0, 1));
    assert_eq!(hearing.status().held, 0);
    let mut conn = hearing.stage.database.pages.acquire().await.unwrap();
    let known = countersign::store::pipelines::list(&mut conn, &hearing.status().source).await.unwrap();
    let shop = known.into_iter().find(|it| it.name.as_str() == "shop").unwrap();
    assert!(shop.unreadable.unwrap().1.contains("codepipeline:GetPipelineState"));
}

#[tokio::test]
async fn a_queue_that_dies_is_told_and_loses_nothing_because_the_sweep_finds_it() {
    let mut aws = AwsStandIn::start();
    let queue = aws.queue("dying").await;
    let url = Some(queue.url.clone());
    queue.send(&event("shop", "STARTED").to_string()).await;
    drop(queue);
    let stage = Stage::start(GATES, |sim| vec![SourceConfig { queue_url: url, ..source(sim) }]).await;
    let events = listen(&stage);
    stage.open("shop");
    aws.kill();
    events.activate(Duration::ZERO).await;
    let status = events.status().swap_remove(0);
    assert!(matches!(&status.hearing, Heard::Badly(_, why) if why.contains("could not be reached")), "{status:?}");
    assert_eq!(stage.sweep().await.ended, Ended::Read);
    assert_eq!(stage.waiting().await.len(), 1);
    let (since, why) = deaf(&stage).await.unwrap();
    assert_eq!(since, stage.clock.now());
    assert!(why.starts_with("The queue cannot be read. AWS could not be reached"), "{why}");
}

#[tokio::test]
async fn a_queue_that_dies_between_a_message_and_its_deletion_loses_nothing() {
    let mut aws = AwsStandIn::start();
    let queue = aws.queue("dying").await;
    let url = Some(queue.url.clone());
    queue.send(&event("shop", "STARTED").to_string()).await;
    drop(queue);
    let stage = Stage::start(GATES, |sim| vec![SourceConfig { queue_url: url, ..source(sim) }]).await;
    let events = listen(&stage);
    stage.open("shop");
    let block = FaultKind::Block { at: Moment::Received };
    let reading = stage.sim.add_fault(Fault::on("GetPipelineState", block).times(1));
    let dying = async {
        stage.sim.until_held(reading).await;
        aws.kill();
        stage.sim.release(reading);
    };
    tokio::join!(events.activate(Duration::ZERO), dying);
    assert_eq!(stage.waiting().await.len(), 1, "what was begun was done");
    let status = events.status().swap_remove(0);
    assert_eq!((status.received, status.looks, status.deleted), (1, 1, 0));

    stage.open("queue");
    events.activate(Duration::ZERO).await;
    stage.sweep().await;
    assert_eq!(stage.waiting().await.len(), 2);
}

#[tokio::test]
async fn an_approval_that_no_announcement_led_to_takes_the_trust_in_the_queue_away_and_the_page_says_so() {
    let hearing = Hearing::start().await;
    hearing.hear().await;
    hearing.stage.sweep().await;
    assert_eq!(hearing.deaf().await, None);
    hearing.stage.open("shop");
    hearing.stage.step(61);
    assert_eq!(hearing.stage.sweep().await.opened, 1);
    hearing.stage.sweep().await;
    let (since, why) = hearing.deaf().await.unwrap();
    assert_eq!(since, hearing.stage.clock.now());
    assert!(why.contains("no announcement had led to it") && why.contains("EventBridge"), "{why}");

    // Receiving is no proof that everything is announced; an hour without another is taken for one.
    hearing.hear().await;
    hearing.stage.sweep().await;
    assert!(hearing.deaf().await.is_some());
    hearing.stage.step(3_600);
    hearing.stage.sweep().await;
    assert_eq!(hearing.deaf().await, None);
}

#[tokio::test]
async fn a_queue_that_does_not_exist_is_named_as_that() {
    let hearing = Hearing::start().await;
    hearing.hear().await;
    assert_eq!(hearing.status().hearing, Heard::Well);
    hearing.queue.delete().await;
    hearing.hear().await;
    let Heard::Badly(_, why) = hearing.status().hearing else { panic!("{:?}", hearing.status()) };
    assert_eq!(why, "AWS says there is no such queue.");
}

#[tokio::test]
async fn a_source_whose_queue_fails_is_swept_at_once_and_not_only_when_the_safety_net_comes_round() {
    let hearing = Hearing::start().await;
    let source = hearing.status().source;
    let Stage { sim, watcher, database, clock, .. } = hearing.stage;
    let (handle, stop) = (watcher.handle(), CancellationToken::new());
    handle.hears(&source, clock.now());
    let watcher = watcher.slowed_to(jiff::SignedDuration::from_hours(1));
    let running = tokio::spawn(watcher.run(stop.clone()));
    sim.until_called("ListPipelines", 1).await;
    handle.is_deaf(&source, Some("it is gone".into()), clock.now());
    sim.until_called("ListPipelines", 2).await;
    stop.cancel();
    running.await.unwrap();
    let mut conn = database.pages.acquire().await.unwrap();
    assert!(sources::take_lease(&mut conn, "watch/shops", Uuid::from_u128(7), 15.0).await.unwrap());
}
