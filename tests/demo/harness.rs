//! Starts the demo in a process of its own, reads what it says, and looks at its pages as a browser would.

use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reqwest::header::ORIGIN;
use tempfile::TempDir;

use crate::support::postgres::{PROGRAM, memory_dir};

/// A directory that the database's user can reach too, when the tests run as root.
pub fn directory() -> TempDir {
    tempfile::Builder::new()
        .prefix("countersign-demo-")
        .permissions(Permissions::from_mode(0o711))
        .tempdir_in(memory_dir())
        .unwrap()
}

/// The command, in a world without our environment.
pub fn command(data_dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.arg("demo").arg("--data-dir").arg(data_dir).args(arguments);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("AWS_") || name.starts_with("COUNTERSIGN_") || name == "DATABASE_URL" {
            command.env_remove(name);
        }
    }
    command
}

/// Runs a demo that is expected to refuse; what it said on standard error.
pub fn refusal(data_dir: &Path, arguments: &[&str]) -> String {
    let Output { status, stderr, stdout } = command(data_dir, arguments).output().unwrap();
    let said = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(1), "{said}\n{}", String::from_utf8_lossy(&stdout));
    said
}

/// A running demo that said it is ready.
pub struct Demo {
    process: Child,
    /// Kept open: a demo whose output nobody reads would be another story.
    _output: BufReader<ChildStdout>,
    pub address: String,
    pub data_dir: PathBuf,
    /// E-mail addresses and passwords as printed.
    pub sign_ins: Vec<(String, String)>,
}

impl Demo {
    pub fn start(data_dir: &Path, arguments: &[&str]) -> Self {
        let mut arguments = arguments.to_vec();
        arguments.extend(["--listen", "127.0.0.1:0"]);
        let mut process = command(data_dir, &arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let (mut address, mut sign_ins) = (None, Vec::new());
        let mut line = String::new();
        while output.read_line(&mut line).unwrap() > 0 {
            if let Some(found) = line.strip_prefix("Ready: ") {
                address = Some(found.trim().trim_end_matches('/').to_owned());
            }
            let words: Vec<_> = line.split_whitespace().collect();
            if let [.., email, password] = words[..]
                && email.ends_with("@demo.example")
            {
                sign_ins.push((email.to_owned(), password.to_owned()));
            }
            if line.starts_with("Ctrl-C stops") {
                break;
            }
            line.clear();
        }
        let address = address.unwrap_or_else(|| panic!("the demo ended before it was ready: {:?}", process.wait()));
        Self { process, _output: output, address, data_dir: data_dir.to_owned(), sign_ins }
    }

    /// The process id of its Postgres.
    pub fn postmaster(&self) -> Pid {
        let file = fs::read_to_string(self.data_dir.join("postgres/cluster/postmaster.pid")).unwrap();
        Pid::from_raw(file.lines().next().unwrap().trim().parse().unwrap())
    }

    pub fn interrupt(mut self) -> bool {
        self.signal(Signal::SIGINT);
        self.process.wait().unwrap().success()
    }

    pub fn kill(mut self) {
        self.signal(Signal::SIGKILL);
        self.process.wait().unwrap();
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.process.id()).unwrap()), signal).unwrap();
    }

    /// Signs in as the person whose address begins with `who`.
    pub async fn sign_in(&self, who: &str) -> Browser {
        let (email, password) = self.sign_ins.iter().find(|(email, _)| email.starts_with(who)).unwrap().clone();
        let browser = Browser::new(&self.address);
        let page = browser.read("/sign-in").await;
        let csrf = hidden(&page, "csrf");
        let form = [("csrf", csrf.as_str()), ("email", &email), ("password", &password)];
        let page = browser.submit("/sign-in", &form).await;
        assert!(page.contains("Sign out"), "{page}");
        browser
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // A story that failed half-way must not leave a server behind; one that was told to its end has no process.
        let _ended = self.process.kill();
        let _reaped = self.process.wait();
    }
}

/// Whether a process is still there.
pub fn lives(process: Pid) -> bool {
    kill(process, None) != Err(Errno::ESRCH)
}

/// Follows redirects, keeps cookies, sends what browsers send.
pub struct Browser {
    client: reqwest::Client,
    address: String,
}

impl Browser {
    fn new(address: &str) -> Self {
        let client = reqwest::Client::builder().cookie_store(true).build().unwrap();
        Self { client, address: address.to_owned() }
    }

    pub async fn read(&self, path: &str) -> String {
        let answer = self.client.get(format!("{}{path}", self.address)).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        answer.text().await.unwrap()
    }

    pub async fn submit(&self, path: &str, form: &[(&str, &str)]) -> String {
        let request = self.client.post(format!("{}{path}", self.address)).form(form);
        let request = request.header(ORIGIN, &self.address).header("sec-fetch-site", "same-origin");
        let answer = request.send().await.unwrap();
        let status = answer.status();
        let page = answer.text().await.unwrap();
        assert!(status.is_success(), "{path}: {status}\n{page}");
        page
    }

    /// The approvals on the queue, in its order.
    pub async fn queue(&self) -> Vec<String> {
        let page = self.read("/").await;
        assert!(page.contains("Waiting for a decision"), "{page}");
        let links = page.split("href=\"/approvals/").skip(1);
        links.map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
    }
}

/// The value of a hidden field.
#[track_caller]
pub fn hidden(page: &str, name: &str) -> String {
    let (_, rest) =
        page.split_once(&format!("name=\"{name}\" value=\"")).unwrap_or_else(|| panic!("no {name}: {page}"));
    rest.split('"').next().unwrap().to_owned()
}

/// Takes a port for as long as it is held.
pub fn taken_port() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}
