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
async fn what_keeps_serve_from_starting_is_said_in_a_sentence() {
    let database = TestDatabase::create().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let cases = [
        ("COUNTERSIGN_LISTEN", taken.local_addr().unwrap().to_string(), "cannot listen on"),
        ("COUNTERSIGN_LISTEN", "0.0.0.0:0".to_owned(), "public_url"),
        ("COUNTERSIGN_LOG", "countersign=loud".to_owned(), "COUNTERSIGN_LOG"),
        ("COUNTERSIGN_LOG_FROMAT", "json".to_owned(), "COUNTERSIGN_LOG_FROMAT"),
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
