//! What is changed at one replica is heard of at the others (H-05), and what is not changed is not announced (H-06).

use countersign::database::Role as Login;
use jiff::SignedDuration;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use sqlx::{AssertSqlSafe, Executor as _};

use crate::harness::{Portal, Replica, hear};
use crate::until;

/// The sessions of this database that listen.
async fn listeners(portal: &Portal) -> Vec<i32> {
    let mut conn = portal.database.connect_superuser().await;
    let sql = "select pid from pg_stat_activity where datname = current_database() and query ilike 'listen %'";
    sqlx::query_scalar(sql).fetch_all(&mut conn).await.unwrap()
}

async fn until_listening(portal: &Portal, but: &[i32]) -> Vec<i32> {
    until("a replica listens", async || {
        let found = listeners(portal).await;
        (!found.is_empty() && found.iter().all(|pid| !but.contains(pid))).then_some(found)
    })
    .await
}

/// Ana has a page open at B.
async fn watching_b(portal: &Portal, b: &Replica) -> crate::harness::Ears {
    let ana = portal.as_approver("ana").await;
    b.sees(&ana).listen().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_that_opens_at_one_replica_is_heard_of_at_the_other() {
    let portal = Portal::start().await;
    portal.watcher.activate().await;
    let b = portal.replica().await;
    let hearing = b.hear();
    until_listening(&portal, &[]).await;
    let mut ears = watching_b(&portal, &b).await;
    portal.waiting("shop").await;
    ears.until(&format!("approval {}", portal.approval_id("shop").await)).await;
    hearing.stop().await;
    b.running.stop(std::time::Duration::from_secs(20)).await;
    ears.end().await;
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changed_while_the_listening_connection_was_lost_is_heard_of_all_the_same() {
    let portal = Portal::start().await;
    portal.watcher.activate().await;
    let b = portal.replica().await;
    let hearing = b.hear();
    let first = until_listening(&portal, &[]).await;
    let mut ears = watching_b(&portal, &b).await;
    let mut dba = portal.database.connect_superuser().await;
    for pid in &first {
        dba.execute(AssertSqlSafe(format!("select pg_terminate_backend({pid})"))).await.unwrap();
    }
    portal.waiting("shop").await;
    ears.until(&format!("approval {}", portal.approval_id("shop").await)).await;
    until_listening(&portal, &first).await;
    hearing.stop().await;
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_notification_changes_are_heard_of_a_few_seconds_later() {
    let portal = Portal::start().await;
    portal.watcher.activate().await;
    // The way to listen leads nowhere, as behind a pooler that passes nothing on.
    let nowhere = PgConnectOptions::new_without_pgpass().host("127.0.0.1").port(1).username("nobody");
    let b = portal.replica_on(portal.database.open().listening_by(nowhere)).await;
    let hearing = b.hear();
    let mut ears = watching_b(&portal, &b).await;
    portal.waiting("shop").await;
    ears.until(&format!("approval {}", portal.approval_id("shop").await)).await;
    assert_eq!(listeners(&portal).await, Vec::<i32>::new());
    hearing.stop().await;
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_whose_transaction_began_long_before_it_ended_is_not_missed() {
    // The order of numbers is not the order of commits.
    let portal = Portal::start().await;
    portal.waiting("shop").await;
    portal.waiting("blog").await;
    let change = "update portal.approval set closed_why = 'x' where pipeline = $1";
    let mut slow = portal.database.connect_superuser().await;
    slow.execute("begin").await.unwrap();
    sqlx::query(change).bind("shop").execute(&mut slow).await.unwrap();
    let mut quick = portal.database.connect_superuser().await;
    let hearing = &portal.state.hearing;
    hearing.look().await.unwrap();
    sqlx::query(change).bind("blog").execute(&mut quick).await.unwrap();
    assert_eq!(hearing.look().await.unwrap(), 1, "the one that has ended");
    assert_eq!(hearing.look().await.unwrap(), 0, "once, although an older one still runs");
    slow.execute("commit").await.unwrap();
    assert_eq!(hearing.look().await.unwrap(), 1, "the older one, although it ended last");
    assert_eq!(hearing.look().await.unwrap(), 0);
    portal.finish_unsettled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_time_without_its_database_a_replica_has_every_page_look_again() {
    let portal = Portal::start().await;
    portal.watcher.activate().await;
    let hearing = &portal.state.hearing;
    hearing.look().await.unwrap();
    let mut heard = hearing.hints().listen();
    let pages = &portal.state.database.pages;
    let mut taken = Vec::new();
    for _ in 0..pages.now().options().get_max_connections() {
        taken.push(pages.acquire().await.unwrap());
    }
    hearing.look().await.unwrap_err();
    drop(taken);
    hearing.look().await.unwrap();
    assert_eq!(heard.next().await.unwrap().to_string(), "refetch");
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_sweeps_page_views_and_last_seen_times_announce_nothing() {
    // H-06
    let portal = Portal::start().await;
    portal.waiting("shop").await;
    let ana = portal.as_approver("ana").await;
    portal.watcher.activate().await;
    let pool = PgPoolOptions::new().connect_with(portal.database.superuser_options()).await.unwrap();
    let mut listener = PgListener::connect_with(&pool).await.unwrap();
    listener.listen("countersign").await.unwrap();
    let mut dba = portal.database.connect_superuser().await;
    let count = "select count(*) from portal.change";
    let before: i64 = sqlx::query_scalar(count).fetch_one(&mut dba).await.unwrap();
    assert!(before > 0, "what opened was announced");
    for _ in 0..20 {
        portal.advance(SignedDuration::from_secs(61));
        portal.watcher.activate().await;
        assert_eq!(ana.open("/").await.status, 200);
        portal.settle().await;
    }
    let after: i64 = sqlx::query_scalar(count).fetch_one(&mut dba).await.unwrap();
    assert_eq!(after, before);
    dba.execute("notify countersign, 'the first since then'").await.unwrap();
    assert_eq!(listener.recv().await.unwrap().payload(), "the first since then");
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_everybody_has_heard_of_is_forgotten() {
    let portal = Portal::start().await;
    portal.waiting("shop").await;
    let mut dba = portal.database.connect_superuser().await;
    let count = "select count(*) from portal.change";
    assert_eq!(portal.state.hearing.tidy().await.unwrap(), 0, "two minutes are kept");
    dba.execute("update portal.change set changed_at = changed_at - interval '3 minutes'").await.unwrap();
    assert!(portal.state.hearing.tidy().await.unwrap() > 0);
    assert_eq!(sqlx::query_scalar::<_, i64>(count).fetch_one(&mut dba).await.unwrap(), 0);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_sent_by_another_replica_is_told_as_soon_as_it_is_settled() {
    let portal = Portal::start().await;
    portal.waiting("shop").await;
    let b = portal.replica().await;
    let (at_a, at_b) = (hear(&portal.state), b.hear());
    let ana = portal.as_approver("ana").await;
    let path = format!("/approvals/{}", portal.approval_id("shop").await);
    let page = ana.open(&path).await;
    let fields = [("verdict", "approved"), ("summary", "Looks right")];
    let told = ana.submit(&page, &format!("{path}/decision"), &fields).await;
    b.sees(&ana).open(told.location().unwrap()).await.says("Approved at AWS");
    at_a.stop().await;
    at_b.stop().await;
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_serving_login_may_hear_and_tell_but_not_rewrite() {
    let portal = Portal::start().await;
    let mut app = portal.database.connect(Login::App).await;
    app.execute("select * from portal.change").await.unwrap();
    assert!(app.execute("update portal.change set topic = 'x'").await.is_err());
    portal.finish().await;
}
