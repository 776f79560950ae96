//! The roles of a managed Postgres, made by the printed SQL and an operator who is no superuser.

use std::io::Write;
use std::process::{Command, Stdio};

use countersign::database::roles::print_roles;
use countersign::database::{DatabaseSettings, Role, open_for_serving};
use secrecy::SecretString;
use sqlx::{ConnectOptions, Connection, Executor};

use crate::support::postgres::{PROGRAM, server};

fn psql(url: &str, sql: &str) -> (bool, String) {
    let mut child = Command::new("psql")
        .args(["-X", "-v", "ON_ERROR_STOP=1", url])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(sql.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// The roles exist in this cluster already, as they do where a second Countersign shares a server with the first.
#[tokio::test]
async fn what_print_roles_prints_works_as_an_operator_without_superpowers() {
    let printed = Command::new(PROGRAM).args(["migrate", "--print-roles"]).output().unwrap();
    assert!(printed.status.success());
    let sql = String::from_utf8(printed.stdout).unwrap();
    assert_eq!(sql.trim_end(), print_roles().trim_end());

    let server = server().await;
    let mut dba = server.superuser_options("postgres").connect().await.unwrap();
    dba.execute("create role operator login createrole createdb; create role stranger login createrole").await.unwrap();
    let url = |user: &str| {
        let url = server.url(Role::App).replacen("/countersign?", "/managed?", 1);
        url.replacen(Role::App.name(), user, 1)
    };
    let mut operator = server.superuser_options("postgres").username("operator").connect().await.unwrap();
    operator.execute("create database managed").await.unwrap();
    operator.close().await.unwrap();

    let (done, said) = psql(&url("stranger"), &sql);
    assert!(!done && said.contains("run this as the role that owns the database"), "{said}");
    for _ in 0..2 {
        let (done, said) = psql(&url("operator"), &sql);
        assert!(done, "{said}");
    }

    let login = |role: Role| Some(SecretString::from(url(role.name())));
    let settings = DatabaseSettings {
        url: login(Role::App),
        owner_url: login(Role::Owner),
        reader_url: login(Role::Reader),
        listen_url: None,
        migrate: true,
        data_dir: "/nonexistent".into(),
        postgres_bin: None,
    };
    let serving = open_for_serving(&settings, |_| {}).await.unwrap();
    let who: String =
        sqlx::query_scalar("select current_user::text").fetch_one(&serving.database.pages.now()).await.unwrap();
    assert_eq!(who, "countersign_app");
    serving.database.close().await;
}
