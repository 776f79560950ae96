//! One replica sweeps a source at a time, wakes when it is told to, and lets go when it ends (H-01).

use countersign::store::sources;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::harness::Stage;

#[tokio::test]
async fn a_lease_belongs_to_one_holder_until_it_is_let_go_or_runs_out() {
    let stage = Stage::gates().await;
    let mut conn = stage.database.pages.acquire().await.unwrap();
    let (ana, ben) = (Uuid::from_u128(1), Uuid::from_u128(2));
    assert!(sources::take_lease(&mut conn, "watch/x", ana, 15.0).await.unwrap());
    assert!(!sources::take_lease(&mut conn, "watch/x", ben, 15.0).await.unwrap());
    assert!(sources::take_lease(&mut conn, "watch/x", ana, 15.0).await.unwrap(), "renewed");
    sources::release_lease(&mut conn, "watch/x", ben).await.unwrap();
    assert!(!sources::take_lease(&mut conn, "watch/x", ben, 15.0).await.unwrap(), "not theirs to let go");
    sources::release_lease(&mut conn, "watch/x", ana).await.unwrap();
    // Runs out at once.
    assert!(sources::take_lease(&mut conn, "watch/x", ben, 0.0).await.unwrap());
    assert!(sources::take_lease(&mut conn, "watch/x", ana, 15.0).await.unwrap());
}

#[tokio::test]
async fn a_running_watcher_sweeps_at_once_and_when_poked_and_lets_go_at_the_end() {
    let stage = Stage::gates().await;
    let Stage { sim, watcher, database, .. } = stage;
    let (handle, stop) = (watcher.handle(), CancellationToken::new());
    let running = tokio::spawn(watcher.run(stop.clone()));
    sim.until_called("ListPipelines", 1).await;
    handle.poke();
    sim.until_called("ListPipelines", 2).await;
    let mut conn = database.pages.acquire().await.unwrap();
    let other = Uuid::from_u128(7);
    assert!(!sources::take_lease(&mut conn, "watch/shops", other, 15.0).await.unwrap());
    stop.cancel();
    running.await.unwrap();
    assert_eq!(handle.status().len(), 1);
    assert!(sources::take_lease(&mut conn, "watch/shops", other, 15.0).await.unwrap());
}

#[tokio::test]
async fn while_another_replica_holds_the_lease_nothing_is_read() {
    let stage = Stage::gates().await;
    let Stage { sim, watcher, database, .. } = stage;
    let mut conn = database.pages.acquire().await.unwrap();
    assert!(sources::take_lease(&mut conn, "watch/shops", Uuid::from_u128(7), 600.0).await.unwrap());
    let (handle, stop) = (watcher.handle(), CancellationToken::new());
    let running = tokio::spawn(watcher.run(stop.clone()));
    handle.poke();
    stop.cancel();
    running.await.unwrap();
    assert_eq!(sim.count("ListPipelines"), 0);
}
