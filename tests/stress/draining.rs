//! How a portal leaves (P-20).

use std::time::Duration;

use nix::sys::signal::Signal;
use reqwest::StatusCode;
use sqlx::PgConnection;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{Browser, EMAIL, PASSWORD, Served, Settings, client};
use crate::support::postgres::TestDatabase;

/// Holds every sign-in at its last step until the connection says `rollback`.
async fn hold_sign_ins(database: &TestDatabase) -> PgConnection {
    let mut holder = database.connect_superuser().await;
    sqlx::raw_sql("begin; lock table portal.session in access exclusive mode").execute(&mut holder).await.unwrap();
    holder
}

/// Until a sign-in waits for the lock.
async fn until_held(database: &TestDatabase) {
    let mut watcher = database.connect_superuser().await;
    let held = "select exists (select from pg_locks where not granted and relation = 'portal.session'::regclass)";
    while !sqlx::query_scalar::<_, bool>(held).fetch_one(&mut watcher).await.unwrap() {}
}

async fn signing_in(served: &Served) -> tokio::task::JoinHandle<Result<reqwest::Response, reqwest::Error>> {
    let mut browser = Browser::open(&client(), &served.url(""), "198.51.100.1").await;
    tokio::spawn(async move { browser.sign_in(EMAIL, PASSWORD).await })
}

async fn leases(database: &TestDatabase) -> i64 {
    let mut conn = database.connect_superuser().await;
    let held = "select count(*) from portal.lease where expires_at > now()";
    sqlx::query_scalar(held).fetch_one(&mut conn).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_portal_that_is_told_to_stop_finishes_what_it_began_and_lets_go_of_everything() {
    // P-20
    let database = TestDatabase::create().await;
    let settings = || Settings::of(&database).with("COUNTERSIGN_FAREWELL", "2s");
    settings().create_account().await;
    let mut served = Served::start(settings()).await;
    while leases(&database).await == 0 {}
    let mut holder = hold_sign_ins(&database).await;
    let asking = signing_in(&served).await;
    until_held(&database).await;
    let mut kept = TcpStream::connect(served.address).await.unwrap();
    served.signal(Signal::SIGTERM);
    // Probers are told at once; people are answered as ever, on the last answer of their connection.
    while served.ask("/readyz").await.unwrap() != (StatusCode::SERVICE_UNAVAILABLE, "stopping\n".to_owned()) {}
    let request = format!("GET /sign-in HTTP/1.1\r\nHost: {}\r\n\r\n", served.address);
    kept.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    kept.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    sqlx::raw_sql("rollback").execute(&mut holder).await.unwrap();
    assert_eq!(asking.await.unwrap().unwrap().status(), StatusCode::SEE_OTHER, "what was begun is finished");
    assert_eq!(served.ended().await, Some(0), "{}", served.log());
    assert_eq!(leases(&database).await, 0, "another replica need not wait for the leases to run out");
    assert!(!served.log().contains("WARN countersign::web"), "{}", served.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn told_a_second_time_it_stops_at_once() {
    // P-20
    let database = TestDatabase::create().await;
    let settings = || Settings::of(&database).with("COUNTERSIGN_FAREWELL", "60s");
    settings().create_account().await;
    let mut served = Served::start(settings()).await;
    served.signal(Signal::SIGTERM);
    while served.ask("/readyz").await.unwrap().0 != StatusCode::SERVICE_UNAVAILABLE {}
    served.signal(Signal::SIGTERM);
    // Far less than its farewell.
    let ended = tokio::time::timeout(Duration::from_secs(30), served.ended()).await;
    assert_eq!(ended.expect("it ends at once"), Some(1));
}
