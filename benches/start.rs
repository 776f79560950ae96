//! What a person or an operator waits for besides pages: the portal's start, its memory and size, signing in, and an
//! approval appearing. Prints; judges nothing.
//!
//!   start [--quick]

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement prints, and stops where it cannot go on")]

mod support;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use support::load::{self, Connection, Measured, hidden, micros};
use support::people::PASSWORD;
use support::processes::program;
use support::stage::{Setting, Stage};
use support::table::{Table, heading, is_quick, median, profile};

fn main() {
    tokio::runtime::Runtime::new().unwrap().block_on(measure());
}

async fn measure() {
    let mut stage = Stage::start(&Setting::full(), async |_| {}).await;
    heading("Start, memory, sign-in, opening", &format!("1,000 pipelines, 200 approvals wait. {}.", profile()));
    let mut table = Table::new(&["what", "figure"]);
    let mut say = |what: &str, figure: String| table.row(&[what.to_owned(), figure]);
    let size = std::fs::metadata(program()).unwrap().len();
    say("size of the binary", format!("{:.1} MiB", size as f64 / 1024.0 / 1024.0));
    starts(&mut stage, &mut say).await;
    tries(&stage, &mut say).await;
    sign_ins(&stage, &mut say).await;
    if !is_quick() {
        openings(&stage, &mut say).await;
    }
    let (now, most) = stage.portal().memory();
    say("memory at the end, and most", format!("{now:.0} MiB, {most:.0} MiB"));
    table.print();
    stage.end().await;
}

type Say<'a> = dyn FnMut(&str, String) + 'a;

/// Start to readiness on an existing database, and the memory of a portal that only watches.
async fn starts(stage: &mut Stage, say: &mut Say<'_>) {
    let mut seconds = Vec::new();
    for _ in 0..5 {
        seconds.push(stage.restart().await.as_secs_f64());
    }
    let slowest = seconds.iter().copied().fold(0.0, f64::max);
    say("start to /readyz, median and slowest of 5", format!("{:.2} s, {slowest:.2} s", median(seconds)));
    tokio::time::sleep(Duration::from_secs(if is_quick() { 2 } else { 30 })).await;
    say("memory, watching, no visitors", format!("{:.0} MiB", stage.portal().memory().0));
}

/// Whose sign-in fails: the three must take the same time (S-10).
async fn tries(stage: &Stage, say: &mut Say<'_>) {
    let disable = "update portal.account set disabled_at = now()
        where email_key in (select 'person-' || n || '@bench.example' from generate_series(101, 200) n)";
    sqlx::query(disable).execute(&mut stage.connect().await).await.unwrap();
    let to = stage.portal().address;
    let count = if is_quick() { 20 } else { 100 };
    let mut times: [Vec<f64>; 3] = Default::default();
    let form = SignInForm::read(to).await;
    let mut connection = Connection::open(to).await;
    for n in 1..=count {
        let whose = [format!("nobody-{n}"), format!("person-{}", 100 + n), format!("person-{}", 200 + n)];
        for (times, name) in times.iter_mut().zip(whose) {
            let request = form.fill(to, &format!("{name}@bench.example"), "not the password of anybody");
            let asked = Instant::now();
            let status = connection.ask(&request).await.status;
            times.push(asked.elapsed().as_secs_f64() * 1000.0);
            assert_eq!(status, 401, "{name}");
        }
    }
    let [unknown, disabled, wrong] = times.map(median);
    let spread = [unknown, disabled, wrong].into_iter().fold(0.0, f64::max)
        / [unknown, disabled, wrong].into_iter().fold(f64::INFINITY, f64::min);
    say(
        &format!("failed sign-in, medians of {count}: unknown, disabled, wrong password"),
        format!("{unknown:.1}, {disabled:.1}, {wrong:.1} ms: {:.0} % apart", (spread - 1.0) * 100.0),
    );
}

/// Right passwords, as fast as they are taken.
async fn sign_ins(stage: &Stage, say: &mut Say<'_>) {
    let to = stage.portal().address;
    let next = Arc::new(AtomicU32::new(301));
    for connections in [1, 4] {
        let began = Instant::now();
        let share = if is_quick() { 8 } else { 32 };
        let workers = (0..connections).map(|_| tokio::spawn(sign_in(to, Arc::clone(&next), share)));
        let mut latencies = Vec::new();
        for worker in workers.collect::<Vec<_>>() {
            latencies.extend(worker.await.unwrap());
        }
        let measured = Measured::new(latencies, began.elapsed().as_secs_f64());
        say(
            &format!("sign-in, {connections} at once"),
            format!(
                "{:.0}/s, p50 {:.0} ms, p99 {:.0} ms",
                measured.per_second(),
                measured.quantile(0.5),
                measured.quantile(0.99)
            ),
        );
    }
}

async fn sign_in(to: SocketAddr, next: Arc<AtomicU32>, count: u32) -> Vec<u64> {
    let form = SignInForm::read(to).await;
    let mut connection = Connection::open(to).await;
    let mut latencies = Vec::new();
    for _ in 0..count {
        let who = format!("person-{}@bench.example", next.fetch_add(1, Ordering::Relaxed));
        let request = form.fill(to, &who, PASSWORD);
        let asked = Instant::now();
        let answer = connection.ask(&request).await;
        latencies.push(micros(asked.elapsed()));
        assert_eq!(answer.status, 303, "{who}: {}", answer.text());
    }
    latencies
}

/// The sign-in form of one browser. Its token serves as often as it is sent.
struct SignInForm {
    cookie: String,
    csrf: String,
}

/// So that every try comes from an address of its own.
static ADDRESS: AtomicU32 = AtomicU32::new(0);

impl SignInForm {
    async fn read(to: SocketAddr) -> Self {
        let request = format!("GET /sign-in HTTP/1.1\r\nhost: {to}\r\n\r\n");
        let answer = Connection::open(to).await.ask(request.as_bytes()).await;
        let cookie = answer.find_header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
        Self { cookie, csrf: hidden(&answer.text(), "csrf") }
    }

    fn fill(&self, to: SocketAddr, email: &str, password: &str) -> Vec<u8> {
        let [_, a, b, c] = ADDRESS.fetch_add(256, Ordering::Relaxed).to_be_bytes();
        let fields = [("csrf", self.csrf.as_str()), ("email", email), ("password", password)];
        load::post(to, "/sign-in", &self.cookie, &format!("10.{a}.{b}.{c}"), &fields)
    }
}

/// From an approval's opening at AWS until the queue shows it, by polling alone.
async fn openings(stage: &Stage, say: &mut Say<'_>) {
    let (to, control) = (stage.portal().address, stage.simulator.control.unwrap());
    let names: Vec<String> = (201..=240).map(|n| format!("service-{n:04}")).collect();
    let watching = tokio::spawn(watch(to, stage.sessions[0].clone(), names.clone()));
    let mut opened = Vec::new();
    for name in &names {
        let body = format!(r#"{{"act":"open_approval","pipeline":"{name}"}}"#);
        let request = format!(
            "POST /act HTTP/1.1\r\nhost: {control}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = Connection::open(control).await.ask(request.as_bytes()).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        opened.push(Instant::now());
        // Not in step with the interval.
        tokio::time::sleep(Duration::from_millis(1_370)).await;
    }
    let shown = watching.await.unwrap();
    let waits = opened.iter().zip(shown).map(|(opened, shown)| micros(shown.duration_since(*opened))).collect();
    let measured = Measured::new(waits, 1.0);
    let seconds = |share| measured.quantile(share) / 1000.0;
    say(
        "from opening at AWS to the queue page, by polling every 15 s (40 approvals)",
        format!("p50 {:.1} s, p90 {:.1} s, most {:.1} s", seconds(0.5), seconds(0.9), seconds(1.0)),
    );
}

/// When each was first seen on the page.
async fn watch(to: SocketAddr, session: String, names: Vec<String>) -> Vec<Instant> {
    let mut connection = Connection::open(to).await;
    let mut seen = vec![None; names.len()];
    while seen.iter().any(Option::is_none) {
        let page = connection.ask(&load::get(to, "/?q=service-02", &session, "")).await.text();
        let shown: BTreeSet<&str> = page.split(['<', '>']).filter(|text| text.starts_with("service-")).collect();
        for (seen, name) in seen.iter_mut().zip(&names) {
            if seen.is_none() && shown.contains(name.as_str()) {
                *seen = Some(Instant::now());
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    seen.into_iter().flatten().collect()
}
