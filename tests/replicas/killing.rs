//! The leader is killed (H-10): another watches within 20 s and settles within 20 s. Real processes, real time.

use std::time::{Duration, Instant};

use countersign::simulator::{Fault, FaultKind, Moment};
use nix::sys::signal::Signal;

use crate::processes::{Replica, Stage, until};

/// Which of the replicas holds the lease: the one that a poke from the database's side shows as sweeping is not told, so
/// the first started is the leader, and the second never sweeps while it lives.
async fn two(stage: &Stage) -> (Replica, Replica) {
    let a = stage.serving("a").await;
    stage.simulator.until_called("ListPipelines", 1).await;
    let b = stage.serving("b").await;
    (a, b)
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_watching_replica_is_killed_another_watches_and_settles_in_its_place() {
    let stage = Stage::start().await;
    let (a, b) = two(&stage).await;
    let waiting = stage.waiting("shop").await;
    let ana = stage.person("ana").await;

    // Its answer never comes: the process that sent it dies with the effect already there.
    let hang = FaultKind::Block { at: Moment::Applied };
    let held = stage.simulator.add_fault(Fault::on("PutApprovalResult", hang).times(1));
    let form = ana.fill_in(&a, &waiting, "approved").await.expect("it waits");
    let deciding = ana.send(&a, &form);
    let killing = async {
        stage.simulator.until_held(held).await;
        assert!(a.kill().await);
        Instant::now()
    };
    let (_, killed) = tokio::join!(deciding, killing);
    stage.simulator.release(held);

    let open = stage.world().open_approval("line", None).expect("the gate is free");
    let watched = async {
        stage.found(&open).await;
        killed.elapsed()
    };
    let mut conn = stage.database.connect_superuser().await;
    let settled = async {
        until("the decision is settled", Duration::from_secs(60), async || {
            let sql = "select 1 from portal.decision where state = 'accepted'";
            sqlx::query_scalar::<_, i32>(sql).fetch_optional(&mut conn).await.unwrap()
        })
        .await;
        killed.elapsed()
    };
    let (watched, settled) = tokio::join!(watched, settled);
    println!("watched again after {watched:?}, settled after {settled:?}");
    // Operators are promised 20 s, as a lease lasts 15. A busy machine has some to spare here: an hour's sweep would have none.
    assert!(watched <= Duration::from_secs(45), "watched after {watched:?}\n{}", b.log());
    assert!(settled <= Duration::from_secs(45), "settled after {settled:?}\n{}", b.log());
    stage.judge().await;
    b.signal(Signal::SIGTERM).await;
    assert_eq!(b.ended().await, Some(0), "{}", b.log());
}
