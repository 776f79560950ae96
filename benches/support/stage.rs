//! A portal as it is run, for measuring: a private Postgres on disk with fsync, the simulator and `countersign serve`,
//! each in a process of its own. Everything is thrown away at the end.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use countersign::database::private::{Keep, PrivateOptions, PrivatePostgres};
use countersign::database::{Database, Role, migrate};
use sqlx::{ConnectOptions as _, PgConnection};
use tempfile::TempDir;

use super::people;
use super::processes::{Process, program};

/// How the portal is set.
pub struct Setting {
    /// Pipelines that wait for a decision, of so many with a gate, of so many in all.
    pub waiting: usize,
    pub gated: usize,
    pub pipelines: usize,
    pub poll_interval: &'static str,
    pub reads_per_second: u32,
}

impl Setting {
    /// What one replica is built for.
    pub fn full() -> Self {
        Self { waiting: 200, gated: 300, pipelines: 1000, poll_interval: "15s", reads_per_second: 40 }
    }
}

/// The running processes.
pub struct Stage {
    /// Absent only while it is restarted.
    portal: Option<Process>,
    pub simulator: Process,
    pub sessions: Vec<String>,
    pub config: std::path::PathBuf,
    postgres: PrivatePostgres,
    dir: TempDir,
}

pub const PEOPLE: i32 = 500;

impl Stage {
    /// Starts everything and waits until everything that waits is known. `fill` may put records into the database before
    /// the portal starts.
    pub async fn start(setting: &Setting, fill: impl AsyncFnOnce(&mut PgConnection)) -> Self {
        let dir = directory();
        let postgres = start_postgres(dir.path()).await;
        let mut superuser = connect(&postgres).await;
        let database = Database::open(&postgres.options(Role::App));
        people::create(&database, &mut superuser, PEOPLE).await;
        let sessions = people::sign_in(&mut superuser, i64::from(PEOPLE)).await;
        database.close().await;
        fill(&mut superuser).await;
        let simulator = Process::simulator(dir.path(), &world(setting));
        let config = dir.path().join("countersign.toml");
        std::fs::write(&config, configuration(setting, &simulator)).expect("the configuration can be written");
        // It holds credentials, and the portal refuses a file that others could read.
        std::fs::set_permissions(&config, Permissions::from_mode(0o600)).expect("permissions can be set");
        let portal = Process::portal(dir.path(), &config, &postgres.url(Role::App));
        portal.until_ready(Instant::now()).await;
        let stage = Self { portal: Some(portal), simulator, sessions, config, postgres, dir };
        stage.until_waiting(i64::try_from(setting.waiting).expect("a count"), &mut superuser).await;
        // Statistics as they would be after the first hour.
        sqlx::query("vacuum analyze").execute(&mut superuser).await.expect("vacuum runs");
        stage
    }

    async fn until_waiting(&self, count: i64, superuser: &mut PgConnection) {
        let count_waiting = "select count(*) from portal.approval where at_aws = 'open'";
        loop {
            let waiting: i64 = sqlx::query_scalar(count_waiting).fetch_one(&mut *superuser).await.expect("a count");
            if waiting >= count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    pub async fn connect(&self) -> PgConnection {
        connect(&self.postgres).await
    }

    pub fn database_url(&self) -> String {
        self.postgres.url(Role::App)
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Ends the portal and starts it again on the same database; how long until it was ready.
    pub async fn restart(&mut self) -> Duration {
        // Dropping it waits for its end.
        self.portal = None;
        let began = Instant::now();
        let portal = Process::portal(self.dir.path(), &self.config, &self.postgres.url(Role::App));
        let took = portal.until_ready(began).await;
        self.portal = Some(portal);
        took
    }

    pub fn portal(&self) -> &Process {
        self.portal.as_ref().expect("the portal runs")
    }

    /// The addresses of what waits, soonest to expire first.
    pub async fn list_approvals(&self) -> Vec<String> {
        let list = "select id::text from portal.approval where at_aws = 'open' order by expires_at, id";
        let ids: Vec<String> =
            sqlx::query_scalar(list).fetch_all(&mut self.connect().await).await.expect("the approvals are listed");
        ids.iter().map(|id| format!("/approvals/{id}")).collect()
    }

    /// Ends every process and removes the data.
    pub async fn end(self) {
        drop((self.portal, self.simulator));
        self.postgres.stop().await.expect("the database stops");
    }
}

/// A place on disk, not in memory, that the database's user can reach too.
fn directory() -> TempDir {
    let mut builder = tempfile::Builder::new();
    builder.prefix("countersign-bench-").permissions(Permissions::from_mode(0o711));
    builder.tempdir_in("/var/tmp").expect("/var/tmp can be written to")
}

async fn start_postgres(dir: &Path) -> PrivatePostgres {
    let options = PrivateOptions {
        data_dir: dir.join("data"),
        guard_exe: program().into(),
        bin_dir: None,
        keep: Keep::UntilStopped,
        settings: Vec::new(),
        progress: |_| {},
    };
    let postgres = PrivatePostgres::start(&options).await.expect("Postgres starts");
    migrate::migrate(&postgres.options(Role::Owner)).await.expect("the migrations run");
    postgres
}

async fn connect(postgres: &PrivatePostgres) -> PgConnection {
    postgres.superuser_options("countersign").connect().await.expect("Postgres answers")
}

fn configuration(setting: &Setting, simulator: &Process) -> String {
    format!(
        r#"
listen = "127.0.0.1:0"
poll_interval = "{}"
trusted_proxies = ["127.0.0.0/8"]

[[sources]]
name = "bench"
region = "eu-west-1"
account = "111122223333"
endpoint_url = "http://{}"
max_reads_per_second = {}
credentials = {{ access_key_id = "AKIABENCH", secret_access_key = "bench" }}
"#,
        setting.poll_interval, simulator.address, setting.reads_per_second
    )
}

fn world(setting: &Setting) -> String {
    format!(
        r#"
stale_window_seconds = 0

[[templates]]
name = "plain"
[[templates.stages]]
name = "Source"
actions = [{{ name = "Repository", kind = "source", seconds = 1 }}]
[[templates.stages]]
name = "Build"
actions = [{{ name = "Compile", kind = "build", seconds = 1 }}]

[[templates]]
name = "gated"
[[templates.stages]]
name = "Source"
actions = [{{ name = "Repository", kind = "source", seconds = 1 }}]
[[templates.stages]]
name = "Build"
actions = [{{ name = "Compile", kind = "build", seconds = 1 }}]
[[templates.stages]]
name = "Production"
actions = [
  {{ name = "Approve", kind = "approval", comment = "Ship {{name}}: #{{SourceVariables.CommitMessage}}" }},
  {{ name = "Deploy", kind = "deploy", run_order = 2, seconds = 1 }},
]

[[worlds]]
account = "111122223333"
region = "eu-west-1"
[[worlds.generate]]
prefix = "service-"
count = {}
template = "plain"
gated_template = "gated"
gated = {}
waiting = {}
"#,
        setting.pipelines, setting.gated, setting.waiting
    )
}
