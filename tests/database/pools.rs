//! P-03: a client that goes away while its transaction begins must not take the next writer's work with it.

use countersign::database::{Database, Role};
use sqlx::postgres::PgSslMode;
use sqlx::{Executor, PgPool};

use crate::support::postgres::TestDatabase;
use crate::support::proxy;

async fn insert(pool: &PgPool, round: i32) {
    let done = sqlx::query("insert into kept values ($1)").bind(round).execute(pool).await.unwrap();
    assert_eq!(done.rows_affected(), 1);
}

/// Cut at every answer of the server in turn. With sqlx alone (#4393) the rows answered with "ok" are lost from the round
/// in which BEGIN was under way.
#[tokio::test]
async fn a_begin_cancelled_at_any_moment_loses_no_later_row() {
    const ROUNDS: i32 = 8;
    let database = TestDatabase::create().await;
    let mut dba = database.connect_superuser().await;
    dba.execute("create table public.kept (round int); grant insert on public.kept to countersign_app").await.unwrap();
    let options = database.options(Role::App);
    let socket = options.get_socket().unwrap().join(format!(".s.PGSQL.{}", options.get_port()));
    let (address, gate) = proxy::start(socket).await;
    // Built anew, because options that know a socket always use it.
    let options = sqlx::postgres::PgConnectOptions::new_without_pgpass()
        .host("127.0.0.1")
        .port(address.port())
        .username(Role::App.name())
        .database(&database.name)
        .ssl_mode(PgSslMode::Disable);
    let pool = Database::open(&options).decisions;
    insert(&pool, 0).await;
    let mut cut = 0;
    for round in 1..=ROUNDS {
        gate.allow_only(usize::try_from(round - 1).unwrap());
        tokio::select! {
            begun = pool.begin() => {
                gate.open();
                begun.unwrap().rollback().await.unwrap();
            }
            () = gate.held() => {
                cut += 1;
                gate.open();
            }
        }
        insert(&pool, round).await;
    }
    assert!(cut > 0, "no begin was cut");
    let kept: Vec<i32> = sqlx::query_scalar("select round from kept order by round").fetch_all(&mut dba).await.unwrap();
    assert_eq!(kept, (0..=ROUNDS).collect::<Vec<_>>());
}

/// P-05: what people browse cannot use up what decisions need.
#[tokio::test]
async fn decisions_have_connections_when_the_pages_have_none_left() {
    let database = TestDatabase::create().await;
    let pools = database.open();
    let most = |pool: &PgPool| pool.options().get_max_connections();
    assert_eq!(most(&pools.reads) + most(&pools.pages) + most(&pools.decisions), 16);
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
