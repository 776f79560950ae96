//! The record: appended by the serving role, changed by nobody, and found out when somebody did.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod appending;
mod command;
mod erasing;
mod golden;
mod mutations;
mod seeking;
#[path = "../support/mod.rs"]
mod support;

use countersign::audit::{Appended, Kind, Payload, Verdict, append, verify};
use countersign::random::Random;
use serde_json::json;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use support::postgres::TestDatabase;

/// A decision's payload with every member that is copied for searching.
fn decision(random: &Random, number: u32) -> Payload {
    let id = || random.uuid_v4().to_string();
    let fields = json!({
        "source": "prod", "pipeline": format!("orders-{}", number % 7), "stage": "Deploy", "action": "Gate",
        "execution": id(), "approval": id(), "decision": id(), "person": Uuid::from_u128(u128::from(number % 3)),
        "verdict": if number.is_multiple_of(2) { "approved" } else { "rejected" }, "outcome": null,
        "summary": "läuft 🚀", "attempt": number,
    });
    Payload::new(random, &fields).unwrap()
}

/// Appends `count` decisions in one transaction, as the serving role.
async fn fill(database: &TestDatabase, count: u32) -> Vec<Appended> {
    let random = Random::seeded(7);
    let mut conn = database.connect(countersign::database::Role::App).await;
    let mut tx = conn.begin().await.unwrap();
    let mut appended = Vec::new();
    for number in 1..=count {
        let payload = decision(&random, number);
        appended.push(append(&mut tx, Kind::DecisionIntended, "system", &payload).await.unwrap());
    }
    tx.commit().await.unwrap();
    conn.close().await.unwrap();
    appended
}

/// What the verifier says, reading as the reader.
async fn judge(database: &TestDatabase) -> Verdict {
    let mut conn: PgConnection = database.connect(countersign::database::Role::Reader).await;
    verify::verify(&mut conn).await.unwrap()
}
