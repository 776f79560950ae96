//! Migrations and the roles they rest on.

use countersign::database::Role;
use countersign::database::migrate::{self, SchemaState};

use crate::support::postgres::TestDatabase;

#[tokio::test]
async fn a_fresh_database_is_pending_until_the_owner_migrates_it() {
    let database = TestDatabase::create_empty().await;
    let mut owner = database.connect(Role::Owner).await;
    let before = migrate::load_state(&mut owner).await.unwrap();
    assert!(matches!(&before, SchemaState::Pending(versions) if versions[0] == 1), "{before:?}");
    let said = before.problem().unwrap();
    assert!(said.contains("countersign migrate") && said.contains("COUNTERSIGN_DATABASE_OWNER_URL"), "{said}");

    let run = migrate::migrate(&database.options(Role::Owner)).await.unwrap();
    assert_eq!(run, migrate::MIGRATOR.iter().count());
    // The serving login can see for itself that the schema is current.
    let mut app = database.connect(Role::App).await;
    assert_eq!(migrate::load_state(&mut app).await.unwrap(), SchemaState::Current);
    assert_eq!(migrate::migrate(&database.options(Role::Owner)).await.unwrap(), 0);
}

#[tokio::test]
async fn replicas_that_start_together_migrate_once() {
    let database = TestDatabase::create_empty().await;
    let owner = database.options(Role::Owner);
    let (a, b, c) = tokio::join!(migrate::migrate(&owner), migrate::migrate(&owner), migrate::migrate(&owner));
    let mut run = [a.unwrap(), b.unwrap(), c.unwrap()];
    run.sort_unstable();
    assert_eq!(run, [0, 0, migrate::MIGRATOR.iter().count()]);
}
