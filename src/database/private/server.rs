//! The server process under its guard: started, awaited, started again after it died, stopped when the portal is gone.
//! It never kills a server that can still be stopped in good order.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use super::cluster;
use super::error::explain;
use super::guard::{GuardArgs, Report};
use super::place::PORT;

/// How often the server is started again before giving up, and the pause before each.
const RESTARTS: u32 = 5;
const PAUSE: Duration = Duration::from_secs(1);

/// A log of this size is put aside at the next start.
const LONG_LOG: u64 = 10 * 1024 * 1024;

/// Why the server's process is no longer awaited.
enum End {
    /// The portal went, and the server was stopped.
    Stopped,
    /// The server ended by itself; it had been ready before.
    Died,
    /// The server ended before it was ever ready.
    NeverReady(String),
}

/// Keeps the server running until `ended`.
pub(super) async fn run(args: &GuardArgs, ended: &CancellationToken) -> Result<(), String> {
    if !cluster::ensure(args, ended).await? {
        return Ok(());
    }
    let mut restarts = 0;
    loop {
        cluster::stop_leftover(args).await?;
        let log_start = prepare_log(&args.root);
        let mut child = spawn(args)?;
        let why = match watch(args, &mut child, ended).await {
            End::Stopped => return Ok(()),
            End::Died => "The private Postgres ended unexpectedly".to_owned(),
            End::NeverReady(_) if ended.is_cancelled() => return Ok(()),
            End::NeverReady(_) if read_log(&args.root, log_start).contains("pre-existing shared memory block") => {
                "Processes of a crashed server have not ended yet".to_owned()
            }
            // Any other first start that fails has a reason that trying again does not change.
            End::NeverReady(status) if restarts == 0 => return Err(explain_log(&args.root, log_start, &status)),
            End::NeverReady(_) => "The private Postgres did not come up".to_owned(),
        };
        restarts += 1;
        if restarts > RESTARTS {
            return Err(format!("{why}, {restarts} times. See {}.", args.root.join("server.log").display()));
        }
        Report::Step(format!("{why}; starting it again")).tell();
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = ended.cancelled() => return Ok(()),
        }
    }
}

/// Puts a long log aside; answers where this start's lines begin.
fn prepare_log(root: &Path) -> usize {
    let log = root.join("server.log");
    let length = fs::metadata(&log).map_or(0, |found| found.len());
    if length > LONG_LOG {
        fs::rename(&log, root.join("server.log.1")).ok();
        return 0;
    }
    usize::try_from(length).unwrap_or(0)
}

fn spawn(args: &GuardArgs) -> Result<Child, String> {
    let path = args.root.join("server.log");
    let log = OpenOptions::new().append(true).create(true).mode(0o600).open(&path);
    let log = log.map_err(|error| format!("{} {}", path.display(), explain(&error)))?;
    let mut command = Command::new(args.bin.join("postgres"));
    command
        .arg("-D")
        .arg(cluster::path(&args.root))
        .arg("-k")
        .arg(&args.socket)
        .args(["-h", "", "-p", &PORT.to_string()])
        .args(["-c", "unix_socket_permissions=0700", "-c", "logging_collector=off", "-c", "cluster_name=countersign"]);
    for setting in &args.settings {
        command.args(["-c", setting]);
    }
    let spawned = command
        .env_clear()
        .env("LC_ALL", "C")
        .current_dir(&args.root)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn();
    spawned.map_err(|error| format!("{} could not be run: {error}.", args.bin.join("postgres").display()))
}

/// Awaits the server: reports when it is ready, and stops it when the portal is gone.
async fn watch(args: &GuardArgs, child: &mut Child, ended: &CancellationToken) -> End {
    let cluster = cluster::path(&args.root);
    let own = child.id();
    let mut tick = tokio::time::interval(Duration::from_millis(10));
    let (mut ready, mut waited) = (false, 0_u32);
    loop {
        tokio::select! {
            () = ended.cancelled() => {
                stop(child, args.temporary).await;
                return End::Stopped;
            }
            status = child.wait() => {
                let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
                return if ready { End::Died } else { End::NeverReady(status) };
            }
            _ = tick.tick(), if !ready => {
                let found = cluster::find_postmaster(&cluster);
                ready = found.is_some_and(|found| found.ready && u32::try_from(found.pid).ok() == own);
                waited += 1;
                if ready {
                    Report::Ready.tell();
                } else if waited.is_multiple_of(200) {
                    let seconds = waited / 100;
                    Report::Step(format!("The database is recovering after a crash ({seconds} s so far)")).tell();
                }
            }
        }
    }
}

/// Fast shutdown; after a minute, immediate. A temporary server goes at once.
async fn stop(child: &mut Child, temporary: bool) {
    let Some(pid) = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw) else { return };
    kill(pid, if temporary { Signal::SIGQUIT } else { Signal::SIGINT }).ok();
    if tokio::time::timeout(Duration::from_secs(60), child.wait()).await.is_err() {
        kill(pid, Signal::SIGQUIT).ok();
        child.wait().await.ok();
    }
}

/// What the server logged since `start`.
fn read_log(root: &Path, start: usize) -> String {
    let bytes = fs::read(root.join("server.log")).unwrap_or_default();
    String::from_utf8_lossy(&bytes[start.min(bytes.len())..]).into_owned()
}

/// The reason a server did not start, from the lines of its log since `start`.
fn explain_log(root: &Path, start: usize, status: &str) -> String {
    let text = read_log(root, start);
    if text.contains("No space left on device") {
        return format!("{} {}", root.display(), explain(&std::io::ErrorKind::StorageFull.into()));
    }
    let fatal = text.lines().rev().find_map(|line| line.split_once("PANIC:").or_else(|| line.split_once("FATAL:")));
    let why = fatal.map_or(status, |(_, why)| why.trim());
    format!("The private Postgres did not start: {why}. Its log is {}.", root.join("server.log").display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_of_this_start_says_why_it_failed() {
        let root = tempfile::tempdir().unwrap();
        let old = "FATAL:  an older story\n";
        let new = "2026-11-21 UTC [7] FATAL:  could not load server certificate file\nLOG:  shutting down\n";
        fs::write(root.path().join("server.log"), format!("{old}{new}")).unwrap();
        let said = explain_log(root.path(), old.len(), "exit status: 1");
        assert!(
            said.starts_with("The private Postgres did not start: could not load server certificate file. "),
            "{said}"
        );
        let full = "PANIC:  could not write to file: No space left on device\n";
        fs::write(root.path().join("server.log"), full).unwrap();
        assert!(explain_log(root.path(), 0, "signal: 6").contains("no space is left there"));
    }
}
