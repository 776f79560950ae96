//! A private Postgres for those who have none: found among the installed programs, made under the data directory, run by
//! a guard process, reached by a Unix socket that only its own user and root can open.
//!
//! The portal starts a guard (the same program, `postgres-guard`) and holds the other end of its standard input. When the
//! portal ends, however it ends, that pipe closes and the guard stops the server; when the server dies, the guard starts
//! it again. Everything inside the cluster is done by the guard as the database user. This module must never delete or
//! re-make a cluster, and never run a server with fsync off.

mod cluster;
mod error;
mod find;
pub mod guard;
mod place;
mod server;

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection};
use tokio::sync::oneshot;

use super::roles::{self, Role};

use guard::{GuardArgs, Report};
use place::{PORT, Place};

pub use error::PrivateError;
pub use place::prepare_data_dir;

/// The database in a private Postgres, and its superuser.
const DATABASE: &str = "countersign";
const SUPERUSER: &str = "postgres";

/// What becomes of the cluster when the server stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Keep {
    /// It stays; the server is shut down in good order.
    #[default]
    Forever,
    /// It is thrown away. For tests.
    UntilStopped,
}

/// How to run a private Postgres.
#[derive(Debug, Clone)]
pub struct PrivateOptions {
    pub data_dir: PathBuf,
    /// The program that knows `postgres-guard`: this one.
    pub guard_exe: PathBuf,
    /// Where the server programs are; `None` looks for them.
    pub bin_dir: Option<PathBuf>,
    pub keep: Keep,
    /// Server settings beyond the defaults, as `name=value`.
    pub settings: Vec<String>,
    /// Told what is going on when starting takes longer than a moment.
    pub progress: fn(&str),
}

impl PrivateOptions {
    /// A cluster that stays, in `data_dir`, guarded by the running program.
    pub fn new(data_dir: &Path) -> std::io::Result<Self> {
        Ok(Self {
            data_dir: data_dir.to_owned(),
            guard_exe: std::env::current_exe()?,
            bin_dir: None,
            keep: Keep::Forever,
            settings: Vec::new(),
            progress: |_| {},
        })
    }
}

/// A running private Postgres. Dropping the one that started it stops the server.
#[derive(Debug)]
pub struct PrivatePostgres {
    socket: PathBuf,
    cluster: PathBuf,
    major: u16,
    guarded: Option<Guarded>,
}

/// What the process that runs the server holds on to.
#[derive(Debug)]
struct Guarded {
    /// Closing it tells the guard to stop the server.
    leash: ChildStdin,
    guard: Child,
    /// Keeps other portals out of the data directory.
    _lock: File,
}

impl PrivatePostgres {
    /// Starts the server, making the cluster, the roles and the database first where they are missing. Fails when
    /// another process runs it already.
    pub async fn start(options: &PrivateOptions) -> Result<Self, PrivateError> {
        let place = Place::prepare(&options.data_dir)?;
        let lock = place.lock()?;
        let programs = find::find_programs(options.bin_dir.as_deref(), place.find_cluster_major())?;
        let socket = place.socket_dir()?;
        let args = GuardArgs {
            root: place.root.clone(),
            bin: programs.bin,
            socket: socket.clone(),
            run_as: place.run_as.as_ref().map(|user| user.uid.as_raw()),
            temporary: options.keep == Keep::UntilStopped,
            settings: options.settings.clone(),
        };
        let (guarded, reports) = spawn_guard(options, &args, lock)?;
        reports
            .await
            .unwrap_or_else(|_| Err("The database guard ended without a word.".to_owned()))
            .map_err(PrivateError::Server)?;
        let postgres = Self { socket, cluster: place.cluster(), major: programs.major, guarded: Some(guarded) };
        postgres.set_up().await?;
        Ok(postgres)
    }

    /// Like [`start`](Self::start); when another process of this data directory runs the server already, shares it. For
    /// commands beside a running portal.
    pub async fn start_or_join(options: &PrivateOptions) -> Result<Self, PrivateError> {
        match Self::start(options).await {
            Err(in_use @ PrivateError::InUse { .. }) => Self::join(options).await?.ok_or(in_use),
            other => other,
        }
    }

    /// Waits for the other process's server, for as long as a start may reasonably take.
    async fn join(options: &PrivateOptions) -> Result<Option<Self>, PrivateError> {
        let place = Place::prepare(&options.data_dir)?;
        let mut tick = tokio::time::interval(Duration::from_millis(50));
        for _ in 0..200 {
            tick.tick().await;
            let Some(postmaster) = cluster::find_postmaster(&place.cluster()) else { continue };
            let major = place.find_cluster_major().unwrap_or_default();
            let joined = Self { socket: postmaster.socket, cluster: place.cluster(), major, guarded: None };
            if postmaster.ready && joined.options(Role::App).connect().await.is_ok() {
                return Ok(Some(joined));
            }
        }
        Ok(None)
    }

    /// How to log in as `role`. No password: whoever can open the socket is let in.
    #[must_use]
    pub fn options(&self, role: Role) -> PgConnectOptions {
        self.login(role.name(), DATABASE)
    }

    /// How to log in as the server's superuser, to `database`. For tests and for repair; nothing that serves uses it.
    #[must_use]
    pub fn superuser_options(&self, database: &str) -> PgConnectOptions {
        self.login(SUPERUSER, database)
    }

    /// The address of `role`'s login, for `psql` and other programs.
    #[must_use]
    pub fn url(&self, role: Role) -> String {
        socket_url(&self.socket, role.name(), DATABASE)
    }

    /// The one line an operator sees at start.
    #[must_use]
    pub fn notice(&self) -> String {
        format!(
            "Private PostgreSQL {}: data in {}. Fine for one machine; for more, or for backups by your database team, \
             set DATABASE_URL.",
            self.major,
            self.cluster.display()
        )
    }

    /// Stops the server in good order and waits until it has. Does nothing to a server that was joined.
    pub async fn stop(mut self) -> Result<(), PrivateError> {
        let Some(Guarded { leash, mut guard, _lock }) = self.guarded.take() else { return Ok(()) };
        drop(leash);
        let waited = tokio::task::spawn_blocking(move || guard.wait()).await;
        match waited {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(PrivateError::Server(format!("The database guard ended with {status}."))),
            Ok(Err(error)) => Err(PrivateError::Server(format!("The database guard was lost: {error}."))),
            Err(error) => Err(PrivateError::Server(format!("Waiting for the database guard failed: {error}."))),
        }
    }

    fn login(&self, user: &str, database: &str) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .socket(&self.socket)
            .port(PORT)
            .username(user)
            .database(database)
            .ssl_mode(PgSslMode::Disable)
    }

    async fn set_up(&self) -> Result<(), sqlx::Error> {
        let mut conn = self.superuser_options("postgres").connect().await?;
        if !database_exists(&mut conn).await? {
            conn.execute(AssertSqlSafe(format!("create database {DATABASE}"))).await?;
        }
        conn.close().await?;
        let mut conn = self.superuser_options(DATABASE).connect().await?;
        roles::create(&mut conn).await?;
        conn.close().await
    }
}

/// An address that `psql` understands too.
fn socket_url(socket: &Path, user: &str, database: &str) -> String {
    let start = format!("postgres:///{database}?");
    let queries_begin = start.len();
    let mut url = url::form_urlencoded::Serializer::for_suffix(start, queries_begin);
    url.append_pair("host", &socket.to_string_lossy());
    url.append_pair("port", &PORT.to_string());
    url.append_pair("user", user);
    url.finish()
}

async fn database_exists(conn: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (select from pg_catalog.pg_database where datname = $1) as "exists!""#,
        DATABASE
    )
    .fetch_one(conn)
    .await
}

type Started = oneshot::Receiver<Result<(), String>>;

/// Starts the guard in a process group of its own, so that Ctrl-C on the terminal reaches only the portal, which then
/// decides when the database goes.
fn spawn_guard(options: &PrivateOptions, args: &GuardArgs, lock: File) -> Result<(Guarded, Started), PrivateError> {
    use std::os::unix::process::CommandExt;
    let mut guard = Command::new(&options.guard_exe)
        .arg("postgres-guard")
        .args(args.to_words())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(|error| PrivateError::NoGuard { exe: options.guard_exe.clone(), reason: error.to_string() })?;
    let leash = guard.stdin.take().expect("standard input was asked for as a pipe");
    let reports = guard.stdout.take().expect("standard output was asked for as a pipe");
    let (started, waiting) = oneshot::channel();
    let progress = options.progress;
    // A thread and not a task: the server outlives the runtime it was started from, in tests.
    std::thread::spawn(move || follow(BufReader::new(reports), started, progress));
    Ok((Guarded { leash, guard, _lock: lock }, waiting))
}

/// Passes on what the guard reports: first to whoever waits for the start, then to the log.
fn follow(reports: impl BufRead, started: oneshot::Sender<Result<(), String>>, progress: fn(&str)) {
    let mut started = Some(started);
    for line in reports.lines().map_while(Result::ok) {
        match (Report::parse(&line), started.take()) {
            (Some(Report::Ready), Some(waiting)) => drop(waiting.send(Ok(()))),
            (Some(Report::Failed(why)), Some(waiting)) => drop(waiting.send(Err(why))),
            (Some(Report::Step(what)), waiting @ Some(_)) => {
                progress(&what);
                started = waiting;
            }
            (Some(Report::Ready), None) => tracing::info!("the private Postgres accepts connections again"),
            (Some(Report::Failed(why)), None) => tracing::error!("{why}"),
            (Some(Report::Step(what)), None) => tracing::warn!("{what}"),
            (None, waiting) => started = waiting,
        }
    }
}
