//! P-03: a client that goes away while its transaction begins must not take the next writer's work with it.

use std::time::Duration;

use countersign::database::{Database, Role};
use sqlx::{Executor, PgConnection, PgPool};

use crate::support::postgres::TestDatabase;
use crate::support::proxy::{Proxy, Upstream};

async fn insert(pool: &PgPool, round: i32) {
    let done = sqlx::query("insert into kept values ($1)").bind(round).execute(pool).await.unwrap();
    assert_eq!(done.rows_affected(), 1);
}

async fn kept_table(database: &TestDatabase) -> PgConnection {
    let mut dba = database.connect_superuser().await;
    dba.execute("create table public.kept (round int); grant insert on public.kept to countersign_app").await.unwrap();
    dba
}

async fn kept(dba: &mut PgConnection) -> Vec<i32> {
    sqlx::query_scalar("select round from kept order by round").fetch_all(dba).await.unwrap()
}

/// Cut at every answer of the server in turn. With sqlx alone (#4393) the rows answered with "ok" are lost from the round
/// in which BEGIN was under way.
#[tokio::test]
async fn a_begin_cancelled_at_any_moment_loses_no_later_row() {
    const ROUNDS: i32 = 8;
    let database = TestDatabase::create().await;
    let mut dba = kept_table(&database).await;
    let options = database.options(Role::App);
    let proxy = Proxy::start(Upstream::of(&options));
    let pool = Database::open(&proxy.options(&options)).decisions;
    insert(&pool, 0).await;
    // Kept aside, so that whoever writes next writes on the very connection that was cut.
    let _aside = pool.acquire().await.unwrap();
    let mut cut = 0;
    for round in 1..=ROUNDS {
        proxy.allow_only(usize::try_from(round - 1).unwrap());
        tokio::select! {
            begun = pool.begin() => {
                proxy.allow_all();
                begun.unwrap().rollback().await.unwrap();
            }
            () = proxy.held() => {
                cut += 1;
                proxy.allow_all();
            }
        }
        insert(&pool, round).await;
    }
    assert!(cut > 0, "no begin was cut");
    assert_eq!(kept(&mut dba).await, (0..=ROUNDS).collect::<Vec<_>>());
}

/// The same by time: each answer takes 60 ms, and the client goes away after 0, 5, 10 … 130 ms of a `begin`.
#[tokio::test]
async fn a_begin_cancelled_at_every_five_milliseconds_loses_no_later_row() {
    const STEPS: i32 = 26;
    let database = TestDatabase::create().await;
    let mut dba = kept_table(&database).await;
    let options = database.options(Role::App);
    let proxy = Proxy::start(Upstream::of(&options));
    let pool = Database::open(&proxy.options(&options)).decisions;
    insert(&pool, -1).await;
    let _aside = pool.acquire().await.unwrap();
    proxy.delay_answers(Duration::from_millis(60));
    let mut cut = 0;
    for step in 0..=STEPS {
        let patience = Duration::from_millis(5 * u64::try_from(step).unwrap());
        match tokio::time::timeout(patience, pool.begin()).await {
            Ok(begun) => begun.unwrap().rollback().await.unwrap(),
            Err(_) => cut += 1,
        }
        insert(&pool, step).await;
    }
    assert!(cut >= 5, "only {cut} of {STEPS} were cut: answers are not slow enough to show anything");
    assert_eq!(kept(&mut dba).await, (-1..=STEPS).collect::<Vec<_>>());
}

/// P-05: what people browse cannot use up what decisions need.
#[tokio::test]
async fn decisions_have_connections_when_the_pages_have_none_left() {
    let database = TestDatabase::create().await;
    let pools = database.open();
    let most = |pool: &PgPool| pool.options().get_max_connections();
    // The sixteenth is the pulse's.
    assert_eq!(most(&pools.reads) + most(&pools.pages) + most(&pools.decisions), 15);
    let mut taken = Vec::new();
    for pool in [&pools.reads, &pools.pages] {
        for _ in 0..most(pool) {
            taken.push(pool.acquire().await.unwrap());
        }
        assert!(pool.try_acquire().is_none());
    }
    let (first, second) = tokio::join!(pools.decisions.acquire(), pools.decisions.acquire());
    assert!(first.is_ok() && second.is_ok());
}

#[tokio::test]
async fn a_connection_for_looking_refuses_to_write_whatever_is_asked_of_it() {
    let database = TestDatabase::create().await;
    let pools = database.open();
    let lease = "insert into portal.lease (name, holder, expires_at) values ('x', gen_random_uuid(), now())";
    let refused = pools.reads.execute(lease).await.unwrap_err();
    assert_eq!(refused.as_database_error().unwrap().code().as_deref(), Some("25006"));
    pools.pages.execute(lease).await.unwrap();
    let leases: i64 = sqlx::query_scalar("select count(*) from portal.lease").fetch_one(&pools.reads).await.unwrap();
    assert_eq!(leases, 1, "what was written is seen at once");
}
