//! How long a decision takes, from the browser's POST to the answer, without AWS's time: the simulator answers at once.
//! Forms are read beforehand; decisions leave at their times whether or not earlier ones were answered, and the time
//! counts from when each should have left. Prints; judges nothing.
//!
//!   decisions [--quick]

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement prints, and stops where it cannot go on")]

mod support;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use support::load::{self, Connection, Measured, hidden, micros, open_loop};
use support::stage::{Setting, Stage};
use support::table::{Table, heading, is_quick, profile};

/// A form that was read and will be sent.
struct Form {
    path: String,
    request: Vec<u8>,
}

/// Connections that are not in use, and since when: the portal closes those that are silent for long.
type Idle = Arc<Mutex<Vec<(Connection, Instant)>>>;

fn main() {
    tokio::runtime::Runtime::new().unwrap().block_on(measure());
}

async fn measure() {
    // Rate and seconds of each run: at 20/s latency, at 50/s whether it stays as it is.
    let runs: &[(f64, usize)] = if is_quick() { &[(20.0, 10), (50.0, 10)] } else { &[(20.0, 60), (50.0, 600)] };
    heading(
        "Decisions",
        &format!(
            "POST of the form to the answer that leads to the result, which is sent after AWS has answered. Open loop. \
             The simulator answers at once; its time is in the figures. {}.",
            profile()
        ),
    );
    let mut table = Table::new(&[
        "rate",
        "decisions",
        "p50 ms",
        "p99 ms",
        "most ms",
        "calls each",
        "memory MiB",
        "accepted at AWS",
    ]);
    for (rate, seconds) in runs {
        run(*rate, *seconds, &mut table).await;
    }
    table.print();
}

async fn run(rate: f64, seconds: usize, table: &mut Table) {
    let count = (rate * seconds as f64) as usize;
    // Everything is known before the run begins, and the next sweep comes after it.
    let setting =
        Setting { waiting: count, gated: count, pipelines: count, poll_interval: "1h", reads_per_second: 1000 };
    let stage = Stage::start(&setting, async |_| {}).await;
    let to = stage.portal().address;
    forget_calls(&stage).await;
    // Half a minute at a time, so that growth would show, and no form gets old.
    let part = ((rate * 30.0) as usize).max(1);
    let approvals = stage.list_approvals().await;
    let mut accepted = 0;
    for (n, paths) in approvals.chunks(part).enumerate() {
        let forms = read_forms(&stage, paths).await;
        let idle = Idle::default();
        let latencies = open_loop(forms, rate, move |form, due| decide(to, form, due, Arc::clone(&idle))).await;
        let measured = Measured::new(latencies, paths.len() as f64 / rate);
        let calls = calls(&stage).await;
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
            format!("{:.1}", all as f64 / measured.count() as f64),
            format!("{:.0}", stage.portal().memory().0),
            decided.to_string(),
        ]);
    }
    assert_eq!(accepted, count as u64, "every decision reached AWS, once");
    stage.end().await;
}

async fn read_forms(stage: &Stage, paths: &[String]) -> Vec<Form> {
    let to = stage.portal().address;
    let mut connection = Connection::open(to).await;
    let mut forms = Vec::new();
    for (n, path) in paths.iter().enumerate() {
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
            request: load::post(to, &format!("{path}/decision"), &cookie, "127.0.0.1", &fields),
        });
    }
    forms
}

async fn decide(to: SocketAddr, form: Form, due: Instant, idle: Idle) -> u64 {
    let kept = idle.lock().unwrap().pop().filter(|(_, since)| since.elapsed() < Duration::from_secs(3));
    let mut connection = match kept {
        Some((connection, _)) => connection,
        None => Connection::open(to).await,
    };
    let answer = connection.ask(&form.request).await;
    let took = micros(due.elapsed());
    let leads_to = answer.find_header("location").unwrap_or_default();
    assert!(leads_to.starts_with(&format!("{}/result/", form.path)), "{} {}", answer.head, answer.text());
    idle.lock().unwrap().push((connection, Instant::now()));
    took
}

async fn control(stage: &Stage, method: &str) -> String {
    let control = stage.simulator.control.unwrap();
    let request = format!("{method} /calls HTTP/1.1\r\nhost: {control}\r\n\r\n");
    Connection::open(control).await.ask(request.as_bytes()).await.text()
}

async fn forget_calls(stage: &Stage) {
    control(stage, "DELETE").await;
}

async fn calls(stage: &Stage) -> BTreeMap<String, u64> {
    // The portal may still be closing what it was told.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let calls: serde_json::Value = serde_json::from_str(&control(stage, "GET").await).unwrap();
    serde_json::from_value(calls["counts"].clone()).unwrap()
}
