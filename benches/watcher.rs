//! The wall clock of the watcher on 1,000 pipelines, 300 of them with a gate, 40 waiting, 20 ms a call: cold (nothing is
//! known), again (a second sweep), and warm (a new process that finds the database as it was). Prints; judges nothing.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement prints, and stops where it cannot go on")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::Instant;

use countersign::approvals::Reader;
use countersign::clock::Clock;
use countersign::codepipeline::{Gateway, Settings};
use countersign::config::{Credentials, SourceConfig};
use countersign::domain::ids::SourceName;
use countersign::random::Random;
use countersign::simulator::{Simulator, SimulatorHandle, WorldFile};
use countersign::watcher::Watcher;
use jiff::SignedDuration;
use support::postgres::TestDatabase;

const WORLD: &str = r#"
latency_ms = 20
stale_window_seconds = 0

[[templates]]
name = "plain"
[[templates.stages]]
name = "Source"
actions = [{ name = "Repository", kind = "source", seconds = 5 }]
[[templates.stages]]
name = "Build"
actions = [{ name = "Compile", kind = "build", seconds = 30 }]

[[templates]]
name = "gated"
[[templates.stages]]
name = "Source"
actions = [{ name = "Repository", kind = "source", seconds = 5 }]
[[templates.stages]]
name = "Build"
actions = [{ name = "Compile", kind = "build", seconds = 30 }]
[[templates.stages]]
name = "Production"
actions = [
  { name = "Approve", kind = "approval", comment = "Ship {name}: #{SourceVariables.CommitMessage}" },
  { name = "Deploy", kind = "deploy", run_order = 2, seconds = 30 },
]

[[worlds]]
account = "111122223333"
region = "eu-west-1"
[[worlds.generate]]
prefix = "svc-"
count = 1000
template = "plain"
gated_template = "gated"
gated = 300
waiting = 40
"#;

/// How fast reading may get: the default, and far beyond what AWS is known to allow.
const PACES: [u32; 2] = [40, 400];

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("the runtime starts");
    runtime.block_on(measure());
}

async fn measure() {
    let profile = if cfg!(debug_assertions) { "dev" } else { "optimised" };
    println!("watcher: 1,000 pipelines, 300 with a gate, 40 waiting, 20 ms a call; {profile} profile");
    println!("{:>12}  {:<6} {:>9} {:>7} {:>8}", "reads at most", "sweep", "seconds", "calls", "waiting");
    for pace in PACES {
        let world = WorldFile::parse(WORLD).expect("the world is well-formed");
        let anywhere = "127.0.0.1:0".parse().expect("an address");
        let simulator = Simulator::start(world, Clock::system(), anywhere).await.expect("the simulator starts");
        let database = TestDatabase::create().await;
        let watcher = watch(&simulator, &database, pace).await;
        sweep(&simulator, &watcher, pace, "cold").await;
        sweep(&simulator, &watcher, pace, "again").await;
        drop(watcher);
        sweep(&simulator, &watch(&simulator, &database, pace).await, pace, "warm").await;
    }
}

async fn watch(simulator: &SimulatorHandle, database: &TestDatabase, pace: u32) -> Watcher {
    let source = SourceConfig {
        name: SourceName::parse("bench").expect("a name"),
        region: Some("eu-west-1".into()),
        credentials: Some(Credentials {
            access_key_id: "AKIABENCH".into(),
            secret_access_key: "bench".to_owned().into(),
            session_token: None,
        }),
        endpoint_url: Some(simulator.endpoint().parse().expect("an address")),
        max_reads_per_second: pace,
        ..SourceConfig::from_environment()
    };
    let (clock, random) = (Clock::system(), Random::system());
    let gateway = Gateway::open(&source, Settings::default(), &random).await.expect("the source has a region");
    let reader = Reader::new(database.open(), clock.clone(), random.clone(), vec![gateway]);
    let watcher = Watcher::new(&reader, &clock, &random, SignedDuration::from_secs(15)).expect("no patterns");
    watcher.register().await.expect("the database answers");
    watcher
}

async fn sweep(simulator: &SimulatorHandle, watcher: &Watcher, pace: u32, name: &str) {
    simulator.clear_calls();
    let began = Instant::now();
    let status = watcher.activate().await.remove(0);
    let took = began.elapsed().as_secs_f64();
    let calls: u64 = simulator.calls().counts.values().sum();
    println!("{pace:>10}/s  {name:<6} {took:>9.1} {calls:>7} {:>8}", status.waiting);
    assert_eq!(status.waiting, 40, "a sweep that misses an approval is not worth timing: {status:?}");
}
