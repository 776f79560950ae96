//! `countersign serve` and `countersign healthcheck` as processes, as an operator and a container manager meet them.

use std::collections::BTreeMap;
use std::process::Stdio;

use countersign::database::Role;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sqlx::ConnectOptions as _;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::support::postgres::{PROGRAM, TestDatabase};
use crate::support::smtp::Sink;

/// A portal in a process of its own, serving.
struct Served {
    child: Child,
    listen: String,
    said: Vec<String>,
}

fn program(environment: &BTreeMap<&str, String>) -> Command {
    let mut command = Command::new(PROGRAM);
    let folder = std::env::temp_dir();
    command.env_clear().envs(environment).current_dir(folder).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn environment(database: &TestDatabase) -> BTreeMap<&'static str, String> {
    BTreeMap::from([
        ("DATABASE_URL", database.options(Role::App).to_url_lossy().to_string()),
        ("COUNTERSIGN_DATABASE_OWNER_URL", database.options(Role::Owner).to_url_lossy().to_string()),
        ("COUNTERSIGN_LISTEN", "127.0.0.1:0".to_owned()),
        ("COUNTERSIGN_LOG_FORMAT", "json".to_owned()),
        ("AWS_REGION", "eu-west-1".to_owned()),
        // Nobody answers there: a portal that cannot see AWS serves all the same.
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:1".to_owned()),
        ("AWS_ACCESS_KEY_ID", "AKIAPORTAL".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "marker-aws-secret".to_owned()),
    ])
}

impl Served {
    async fn start(environment: &BTreeMap<&str, String>) -> Self {
        let mut child = program(environment).arg("serve").spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut said = Vec::new();
        while let Some(line) = lines.next_line().await.unwrap() {
            said.push(line.clone());
            if let Some(address) = line.strip_prefix("Countersign is at http://") {
                return Self { child, listen: address.trim_end_matches('/').to_owned(), said };
            }
        }
        let mut error = String::new();
        child.stderr.take().unwrap().read_to_string(&mut error).await.unwrap();
        panic!("it does not serve: {said:?} {error}");
    }

    /// Tells it to stop; its exit code and what it logged.
    async fn stop(mut self) -> (Option<i32>, String) {
        let pid = i32::try_from(self.child.id().unwrap()).unwrap();
        kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
        let mut log = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut log).await.unwrap();
        (self.child.wait().await.unwrap().code(), log)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_migrates_serves_is_probed_and_stops_in_good_order() {
    // P-15, P-16, P-20, S-47
    let database = TestDatabase::create_empty().await;
    let mut environment = environment(&database);
    let served = Served::start(&environment).await;
    assert!(served.said.iter().any(|line| line.contains("Nobody has an account yet")), "{:?}", served.said);
    environment.insert("COUNTERSIGN_LISTEN", served.listen.clone());
    for (arguments, answer) in [(&["healthcheck"][..], "ok\n"), (&["healthcheck", "--ready"], "ready\n")] {
        let asked = program(&environment).args(arguments).output().await.unwrap();
        let error = String::from_utf8_lossy(&asked.stderr).into_owned();
        assert_eq!(
            (asked.status.code(), String::from_utf8_lossy(&asked.stdout).as_ref()),
            (Some(0), answer),
            "{error}"
        );
    }
    let secret = served.said.iter().find(|line| line.starts_with("    ")).unwrap().trim().to_owned();
    let (code, log) = served.stop().await;
    assert_eq!(code, Some(0), "{log}");
    for line in log.lines() {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "each line is JSON: {line}");
    }
    assert!(log.contains("\"route\":\"/readyz\""), "{log}");
    for marker in [secret.as_str(), "marker-aws-secret"] {
        assert!(!log.contains(marker), "a secret is in the log");
    }
    let asked = program(&environment).arg("healthcheck").output().await.unwrap();
    assert_eq!(asked.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&asked.stderr).contains("The portal does not answer at"), "{asked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_others_can_reach_it_a_portal_serves_only_with_an_https_address_and_says_so() {
    // S-24
    let database = TestDatabase::create().await;
    let unnamed = "is reachable from other machines, so `public_url` must say the https address people use, for example \
                   public_url = \"https://approvals.example.com\"";
    let plain = "public_url = \"http://approvals.example.com/\" must begin with https:// (plain http is only allowed while \
                 listening on loopback)";
    let refusals = [
        ("0.0.0.0:0", None, format!("listen = \"0.0.0.0:0\" {unnamed}")),
        ("[::]:0", None, format!("listen = \"[::]:0\" {unnamed}")),
        ("192.0.2.1:8080", None, format!("listen = \"192.0.2.1:8080\" {unnamed}")),
        ("0.0.0.0:0", Some("http://approvals.example.com"), plain.to_owned()),
        ("[::]:0", Some("http://approvals.example.com"), plain.to_owned()),
    ];
    for (listen, public_url, words) in refusals {
        let mut environment = environment(&database);
        environment.insert("COUNTERSIGN_LISTEN", listen.to_owned());
        environment.extend(public_url.map(|url| ("COUNTERSIGN_PUBLIC_URL", url.to_owned())));
        let refused = program(&environment).arg("serve").output().await.unwrap();
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(refused.status.code().is_some_and(|code| code != 0), "{listen} {public_url:?}: {said}");
        assert!(said.contains(&words), "{listen} {public_url:?}: {said}");
        assert!(refused.stdout.is_empty(), "it never served: {refused:?}");
    }
    let mut environment = environment(&database);
    environment.insert("COUNTERSIGN_LISTEN", "0.0.0.0:0".to_owned());
    environment.insert("COUNTERSIGN_PUBLIC_URL", "https://approvals.example.com".to_owned());
    let mut child = program(&environment).arg("serve").spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut said = Vec::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        let is_there = line.starts_with("Countersign is at ");
        said.push(line);
        if is_there {
            break;
        }
    }
    assert_eq!(said.last().map(String::as_str), Some("Countersign is at https://approvals.example.com/"), "{said:?}");
    kill(Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()), Signal::SIGTERM).unwrap();
    assert_eq!(child.wait().await.unwrap().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_portal_that_serves_delivers_mail_by_itself_and_logs_none_of_its_secrets() {
    // L-11, S-48
    let (database, sink) = (TestDatabase::create().await, Sink::with_login("portal", "marker mail password").await);
    let mut environment = environment(&database);
    environment.insert("COUNTERSIGN_MAIL_SMTP_URL", format!("smtp://portal:marker%20mail%20password@{}", sink.address));
    environment.insert("COUNTERSIGN_MAIL_FROM", "approvals@example.com".to_owned());
    // Nobody reads the log before the end: it must fit the pipe.
    environment.insert("COUNTERSIGN_LOG", "info,lettre=trace,countersign::mail=trace".to_owned());
    let invite = ["account", "invite", "--email", "anna@example.org", "--name", "Anna", "--role", "admin"];
    let invited = program(&environment).args(invite).output().await.unwrap();
    let said = String::from_utf8_lossy(&invited.stderr).into_owned();
    assert!(invited.status.success() && said.contains("is on its way"), "{said}");
    let served = Served::start(&environment).await;
    let link = sink.arrives_for("anna@example.org").await.link("http://127.0.0.1:0/invite/");
    assert_eq!(link, String::from_utf8_lossy(&invited.stdout).trim_end());
    let path = url::Url::parse(&link).unwrap().path().to_owned();
    let page = reqwest::get(format!("http://{}{path}", served.listen)).await.unwrap();
    assert_eq!(page.status(), 200);
    let (code, log) = served.stop().await;
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("mail delivered") && log.contains("\"route\":\"/invite/{code}\""), "{log}");
    for marker in [path.rsplit('/').next().unwrap(), "marker mail password", "marker%20mail"] {
        assert!(!log.contains(marker) && !said.contains(marker), "a secret is in the log");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_token_is_in_the_log_wherever_a_program_puts_it() {
    // S-29, S-48
    let database = TestDatabase::create().await;
    let mut environment = environment(&database);
    let create = ["account", "create", "--email", "anna@example.org", "--name", "Anna", "--role", "auditor"];
    let account = [&create[..], &["--password-stdin"]].concat();
    let mut child = program(&environment).args(account).stdin(Stdio::piped()).spawn().unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut child.stdin.take().unwrap(), b"correct horse battery staple")
        .await
        .unwrap();
    assert!(child.wait().await.unwrap().success());
    let create =
        ["token", "create", "--email", "anna@example.org", "--label", "a", "--scope", "read", "--expires", "1h"];
    let made = program(&environment).args(create).output().await.unwrap();
    let token = String::from_utf8_lossy(&made.stdout).trim_end().to_owned();
    // Nobody reads the log before the end: it must fit the pipe.
    environment.insert("COUNTERSIGN_LOG", "info,countersign::web=trace,countersign::accounts=trace".to_owned());
    let served = Served::start(&environment).await;
    let http = reqwest::Client::new();
    let me = format!("http://{}/api/v1/me", served.listen);
    let (wrong, cut) = (countersign::domain::tokens::write(&[7; 32]), &token[..50]);
    assert_eq!(http.get(&me).bearer_auth(&token).send().await.unwrap().status(), 200);
    for bad in [wrong.as_str(), cut] {
        assert_eq!(http.get(&me).bearer_auth(bad).send().await.unwrap().status(), 401);
    }
    assert_eq!(http.get(format!("{me}?access_token={token}")).send().await.unwrap().status(), 401);
    assert_eq!(http.get(format!("{me}/{token}")).send().await.unwrap().status(), 404);
    let (code, log) = served.stop().await;
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("\"route\":\"/api/v1/me\""), "{log}");
    for marker in [&token[4..47], &wrong[4..47]] {
        assert!(!log.contains(marker), "a token is in the log");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_serve_from_starting_is_said_in_a_sentence() {
    let database = TestDatabase::create().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let cases = [
        ("COUNTERSIGN_LISTEN", taken.local_addr().unwrap().to_string(), "cannot listen on"),
        ("COUNTERSIGN_LISTEN", "0.0.0.0:0".to_owned(), "public_url"),
        ("COUNTERSIGN_LOG", "countersign=loud".to_owned(), "COUNTERSIGN_LOG"),
        ("COUNTERSIGN_LOG_FROMAT", "json".to_owned(), "COUNTERSIGN_LOG_FROMAT"),
        ("COUNTERSIGN_MAIL_SMTP_URL", "smtps://mail.example.com".to_owned(), "mail.from"),
        ("DATABASE_URL", database.options(Role::Owner).to_url_lossy().to_string(), "not safe"),
        ("DATABASE_URL", "postgres://countersign_app@127.0.0.1:1/x".to_owned(), "cannot be reached"),
    ];
    for (name, value, part) in cases {
        let mut environment = environment(&database);
        if name == "DATABASE_URL" {
            environment.insert("COUNTERSIGN_DATABASE_MIGRATE", "false".to_owned());
        }
        environment.insert(name, value);
        let ended = program(&environment).arg("serve").output().await.unwrap();
        let error = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(1), "{name}: {error}");
        assert!(error.contains(part), "{name}: {error}");
        assert!(!error.contains("panicked") && !error.contains("RUST_BACKTRACE"), "{error}");
    }
}
