//! P-03: a client that goes away while its transaction begins must not take the next writer's work with it.

use std::time::{Duration, Instant};

use countersign::database::{Database, Pool, Role};
use sqlx::{Executor, PgConnection};
use tokio_util::sync::CancellationToken;

use crate::support::postgres::TestDatabase;
use crate::support::proxy::{Proxy, Upstream};

async fn insert(pool: &Pool, round: i32) {
    let done = sqlx::query("insert into kept values ($1)").bind(round).execute(&pool.now()).await.unwrap();
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
    let most = |pool: &Pool| pool.now().options().get_max_connections();
    // The sixteenth is the pulse's.
    assert_eq!(most(&pools.reads) + most(&pools.pages) + most(&pools.decisions), 15);
    let mut taken = Vec::new();
    for pool in [&pools.reads, &pools.pages] {
        for _ in 0..most(pool) {
            taken.push(pool.acquire().await.unwrap());
        }
        assert!(pool.now().try_acquire().is_none());
    }
    let (first, second) = tokio::join!(pools.decisions.acquire(), pools.decisions.acquire());
    assert!(first.is_ok() && second.is_ok());
}

#[tokio::test]
async fn a_connection_for_looking_refuses_to_write_whatever_is_asked_of_it() {
    let database = TestDatabase::create().await;
    let pools = database.open();
    let lease = "insert into portal.lease (name, holder, expires_at) values ('x', gen_random_uuid(), now())";
    let refused = pools.reads.now().execute(lease).await.unwrap_err();
    assert_eq!(refused.as_database_error().unwrap().code().as_deref(), Some("25006"));
    pools.pages.now().execute(lease).await.unwrap();
    let leases: i64 =
        sqlx::query_scalar("select count(*) from portal.lease").fetch_one(&pools.reads.now()).await.unwrap();
    assert_eq!(leases, 1, "what was written is seen at once");
}

/// P-13, sqlx#4349: what was just given back when the server fell silent is never seen again by sqlx's pool.
#[tokio::test(flavor = "multi_thread")]
async fn connections_given_back_to_a_server_that_fell_silent_do_not_use_the_pool_up() {
    let database = TestDatabase::create().await;
    let options = database.options(Role::App);
    let old = Proxy::start(Upstream::of(&options));
    let name = Proxy::start(Upstream::Tcp(old.address()));
    let pools = Database::open(&name.options(&options));
    let stop = CancellationToken::new();
    let feeling = tokio::spawn({
        let (pools, stop) = (pools.clone(), stop.clone());
        async move { pools.feel_pulse(stop).await }
    });
    let mut taken = Vec::new();
    for _ in 0..pools.reads.now().options().get_max_connections() {
        taken.push(pools.reads.acquire().await.unwrap());
    }
    let all = taken.len() as u64 + 1;
    name.until(|counts| counts.connections >= all).await;
    old.freeze();
    drop(taken);
    name.lead_to(Upstream::of(&options));
    let asked = Instant::now();
    let mut found = loop {
        match pools.reads.acquire().await {
            Ok(found) => break found,
            Err(error) => assert!(asked.elapsed() < Duration::from_secs(30), "{error} for {:?}", asked.elapsed()),
        }
    };
    let one: i32 = sqlx::query_scalar("select 1").fetch_one(&mut *found).await.unwrap();
    assert_eq!(one, 1);
    stop.cancel();
    feeling.await.unwrap().unwrap();
}
