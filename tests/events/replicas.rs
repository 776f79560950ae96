//! Several replicas hear of the same thing.

use crate::harness::{Hearing, event, listen};

#[tokio::test]
async fn replicas_that_hear_the_same_look_once_in_two_seconds_between_them() {
    // U-08
    let hearing = Hearing::start().await;
    hearing.stage.open("shop");
    let others = [listen(&hearing.stage), listen(&hearing.stage)];
    let told = event("shop", "STARTED").to_string();
    for events in others.iter().chain([&hearing.events]) {
        events.heed(&told).await.unwrap();
    }
    let look = |events: countersign::events::Events| async move { events.activate(Default::default()).await };
    tokio::join!(look(others[0].clone()), look(others[1].clone()), look(hearing.events.clone()));
    assert_eq!(hearing.stage.sim.count("GetPipelineState"), 1);
    assert_eq!(hearing.stage.kinds().await, ["approval.opened"]);
    hearing.stage.step(2);
    for events in &others {
        events.activate(Default::default()).await;
    }
    assert_eq!(hearing.stage.sim.count("GetPipelineState"), 2, "those that came too soon look once more, together");
}
