//! The watcher on 1,000 pipelines, 300 of them with a gate, 40 waiting, 20 ms a call: cold (nothing is known), again (a
//! second sweep), and warm (a new process that finds the database as it was); without a limit, and where the account lets
//! 20 calls a second through; beside ten threads of boto3 on the same simulator in the same minute. Then a serving
//! process: from its start to a queue page that shows all 40, and from an approval's opening to the page. Prints; judges
//! nothing but that none is missed.
//!
//! `cargo bench --bench watcher -- [--python FILE]`: a Python that has boto3; without one that part is left out.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement prints, and stops where it cannot go on")]

#[path = "support/portal.rs"]
mod portal;
#[path = "../tests/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use countersign::approvals::Reader;
use countersign::clock::Clock;
use countersign::codepipeline::{Gateway, Settings};
use countersign::config::{Credentials, SourceConfig};
use countersign::domain::ids::SourceName;
use countersign::random::Random;
use countersign::simulator::config::Rate;
use countersign::simulator::{Simulator, SimulatorHandle, WorldFile};
use countersign::watcher::Watcher;
use jiff::SignedDuration;
use portal::{Portal, Times};
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
/// The limit of the throttled account: calls a second, and how many at once after a pause.
const LIMIT: f64 = 20.0;
/// Approvals whose way to the page is timed.
const SAMPLES: usize = 12;

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("the runtime starts");
    runtime.block_on(measure());
}

async fn measure() {
    println!(
        "watcher: 1,000 pipelines, 300 with a gate, 40 waiting, 20 ms a call; throttled: {LIMIT} calls/s and as many at once"
    );
    println!();
    println!("| who | account | sweep | seconds | calls | throttled | missed | of what the limit allows |");
    println!("|---|---|---|---:|---:|---:|---:|---:|");
    for pace in PACES {
        sweeps(pace, false).await;
    }
    sweeps(PACES[0], true).await;
    for throttled in [false, true] {
        boto3(throttled).await;
    }
    println!();
    serving().await;
}

async fn start(throttled: bool) -> SimulatorHandle {
    let world = WorldFile::parse(WORLD).expect("the world is well-formed");
    let anywhere = "127.0.0.1:0".parse().expect("an address");
    let simulator = Simulator::start(world, Clock::system(), anywhere).await.expect("the simulator starts");
    if throttled {
        simulator.world("111122223333", "eu-west-1").limit_calls(Some(Rate { per_second: LIMIT, burst: LIMIT }));
    }
    simulator
}

async fn sweeps(pace: u32, throttled: bool) {
    let simulator = start(throttled).await;
    let database = TestDatabase::create().await;
    let watcher = watch(&simulator, &database, pace).await;
    sweep(&simulator, &watcher, (pace, throttled), "cold").await;
    sweep(&simulator, &watcher, (pace, throttled), "again").await;
    drop(watcher);
    sweep(&simulator, &watch(&simulator, &database, pace).await, (pace, throttled), "warm").await;
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

async fn sweep(simulator: &SimulatorHandle, watcher: &Watcher, (pace, throttled): (u32, bool), name: &str) {
    // The account is at rest before, so that every sweep may begin with the same burst.
    tokio::time::sleep(Duration::from_secs(1)).await;
    simulator.clear_calls();
    let began = Instant::now();
    let status = watcher.activate().await.remove(0);
    let took = began.elapsed().as_secs_f64();
    let refused = refused_calls(simulator);
    let calls: u64 = simulator.calls().counts.values().sum();
    let who = format!("Countersign, at most {pace}/s");
    print_row(&who, throttled, name, took, (calls, refused, 40 - status.waiting));
    assert_eq!(status.waiting, 40, "a sweep that misses an approval is not worth timing: {status:?}");
    if name == "again" && !throttled && pace == PACES[0] {
        let a_minute: Vec<String> =
            simulator.calls().counts.iter().map(|(operation, count)| format!("{operation} {}", count * 4)).collect();
        println!("| Countersign, calls a minute at 15 s | unlimited | steady | {} | | | | |", a_minute.join(", "));
    }
}

/// How many of the newest calls were throttled. More than it remembers are not made in one sweep.
fn refused_calls(simulator: &SimulatorHandle) -> u64 {
    simulator.calls().recent.iter().filter(|call| call.answer == "ThrottlingException").count() as u64
}

#[expect(clippy::cast_precision_loss, reason = "a few thousand calls")]
fn print_row(who: &str, throttled: bool, name: &str, took: f64, (calls, refused, missed): (u64, u64, usize)) {
    let needed = (calls - refused) as f64;
    let multiple = if throttled { format!("{:.2}", took / ((needed - LIMIT) / LIMIT)) } else { String::new() };
    let account = if throttled { "throttled" } else { "unlimited" };
    println!("| {who} | {account} | {name} | {took:.1} | {calls} | {refused} | {missed} | {multiple} |");
}

/// The loop that teams write themselves.
async fn boto3(throttled: bool) {
    let simulator = start(throttled).await;
    let python = std::env::args().skip_while(|arg| arg != "--python").nth(1).unwrap_or_else(|| "python3".into());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/boto3_loop.py");
    let output = tokio::process::Command::new(python).args([script, &simulator.endpoint()]).output().await;
    let said = output.ok().filter(|output| output.status.success()).map(|output| output.stdout);
    let Some(said) = said.and_then(|said| serde_json::from_slice::<serde_json::Value>(&said).ok()) else {
        println!("| boto3, 10 threads | not measured: no Python with boto3 (see --python) | | | | | | |");
        return;
    };
    let number = |name: &str| said[name].as_u64().expect("a count");
    let missed = usize::try_from(40 - number("waiting")).expect("a count");
    let counts = (number("calls"), number("throttled"), missed);
    print_row("boto3, 10 threads", throttled, "every time", said["seconds"].as_f64().expect("seconds"), counts);
}

/// A serving process over the database as a watcher left it.
async fn serving() {
    let simulator = start(false).await;
    let database = TestDatabase::create().await;
    watch(&simulator, &database, PACES[1]).await.activate().await;
    let cookie = cookie(&database).await;
    let more = [("AWS_ENDPOINT_URL", simulator.endpoint()), ("COUNTERSIGN_POLL_INTERVAL", "15s".to_owned())];
    let portal = Portal::start(&database.url("countersign_app"), &more).await;
    let http = reqwest::Client::new();
    let page = || async {
        let request = http.get(format!("{}/", portal.address)).header("cookie", &cookie);
        request.send().await.expect("an answer").text().await.expect("a page")
    };
    let waiting = |page: &str| page.matches("href=\"/approvals/").count();
    let first = page().await;
    let took = portal.began.elapsed().as_secs_f64();
    println!("from the start of the process to a queue page with {} approvals: {took:.2} s", waiting(&first));
    let (mut times, mut known) = (Times::default(), waiting(&first));
    let mut rng = fastrand::Rng::with_seed(7);
    let world = simulator.world("111122223333", "eu-west-1");
    for n in 0..SAMPLES {
        tokio::time::sleep(Duration::from_millis(rng.u64(1_000..9_000))).await;
        world.open_approval(&format!("svc-{:04}", 100 + n), None).expect("the pipeline has a gate");
        let opened = Instant::now();
        while waiting(&page().await) <= known {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        known += 1;
        times.add(opened.elapsed());
    }
    let [_, p50, _, most] = times.figures();
    println!(
        "from an approval's opening to the page, by polling each 15 s, {SAMPLES} times (seed 7): median {:.1} s, at most {:.1} s",
        p50 / 1e3,
        most / 1e3
    );
    println!("resident memory of that process: {:.0} MiB, at most {:.0}", portal.memory().0, portal.memory().1);
}

/// A session of somebody who may see the queue.
async fn cookie(database: &TestDatabase) -> String {
    use base64::Engine as _;
    use sqlx::Connection as _;
    let (random, secret) = (Random::seeded(7), [7_u8; 32]);
    let mut conn = database.connect_superuser().await;
    sqlx::query(
        "with a as (insert into portal.account (id, email, email_key, name, roles, created_at)
            values ($1, 'bench@bench.example', 'bench@bench.example', 'Bench', array['approver'], now()) returning id)
        insert into portal.session (id, token_hash, csrf_secret, account_id, method, address, user_agent, started_at,
            last_seen_at, expires_at)
        select $1, $2, $2, id, 'password', '127.0.0.1', 'bench', now(), now(), now() + interval '11 hours' from a",
    )
    .bind(random.uuid_v4())
    .bind(countersign::audit::entry::sha256(&secret).to_vec())
    .execute(&mut conn)
    .await
    .expect("a session is inserted");
    conn.close().await.expect("the database answers");
    format!("countersign={}", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(secret))
}
