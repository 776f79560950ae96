//! `countersign audit verify` as an auditor runs it.

use std::process::{Command, Output};

use countersign::database::Role;
use sqlx::Executor;

use crate::fill;
use crate::support::postgres::{PROGRAM, TestDatabase};

async fn verify(database: &TestDatabase) -> Output {
    let url = database.url(Role::Reader.name());
    let mut command = Command::new(PROGRAM);
    command.args(["audit", "verify"]).env_clear().env("COUNTERSIGN_DATABASE_READER_URL", url);
    command.env("DATABASE_URL", "postgres://countersign_app@localhost:1/nowhere");
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[tokio::test]
async fn an_intact_log_is_said_to_be_intact_with_its_count_and_last_hash() {
    let database = TestDatabase::create().await;
    let records = fill(&database, 7).await;
    let output = verify(&database).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let last = hex::encode(records[6].hash);
    assert_eq!(said(&output), format!("intact: 7 records, the last has hash {last}\n"));
}

#[tokio::test]
async fn a_changed_record_is_named_with_the_reason() {
    let database = TestDatabase::create().await;
    fill(&database, 7).await;
    let mut dba = database.connect_superuser().await;
    dba.execute(
        "alter table audit.payload disable trigger all; update audit.payload set verdict = 'approved' where seq = 5",
    )
    .await
    .unwrap();
    let output = verify(&database).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(said(&output), "BROKEN at record 5\ncolumn: verdict of record 5 differs from its payload\n");
}

#[tokio::test]
async fn a_wrong_word_is_wrong_usage() {
    let output = Command::new(PROGRAM).args(["audit", "verify", "--everything"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}
