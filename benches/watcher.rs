//! The watcher on 1,000 pipelines, 300 of them with a gate, 40 waiting, 20 ms a call: cold (nothing is known), again (a
//! second sweep), and warm (a new process that finds the database as it was); without a limit, and where the account lets
//! 20 calls a second through. After each sweep, ten threads of boto3 do theirs on the same simulator, in the same minute.
//! Then a serving process: from its start to a queue page that shows all 40, and from an approval's opening to the page.
//! Prints; judges nothing but that none is missed.
//!
//!   watcher [--quick] [--python=FILE] [--without-sweeps]
//!
//! `--python`: a Python that has boto3; without one that part is left out. `--quick`: a tenth of everything.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement prints, and stops where it cannot go on")]

#[path = "../tests/support/postgres.rs"]
#[allow(dead_code, reason = "the tests use the rest of it")]
mod postgres;
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
use postgres::TestDatabase;
use support::portal::{Portal, Times};
use support::table::{find_option, has_flag, heading, is_quick, profile};

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
count = COUNT
template = "plain"
gated_template = "gated"
gated = GATED
waiting = WAITING
"#;

/// How fast reading may get: the default, and far beyond what AWS is known to allow.
const PACES: [u32; 2] = [40, 400];
/// The limit of the throttled account: calls a second, and how many at once after a pause.
const LIMIT: f64 = 20.0;

/// How much there is to watch.
#[derive(Debug, Clone, Copy)]
struct Size {
    pipelines: usize,
    gated: usize,
    waiting: usize,
    /// Approvals whose way to the page is timed.
    samples: usize,
}

fn size() -> Size {
    if is_quick() {
        Size { pipelines: 100, gated: 30, waiting: 4, samples: 1 }
    } else {
        Size { pipelines: 1_000, gated: 300, waiting: 40, samples: 6 }
    }
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("the runtime starts");
    runtime.block_on(measure());
}

async fn measure() {
    let Size { pipelines, gated, waiting, .. } = size();
    heading(
        "Watcher",
        &format!(
            "{pipelines} pipelines, {gated} with a gate, {waiting} waiting, 20 ms a call; throttled: {LIMIT} calls/s and as \
             many at once. boto3 sweeps the same simulator right after each sweep of ours. {}.",
            profile()
        ),
    );
    println!("| who | account | sweep | seconds | calls | throttled | missed | of what the limit allows |");
    println!("|---|---|---|---:|---:|---:|---:|---:|");
    if !has_flag("without-sweeps") {
        for pace in PACES {
            sweeps(pace, false).await;
        }
        sweeps(PACES[0], true).await;
    }
    println!();
    serving().await;
    println!();
}

async fn start(throttled: bool) -> SimulatorHandle {
    let Size { pipelines, gated, waiting, .. } = size();
    let world = WORLD
        .replace("COUNT", &pipelines.to_string())
        .replace("GATED", &gated.to_string())
        .replace("WAITING", &waiting.to_string());
    let world = WorldFile::parse(&world).expect("the world is well-formed");
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
    print_row(&who, throttled, name, took, (calls, refused, size().waiting - status.waiting));
    assert_eq!(status.waiting, size().waiting, "a sweep that misses an approval is not worth timing: {status:?}");
    if name == "again" && !throttled && pace == PACES[0] {
        let a_minute: Vec<String> =
            simulator.calls().counts.iter().map(|(operation, count)| format!("{operation} {}", count * 4)).collect();
        println!("| Countersign, calls a minute at 15 s | unlimited | steady | {} | | | | |", a_minute.join(", "));
    }
    boto3(simulator, throttled).await;
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
async fn boto3(simulator: &SimulatorHandle, throttled: bool) {
    // As before ours, the account is at rest.
    tokio::time::sleep(Duration::from_secs(1)).await;
    simulator.clear_calls();
    let python = find_option("python").unwrap_or_else(|| "python3".into());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/boto3_loop.py");
    let output = tokio::process::Command::new(python).args([script, &simulator.endpoint()]).output().await;
    let said = output.ok().filter(|output| output.status.success()).map(|output| output.stdout);
    let Some(said) = said.and_then(|said| serde_json::from_slice::<serde_json::Value>(&said).ok()) else {
        println!("| boto3, 10 threads | not measured: no Python with boto3 (script/bench brings one) | | | | | | |");
        return;
    };
    let number = |name: &str| said[name].as_u64().expect("a count");
    let missed = size().waiting - usize::try_from(number("waiting")).expect("a count");
    let counts = (number("calls"), number("throttled"), missed);
    print_row("boto3, 10 threads", throttled, "right after", said["seconds"].as_f64().expect("seconds"), counts);
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
    let mut times = Times::default();
    let mut rng = fastrand::Rng::with_seed(7);
    let world = simulator.world("111122223333", "eu-west-1");
    for n in 0..size().samples {
        tokio::time::sleep(Duration::from_millis(rng.u64(1_000..9_000))).await;
        let pipeline = format!("svc-{:04}", 10 + size().waiting + n);
        assert!(!page().await.contains(&pipeline), "{pipeline} has nothing waiting yet");
        world.open_approval(&pipeline, None).expect("the pipeline has a gate");
        let opened = Instant::now();
        while !page().await.contains(&pipeline) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        times.add(opened.elapsed());
    }
    let [_, p50, _, most] = times.figures();
    println!(
        "from an approval's opening to the page, by polling each 15 s, {} times (seed 7): median {:.1} s, at most {:.1} s",
        size().samples,
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
            values ($1, 'bench@bench.example', 'bench@bench.example', 'Bench', array['approver'], now()) returning id),
        g as (insert into portal.access_grant (id, capability, account_id, source, pipeline, stage, action, from_at)
            select gen_random_uuid(), 'decide', id, '*', '*', '*', '*', now() from a)
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
