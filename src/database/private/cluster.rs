//! The files of a cluster: making one, and reading what a running server says about itself in `postmaster.pid`. Only the
//! guard calls what writes here. A cluster is made under another name and renamed when it is whole, so a half-made one is
//! never taken for a cluster; an existing one is never removed or made again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use super::SUPERUSER;
use super::error::explain;
use super::guard::{GuardArgs, Report};
use super::place::PORT;

pub(super) fn path(root: &Path) -> PathBuf {
    root.join("cluster")
}

/// What a server that runs in `cluster` (or ran, if it was killed) says about itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Postmaster {
    pub(super) pid: i32,
    pub(super) socket: PathBuf,
    pub(super) ready: bool,
}

pub(super) fn find_postmaster(cluster: &Path) -> Option<Postmaster> {
    parse_postmaster(&fs::read_to_string(cluster.join("postmaster.pid")).ok()?)
}

/// Line 1 is the process, line 5 the socket's directory, line 8 the state (since PostgreSQL 10).
fn parse_postmaster(text: &str) -> Option<Postmaster> {
    let lines: Vec<&str> = text.lines().collect();
    Some(Postmaster {
        pid: lines.first()?.trim().parse().ok()?,
        socket: PathBuf::from(lines.get(4).copied().unwrap_or_default()),
        ready: lines.get(7).is_some_and(|state| state.trim() == "ready"),
    })
}

/// Makes the cluster unless there is one. `false`: the portal went meanwhile and nothing was made.
pub(super) async fn ensure(args: &GuardArgs, ended: &CancellationToken) -> Result<bool, String> {
    let cluster = path(&args.root);
    let making = args.root.join("making");
    fs::remove_dir_all(&making).ok();
    if cluster.exists() {
        return if cluster.join("PG_VERSION").is_file() { Ok(true) } else { Err(not_a_cluster(&cluster)) };
    }
    Report::Step(format!("Making a database cluster in {}", cluster.display())).tell();
    let made = tokio::select! {
        made = make(args, &making) => made.map(|()| true),
        () = ended.cancelled() => Ok(false),
    };
    if made != Ok(true) {
        fs::remove_dir_all(&making).ok();
        return made;
    }
    fs::rename(&making, &cluster).map_err(|error| format!("{} {}", cluster.display(), explain(&error)))?;
    Ok(true)
}

fn not_a_cluster(cluster: &Path) -> String {
    format!(
        "{} exists but is no Postgres cluster (it has no PG_VERSION). If nothing in it is needed, remove it and start \
         again; otherwise restore it from a backup.",
        cluster.display()
    )
}

/// Not every system has C.UTF-8; `C` keeps UTF-8 as well and only sorts plainly.
async fn make(args: &GuardArgs, making: &Path) -> Result<(), String> {
    let first = initdb(args, making, "C.UTF-8").await;
    match first {
        Err(said) if said.contains("invalid locale name") => {
            fs::remove_dir_all(making).ok();
            initdb(args, making, "C").await.map_err(|said| explain_initdb(making, &said))
        }
        other => other.map_err(|said| explain_initdb(making, &said)),
    }
}

async fn initdb(args: &GuardArgs, making: &Path, locale: &str) -> Result<(), String> {
    let mut command = Command::new(args.bin.join("initdb"));
    command
        .arg("--pgdata")
        .arg(making)
        .args(["--username", SUPERUSER, "--encoding", "UTF8", "--locale", locale])
        // Whoever can open the socket is let in, and the socket's directory lets in only the database user and root.
        .args(["--auth-local", "trust", "--auth-host", "reject", "--data-checksums", "--no-instructions"]);
    if args.temporary {
        command.arg("--no-sync");
    }
    let output = command
        .env_clear()
        .env("LC_ALL", "C")
        .current_dir(&args.root)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| format!("{} could not be run: {error}", args.bin.join("initdb").display()))?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

fn explain_initdb(making: &Path, said: &str) -> String {
    if said.contains("No space left on device") {
        return format!("{} {}", making.display(), explain(&std::io::ErrorKind::StorageFull.into()));
    }
    if said.contains("Read-only file system") {
        return format!("{} {}", making.display(), explain(&std::io::ErrorKind::ReadOnlyFilesystem.into()));
    }
    let mattering = |line: &&str| line.contains("FATAL") || line.contains("error:");
    let line = said.lines().find(mattering).or_else(|| said.lines().next()).unwrap_or("it did not say why");
    format!("A database cluster could not be made: {}", line.trim())
}

/// Is the process of a leftover `postmaster.pid` really a server of this cluster? After a crash the number may belong to
/// anybody.
pub(super) fn is_alive(cluster: &Path, postmaster: &Postmaster) -> bool {
    let pid = Pid::from_raw(postmaster.pid);
    if postmaster.pid <= 1 || kill(pid, None).is_err() {
        return false;
    }
    // A server's working directory is its cluster. One that is dead but not yet buried has none.
    match fs::read_link(format!("/proc/{pid}/cwd")) {
        Ok(directory) => fs::canonicalize(cluster).is_ok_and(|cluster| cluster == directory),
        Err(_) if Path::new("/proc/self/cwd").exists() => false,
        Err(_) => std::process::Command::new("ps")
            .args(["-o", "stat=,comm=", "-p", &pid.to_string()])
            .output()
            .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
            .is_ok_and(|said| said.contains("postgres") && !said.trim_start().starts_with('Z')),
    }
}

/// Stops a server that lost its guard, and clears away what a crash left.
pub(super) async fn stop_leftover(args: &GuardArgs) -> Result<(), String> {
    let cluster = &path(&args.root);
    let Some(leftover) = find_postmaster(cluster) else { return Ok(()) };
    if !is_alive(cluster, &leftover) {
        return disown(args, cluster);
    }
    Report::Step(format!("Stopping a database server that lost its portal (process {})", leftover.pid)).tell();
    kill(Pid::from_raw(leftover.pid), Signal::SIGINT).ok();
    let mut tick = tokio::time::interval(std::time::Duration::from_millis(20));
    for _ in 0..3_000 {
        tick.tick().await;
        if !is_alive(cluster, &leftover) {
            return Ok(());
        }
    }
    Err(format!("A database server (process {}) still runs in {}. Stop it first.", leftover.pid, cluster.display()))
}

/// Postgres refuses to start while the number in `postmaster.pid` belongs to any process of its user. The number is
/// replaced by the guard's own, which a server started by the guard takes for stale. The file itself stays: by its other
/// lines Postgres notices processes of the crashed server that still write.
fn disown(args: &GuardArgs, cluster: &Path) -> Result<(), String> {
    let file = cluster.join("postmaster.pid");
    let text = fs::read_to_string(&file).unwrap_or_default();
    let rest = text.split_once('\n').map_or("", |(_, rest)| rest);
    let rewritten = fs::write(&file, format!("{}\n{rest}", std::process::id()));
    rewritten.map_err(|error| format!("{} {}", file.display(), explain(&error)))?;
    fs::remove_file(args.socket.join(format!(".s.PGSQL.{PORT}.lock"))).ok();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PID_FILE: &str =
        "4711\n/data/postgres/cluster\n1700000000\n5432\n/data/postgres/socket\n\n 123 456\nready   \n";

    #[test]
    fn a_pid_file_is_read_as_postgres_writes_it() {
        let read = parse_postmaster(PID_FILE).unwrap();
        assert_eq!(read, Postmaster { pid: 4711, socket: "/data/postgres/socket".into(), ready: true });
        assert!(!parse_postmaster(&PID_FILE.replace("ready", "starting")).unwrap().ready);
        assert_eq!(parse_postmaster(""), None);
    }

    #[test]
    fn a_number_that_belongs_to_another_process_is_not_a_server() {
        let dir = tempfile::tempdir().unwrap();
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(!is_alive(dir.path(), &Postmaster { pid: own, socket: PathBuf::new(), ready: true }));
        assert!(!is_alive(dir.path(), &Postmaster { pid: 0, socket: PathBuf::new(), ready: true }));
    }

    #[test]
    fn what_initdb_says_becomes_a_sentence() {
        let full = explain_initdb(Path::new("/d/making"), "initdb: error: could not write: No space left on device\n");
        assert!(full.contains("no space is left there"), "{full}");
        let other = explain_initdb(Path::new("/d/making"), "creating…\ninitdb: error: something odd\n");
        assert_eq!(other, "A database cluster could not be made: initdb: error: something odd");
    }
}
