//! `countersign account`, run as the operator runs it.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use countersign::database::Role as DatabaseRole;
use secrecy::ExposeSecret as _;
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
    let first = "Created ops@example.org (approver, admin).\nThe first approver may decide every gate.\n";
    assert_eq!(err(&made), first);
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
        [
            "account.created",
            "grant.given",
            "account.created",
            "account.disabled",
            "account.enabled",
            "account.password_reset"
        ]
    );
    assert!(house.records().await.iter().all(|record| record.actor == "operator"));
    house.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_says_that_others_may_know_a_password() {
    // S-02
    let house = House::new().await;
    house.account("anna@example.org", &[countersign::domain::people::Role::Approver]).await;
    let desk = house.sign_in("anna@example.org").await;
    let say = |email: &str| {
        let output = account(&house, &["mark-compromised", "--email", email], "");
        assert_eq!(out(&output), "");
        (output.status.code(), err(&output))
    };
    let done = "anna@example.org is signed out everywhere, and must choose another password at the next sign-in.\n";
    assert_eq!(say("anna@example.org"), (Some(0), done.to_owned()));
    assert!(house.who(&desk).await.is_none());
    assert_eq!(
        say("anna@example.org"),
        (Some(0), "anna@example.org must choose another password already.\n".to_owned())
    );
    assert_eq!(say("nobody@example.org").0, Some(1));
    let listed = account(&house, &["list"], "");
    assert!(out(&listed).contains("new password due"), "{}", out(&listed));
    let records = house.records_of("account.password_compromised").await;
    assert_eq!((records.len(), records[0].actor.as_str()), (1, "operator"));
    assert_eq!(records[0].payload["sessions_ended"], json!(1));
    assert!(house.sign_in("anna@example.org").await.person.must_change_password);
    house.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_marks_an_account_for_emergencies() {
    let house = House::new().await;
    house.account("anna@example.org", &[countersign::domain::people::Role::Approver]).await;
    let say = |args: &[&str]| {
        let output = account(&house, &[&["break-glass", "--email", "anna@example.org"], args].concat(), "");
        assert_eq!(output.status.code(), Some(0), "{}", err(&output));
        err(&output)
    };
    assert_eq!(say(&[]), "anna@example.org may sign in with its password also where local sign-in is off.\n");
    assert_eq!(say(&[]), "anna@example.org was one already.\n");
    assert_eq!(say(&["--off"]), "anna@example.org is no account for emergencies any more.\n");
    assert_eq!(say(&["--off"]), "anna@example.org was none.\n");
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

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_invites_and_gets_the_link_alone() {
    // S-06
    let house = House::new().await;
    let invite = ["invite", "--email", "anna@example.org", "--name", "Anna Schmidt", "--role", "approver"];
    let first = account(&house, &invite, "");
    assert_eq!(first.status.code(), Some(0), "{}", err(&first));
    let link = out(&first);
    assert!(link.starts_with("http://127.0.0.1:8080/invite/") && link.lines().count() == 1, "{link}");
    let said = err(&first);
    assert!(said.starts_with("Invited anna@example.org (approver).\nNo mail is configured:"), "{said}");
    assert!(!said.contains(crate::house::code_of(link.trim_end()).expose_secret()), "{said}");
    let again = account(&house, &invite, "");
    assert_eq!(again.status.code(), Some(0), "{}", err(&again));
    assert!(err(&again).contains("was invited before"), "{}", err(&again));
    let found = |link: &str| {
        let code = crate::house::code_of(link.trim_end());
        let accounts = house.accounts.clone();
        async move { accounts.find_invitation(&code, "192.0.2.1".parse().unwrap()).await.is_ok() }
    };
    assert!(!found(&link).await && found(&out(&again)).await, "the newer one works");
    house.account("bert@example.org", &[countersign::domain::people::Role::Approver]).await;
    let taken = account(&house, &["invite", "--email", "bert@example.org", "--name", "Bert", "--role", "admin"], "");
    assert_eq!((taken.status.code(), out(&taken).as_str()), (Some(1), ""));
    assert_eq!(err(&taken), "There is an account with this e-mail address already.\n");
    house.verify().await;
}

fn token(house: &House, args: &[&str]) -> Output {
    let url = house.test.options(DatabaseRole::App).to_url_lossy();
    let mut command = Command::new(PROGRAM);
    command.arg("token").args(args).env_clear().env("DATABASE_URL", url.as_str()).output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_makes_a_token_and_gets_it_alone() {
    // S-29
    let house = House::new().await;
    house.account("anna@example.org", &[countersign::domain::people::Role::Approver]).await;
    let create =
        ["create", "--email", "ANNA@example.org", "--label", "report", "--scope", "decide", "--expires", "30d"];
    let made = token(&house, &create);
    assert_eq!(made.status.code(), Some(0), "{}", err(&made));
    let secret = out(&made);
    assert_eq!(secret.lines().count(), 1);
    let secret = secret.trim_end();
    assert!(countersign::domain::tokens::is_whole(secret), "{secret}");
    assert!(err(&made).starts_with("A token for anna@example.org, scope decide, until 20"), "{}", err(&made));
    assert!(!err(&made).contains(secret), "{}", err(&made));

    let listed = token(&house, &["list", "--json"]);
    let all: Value = serde_json::from_str(&out(&listed)).unwrap();
    assert_eq!(
        (&all[0]["email"], &all[0]["label"], &all[0]["scope"], &all[0]["is_over"]),
        (&json!("anna@example.org"), &json!("report"), &json!("decide"), &json!(false))
    );
    assert!(!out(&listed).contains("csn_"));
    let one = token(&house, &["list", "--email", "anna@example.org"]);
    assert!(out(&one).contains("report") && out(&one).contains("never"), "{}", out(&one));

    let id = all[0]["id"].as_str().unwrap();
    let revoke = |id: &str| {
        let output = token(&house, &["revoke", "--id", id]);
        (output.status.code().unwrap(), err(&output))
    };
    assert_eq!(revoke(id), (0, "Revoked: it is refused from the next request on.\n".to_owned()));
    assert_eq!(revoke(id), (0, "It was revoked already.\n".to_owned()));
    let unknown = "01980f3e-5c1d-7e39-bd1d-0c3b4a5d6e7f";
    let said = format!("There is no token {unknown}. `countersign token list` shows all.\n");
    assert_eq!(revoke(unknown), (1, said));
    let none = token(&house, &["list"]);
    assert_eq!((none.status.code(), out(&none).as_str()), (Some(0), ""));
    let kinds: Vec<_> = house.records().await.into_iter().map(|it| (it.kind, it.actor)).collect();
    let of_operator = |kind: &str| (kind.to_owned(), "operator".to_owned());
    assert_eq!(kinds[2..], [of_operator("token.created"), of_operator("token.revoked")]);
    house.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_would_serve_too_long_or_nobody_is_not_made() {
    // S-29
    let house = House::new().await;
    let create = |email: &str, label: &str, scope: &str, expires: &str| {
        let output =
            token(&house, &["create", "--email", email, "--label", label, "--scope", scope, "--expires", expires]);
        assert_eq!(out(&output), "");
        (output.status.code().unwrap(), err(&output))
    };
    for expires in ["366d", "59m", "0h", "never", ""] {
        let (code, why) = create("anna@example.org", "a", "read", expires);
        assert_eq!(code, 2, "{expires}: {why}");
        assert!(why.contains("from 1 hour to 365 days"), "{why}");
    }
    assert_eq!(create("anna@example.org", "a", "admin", "30d").0, 2);
    let endless = ["create", "--email", "anna@example.org", "--label", "a", "--scope", "read"];
    assert_eq!(token(&house, &endless).status.code(), Some(2), "an expiry is required");
    let (code, why) = create("nobody@example.org", "a", "read", "30d");
    assert_eq!(code, 1);
    assert!(why.starts_with("There is no account nobody@example.org."), "{why}");
    house.account("anna@example.org", &[countersign::domain::people::Role::Approver]).await;
    assert_eq!(create("anna@example.org", " ", "read", "30d"), (1, "A label has 1 to 80 characters.\n".to_owned()));
    let disabled = account(&house, &["disable", "--email", "anna@example.org"], "");
    assert_eq!(disabled.status.code(), Some(0));
    let said = "This account is disabled. Enable it first.\n".to_owned();
    assert_eq!(create("anna@example.org", "a", "read", "30d"), (1, said));
    assert!(house.records_of("token.created").await.is_empty());
}
