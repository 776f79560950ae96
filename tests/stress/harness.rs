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
use reqwest::header::{COOKIE, ORIGIN, SET_COOKIE};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
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

    /// What the portal says that does not start.
    pub async fn refusal(&self) -> String {
        let ended = self.command(&["serve"]).output().await.unwrap();
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
        String::from_utf8_lossy(&ended.stderr).into_owned()
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
    prober: Client,
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
                let took = began.elapsed();
                let address = SocketAddr::from(([127, 0, 0, 1], port));
                let prober = Client::builder().pool_max_idle_per_host(0).build().unwrap();
                return Self { child, address, took, log, prober, _said: said };
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
        let answer = self.prober.get(self.url(path)).send().await?;
        Ok((answer.status(), answer.text().await?))
    }
}

/// Somebody with a browser. All of them share a client, because making one costs more than a sign-in.
pub struct Browser {
    client: Client,
    base: String,
    forwarded_for: String,
    cookies: BTreeMap<String, String>,
    csrf: String,
}

impl Browser {
    /// Opens the sign-in form, as somebody whom a trusted proxy calls `forwarded_for`.
    pub async fn open(client: &Client, base: &str, forwarded_for: &str) -> Self {
        let (client, base, forwarded_for) = (client.clone(), base.to_owned(), forwarded_for.to_owned());
        let mut browser = Self { client, base, forwarded_for, cookies: BTreeMap::new(), csrf: String::new() };
        let page = browser.get("/sign-in").await.unwrap();
        assert_eq!(page.status(), StatusCode::OK);
        browser.keep_cookies(&page);
        let page = page.text().await.unwrap();
        let (_, rest) = page.split_once("name=\"csrf\" value=\"").unwrap();
        browser.csrf = rest.split('"').next().unwrap().to_owned();
        browser
    }

    pub async fn get(&self, path: &str) -> Result<Response, reqwest::Error> {
        self.dressed(self.client.get(format!("{}{path}", self.base))).send().await
    }

    pub async fn sign_in(&mut self, email: &str, password: &str) -> Result<Response, reqwest::Error> {
        let form = [("csrf", self.csrf.as_str()), ("email", email), ("password", password)];
        let request = self.dressed(self.client.post(format!("{}/sign-in", self.base))).form(&form);
        let request = request.header(ORIGIN, &self.base).header("sec-fetch-site", "same-origin");
        let answer = request.send().await?;
        self.keep_cookies(&answer);
        Ok(answer)
    }

    fn dressed(&self, request: RequestBuilder) -> RequestBuilder {
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        request.header("x-forwarded-for", &self.forwarded_for).header(COOKIE, cookies.join("; "))
    }

    fn keep_cookies(&mut self, answer: &Response) {
        for cookie in answer.headers().get_all(SET_COOKIE) {
            let (name, rest) = cookie.to_str().unwrap().split_once('=').unwrap();
            self.cookies.insert(name.to_owned(), rest.split(';').next().unwrap().to_owned());
        }
    }
}

/// What browsers ask with: no redirects followed, and nothing tried twice.
pub fn client() -> Client {
    let builder = Client::builder().redirect(reqwest::redirect::Policy::none()).retry(reqwest::retry::never());
    builder.pool_idle_timeout(Duration::from_secs(5)).build().unwrap()
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
    let mut terminal = std::io::stderr().lock();
    writeln!(terminal, "    {line}").unwrap();
}

/// Median, 99th percentile and longest.
pub fn spread(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_millis();
    format!("p50 {} ms, p99 {} ms, longest {} ms of {}", at(0.5), at(0.99), at(1.0), times.len())
}
