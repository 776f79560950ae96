//! What probers hear while the database is busy or away (P-16).

use futures::future::join_all;
use reqwest::StatusCode;

use crate::harness::{Served, Settings, client, open_many};
use crate::support::postgres::TestDatabase;

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_probers_at_once_ask_the_database_once() {
    // P-16
    open_many();
    let database = TestDatabase::create().await;
    let trusted = Settings::of(&database).with("COUNTERSIGN_TRUSTED_PROXIES", "127.0.0.0/8");
    let served = Served::start(trusted).await;
    let mut holder = database.connect_superuser().await;
    sqlx::raw_sql("begin; lock table public._sqlx_migrations in access exclusive mode")
        .execute(&mut holder)
        .await
        .unwrap();
    let client = client();
    let probes = (0..1_000).map(|_| client.get(served.url("/readyz")).send());
    let probes = tokio::spawn(join_all(probes.collect::<Vec<_>>()));
    let mut watcher = database.connect_superuser().await;
    let held = "select count(*) from pg_locks where not granted and relation = 'public._sqlx_migrations'::regclass";
    let mut most = 0;
    while most == 0 {
        most = sqlx::query_scalar::<_, i64>(held).fetch_one(&mut watcher).await.unwrap();
    }
    // Alive is another question: it is answered while the database is not.
    for _ in 0..50 {
        let alive = client.get(served.url("/healthz")).send().await.unwrap();
        assert_eq!(alive.status(), StatusCode::OK);
        most = most.max(sqlx::query_scalar(held).fetch_one(&mut watcher).await.unwrap());
    }
    sqlx::raw_sql("rollback").execute(&mut holder).await.unwrap();
    for answer in probes.await.unwrap() {
        let answer = answer.unwrap();
        // Those who asked while the lock was held for too long are told so; it is one answer for all of them.
        assert!([StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE].contains(&answer.status()), "{answer:?}");
    }
    assert_eq!(most, 1, "the database was asked by one of them");
}
