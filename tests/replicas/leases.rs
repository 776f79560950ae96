//! One replica at a time watches a source (H-01): a row, the database's clock, and a way to let go.

use std::time::Duration;

use countersign::store::sources;
use jiff::SignedDuration;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::harness::Portal;
use crate::until;

#[tokio::test(flavor = "multi_thread")]
async fn while_one_replica_watches_the_other_does_not_and_takes_over_when_it_leaves() {
    let portal = Portal::start().await;
    let b = portal.replica().await;
    let Portal { watcher, simulator, database, state, .. } = portal;
    let (stop_a, stop_b) = (CancellationToken::new(), CancellationToken::new());
    let a_runs = tokio::spawn(watcher.run(stop_a.clone()));
    simulator.until_called("ListPipelines", 1).await;
    let b_runs = tokio::spawn(b.watcher.run(stop_b.clone()));
    b.state.watcher.poke();
    state.watcher.poke();
    simulator.until_called("ListPipelines", 2).await;
    assert!(b.state.watcher.status().is_empty(), "only the holder sweeps");

    let mut conn = database.connect_superuser().await;
    let holder = "select holder from portal.lease where name = 'watch/default'";
    let first: Uuid = sqlx::query_scalar(holder).fetch_one(&mut conn).await.unwrap();
    stop_a.cancel();
    a_runs.await.unwrap();
    // Let go in good order: nobody has to wait until it runs out.
    until("the other watches", async || (!b.state.watcher.status().is_empty()).then_some(())).await;
    let second: Uuid = sqlx::query_scalar(holder).fetch_one(&mut conn).await.unwrap();
    assert_ne!(first, second);
    stop_b.cancel();
    b_runs.await.unwrap();
    let left: i64 = sqlx::query_scalar("select count(*) from portal.lease").fetch_one(&mut conn).await.unwrap();
    assert_eq!(left, 0);
    b.running.stop(Duration::from_secs(20)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_lasts_by_the_clock_of_the_database_whatever_the_replica_believes() {
    let portal = Portal::start().await;
    // Years from the database's own time, and jumping.
    portal.advance(SignedDuration::from_hours(500));
    let mut conn = portal.state.database.pages.acquire().await.unwrap();
    let (ana, ben) = (Uuid::from_u128(1), Uuid::from_u128(2));
    assert!(sources::take_lease(&mut conn, "watch/x", ana, 15.0).await.unwrap());
    let left = "select extract(epoch from expires_at - clock_timestamp())::float8 from portal.lease";
    let left: f64 = sqlx::query_scalar(left).fetch_one(&mut *conn).await.unwrap();
    assert!(left > 0.0 && left <= 15.0, "{left}");
    portal.advance(SignedDuration::from_hours(500));
    assert!(!sources::take_lease(&mut conn, "watch/x", ben, 15.0).await.unwrap());
    drop(conn);
    portal.finish().await;
}
