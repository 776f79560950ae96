//! Opening a database for serving: migrated, current, safe, or a sentence.

use countersign::database::{DatabaseSettings, OpenError, Role, open_for_serving};
use secrecy::SecretString;
use sqlx::Executor;

use crate::support::postgres::TestDatabase;

fn settings(database: &TestDatabase) -> DatabaseSettings {
    let url = |role: Role| Some(SecretString::from(database.url(role.name())));
    DatabaseSettings {
        url: url(Role::App),
        owner_url: url(Role::Owner),
        reader_url: None,
        listen_url: None,
        migrate: true,
        data_dir: "/nonexistent".into(),
        postgres_bin: None,
    }
}

async fn refusal(settings: &DatabaseSettings) -> String {
    open_for_serving(settings, |_| {}).await.expect_err("it was opened").to_string()
}

#[tokio::test]
async fn serving_begins_with_the_pending_migrations_unless_told_not_to() {
    let database = TestDatabase::create_empty().await;
    let told_not_to = DatabaseSettings { migrate: false, ..settings(&database) };
    assert!(refusal(&told_not_to).await.contains("Run `countersign migrate`"));
    let without_owner = DatabaseSettings { owner_url: None, ..settings(&database) };
    assert!(refusal(&without_owner).await.contains("COUNTERSIGN_DATABASE_OWNER_URL"));
    let serving = open_for_serving(&settings(&database), |_| {}).await.unwrap();
    assert!(serving.private.is_none());
    // Serving goes on as the app, with its limits.
    let limits: (String, String, String, String) = sqlx::query_as(
        "select current_setting('statement_timeout'), current_setting('lock_timeout'),
             current_setting('idle_in_transaction_session_timeout'), current_user::text",
    )
    .fetch_one(&serving.database.decisions.now())
    .await
    .unwrap();
    assert_eq!(limits, ("5s".into(), "2s".into(), "10s".into(), "countersign_app".into()));
    open_for_serving(&told_not_to, |_| {}).await.unwrap();
}

#[tokio::test]
async fn a_database_too_new_for_this_program_and_an_altered_migration_are_refused() {
    let database = TestDatabase::create().await;
    let mut dba = database.connect_superuser().await;
    dba.execute(
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
        values (9999, 'later', true, '', 0)",
    )
    .await
    .unwrap();
    // One release newer is served (P-15, F-36), until a migration says that what this program needs is gone.
    open_for_serving(&settings(&database), |_| {}).await.unwrap();
    dba.execute("comment on schema portal is 'oldest program: 9999'").await.unwrap();
    let said = refusal(&settings(&database)).await;
    assert!(said.starts_with("The database is newer than this program can work with (migration 9999"), "{said}");
    dba.execute("delete from _sqlx_migrations where version = 9999; update _sqlx_migrations set checksum = '' where version = 1")
        .await
        .unwrap();
    assert!(refusal(&settings(&database)).await.starts_with("Migration 1 was run here in another form"));
}

#[tokio::test]
async fn the_owner_and_the_superuser_are_no_logins_to_serve_with() {
    let database = TestDatabase::create().await;
    let as_owner = DatabaseSettings { url: settings(&database).owner_url, ..settings(&database) };
    let said = refusal(&as_owner).await;
    assert!(
        said.starts_with("This database is not safe to serve from.\n- The serving role countersign_owner may act as"),
        "{said}"
    );
    let as_superuser = DatabaseSettings { url: Some(database.url("postgres").into()), ..settings(&database) };
    assert!(refusal(&as_superuser).await.contains("The serving role postgres is a superuser"));
}

#[tokio::test]
async fn a_server_that_is_away_is_named_without_its_password() {
    let database = TestDatabase::create().await;
    let away = DatabaseSettings {
        url: Some("postgres://countersign_app:hunter2@127.0.0.1:1/countersign".into()),
        owner_url: None,
        ..settings(&database)
    };
    let error = open_for_serving(&away, |_| {}).await.unwrap_err();
    assert!(matches!(&error, OpenError::Unreachable { place, .. } if place == "127.0.0.1:1"), "{error}");
    assert!(!error.to_string().contains("hunter2"), "{error}");
}
