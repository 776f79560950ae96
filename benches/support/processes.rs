//! The processes that are measured: portal and simulator, each as an operator runs it. Killed when dropped.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::load::{Connection, get};
use super::table::find_option;

/// The program that was just built: the simulator and the database's guard.
const BUILT: &str = env!("CARGO_BIN_EXE_countersign");

/// The program that is measured: the one just built, or `--program=PATH` (to compare with an earlier one).
pub fn program() -> String {
    find_option("program").unwrap_or_else(|| BUILT.to_owned())
}

/// A process that said where it listens.
pub struct Process {
    child: Child,
    pub address: SocketAddr,
    /// Where a simulator takes orders.
    pub control: Option<SocketAddr>,
}

impl Process {
    /// Starts a program in an environment without ours, its log in a file, and waits for `ready` and an address.
    pub fn start(mut command: Command, log: &Path, ready: &str) -> Self {
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if name.starts_with("AWS_") || name.starts_with("COUNTERSIGN_") {
                command.env_remove(name);
            }
        }
        let log_file = File::create(log).expect("the log can be written");
        let mut child = command.stdout(Stdio::piped()).stderr(log_file).spawn().expect("the program starts");
        let mut lines = BufReader::new(child.stdout.take().expect("its output is piped")).lines();
        let mut control = None;
        let address = loop {
            let Some(Ok(line)) = lines.next() else {
                panic!("it ended: {}", std::fs::read_to_string(log).unwrap_or_default())
            };
            if let Some(at) = line.strip_prefix("control ") {
                control = at.parse().ok();
            }
            if let Some(at) = line.strip_prefix(ready) {
                break at.trim_start_matches("http://").trim_end_matches('/').parse().expect("an address");
            }
        };
        // Somebody must read the rest, or it would block on a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address, control }
    }

    pub fn simulator(dir: &Path, world: &str) -> Self {
        let file = dir.join("world.toml");
        std::fs::write(&file, world).expect("the world can be written");
        let mut command = Command::new(BUILT);
        command.args(["simulate", "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0", "--world"]).arg(file);
        Self::start(command, &dir.join("simulator.log"), "listening ")
    }

    pub fn portal(dir: &Path, config: &Path, database: &str) -> Self {
        let mut command = Command::new(program());
        command.arg("serve").arg("--config").arg(config).env("DATABASE_URL", database);
        Self::start(command, &dir.join("portal.log"), "Countersign is at ")
    }

    /// This measuring program itself, in another part.
    pub fn part(dir: &Path, part: &str, arguments: &[String]) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
        command.arg(part).args(arguments);
        Self::start(command, &dir.join(format!("{part}.log")), "listening ")
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Resident memory in MiB: now, and at most so far.
    pub fn memory(&self) -> (f64, f64) {
        memory_of(self.id())
    }

    /// How many files and connections it has open.
    pub fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.id())).map_or(0, Iterator::count)
    }

    /// Asks until the portal says it is ready; how long that took since `since`.
    pub async fn until_ready(&self, since: Instant) -> Duration {
        loop {
            let mut connection = Connection::open(self.address).await;
            if connection.ask(&get(self.address, "/readyz", "", "")).await.status == 200 {
                return since.elapsed();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Resident memory of a process in MiB: now, and at most so far.
pub fn memory_of(pid: u32) -> (f64, f64) {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process is there");
    let mib = |name: &str| {
        let line =
            status.lines().find_map(|line| line.strip_prefix(name)).expect("Linux tells the memory of a process");
        line.split_whitespace().next().and_then(|word| word.parse::<f64>().ok()).expect("a number of KiB") / 1024.0
    };
    (mib("VmRSS:"), mib("VmHWM:"))
}
