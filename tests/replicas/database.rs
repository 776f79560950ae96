//! What replicas ask of the database they share: no locks that outlive a transaction (H-03), nothing held while AWS is
//! asked (H-04), and one order of locking.

use std::time::Duration;

use countersign::domain::ids::{ApprovalId, PipelineName, SourceName};
use countersign::simulator::{Fault, FaultKind, Moment};
use countersign::store::{approvals, pipelines};
use sqlx::{Executor as _, PgConnection};
use uuid::Uuid;

use crate::harness::Portal;
use crate::until;

/// Sessions that hold a transaction open without doing anything in it.
async fn idle_transactions(conn: &mut PgConnection) -> i64 {
    let sql = "select count(*) from pg_stat_activity where datname = current_database() and state like 'idle in transaction%'";
    sqlx::query_scalar(sql).fetch_one(conn).await.unwrap()
}

/// Advisory locks in this database, of any kind.
async fn advisory_locks(conn: &mut PgConnection) -> i64 {
    let sql = "select count(*) from pg_locks l join pg_database d on d.oid = l.database where l.locktype = 'advisory' and d.datname = current_database()";
    sqlx::query_scalar(sql).fetch_one(conn).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_is_committed_and_nothing_is_held_while_aws_is_asked() {
    // H-04
    let portal = Portal::start().await;
    portal.waiting("shop").await;
    let mut dba = portal.database.connect_superuser().await;
    let ana = portal.as_approver("ana").await;
    let path = format!("/approvals/{}", portal.approval_id("shop").await);
    let page = ana.open(&path).await;
    let block = FaultKind::Block { at: Moment::Received };
    let held = portal.simulator.add_fault(Fault::on("PutApprovalResult", block.clone()).times(1));
    let action = format!("{path}/decision");
    let fields = [("verdict", "approved"), ("summary", "Looks right")];
    let deciding = ana.submit(&page, &action, &fields);
    let looking = async {
        portal.simulator.until_held(held).await;
        let claim: (String, i32, bool) =
            sqlx::query_as("select state, attempt, lease_until is not null from portal.decision")
                .fetch_one(&mut dba)
                .await
                .unwrap();
        assert_eq!(claim, ("submitting".to_owned(), 1, true), "committed before the call");
        assert_eq!((idle_transactions(&mut dba).await, advisory_locks(&mut dba).await), (0, 0));
        portal.simulator.release(held);
    };
    let (told, ()) = tokio::join!(deciding, looking);
    assert_eq!(told.status, 303);

    let held = portal.simulator.add_fault(Fault::on("GetPipelineState", block).times(1));
    portal.world().open_approval("blog", None).unwrap();
    let looking = async {
        portal.simulator.until_held(held).await;
        assert_eq!((idle_transactions(&mut dba).await, advisory_locks(&mut dba).await), (0, 0));
        portal.simulator.release(held);
    };
    tokio::join!(portal.watcher.activate(), looking);
    portal.finish().await;
}

/// Who waits for a lock in this database.
async fn until_waiting(conn: &mut PgConnection) {
    let sql = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    until("somebody waits for a lock", async || {
        (sqlx::query_scalar::<_, i64>(sql).fetch_one(&mut *conn).await.unwrap() > 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sweeps_of_one_source_lock_what_they_saw_in_one_order() {
    // In whatever order each of them saw it: otherwise they would wait for each other, for ever.
    let portal = Portal::start().await;
    for pipeline in ["shop", "blog", "wiki"] {
        portal.waiting(pipeline).await;
    }
    let mut dba = portal.database.connect_superuser().await;
    let ids: Vec<Uuid> =
        sqlx::query_scalar("select id from portal.approval order by id").fetch_all(&mut dba).await.unwrap();
    let now = portal.clock.now();

    let mut first = portal.database.connect_superuser().await;
    first.execute("begin").await.unwrap();
    let lock = "select 1 from portal.approval where id = $1 for update";
    sqlx::query(lock).bind(ids[0]).execute(&mut first).await.unwrap();
    let seen: Vec<_> = ids.iter().rev().map(|id| (ApprovalId(*id), now)).collect();
    let pools = portal.state.database.clone();
    let marking = tokio::spawn(async move {
        let mut conn = pools.pages.acquire().await.unwrap();
        approvals::mark_all_seen_open(&mut conn, &seen).await
    });
    until_waiting(&mut dba).await;
    for id in &ids[1..] {
        let free = sqlx::query("select 1 from portal.approval where id = $1 for update nowait").bind(id);
        free.execute(&mut dba).await.expect("nothing later in the order is held");
    }
    first.execute("rollback").await.unwrap();
    marking.await.unwrap().unwrap();

    let lock = "select 1 from portal.pipeline where name = $1 for update";
    first.execute("begin").await.unwrap();
    sqlx::query(lock).bind("blog").execute(&mut first).await.unwrap();
    let read: Vec<_> = ["wiki", "shop", "blog"].map(|name| (PipelineName::parse(name).unwrap(), now)).into();
    let pools = portal.state.database.clone();
    let marking = tokio::spawn(async move {
        let mut conn = pools.pages.acquire().await.unwrap();
        pipelines::mark_read(&mut conn, &SourceName::parse("default").unwrap(), &read).await
    });
    until_waiting(&mut dba).await;
    for name in ["shop", "wiki"] {
        let free = sqlx::query("select 1 from portal.pipeline where name = $1 for update nowait").bind(name);
        free.execute(&mut dba).await.expect("nothing later in the order is held");
    }
    first.execute("rollback").await.unwrap();
    marking.await.unwrap().unwrap();
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_needs_no_more_than_seventeen_connections() {
    let portal = Portal::start().await;
    let pools = portal.database.open();
    let pooled = [pools.reads.now(), pools.pages.now(), pools.decisions.now(), pools.listening()];
    let sizes = pooled.map(|pool| pool.options().get_max_connections());
    // One more feels the pulse.
    assert_eq!(sizes.iter().sum::<u32>() + 1, 17, "docs/OPERATIONS.md counts with it");
    assert_eq!(pools.listening().options().get_acquire_timeout(), Duration::from_secs(5));
    portal.finish().await;
}
