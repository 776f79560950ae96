//! Many people invited from a file, beside everything else that goes on.

use countersign::accounts::By;
use countersign::accounts::import::Imported;
use countersign::domain::people::Role;
use serde_json::json;
use sqlx::Executor as _;

use crate::house::{ANNA, House};

#[tokio::test]
async fn whoever_imports_many_keeps_nobody_from_appending_and_no_admin_from_acting() {
    // A-09, P-07: of an import that has inserted most of its people and is not done.
    let house = House::new().await;
    let boss = house.account("boss@example.org", &[Role::Admin]).await;
    let session = house.sign_in_as_admin("boss@example.org").await;
    let lines: String = (1..=40).map(|n| format!("p{n}@example.org,Person {n},approver\n")).collect();
    let file = format!("email,name,roles\n{lines}last@example.org,Last,approver\n");
    let mut other = house.test.connect_superuser().await;
    let taken = "begin; insert into portal.account (id, email, email_key, name, roles, created_at)
        values (gen_random_uuid(), 'last@example.org', 'last@example.org', 'Last', '{}', now())";
    other.execute(taken).await.unwrap();

    let by = By::admin(&session.person).unwrap();
    let importing = house.accounts.import(&by, &file);
    let meanwhile = async {
        let mut conn = house.test.connect_superuser().await;
        let waits = "select exists (select from pg_stat_activity
            where datname = current_database() and wait_event_type = 'Lock')";
        while !sqlx::query_scalar::<_, bool>(waits).fetch_one(&mut conn).await.unwrap() {
            tokio::task::yield_now().await;
        }
        // Not waiting: whatever is held is an error here.
        let free = "begin; select from audit.head for update nowait;
            select from portal.account where email = 'boss@example.org' for share nowait; commit";
        let free = conn.execute(free).await;
        other.execute("rollback").await.unwrap();
        free.unwrap();
    };
    let (imported, ()) = tokio::join!(importing, meanwhile);
    let Imported::Done(invited) = imported.unwrap() else { panic!("refused") };
    assert_eq!(invited.len(), 41);

    let told: Vec<_> = house.records().await.into_iter().rev().take(82).collect();
    let (invitation, creation) = (&told[0], &told[1]);
    assert_eq!((invitation.kind.as_str(), creation.kind.as_str()), ("account.invited", "account.created"));
    assert_eq!(invitation.payload["person"], json!(invited[40].1.account));
    assert_eq!(creation.payload["email"], json!("last@example.org"));
    assert!(told.iter().all(|record| record.actor == format!("account:{boss}")));
    house.verify().await;
}

#[tokio::test]
async fn an_import_of_somebody_who_is_no_admin_any_more_is_refused() {
    let house = House::new().await;
    let boss = house.account("boss@example.org", &[Role::Admin]).await;
    house.account(ANNA, &[Role::Admin]).await;
    let session = house.sign_in_as_admin("boss@example.org").await;
    let by = By::admin(&session.person).unwrap();
    house.accounts.disable(&By::Operator, boss).await.unwrap();
    let refused = house.accounts.import(&by, "email,name,roles\na@example.org,A,approver\n").await.unwrap_err();
    assert_eq!(refused.to_string(), "Only an admin can do this.");
}
