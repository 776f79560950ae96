//! The guard: the process between the portal and the database server. As root it first becomes the database user; then it
//! makes the cluster if there is none, runs the server as its child, starts it again when it dies, and stops it when its
//! standard input ends, which is when the portal has ended, however that came about.
//!
//! It must never outlive the portal by longer than a shutdown takes, never run as root, and never print anything but
//! [`Report`]s.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use nix::unistd::{Uid, User};
use tokio_util::sync::CancellationToken;

use super::error::explain;
use super::{cluster, server};

/// How the portal calls the guard.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct GuardArgs {
    /// The directory that holds the cluster.
    #[arg(long)]
    pub root: PathBuf,
    /// The directory of the server programs.
    #[arg(long)]
    pub bin: PathBuf,
    /// The directory for the Unix socket.
    #[arg(long)]
    pub socket: PathBuf,
    /// The user to become.
    #[arg(long)]
    pub run_as: Option<u32>,
    /// Throw the cluster away at the end.
    #[arg(long)]
    pub temporary: bool,
    /// A server setting, name=value.
    #[arg(long = "setting")]
    pub settings: Vec<String>,
}

impl GuardArgs {
    /// The words that parse back into this.
    #[must_use]
    pub fn to_words(&self) -> Vec<OsString> {
        let mut words: Vec<OsString> = Vec::new();
        for (name, path) in [("--root", &self.root), ("--bin", &self.bin), ("--socket", &self.socket)] {
            words.extend([name.into(), path.into()]);
        }
        if let Some(uid) = self.run_as {
            words.extend(["--run-as".into(), uid.to_string().into()]);
        }
        if self.temporary {
            words.push("--temporary".into());
        }
        words.extend(self.settings.iter().map(|setting| format!("--setting={setting}").into()));
        words
    }
}

/// What the guard tells the portal, one line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Report {
    /// Something takes a moment, or went wrong and is being mended.
    Step(String),
    /// The server accepts connections.
    Ready,
    /// It will not work; the sentence says why and what to do.
    Failed(String),
}

impl Report {
    pub(super) fn parse(line: &str) -> Option<Self> {
        match line.split_once(' ') {
            Some(("step", what)) => Some(Self::Step(what.to_owned())),
            Some(("failed", why)) => Some(Self::Failed(why.to_owned())),
            None if line == "ready" => Some(Self::Ready),
            _ => None,
        }
    }

    /// Tells the portal. Nobody listening is no reason to stop: the end of standard input is.
    pub(super) fn tell(&self) {
        let line = match self {
            Self::Step(what) => format!("step {}\n", what.replace('\n', " ")),
            Self::Ready => "ready\n".to_owned(),
            Self::Failed(why) => format!("failed {}\n", why.replace('\n', " ")),
        };
        let mut out = std::io::stdout();
        out.write_all(line.as_bytes()).and_then(|()| out.flush()).ok();
    }
}

/// Runs the guard until the portal ends. Called before any thread or runtime exists.
#[must_use]
pub fn run(args: &GuardArgs) -> ExitCode {
    match drop_root(args).and_then(|()| guard(args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            Report::Failed(why).tell();
            ExitCode::FAILURE
        }
    }
}

/// Becomes the database user, for good.
fn drop_root(args: &GuardArgs) -> Result<(), String> {
    std::env::set_current_dir("/").map_err(|error| format!("The guard cannot enter /: {error}."))?;
    if let Some(uid) = args.run_as {
        let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
        let user = user.ok_or_else(|| format!("There is no user {uid} to run Postgres as."))?;
        let refused = |error: nix::Error| format!("Becoming the user {} was refused: {error}.", user.name);
        become_user(&user).map_err(refused)?;
    }
    if Uid::effective().is_root() || Uid::current().is_root() {
        return Err("Postgres does not run as root; the guard was not told whom to run it as.".to_owned());
    }
    Ok(())
}

fn become_user(user: &User) -> nix::Result<()> {
    #[cfg(not(target_vendor = "apple"))]
    {
        let name = std::ffi::CString::new(user.name.as_str()).map_err(|_| nix::Error::EINVAL)?;
        nix::unistd::initgroups(&name, user.gid)?;
    }
    nix::unistd::setgid(user.gid)?;
    nix::unistd::setuid(user.uid)
}

fn guard(args: &GuardArgs) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("The guard could not start: {error}."))?;
    let ended = CancellationToken::new();
    let watch = ended.clone();
    std::thread::spawn(move || {
        // Nothing is ever written to the pipe; reading returns when its other end is gone.
        std::io::stdin().read_to_end(&mut Vec::new()).ok();
        watch.cancel();
    });
    let done = runtime.block_on(async {
        ignore_signals();
        keep_server(args, &ended).await
    });
    runtime.shutdown_background();
    done
}

/// A signal meant for the portal may reach the whole group; the server's end is decided by the portal's end alone.
fn ignore_signals() {
    use tokio::signal::unix::{SignalKind, signal};
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        // Installing the handler is what matters: once installed it stays for the life of the process.
        drop(signal(kind));
    }
}

async fn keep_server(args: &GuardArgs, ended: &CancellationToken) -> Result<(), String> {
    check_reachable(&args.root)?;
    let Some(_lock) = take_turn(&args.root, ended).await? else { return Ok(()) };
    make_socket_dir(&args.socket)?;
    let done = server::run(args, ended).await;
    if args.temporary {
        throw_away(args);
    }
    done
}

/// As the database user: can the cluster's directory be reached at all? A home directory is usually closed to others.
fn check_reachable(root: &Path) -> Result<(), String> {
    let Err(error) = fs::read_dir(root) else { return Ok(()) };
    let closed = root.ancestors().skip(1).filter(|dir| fs::metadata(dir.join(".")).is_err()).last();
    let user = User::from_uid(Uid::effective()).ok().flatten().map_or_else(String::new, |user| user.name);
    match closed {
        Some(dir) => Err(format!(
            "The database runs as the user {user}, who may not pass through {}. As root, use a directory such as \
             /var/lib/countersign (COUNTERSIGN_DATA_DIR), or open the way with: chmod o+x {}",
            dir.display(),
            dir.display()
        )),
        None => Err(format!("{} {}", root.display(), explain(&error))),
    }
}

/// Waits for the guard of an earlier portal, which may still be stopping the server. `None`: the portal went meanwhile.
async fn take_turn(root: &Path, ended: &CancellationToken) -> Result<Option<File>, String> {
    let path = root.join("guard.lock");
    let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = opened.map_err(|error| format!("{} {}", path.display(), explain(&error)))?;
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    let mut tries = 0_u32;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(TryLockError::Error(error)) => return Err(format!("{} {}", path.display(), explain(&error))),
            Err(TryLockError::WouldBlock) if ended.is_cancelled() => return Ok(None),
            Err(TryLockError::WouldBlock) => {}
        }
        tries += 1;
        if tries == 50 {
            Report::Step("Waiting for the earlier database server to stop".to_owned()).tell();
        }
        if tries > 4_500 {
            return Err(format!("An earlier database guard still holds {}. Stop it first.", path.display()));
        }
        tick.tick().await;
    }
}

/// The socket's directory keeps strangers out; one that is not ours alone is not used.
fn make_socket_dir(dir: &Path) -> Result<(), String> {
    match fs::DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(format!("{} {}", dir.display(), explain(&error)));
        }
        _ => {}
    }
    let found = fs::symlink_metadata(dir).map_err(|error| format!("{} {}", dir.display(), explain(&error)))?;
    if !found.is_dir() || found.uid() != Uid::effective().as_raw() || found.mode() & 0o077 != 0 {
        return Err(format!(
            "{} is not a directory of this user alone (mode 0700), so the database's socket would not be safe in it. \
             Remove it and start again.",
            dir.display()
        ));
    }
    Ok(())
}

fn throw_away(args: &GuardArgs) {
    fs::remove_dir_all(cluster::path(&args.root)).ok();
    fs::remove_dir_all(&args.socket).ok();
    for file in ["guard.lock", "server.log", "server.log.1"] {
        fs::remove_file(args.root.join(file)).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: GuardArgs,
    }

    #[test]
    fn the_guard_understands_what_the_portal_says() {
        let args = GuardArgs {
            root: "/data/with space/postgres".into(),
            bin: "/usr/lib/postgresql/15/bin".into(),
            socket: "/tmp/s".into(),
            run_as: Some(105),
            temporary: true,
            settings: vec!["max_connections=300".into(), "log_statement=all".into()],
        };
        let words = std::iter::once("guard".into()).chain(args.to_words());
        assert_eq!(<Line as clap::Parser>::parse_from(words).args, args);
    }

    #[test]
    fn reports_survive_the_pipe() {
        assert_eq!(Report::parse("ready"), Some(Report::Ready));
        assert_eq!(Report::parse("step Making a cluster"), Some(Report::Step("Making a cluster".into())));
        assert_eq!(Report::parse("failed No space."), Some(Report::Failed("No space.".into())));
        assert_eq!(Report::parse("warning: something else"), None);
    }

    #[test]
    fn a_socket_directory_that_others_may_enter_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("socket");
        make_socket_dir(&dir).unwrap();
        make_socket_dir(&dir).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(make_socket_dir(&dir).unwrap_err().contains("is not a directory of this user alone"));
        let link = root.path().join("link");
        std::os::unix::fs::symlink(root.path(), &link).unwrap();
        assert!(make_socket_dir(&link).unwrap_err().contains("is not a directory of this user alone"));
    }
}
