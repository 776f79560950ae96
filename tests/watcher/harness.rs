//! A simulated CodePipeline, a portal's watcher and a database, all on one clock that stands still.

use std::time::Duration;

use countersign::approvals::Reader;
use countersign::clock::Clock;
use countersign::codepipeline::{Gateway, Settings};
use countersign::config::{Credentials, SourceConfig};
use countersign::database::{Database, Role};
use countersign::domain::approval::AtAws;
use countersign::domain::ids::SourceName;
use countersign::random::Random;
use countersign::simulator::{OpenApproval, Simulator, SimulatorHandle, WorldFile, WorldHandle};
use countersign::store::approvals::{self, Approval};
use countersign::watcher::{SourceStatus, Watcher};
use jiff::SignedDuration;
use serde_json::Value;
use uuid::Uuid;

use crate::support::postgres::TestDatabase;

pub const ACCOUNT: &str = "111122223333";
pub const REGION: &str = "eu-west-1";
pub const INES: &str = "arn:aws:iam::111122223333:user/ines";
/// Three modes, one gate each, in two accounts.
pub const GATES: &str = include_str!("../data/worlds/gates.toml");

pub struct Stage {
    pub sim: SimulatorHandle,
    pub world: WorldHandle,
    pub clock: Clock,
    pub test_database: TestDatabase,
    pub database: Database,
    pub reader: Reader,
    pub watcher: Watcher,
}

/// Short enough for a test, long enough for a busy machine; no pace below what a test needs.
pub fn settings() -> Settings {
    Settings {
        connect: Duration::from_secs(3),
        attempt: Duration::from_secs(10),
        first_reads_per_second: 1000,
        first_wait: Duration::from_millis(1),
    }
}

/// The first account of the world, with its own credentials.
pub fn source(sim: &SimulatorHandle) -> SourceConfig {
    SourceConfig {
        name: SourceName::parse("shops").unwrap(),
        region: Some(REGION.into()),
        credentials: Some(Credentials {
            access_key_id: "AKIAPORTAL".into(),
            secret_access_key: "portal-secret".to_owned().into(),
            session_token: None,
        }),
        endpoint_url: Some(sim.endpoint().parse().unwrap()),
        max_reads_per_second: 1000,
        ..SourceConfig::from_environment()
    }
}

/// The second account, by a role.
pub fn other_source(sim: &SimulatorHandle) -> SourceConfig {
    SourceConfig {
        name: SourceName::parse("branch").unwrap(),
        role_arn: Some("arn:aws:iam::444455556666:role/countersign".into()),
        external_id: Some("only-us".to_owned().into()),
        ..source(sim)
    }
}

pub async fn simulate(world: &str) -> (SimulatorHandle, Clock) {
    let clock = Clock::manual("2026-11-21T08:00:00Z".parse().unwrap());
    let file = WorldFile::parse(world).unwrap();
    let sim = Simulator::start(file, clock.clone(), "127.0.0.1:0".parse().unwrap()).await.unwrap();
    (sim, clock)
}

pub async fn gateway(source: &SourceConfig) -> Gateway {
    Gateway::open(source, settings(), &Random::seeded(3)).await.unwrap()
}

impl Stage {
    /// The world of the gates, watched by one source.
    pub async fn gates() -> Self {
        Self::start(GATES, |sim| vec![source(sim)]).await
    }

    pub async fn start(world: &str, sources: impl FnOnce(&SimulatorHandle) -> Vec<SourceConfig>) -> Self {
        let (sim, clock) = simulate(world).await;
        let test_database = TestDatabase::create().await;
        let sources = sources(&sim);
        let database = test_database.open();
        let (reader, watcher) = watch(&database, &clock, &sources, &settings()).await;
        Self { world: sim.world(ACCOUNT, REGION), database, sim, clock, test_database, reader, watcher }
    }

    /// The portal ends and starts again, with what the database kept.
    pub async fn restart(&mut self, sources: Vec<SourceConfig>) {
        (self.reader, self.watcher) = watch(&self.test_database.open(), &self.clock, &sources, &settings()).await;
    }

    /// The same with a portal that waits for AWS as long as it likes.
    pub async fn with_patience(self, patience: Duration) -> Self {
        let settings = Settings { attempt: patience, ..settings() };
        let (reader, watcher) = watch(&self.database, &self.clock, &[source(&self.sim)], &settings).await;
        Self { reader, watcher, ..self }
    }

    pub fn step(&self, seconds: i64) {
        self.sim.step(SignedDuration::from_secs(seconds));
    }

    /// Takes a pipeline to its gate.
    #[track_caller]
    pub fn open(&self, pipeline: &str) -> OpenApproval {
        self.world.open_approval(pipeline, None).expect("nothing is in the way of this approval")
    }

    /// One sweep of every source; the status of the first.
    pub async fn sweep(&self) -> SourceStatus {
        self.watcher.activate().await.swap_remove(0)
    }

    /// The approvals that wait, as far as the portal knows, by pipeline and opening.
    pub async fn waiting(&self) -> Vec<Approval> {
        self.all().await.into_iter().filter(|approval| approval.at_aws == AtAws::Open).collect()
    }

    /// Every approval the portal knows.
    pub async fn all(&self) -> Vec<Approval> {
        let mut conn = self.database.pages.acquire().await.unwrap();
        let ids: Vec<Uuid> =
            sqlx::query_scalar("select id from portal.approval order by source, pipeline, found_at, id")
                .fetch_all(&mut *conn)
                .await
                .unwrap();
        let mut found = Vec::new();
        for id in ids {
            let id = countersign::domain::ids::ApprovalId(id);
            found.push(approvals::find(&mut conn, id).await.unwrap().unwrap());
        }
        found
    }

    /// The only approval the portal knows.
    pub async fn only(&self) -> Approval {
        let mut all = self.all().await;
        assert_eq!(all.len(), 1, "{all:?}");
        all.swap_remove(0)
    }

    /// Kind and content of every record, in order.
    pub async fn records(&self) -> Vec<(String, Value)> {
        let mut conn = self.test_database.connect(Role::Reader).await;
        let rows: Vec<(String, Vec<u8>)> =
            sqlx::query_as("select kind, payload from audit.payload order by seq").fetch_all(&mut conn).await.unwrap();
        rows.into_iter().map(|(kind, payload)| (kind, serde_json::from_slice(&payload).unwrap())).collect()
    }

    pub async fn kinds(&self) -> Vec<String> {
        self.records().await.into_iter().map(|(kind, _)| kind).collect()
    }

    /// The newest record.
    pub async fn last_record(&self) -> (String, Value) {
        self.records().await.pop().expect("something was recorded")
    }

    /// Calls of an operation since the last look.
    pub fn calls(&self) -> std::collections::BTreeMap<String, u64> {
        let counts = self.sim.calls().counts;
        self.sim.clear_calls();
        counts.into_iter().filter(|(_, count)| *count > 0).collect()
    }
}

async fn watch(database: &Database, clock: &Clock, sources: &[SourceConfig], settings: &Settings) -> (Reader, Watcher) {
    let random = Random::system();
    let mut gateways = Vec::new();
    for source in sources {
        gateways.push(Gateway::open(source, settings.clone(), &Random::seeded(3)).await.unwrap());
    }
    let reader = Reader::new(database.clone(), clock.clone(), random.clone(), gateways);
    let watcher = Watcher::new(&reader, clock, &random, SignedDuration::from_secs(15)).unwrap();
    watcher.register().await.unwrap();
    (reader, watcher)
}
