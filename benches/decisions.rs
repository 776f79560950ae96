//! How long a decision takes, from the browser's POST to the answer, without AWS's time: what the simulator says its calls
//! for that pipeline took is taken off. Forms are read beforehand; decisions leave at their times whether or not earlier
//! ones were answered, and the time counts from when each should have left until there is a result: where the portal
//! answers 503, the form is sent again when it says so, and counted. Prints; judges nothing.
//!
//!   decisions [--quick | --long] [--records=N]
//!
//! `--long`: 50/s for ten minutes instead of one.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement prints, and stops where it cannot go on")]

mod support;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use support::load::{self, Answer, Connection, Measured, hidden, micros, open_loop};
use support::stage::{Setting, Stage, Waiting};
use support::table::{Table, has_flag, heading, is_quick, profile};

/// A form that was read and will be sent.
struct Form {
    path: String,
    pipeline: String,
    request: Vec<u8>,
}

/// What came of pressing a button.
struct Pressed {
    pipeline: String,
    micros: u64,
    /// How often the portal asked to try again later.
    put_off: u64,
}

/// Connections that are not in use, and since when: the portal closes those that are silent for long.
type Idle = Arc<Mutex<Vec<(Connection, Instant)>>>;

fn main() {
    tokio::runtime::Runtime::new().unwrap().block_on(measure());
}

async fn measure() {
    // Rate and seconds of each run: at 20/s latency, at 50/s whether it stays as it is.
    let runs = match (is_quick(), has_flag("long")) {
        (true, _) => [(20.0, 10), (50.0, 10)],
        (false, is_long) => [(20.0, 60), (50.0, if is_long { 600 } else { 60 })],
    };
    heading(
        "Decisions",
        &format!(
            "POST of the form to the answer that leads to the result, which is sent after AWS has answered. Open loop. \
             Without what the simulator took to answer, which stands beside it. {}.",
            profile()
        ),
    );
    let mut table = Table::new(&[
        "rate",
        "decisions",
        "p50 ms",
        "p99 ms",
        "most ms",
        "simulator p50 ms",
        "with it: p50 ms",
        "p99 ms",
        "calls each",
        "memory MiB",
        "open files",
        "accepted at AWS",
        "put off (503)",
    ]);
    for (rate, seconds) in runs {
        run(rate, seconds, &mut table).await;
    }
    table.print();
}

async fn run(rate: f64, seconds: usize, table: &mut Table) {
    let count = (rate * seconds as f64) as usize;
    // Everything is known before the run begins, and the next sweep comes after it.
    let setting = Setting {
        waiting: count,
        gated: count,
        pipelines: count,
        poll_interval: "1h",
        reads_per_second: 1000,
        queue: None,
    };
    let stage = Stage::start(&setting).await;
    let to = stage.portal().address;
    forget_calls(&stage).await;
    // Half a minute at a time, so that growth would show, and no form gets old.
    let part = ((rate * 30.0) as usize).max(1);
    let approvals = stage.list_approvals().await;
    let mut accepted = 0;
    for (n, waiting) in approvals.chunks(part).enumerate() {
        let forms = read_forms(&stage, waiting).await;
        forget_calls(&stage).await;
        let idle = Idle::default();
        let (whole, put_off) = (Arc::new(Mutex::new(HashMap::new())), Arc::new(AtomicU64::new(0)));
        let (kept, counted) = (Arc::clone(&whole), Arc::clone(&put_off));
        let latencies = open_loop(forms, rate, move |form, due| {
            let (idle, kept, counted) = (Arc::clone(&idle), Arc::clone(&kept), Arc::clone(&counted));
            async move {
                let pressed = decide(to, form, due, idle).await;
                counted.fetch_add(pressed.put_off, Ordering::Relaxed);
                kept.lock().unwrap().insert(pressed.pipeline, pressed.micros);
                pressed.micros
            }
        });
        let whole_times = Measured::new(latencies.await, waiting.len() as f64 / rate);
        let (calls, at_aws) = calls(&stage).await;
        let whole = std::mem::take(&mut *whole.lock().unwrap());
        let ours = whole.iter().map(|(name, took)| took.saturating_sub(at_aws.get(name).copied().unwrap_or(0)));
        let measured = Measured::new(ours.collect(), whole_times.seconds);
        let theirs = Measured::new(at_aws.into_values().collect(), whole_times.seconds);
        let decided = calls.get("PutApprovalResult").copied().unwrap_or(0);
        let all: u64 = calls.values().sum();
        forget_calls(&stage).await;
        accepted += decided;
        table.row(&[
            format!("{rate}/s, from {} s", n * 30),
            measured.count().to_string(),
            format!("{:.1}", measured.quantile(0.5)),
            format!("{:.1}", measured.quantile(0.99)),
            format!("{:.1}", measured.quantile(1.0)),
            format!("{:.1}", theirs.quantile(0.5)),
            format!("{:.1}", whole_times.quantile(0.5)),
            format!("{:.1}", whole_times.quantile(0.99)),
            format!("{:.1}", all as f64 / measured.count() as f64),
            format!("{:.0}", stage.portal().memory().0),
            stage.portal().open_files().to_string(),
            decided.to_string(),
            put_off.load(Ordering::Relaxed).to_string(),
        ]);
    }
    assert_eq!(accepted, count as u64, "every decision reached AWS, once");
    stage.end().await;
}

async fn read_forms(stage: &Stage, waiting: &[Waiting]) -> Vec<Form> {
    let to = stage.portal().address;
    let mut connection = Connection::open(to).await;
    let mut forms = Vec::new();
    for (n, Waiting { path, pipeline }) in waiting.iter().enumerate() {
        let session = &stage.sessions[n % stage.sessions.len()];
        let page = connection.ask(&load::get(to, path, session, "")).await.text();
        let field = |name| hidden(&page, name);
        let fields = [
            ("csrf", &*field("csrf")),
            ("key", &*field("key")),
            ("fingerprint", &*field("fingerprint")),
            ("summary", "Looked at the change and the tests"),
            ("verdict", "approved"),
        ];
        let cookie = format!("countersign={session}");
        forms.push(Form {
            path: path.clone(),
            pipeline: pipeline.clone(),
            request: load::post(to, &format!("{path}/decision"), &cookie, "127.0.0.1", &fields),
        });
    }
    forms
}

/// Presses the button, and again when the portal asks for it: the time counts until there is a result.
async fn decide(to: SocketAddr, form: Form, due: Instant, idle: Idle) -> Pressed {
    let mut put_off = 0;
    loop {
        let answer = press(to, &form, &idle).await;
        if answer.status == 503 {
            put_off += 1;
            let wait = answer.find_header("retry-after").expect("503 says when to try again").parse().unwrap();
            tokio::time::sleep(Duration::from_secs(wait)).await;
            continue;
        }
        let leads_to = answer.find_header("location").unwrap_or_default();
        assert!(leads_to.starts_with(&format!("{}/result/", form.path)), "{} {}", answer.head, answer.text());
        return Pressed { pipeline: form.pipeline, micros: micros(due.elapsed()), put_off };
    }
}

async fn press(to: SocketAddr, form: &Form, idle: &Idle) -> Answer {
    let kept = idle.lock().unwrap().pop().filter(|(_, since)| since.elapsed() < Duration::from_secs(3));
    let mut connection = match kept {
        Some((connection, _)) => connection,
        None => Connection::open(to).await,
    };
    let answer = connection.ask(&form.request).await;
    idle.lock().unwrap().push((connection, Instant::now()));
    answer
}

async fn forget_calls(stage: &Stage) {
    stage.control("DELETE", "/calls", "").await;
}

/// One call as the simulator tells it.
#[derive(serde::Deserialize)]
struct Call {
    pipeline: String,
    began: Timestamp,
    at: Timestamp,
}

/// How often each operation was called, and how many microseconds the simulator was at work on each pipeline's calls.
async fn calls(stage: &Stage) -> (BTreeMap<String, u64>, HashMap<String, u64>) {
    // The portal may still be closing what it was told.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut calls: serde_json::Value = serde_json::from_str(&stage.control("GET", "/calls", "").await).unwrap();
    let mut recent: Vec<Call> = serde_json::from_value(calls["recent"].take()).unwrap();
    recent.sort_by_key(|call| call.began);
    let mut at_work: HashMap<String, (u64, Timestamp)> = HashMap::new();
    for call in recent {
        let (sum, until) = at_work.entry(call.pipeline).or_insert((0, Timestamp::UNIX_EPOCH));
        // Two at the same time count once.
        let more = call.at.duration_since(call.began.max(*until));
        *sum += micros(more.try_into().unwrap_or_default());
        *until = call.at.max(*until);
    }
    let at_work = at_work.into_iter().map(|(pipeline, (sum, _))| (pipeline, sum)).collect();
    (serde_json::from_value(calls["counts"].take()).unwrap(), at_work)
}
