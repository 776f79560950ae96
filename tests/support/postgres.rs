//! One private Postgres per test process, in memory where the machine has such a place, and a migrated database of its
//! own for every test. Nothing is cleaned up by hand: when the process ends, the guard stops the server and throws the
//! cluster away. fsync stays on, because a server without it is refused.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use countersign::database::private::{Keep, PrivateOptions, PrivatePostgres};
use countersign::database::{Database, Role, migrate};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection};
use tokio::sync::OnceCell;

static SERVER: OnceCell<PrivatePostgres> = OnceCell::const_new();
static NEXT: AtomicU32 = AtomicU32::new(1);

/// The program under test, which is also the guard.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_countersign");

/// A migrated database that nobody else uses.
pub struct TestDatabase {
    pub name: String,
    server: &'static PrivatePostgres,
}

impl TestDatabase {
    /// A fresh database, cloned from a migrated one.
    pub async fn create() -> Self {
        Self::create_from("template countersign").await
    }

    /// A fresh database on a server of its own below `parent`, which a story may stop, kill and fill. Kept until the test
    /// program ends.
    pub async fn create_on_own_server(parent: &Path, settings: &[&str]) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let place = parent.join(format!("countersign-test-{}-{number}", std::process::id()));
        let server = Box::leak(Box::new(start_in(place, settings).await));
        Self::clone_on(server, "template countersign").await
    }

    /// The process id of its server.
    pub async fn postmaster(&self) -> i32 {
        let mut conn = self.connect_superuser().await;
        let directory: String = sqlx::query_scalar("show data_directory").fetch_one(&mut conn).await.unwrap();
        let file = fs::read_to_string(Path::new(&directory).join("postmaster.pid")).unwrap();
        file.lines().next().unwrap().parse().unwrap()
    }

    /// A fresh database without any migration; the roles exist.
    pub async fn create_empty() -> Self {
        Self::create_from("").await
    }

    /// A copy of this database as it is now. Nobody may be connected to it.
    pub async fn copy(&self) -> Self {
        Self::create_from(&format!("template {}", self.name)).await
    }

    async fn create_from(how: &str) -> Self {
        Self::clone_on(server().await, how).await
    }

    async fn clone_on(server: &'static PrivatePostgres, how: &str) -> Self {
        let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let mut conn = server.superuser_options("postgres").connect().await.unwrap();
        let create = format!("create database {name} owner {} {how}", Role::Owner.name());
        conn.execute(AssertSqlSafe(create)).await.unwrap();
        conn.close().await.unwrap();
        Self { name, server }
    }

    pub fn options(&self, role: Role) -> PgConnectOptions {
        self.server.options(role).database(&self.name)
    }

    pub fn superuser_options(&self) -> PgConnectOptions {
        self.server.superuser_options(&self.name)
    }

    /// The address of a login, as an operator would write it.
    pub fn url(&self, user: &str) -> String {
        let name = &self.name;
        let url = self.server.url(Role::App);
        url.replacen("/countersign?", &format!("/{name}?"), 1).replacen(Role::App.name(), user, 1)
    }

    /// One connection with the rights of `role` and none of the serving limits.
    pub async fn connect(&self, role: Role) -> PgConnection {
        self.options(role).connect().await.unwrap()
    }

    /// The one who can do everything: a database administrator with bad intentions.
    pub async fn connect_superuser(&self) -> PgConnection {
        self.superuser_options().connect().await.unwrap()
    }

    /// The pools a serving process uses.
    pub fn open(&self) -> Database {
        Database::open(&self.options(Role::App))
    }

    /// The pools of a command, for whatever a test prepares: it waits while the machine is busy.
    pub fn open_for_command(&self) -> Database {
        Database::open_for_command(&self.options(Role::App))
    }
}

/// The server of this process, started by whoever asks first.
pub async fn server() -> &'static PrivatePostgres {
    SERVER.get_or_init(start).await
}

async fn start() -> PrivatePostgres {
    let parent = memory_dir();
    sweep(&parent);
    let place = parent.join(format!("countersign-test-{}", std::process::id()));
    start_in(place, &["max_connections=300", "max_wal_size=4GB"]).await
}

async fn start_in(data_dir: PathBuf, settings: &[&str]) -> PrivatePostgres {
    let settings = settings.iter().chain(&["autovacuum=off"]).map(|setting| (*setting).to_owned()).collect();
    let options = PrivateOptions {
        data_dir,
        guard_exe: PROGRAM.into(),
        bin_dir: None,
        keep: Keep::UntilStopped,
        settings,
        progress: |_| {},
    };
    let server = PrivatePostgres::start(&options).await.unwrap();
    migrate::migrate(&server.options(Role::Owner)).await.unwrap();
    server
}

/// A place in memory where the machine has one; there fsync costs nothing.
pub fn memory_dir() -> PathBuf {
    let memory = Path::new("/dev/shm");
    let probe = memory.join(format!("countersign-probe-{}", std::process::id()));
    if fs::write(&probe, "x").is_ok() {
        fs::remove_file(&probe).ok();
        return memory.to_owned();
    }
    std::env::temp_dir()
}

/// Removes what earlier test processes left: their lock is free once they have ended.
fn sweep(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        if !entry.file_name().to_string_lossy().starts_with("countersign-test-") {
            continue;
        }
        let lock = fs::File::open(entry.path().join("countersign.lock"));
        let guard = fs::File::open(entry.path().join("postgres/guard.lock"));
        let free = |file: &Result<fs::File, std::io::Error>| file.as_ref().is_ok_and(|file| file.try_lock().is_ok());
        if free(&lock) && (guard.is_err() || free(&guard)) {
            fs::remove_dir_all(entry.path()).ok();
        }
    }
}
