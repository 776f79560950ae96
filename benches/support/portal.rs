//! The portal as its users have it: `countersign serve`, a process of its own on a free port, and the bench's figures of
//! what it answers and how big it gets.

use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::processes::{memory_of, program};

/// A serving process. Dropping it kills it.
pub struct Portal {
    pub address: String,
    /// From the start of the process until it said where it is.
    pub began: Instant,
    child: Child,
}

impl Portal {
    /// Starts `serve` on this database. `more`: further environment, such as where AWS is.
    pub async fn start(database_url: &str, more: &[(&str, String)]) -> Self {
        let began = Instant::now();
        let mut child = Command::new(program())
            .arg("serve")
            .env_clear()
            .current_dir(std::env::temp_dir())
            .env("DATABASE_URL", database_url)
            .env("COUNTERSIGN_LISTEN", "127.0.0.1:0")
            .env("COUNTERSIGN_LOG", "warn")
            .env("AWS_REGION", "eu-west-1")
            // Nobody answers there: pages read the database only.
            .env("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
            .env("AWS_ACCESS_KEY_ID", "AKIABENCH")
            .env("AWS_SECRET_ACCESS_KEY", "bench")
            .envs(more.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the portal can be started");
        let mut lines = BufReader::new(child.stdout.take().expect("it is a pipe")).lines();
        while let Some(line) = lines.next_line().await.expect("it speaks UTF-8") {
            if let Some(address) = line.strip_prefix("Countersign is at ") {
                let address = address.trim_end_matches('/').to_owned();
                let mut log = child.stderr.take().expect("it is a pipe");
                tokio::spawn(async move { tokio::io::copy(&mut log, &mut tokio::io::sink()).await });
                return Self { address, began, child };
            }
        }
        let mut said = String::new();
        child.stderr.take().expect("it is a pipe").read_to_string(&mut said).await.expect("it speaks UTF-8");
        panic!("it does not serve: {said}");
    }

    /// Resident memory in MiB: now, and at most so far.
    pub fn memory(&self) -> (f64, f64) {
        memory_of(self.child.id().expect("it runs"))
    }
}

/// How long things took.
#[derive(Debug, Default)]
pub struct Times(Vec<Duration>);

impl Times {
    pub fn add(&mut self, took: Duration) {
        self.0.push(took);
    }

    /// In milliseconds: the first, the median, the 99th percentile, the slowest.
    pub fn figures(&self) -> [f64; 4] {
        let first = self.0.first().expect("something was timed").as_secs_f64() * 1e3;
        let mut sorted: Vec<f64> = self.0.iter().map(|took| took.as_secs_f64() * 1e3).collect();
        sorted.sort_by(f64::total_cmp);
        let at = |share: f64| sorted[((sorted.len() as f64 * share).ceil() as usize).clamp(1, sorted.len()) - 1];
        [first, at(0.5), at(0.99), at(1.0)]
    }
}
