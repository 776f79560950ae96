//! How a portal comes up (P-15).

use reqwest::StatusCode;
use sqlx::Executor as _;

use countersign::database::Role;

use crate::harness::{Served, Settings, print};
use crate::support::postgres::TestDatabase;
use crate::support::proxy::{Proxy, Upstream};

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_that_start_at_once_on_an_empty_database_are_both_ready() {
    // P-15
    let database = TestDatabase::create_empty().await;
    let (one, other) = tokio::join!(Served::start(Settings::of(&database)), Served::start(Settings::of(&database)));
    for replica in [&one, &other] {
        assert_eq!(replica.ask("/readyz").await.unwrap(), (StatusCode::OK, "ready\n".to_owned()), "{}", replica.log());
    }
    let mut conn = database.connect_superuser().await;
    let runs = "select count(*) from public._sqlx_migrations group by version order by 1 desc";
    let most: i64 = sqlx::query_scalar(runs).fetch_one(&mut conn).await.unwrap();
    assert_eq!(most, 1, "each migration was run once");
    let again = Served::start(Settings::of(&database)).await;
    assert_eq!(again.ask("/readyz").await.unwrap().0, StatusCode::OK);
    print(&format!("start on an existing database: {} ms", again.took.as_millis()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_previous_release_serves_and_starts_again_on_a_database_one_migration_ahead() {
    // P-15, F-22
    let database = TestDatabase::create().await;
    let before = Served::start(Settings::of(&database)).await;
    let mut dba = database.connect_superuser().await;
    dba.execute(
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
        values (9999, 'of the next release', true, '', 0)",
    )
    .await
    .unwrap();
    let after = Served::start(Settings::of(&database)).await;
    assert!(after.log().contains("newer than this program"), "it says so: {}", after.log());
    for replica in [&before, &after] {
        assert_eq!(replica.ask("/readyz").await.unwrap(), (StatusCode::OK, "ready\n".to_owned()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_portal_whose_database_goes_away_while_it_starts_waits_for_it_and_says_so() {
    // P-15: away from the first, and cut after so many of the server's answers.
    let database = TestDatabase::create().await;
    let options = database.options(Role::App);
    for answers in [0, 2, 5, 9, 14, 20] {
        let proxy = Proxy::start(Upstream::of(&options));
        let url = proxy.url(Role::App.name(), &database.name);
        let settings = Settings::of(&database).with("DATABASE_URL", url).with("COUNTERSIGN_DATABASE_MIGRATE", "false");
        proxy.allow_only(answers);
        let cutting = async {
            if answers == 0 {
                proxy.refuse();
                proxy.until(|counts| counts.refused > 1).await;
                proxy.accept();
            } else {
                proxy.held().await;
                proxy.cut().await;
            }
            proxy.allow_all();
        };
        let (portal, ()) = tokio::join!(Served::start(settings), cutting);
        assert_eq!(portal.ask("/readyz").await.unwrap().0, StatusCode::OK, "after {answers}: {}", portal.log());
        let log = portal.log();
        let said = log.matches("the database cannot be used yet").count();
        assert!((1..=2).contains(&said), "after {answers}: {log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_the_database_does_not_know_is_refused_at_once() {
    // P-15
    let database = TestDatabase::create().await;
    let settings = Settings::of(&database)
        .with("DATABASE_URL", database.url("nobody_of_this_name"))
        .with("COUNTERSIGN_DATABASE_MIGRATE", "false");
    let said = settings.refusal().await;
    assert!(said.contains("nobody_of_this_name") && !said.contains("tried for so long"), "{said}");
}
