//! `countersign account`, run as the operator runs it.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use countersign::database::Role as DatabaseRole;
use serde_json::{Value, json};
use sqlx::ConnectOptions as _;

use crate::house::{House, PASSWORD};
use crate::support::postgres::PROGRAM;

fn account(house: &House, args: &[&str], typed: &str) -> Output {
    let url = house.test.options(DatabaseRole::App).to_url_lossy();
    let mut child = Command::new(PROGRAM)
        .arg("account")
        .args(args)
        .env_clear()
        .env("DATABASE_URL", url.as_str())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that refuses before it reads has closed its end already.
    let _ = child.stdin.take().unwrap().write_all(typed.as_bytes());
    child.wait_with_output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

const CREATE: [&str; 9] =
    ["create", "--email", "ops@example.org", "--name", "Ops", "--role", "admin", "--role", "approver"];

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_makes_lists_disables_and_resets_accounts() {
    let house = House::new().await;
    let made = account(&house, &[&CREATE[..], &["--password-stdin"]].concat(), &format!("{PASSWORD}\n"));
    assert_eq!((made.status.code(), out(&made).as_str()), (Some(0), ""), "{}", err(&made));
    assert_eq!(err(&made), "Created ops@example.org (approver, admin).\n");
    let listed: Value = serde_json::from_str(&out(&account(&house, &["list", "--json"], ""))).unwrap();
    assert_eq!(
        (&listed[0]["email"], &listed[0]["roles"], &listed[0]["state"]),
        (&json!("ops@example.org"), &json!(["approver", "admin"]), &json!("enabled"))
    );
    assert!(out(&account(&house, &["list"], "")).contains("ops@example.org"));
    let last = account(&house, &["disable", "--email", "ops@example.org"], "");
    assert_eq!(
        (last.status.code(), err(&last).as_str()),
        (Some(1), "This is the last enabled admin. Make somebody else an admin first.\n")
    );
    house.account("anna@example.org", &[countersign::domain::people::Role::Approver]).await;
    let disabled = account(&house, &["disable", "--email", "ANNA@example.org"], "");
    assert_eq!(disabled.status.code(), Some(0), "{}", err(&disabled));
    let enabled = account(&house, &["enable", "--email", "anna@example.org"], "");
    assert_eq!(err(&enabled), "Enabled anna@example.org.\n");
    let reset = account(&house, &["reset-password", "--email", "anna@example.org"], "");
    assert_eq!(reset.status.code(), Some(0), "{}", err(&reset));
    let password = out(&reset);
    assert_eq!((password.trim_end().len(), password.lines().count()), (43, 1), "the password, alone");
    let kinds: Vec<String> = house.records().await.into_iter().map(|record| record.kind).collect();
    assert_eq!(
        kinds,
        ["account.created", "account.created", "account.disabled", "account.enabled", "account.password_reset"]
    );
    assert!(house.records().await.iter().all(|record| record.actor == "operator"));
    house.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_work_says_why_and_exits_with_one_and_wrong_usage_with_two() {
    let house = House::new().await;
    let code = |args: &[&str], typed: &str| {
        let output = account(&house, args, typed);
        (output.status.code().unwrap(), err(&output))
    };
    let with_stdin = [&CREATE[..], &["--password-stdin"]].concat();
    assert_eq!(code(&with_stdin, "").0, 1);
    let (short, why) = code(&with_stdin, "short\r\n");
    assert_eq!(short, 1);
    assert!(why.contains("at least 15 characters; this one has 5"), "{why}");
    assert_eq!(code(&with_stdin, PASSWORD).0, 0);
    let (taken, why) = code(&with_stdin, PASSWORD);
    assert_eq!((taken, why.as_str()), (1, "There is an account with this e-mail address already.\n"));
    let (nobody, why) = code(&["disable", "--email", "nobody@example.org"], "");
    assert_eq!(nobody, 1);
    assert!(why.contains("There is no account nobody@example.org."), "{why}");
    assert_eq!(code(&CREATE[..5], "").0, 2, "a role is required");
    assert_eq!(code(&[&CREATE[..5], &["--role", "king"]].concat(), "").0, 2);
    assert_eq!(code(&["remove"], "").0, 2);
    let (missing, why) = code(&["list", "--config", "/nowhere/countersign.toml"], "");
    assert_eq!((missing, why.as_str()), (1, "the configuration file /nowhere/countersign.toml does not exist\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_never_migrated_is_named_as_such() {
    let empty = crate::support::postgres::TestDatabase::create_empty().await;
    let url = empty.options(DatabaseRole::App).to_url_lossy();
    let output = Command::new(PROGRAM).args(["account", "list"]).env_clear().env("DATABASE_URL", url.as_str()).output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("countersign migrate"), "{}", err(&output));
}
