//! A portal as it is run, for measuring: a private Postgres on disk with fsync, which holds the year's records, the
//! simulator and `countersign serve`, each in a process of its own.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use countersign::database::Role;
use sqlx::{AssertSqlSafe, Executor as _, PgConnection};
use tempfile::TempDir;

use super::load::Connection;
use super::people;
use super::processes::Process;
use super::records::Records;

/// How the portal is set.
pub struct Setting {
    /// Pipelines that wait for a decision, of so many with a gate, of so many in all.
    pub waiting: usize,
    pub gated: usize,
    pub pipelines: usize,
    pub poll_interval: &'static str,
    pub reads_per_second: u32,
    /// Where AWS announces what happens.
    pub queue: Option<String>,
}

impl Setting {
    /// What one replica is built for.
    pub fn full() -> Self {
        Self { waiting: 200, gated: 300, pipelines: 1000, poll_interval: "15s", reads_per_second: 40, queue: None }
    }
}

/// The running processes.
pub struct Stage {
    /// Absent only while it is restarted.
    portal: Option<Process>,
    pub simulator: Process,
    pub sessions: Vec<String>,
    /// Everybody's.
    pub emails: Vec<String>,
    pub config: std::path::PathBuf,
    records: Records,
    dir: TempDir,
}

/// An approval that waits.
#[derive(Debug, Clone)]
pub struct Waiting {
    pub path: String,
    pub pipeline: String,
}

pub const PEOPLE: i64 = 500;

impl Stage {
    /// Starts everything on the database of [`Records`] and waits until everything that waits is known.
    pub async fn start(setting: &Setting) -> Self {
        let dir = directory();
        let records = Records::open(Records::asked()).await;
        let mut superuser = records.connect_superuser().await;
        clear(&mut superuser).await;
        let sessions = people::sign_in(&mut superuser, PEOPLE).await;
        let emails = records.emails().await;
        let simulator = Process::simulator(dir.path(), &world(setting));
        let config = dir.path().join("countersign.toml");
        std::fs::write(&config, configuration(setting, &simulator)).expect("the configuration can be written");
        // It holds credentials, and the portal refuses a file that others could read.
        std::fs::set_permissions(&config, Permissions::from_mode(0o600)).expect("permissions can be set");
        let portal = Process::portal(dir.path(), &config, &records.postgres.url(Role::App));
        portal.until_ready(Instant::now()).await;
        let stage = Self { portal: Some(portal), simulator, sessions, emails, config, records, dir };
        stage.until_waiting(i64::try_from(setting.waiting).expect("a count"), &mut superuser).await;
        // Statistics as they would be after the first hour.
        superuser.execute(AssertSqlSafe(format!("vacuum analyze {CHANGING}"))).await.expect("vacuum runs");
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
        self.records.connect_superuser().await
    }

    pub fn database_url(&self) -> String {
        self.records.postgres.url(Role::App)
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Ends the portal and starts it again on the same database; how long until it was ready.
    pub async fn restart(&mut self) -> Duration {
        // Dropping it waits for its end.
        self.portal = None;
        let began = Instant::now();
        let portal = Process::portal(self.dir.path(), &self.config, &self.records.postgres.url(Role::App));
        let took = portal.until_ready(began).await;
        self.portal = Some(portal);
        took
    }

    pub fn portal(&self) -> &Process {
        self.portal.as_ref().expect("the portal runs")
    }

    /// What waits, soonest to expire first.
    pub async fn list_approvals(&self) -> Vec<Waiting> {
        let list = "select id::text, pipeline from portal.approval where at_aws = 'open' order by expires_at, id";
        let rows: Vec<(String, String)> =
            sqlx::query_as(list).fetch_all(&mut self.connect().await).await.expect("the approvals are listed");
        rows.into_iter().map(|(id, pipeline)| Waiting { path: format!("/approvals/{id}"), pipeline }).collect()
    }

    /// How many records the database was made with.
    pub fn records(&self) -> i64 {
        self.records.count
    }

    /// Asks the simulator's control listener.
    pub async fn control(&self, method: &str, path: &str, body: &str) -> String {
        let control = self.simulator.control.expect("the simulator says where it takes orders");
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {control}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = Connection::open(control).await.ask(request.as_bytes()).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.text()
    }

    /// Ends every process. The records stay for the next run.
    pub async fn end(self) {
        drop((self.portal, self.simulator));
        self.records.postgres.stop().await.expect("the database stops");
    }
}

/// What a stage changes besides appending records.
const CHANGING: &str = "portal.source, portal.pipeline, portal.gate, portal.approval, portal.shown, portal.decision, \
    portal.decision_key, portal.session, portal.account";

/// Forgets what an earlier stage left, and sets aside what waited at the end of the year: its sources are nowhere to be
/// read. The records of both stay, as records do.
async fn clear(superuser: &mut PgConnection) {
    // Without the constraints' own look-ups, which would take one for each row.
    let clearing = "set session_replication_role = replica;
        delete from portal.decision_key where decision_id in (select d.id from portal.decision d
            join portal.approval a on a.id = d.approval_id where a.source = 'bench');
        delete from portal.decision where approval_id in (select id from portal.approval where source = 'bench');
        delete from portal.shown where approval_id in (select id from portal.approval where source = 'bench');
        delete from portal.approval where source = 'bench';
        delete from portal.gate where source = 'bench';
        delete from portal.pipeline where source = 'bench';
        delete from portal.source where name = 'bench';
        delete from portal.session; delete from portal.sign_in_wait; delete from portal.throttle;
        delete from portal.lease; delete from portal.change;
        update portal.account set disabled_at = null where disabled_at is not null;
        update portal.approval set at_aws = 'gone', closed_at = now(), closed_why = 'set aside' where at_aws = 'open';
        set session_replication_role = origin";
    superuser.execute(clearing).await.expect("the database can be cleared");
}

/// A place for configuration and logs, on disk.
fn directory() -> TempDir {
    tempfile::Builder::new().prefix("countersign-bench-").tempdir_in("/var/tmp").expect("/var/tmp can be written to")
}

fn configuration(setting: &Setting, simulator: &Process) -> String {
    let queue = setting.queue.as_ref().map_or_else(String::new, |url| format!("queue_url = \"{url}\""));
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
{queue}
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
