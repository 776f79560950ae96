//! The portal is killed between a message and its deletion. A real process, in real time.

use std::time::Duration;

use countersign::simulator::{Fault, FaultKind, Moment};

use crate::harness::event;
use crate::processes::{REGION, Stage, until};
use crate::support::aws_stand_in::{AwsStandIn, TestQueue};

const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until so many messages can be received, and so many were received and not deleted.
async fn until_left(queue: &TestQueue<'_>, left: (u64, u64)) {
    until(&format!("{left:?} messages are left"), PATIENCE, async || (queue.left().await == left).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_portal_that_is_killed_before_it_wrote_down_what_it_saw_deleted_nothing_and_the_next_one_finds_it() {
    let aws = AwsStandIn::start();
    let queue = aws.queue("killing").await;
    let config = format!(
        "queue_poll_interval = \"1h\"\n[[sources]]\nname = \"shops\"\nregion = \"{REGION}\"\nqueue_url = \"{}\"\n",
        queue.url
    );
    let stage = Stage::start_with(include_str!("../faults/harness/gates.toml"), Some(&config)).await;
    queue.send(&event("shop", "STARTED").to_string()).await;
    let first = stage.serving("first").await;
    until_left(&queue, (0, 0)).await;

    // Whoever reads it waits, a sweep or a look.
    let block = FaultKind::Block { at: Moment::Answering };
    let held = stage.simulator.add_fault(Fault::on("GetPipelineState", block));
    let open = stage.world().open_approval("shop", None).expect("the gate is free");
    queue.send(&event("shop", "STARTED").to_string()).await;
    until_left(&queue, (0, 1)).await;
    assert!(first.kill().await);
    stage.simulator.release(held);
    assert_eq!(queue.left().await, (0, 1), "it comes again");

    let second = stage.serving("second").await;
    stage.found(&open).await;
    assert!(second.kill().await);
}
