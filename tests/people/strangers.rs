//! What strangers cause is bounded, and still told; it says nothing about who has an account.

use countersign::accounts::By;
use countersign::accounts::invitations::NewPerson;
use countersign::accounts::sign_in::SignInError;
use countersign::domain::people::Role;
use jiff::SignedDuration;
use serde_json::json;

use crate::house::{ANNA, House, PASSWORD, WRONG, ask, fresh_address, origin};
use crate::support::statements::asked_by;

#[tokio::test]
async fn a_failed_sign_in_to_an_account_is_recorded_with_from_where() {
    // S-16
    let house = House::new().await;
    let id = house.account(ANNA, &[Role::Approver]).await;
    house.try_from("203.0.113.9", ANNA, WRONG).await.unwrap_err();
    let failed = &house.records_of("sign_in.failed").await[0];
    assert_eq!((failed.actor.as_str(), &failed.payload["person"]), ("stranger", &json!(id)));
    assert_eq!((&failed.payload["address"], &failed.payload["why"]), (&json!("203.0.113.9"), &json!("wrong password")));
    assert_eq!(failed.payload["failures"], json!(1));
}

#[tokio::test]
async fn an_attack_leaves_few_records_with_the_right_counts() {
    // under 60 records in a minute, whatever is thrown at the door, and nothing is lost from the counts.
    let house = House::new().await;
    for n in 0..40 {
        house.account(&format!("victim{n}@example.org"), &[Role::Approver]).await;
    }
    let before = house.records().await.len();
    let replica = house.replica();
    for n in 0..40 {
        let email = format!("victim{n}@example.org");
        assert!(matches!(house.try_in(&email, WRONG).await, Err(SignInError::Wrong)));
        for address in ["203.0.113.1", "203.0.113.2"] {
            let _ = replica.sign_in(ask(address, &format!("unknown{n}@example.org"), WRONG)).await.unwrap_err();
        }
    }
    house.accounts.flush_stranger_counts().await.unwrap();
    replica.flush_stranger_counts().await.unwrap();
    house.pass(SignedDuration::from_secs(90));
    house.accounts.flush_stranger_counts().await.unwrap();
    replica.flush_stranger_counts().await.unwrap();
    let written = house.records().await.split_off(before);
    let single = written.iter().filter(|record| record.kind == "sign_in.failed").count();
    let counted: Vec<_> = written.iter().filter(|record| record.kind == "strangers.counted").collect();
    assert_eq!((single, counted.len(), written.len()), (25, 1, 26));
    // 40 victims and 20 unknown tries let through by address, of which 25 have records of their own; 60 were throttled.
    assert_eq!(counted[0].payload["counts"], json!({ "sign_in.failed": 35, "sign_in.throttled.address": 60 }));
    assert_eq!(counted[0].payload["from"], json!("2026-11-21T10:00:00Z"));
    assert_eq!(counted[0].payload["until"], json!("2026-11-21T10:01:00Z"));
    assert!(!house.dump().await.contains("unknown1"), "what strangers typed is not kept");
    house.pass(SignedDuration::from_mins(10));
    house.accounts.flush_stranger_counts().await.unwrap();
    assert_eq!(house.records_of("strangers.counted").await.len(), 1, "nothing new, nothing said");
    house.verify().await;
}

#[tokio::test]
async fn waiting_and_refused_set_ups_are_counted_too() {
    // A-11, S-16
    let house = House::new().await;
    house.account(ANNA, &[Role::Approver]).await;
    for _ in 0..8 {
        house.try_in(ANNA, WRONG).await.unwrap_err();
    }
    let setup = countersign::accounts::setup::Setup {
        secret: "C".repeat(43).into(),
        email: ANNA.into(),
        name: "Anna".into(),
        password: PASSWORD.into(),
        origin: crate::house::origin("203.0.113.5"),
    };
    house.accounts.complete_setup(setup).await.unwrap_err();
    house.accounts.flush_stranger_counts().await.unwrap();
    house.pass(SignedDuration::from_secs(90));
    house.accounts.flush_stranger_counts().await.unwrap();
    let counts = &house.records_of("strangers.counted").await[0].payload["counts"];
    assert_eq!(counts, &json!({ "setup.refused": 1 }));
    // Of an account that exists, each by itself: who, from where, until when.
    let throttled = house.records_of("sign_in.throttled").await;
    assert_eq!((throttled.len(), house.records_of("sign_in.failed").await.len()), (3, 5));
    let told = &throttled[0].payload;
    assert!(told["person"].is_string() && told["address"].is_string() && told["until"].is_string(), "{told}");
    house.verify().await;
}

#[tokio::test]
async fn counts_survive_a_database_that_is_away() {
    let house = House::new().await;
    for _ in 0..6 {
        house.try_in("unknown@example.org", WRONG).await.unwrap_err();
    }
    let mut conn = house.test.connect_superuser().await;
    sqlx::query("revoke insert on portal.stranger_count from countersign_app").execute(&mut conn).await.unwrap();
    assert!(house.accounts.flush_stranger_counts().await.is_err());
    sqlx::query("grant insert on portal.stranger_count to countersign_app").execute(&mut conn).await.unwrap();
    house.accounts.flush_stranger_counts().await.unwrap();
    house.pass(SignedDuration::from_secs(90));
    house.accounts.flush_stranger_counts().await.unwrap();
    let counts = &house.records_of("strangers.counted").await[0].payload["counts"];
    assert_eq!(counts, &json!({ "sign_in.failed": 5, "sign_in.throttled.account": 1 }));
}

#[tokio::test]
async fn what_limits_nobody_any_more_is_swept_and_peoples_own_counts_stay() {
    let house = House::new().await;
    house.account(ANNA, &[Role::Approver]).await;
    for email in [ANNA, "x@example.org", "y@example.org", "z@example.org"] {
        house.try_in(email, WRONG).await.unwrap_err();
        house.pass(SignedDuration::from_secs(1));
    }
    let mut conn = house.test.connect_superuser().await;
    let mut conn2 = house.database.pages.acquire().await.unwrap();
    house.pass(SignedDuration::from_hours(1));
    countersign::store::throttle::delete_spent(&mut conn2, house.clock.now(), 2).await.unwrap();
    let buckets: i64 = sqlx::query_scalar("select count(*) from portal.throttle").fetch_one(&mut conn).await.unwrap();
    let waits: i64 = sqlx::query_scalar("select count(*) from portal.sign_in_wait").fetch_one(&mut conn).await.unwrap();
    assert_eq!((buckets, waits), (0, 3), "Anna's, and the last two strangers'");
    house.accounts.sweep_limits().await.unwrap();
}

/// Anna; an account that is disabled, one whose password must be changed, one that never had a password; and nobody's.
const TRIED: [&str; 5] = [ANNA, "bert@example.org", "carl@example.org", "dora@example.org", "nobody@example.org"];

async fn people(house: &House) {
    for email in &TRIED[..3] {
        house.account(email, &[Role::Approver]).await;
    }
    let find = |email: &'static str| async move { house.accounts.find_by_email(email).await.unwrap().unwrap() };
    house.accounts.disable(&By::Operator, find(TRIED[1]).await).await.unwrap();
    house.accounts.reset_password(&By::Operator, find(TRIED[2]).await, None).await.unwrap();
    let new = NewPerson { email: TRIED[3].into(), name: "Dora".into(), roles: Default::default() };
    house.accounts.invite(&By::Operator, new).await.unwrap();
}

/// What a try asks of the database. Telling of it takes two statements: a record needs a place, a count asks for one.
async fn asked_by_a_try(house: &House, email: &str) -> (String, Vec<String>) {
    let (refused, asked) = asked_by(house.try_in(email, WRONG)).await;
    let kind = |statement: String| match statement.as_str() {
        "insert into portal.stranger_count as" | "select o_seq as \"seq!\"," => "tell".to_owned(),
        _ => statement,
    };
    (refused.unwrap_err().to_string(), asked.into_iter().map(kind).collect())
}

#[tokio::test]
async fn whoever_is_refused_costs_the_database_as_much_as_anybody_else() {
    // S-10: also while an e-mail waits (S-11), and whether the minute has room for records or not.
    let house = House::new().await;
    people(&house).await;
    for round in 0..2 {
        for n in 0..6 {
            let (said, asked) = asked_by_a_try(&house, TRIED[0]).await;
            let waits = if round == 0 { n == 5 } else { n > 0 };
            assert_eq!(said == "Too many tries.", waits, "{said}");
            let told = asked.iter().filter(|statement| *statement == "tell").count();
            assert_eq!(told, if waits { 0 } else { 2 }, "{asked:?}");
            for email in &TRIED[1..] {
                assert_eq!(asked_by_a_try(&house, email).await, (said.clone(), asked.clone()), "{email}, try {n}");
            }
        }
        // In the same minute, with no room left.
        house.accounts.flush_stranger_counts().await.unwrap();
        house.pass(SignedDuration::from_secs(1));
    }
    house.pass(SignedDuration::from_secs(90));
    house.accounts.flush_stranger_counts().await.unwrap();
    // Of 30 failures and 30 tries that were not heard, 48 concern accounts that exist; 25 of them have records.
    let (failed, throttled) = (house.records_of("sign_in.failed").await, house.records_of("sign_in.throttled").await);
    assert_eq!((failed.len(), throttled.len()), (21, 4));
    assert!(failed.iter().chain(&throttled).all(|record| record.payload["person"].is_string()));
    let counts = &house.records_of("strangers.counted").await[0].payload["counts"];
    assert_eq!(counts, &json!({ "sign_in.failed": 9, "sign_in.throttled.account": 26 }));
    house.verify().await;
}

#[tokio::test]
async fn whoever_forgot_a_password_costs_the_database_as_much_as_anybody_else() {
    // S-10
    let house = House::new().await;
    people(&house).await;
    let ask = |email: &'static str| {
        let house = &house;
        async move { house.accounts.ask_for_reset(email, &origin(&fresh_address())).await }
    };
    let (answer, first) = asked_by(ask(TRIED[0])).await;
    answer.unwrap();
    assert!(!first.is_empty());
    for email in &TRIED[1..] {
        let (answer, asked) = asked_by(ask(email)).await;
        answer.unwrap();
        assert_eq!(asked, first, "{email}");
    }
}
