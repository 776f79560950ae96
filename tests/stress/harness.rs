//! A portal in a process of its own, watched from outside: what it answers, what it holds open, what it takes up.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::{Duration, Instant};

use countersign::database::Role;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reqwest::header::ORIGIN;
use reqwest::{Client, StatusCode};
use sqlx::ConnectOptions as _;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::support::postgres::{PROGRAM, TestDatabase};

pub const EMAIL: &str = "ana@example.com";
pub const PASSWORD: &str = "never mind the weather today";

/// What the portal's process is told.
pub struct Settings(BTreeMap<&'static str, String>);

impl Settings {
    pub fn of(database: &TestDatabase) -> Self {
        let url = |role: Role| database.options(role).to_url_lossy().to_string();
        Self(BTreeMap::from([
            ("DATABASE_URL", url(Role::App)),
            ("COUNTERSIGN_DATABASE_OWNER_URL", url(Role::Owner)),
            ("COUNTERSIGN_LISTEN", "127.0.0.1:0".to_owned()),
            ("AWS_REGION", "eu-west-1".to_owned()),
            // Nobody answers there: these stories are about people, not about AWS.
            ("AWS_ENDPOINT_URL", "http://127.0.0.1:1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "AKIAPORTAL".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "portal-secret".to_owned()),
        ]))
    }

    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.0.insert(name, value.into());
        self
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.env_clear().envs(&self.0).args(arguments).kill_on_drop(true);
        command
    }

    /// Makes Ana's account, as an operator does.
    pub async fn create_account(&self) {
        let arguments =
            ["account", "create", "--email", EMAIL, "--name", "Ana", "--role", "approver", "--password-stdin"];
        let mut command = self.command(&arguments);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut input, PASSWORD.as_bytes()).await.unwrap();
        drop(input);
        assert!(child.wait().await.unwrap().success());
    }
}

/// A running portal.
pub struct Served {
    child: Child,
    pub address: SocketAddr,
    /// From the start of the process until it said where it is.
    pub took: Duration,
    log: TempDir,
    // Kept open, as a terminal is.
    _said: tokio::io::Lines<BufReader<tokio::process::ChildStdout>>,
}

impl Served {
    pub async fn start(settings: Settings) -> Self {
        let port = free_port();
        let settings = settings.with("COUNTERSIGN_LISTEN", format!("127.0.0.1:{port}"));
        let log = tempfile::tempdir().unwrap();
        let file = File::create(log.path().join("log")).unwrap();
        let began = Instant::now();
        let mut child = settings.command(&["serve"]).stdout(Stdio::piped()).stderr(file).spawn().unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        while let Some(line) = said.next_line().await.unwrap() {
            if line.starts_with("Countersign is at ") {
                let address = SocketAddr::from(([127, 0, 0, 1], port));
                return Self { child, address, took: began.elapsed(), log, _said: said };
            }
        }
        panic!("it does not serve: {}", fs::read_to_string(log.path().join("log")).unwrap());
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.log.path().join("log")).unwrap()
    }

    fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.pid()).unwrap()), signal).unwrap();
    }

    /// The exit code, once it has ended.
    pub async fn ended(&mut self) -> Option<i32> {
        self.child.wait().await.unwrap().code()
    }

    /// How many files and connections it has open.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }

    /// The most memory it ever had at once, and what it has now, in KiB.
    pub fn memory(&self) -> (u64, u64) {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse().unwrap()
        };
        (field("VmHWM:"), field("VmRSS:"))
    }

    /// Status and body of a page, on a connection of its own.
    pub async fn ask(&self, path: &str) -> Result<(StatusCode, String), reqwest::Error> {
        let client = Client::builder().pool_max_idle_per_host(0).build()?;
        let answer = client.get(self.url(path)).send().await?;
        Ok((answer.status(), answer.text().await?))
    }
}

/// A browser before the sign-in form.
pub struct SignIn {
    client: Client,
    form: Vec<(&'static str, String)>,
    url: String,
    origin: String,
    forwarded_for: String,
}

impl SignIn {
    /// Opens the form, as somebody whom a trusted proxy calls `forwarded_for`.
    pub async fn open(base: &str, forwarded_for: &str, email: &str, password: &str) -> Self {
        let redirect = reqwest::redirect::Policy::none();
        let client = Client::builder().cookie_store(true).redirect(redirect).build().unwrap();
        let url = format!("{base}/sign-in");
        let page = client.get(&url).header("x-forwarded-for", forwarded_for).send().await.unwrap();
        assert_eq!(page.status(), StatusCode::OK);
        let page = page.text().await.unwrap();
        let (_, rest) = page.split_once("name=\"csrf\" value=\"").unwrap();
        let csrf = rest.split('"').next().unwrap().to_owned();
        let form = vec![("csrf", csrf), ("email", email.to_owned()), ("password", password.to_owned())];
        Self { client, form, url, origin: base.to_owned(), forwarded_for: forwarded_for.to_owned() }
    }

    pub async fn submit(&self) -> Result<reqwest::Response, reqwest::Error> {
        let request = self.client.post(&self.url).form(&self.form).header(ORIGIN, &self.origin);
        request.header("sec-fetch-site", "same-origin").header("x-forwarded-for", &self.forwarded_for).send().await
    }

    /// The browser afterwards.
    pub fn into_client(self) -> Client {
        self.client
    }
}

/// A port that nobody listens on just now.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Lets this process, which plays thousands of clients, open as many connections as it may.
pub fn open_many() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard.min(65_536), hard).unwrap();
}

/// Says a figure. Figures are read by people: machines are too different, and too busy, to fail a test over one.
pub fn print(line: &str) {
    writeln!(std::io::stderr(), "    {line}").unwrap();
}

/// Median, 99th percentile and longest.
pub fn spread(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_millis();
    format!("p50 {} ms, p99 {} ms, longest {} ms of {}", at(0.5), at(0.99), at(1.0), times.len())
}
