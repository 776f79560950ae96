//! One replica: `countersign serve` as a process of its own, behind a proxy of its own, that can be killed, stopped and
//! started again. Whatever it says is kept in a file that outlives it.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Mutex;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use super::until;
use crate::support::postgres::PROGRAM;
use crate::support::proxy::Proxy;

/// How long a replica may take to be ready, on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Replica {
    pub name: String,
    pub proxy: Proxy,
    environment: BTreeMap<String, String>,
    log: PathBuf,
    running: tokio::sync::Mutex<Option<Running>>,
    address: Mutex<SocketAddr>,
}

struct Running {
    child: Child,
    /// Kept open: a process whose output nobody takes would be another story.
    _said: Lines<BufReader<ChildStdout>>,
}

impl Replica {
    /// A replica that is not started yet.
    pub fn new(name: &str, proxy: Proxy, environment: BTreeMap<String, String>, log: PathBuf) -> Self {
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 1));
        let (running, address) = (tokio::sync::Mutex::new(None), Mutex::new(nowhere));
        Self { name: name.to_owned(), proxy, environment, log, running, address }
    }

    /// Adds to its environment, before it is started.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.insert(name.to_owned(), value.to_owned());
    }

    /// Starts it and waits until it is ready.
    pub async fn start(&self) {
        if let Err(why) = self.try_start().await {
            panic!("replica {} does not serve: {why}\n{}", self.name, self.log());
        }
        until("a replica is ready", PATIENCE, async || self.is_ready().await.then_some(())).await;
    }

    /// Starts it and waits until it says where it is. It may not be able to: its database may be gone just then.
    pub async fn try_start(&self) -> Result<(), String> {
        let mut running = self.running.lock().await;
        assert!(running.is_none(), "{} runs already", self.name);
        let mut child = self.command("serve").stdout(Stdio::piped()).stderr(self.log_file()).spawn().unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        while let Ok(Some(line)) = said.next_line().await {
            if let Some(address) = line.strip_prefix("Countersign is at http://") {
                *self.address.lock().unwrap() = address.trim_end_matches('/').parse().unwrap();
                *running = Some(Running { child, _said: said });
                return Ok(());
            }
        }
        Err(format!("it ended with {}", child.wait().await.unwrap()))
    }

    /// The program with this replica's environment and no other.
    pub fn command(&self, argument: &str) -> Command {
        let mut command = Command::new(PROGRAM);
        command.arg(argument).env_clear().envs(&self.environment).current_dir(std::env::temp_dir());
        command.kill_on_drop(true).stdin(Stdio::null());
        command
    }

    pub fn address(&self) -> SocketAddr {
        *self.address.lock().unwrap()
    }

    pub fn origin(&self) -> String {
        format!("http://{}", self.address())
    }

    /// What `/readyz` answers, if anything answers.
    pub async fn readiness(&self) -> Option<(u16, String)> {
        let answer = reqwest::get(format!("{}/readyz", self.origin())).await.ok()?;
        Some((answer.status().as_u16(), answer.text().await.ok()?))
    }

    pub async fn is_ready(&self) -> bool {
        self.readiness().await.is_some_and(|(status, _)| status == 200)
    }

    pub async fn pid(&self) -> i32 {
        let running = self.running.lock().await;
        let child = &running.as_ref().unwrap_or_else(|| panic!("{} does not run", self.name)).child;
        i32::try_from(child.id().expect("it has not been waited for")).unwrap()
    }

    pub async fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid().await), signal).unwrap();
    }

    /// kill -9, and waits until nothing is left of it. False: it did not run.
    pub async fn kill(&self) -> bool {
        let Some(mut running) = self.running.lock().await.take() else { return false };
        running.child.kill().await.unwrap();
        true
    }

    /// Waits for its end; the exit code, unless a signal ended it.
    pub async fn ended(&self) -> Option<i32> {
        let mut running = self.running.lock().await.take().unwrap_or_else(|| panic!("{} does not run", self.name));
        let ended = tokio::time::timeout(Duration::from_secs(60), running.child.wait()).await;
        ended.unwrap_or_else(|_| panic!("{} does not end:\n{}", self.name, self.log())).unwrap().code()
    }

    /// Everything it has logged, over all its lives.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn log_file(&self) -> File {
        OpenOptions::new().create(true).append(true).open(&self.log).unwrap()
    }
}
