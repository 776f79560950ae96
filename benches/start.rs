//! What a person or an operator waits for besides pages: the portal's start, its memory and size, signing in, and an
//! approval appearing. Prints; judges nothing.
//!
//!   start [--quick] [--records=N]

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement prints, and stops where it cannot go on")]

mod support;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use countersign::clock::Clock;
use jiff::Timestamp;
use support::load::{self, Connection, Measured, hidden, micros};
use support::processes::program;
use support::records::PASSWORD;
use support::stage::{Setting, Stage};
use support::table::{Table, heading, is_quick, median, profile};

fn main() {
    tokio::runtime::Runtime::new().unwrap().block_on(measure());
}

async fn measure() {
    let mut stage = Stage::start(&Setting::full()).await;
    heading(
        "Start, memory, sign-in, opening",
        &format!("1,000 pipelines, 200 approvals wait, 500 accounts, {} records; {}.", stage.records(), profile()),
    );
    let mut table = Table::new(&["what", "figure"]);
    let mut say = |what: &str, figure: String| table.row(&[what.to_owned(), figure]);
    let size = std::fs::metadata(program()).unwrap().len();
    say("size of the binary", format!("{:.1} MiB", size as f64 / 1024.0 / 1024.0));
    starts(&mut stage, &mut say).await;
    tries(&stage, &mut say).await;
    sign_ins(&stage, &mut say).await;
    openings(&stage, &mut say).await;
    let (now, most) = stage.portal().memory();
    say("memory at the end, and most", format!("{now:.0} MiB, {most:.0} MiB"));
    say("open files at the end", stage.portal().open_files().to_string());
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
    say("open files, watching, no visitors", stage.portal().open_files().to_string());
}

/// Whose sign-in fails: the three must take the same time (S-10).
async fn tries(stage: &Stage, say: &mut Say<'_>) {
    let disable = sqlx::query("update portal.account set disabled_at = now() where email = any($1)");
    disable.bind(&stage.emails[101..=200]).execute(&mut stage.connect().await).await.unwrap();
    let to = stage.portal().address;
    let count = if is_quick() { 20 } else { 100 };
    let mut times: [Vec<f64>; 3] = Default::default();
    let form = SignInForm::read(to).await;
    let mut connection = Connection::open(to).await;
    for n in 1..=count {
        let whose = [format!("nobody-{n}@bench.example"), stage.emails[100 + n].clone(), stage.emails[200 + n].clone()];
        for (times, name) in times.iter_mut().zip(whose) {
            let request = form.fill(to, &name, "not the password of anybody");
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
    let emails = Arc::new(Mutex::new(stage.emails[301..].to_vec()));
    for connections in [1, 4] {
        let began = Instant::now();
        let share = if is_quick() { 8 } else { 32 };
        let workers = (0..connections).map(|_| tokio::spawn(sign_in(to, Arc::clone(&emails), share)));
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

async fn sign_in(to: SocketAddr, emails: Arc<Mutex<Vec<String>>>, count: u32) -> Vec<u64> {
    let form = SignInForm::read(to).await;
    let mut connection = Connection::open(to).await;
    let mut latencies = Vec::new();
    for _ in 0..count {
        let who = emails.lock().unwrap().pop().unwrap();
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

/// From an approval's opening at AWS until the queue shows it: to somebody who keeps asking, and to a page that is open
/// and asks when it hears a hint; and from its being found by the portal, which is what a hint is for.
async fn openings(stage: &Stage, say: &mut Say<'_>) {
    let to = stage.portal().address;
    let count = if is_quick() { 3 } else { 40 };
    let names: Vec<String> = (201..201 + count).map(|n| format!("service-{n:04}")).collect();
    let asking = tokio::spawn(watch(to, stage.sessions[0].clone(), names.clone(), None));
    let hints = load::Hints::open(to, &stage.sessions[1]).await;
    let hearing = tokio::spawn(watch(to, stage.sessions[1].clone(), names.clone(), Some(hints)));
    let mut opened = Vec::new();
    for name in &names {
        stage.control("POST", "/act", &format!(r#"{{"act":"open_approval","pipeline":"{name}"}}"#)).await;
        opened.push(Clock::system().now());
        // Not in step with the interval.
        tokio::time::sleep(Duration::from_millis(1_370)).await;
    }
    let (asked, heard) = (asking.await.unwrap(), hearing.await.unwrap());
    let found = found_at(stage, &names).await;
    let lines = [
        ("opening at AWS to the queue page, read every 15 s, page asked for all the time", &opened, &asked),
        ("opening at AWS to an open page that hears hints, read every 15 s", &opened, &heard),
        ("found by the portal to an open page, by hint", &found, &heard),
    ];
    for (what, from, until) in lines {
        let waits = from.iter().zip(until).map(|(from, until)| until.duration_since(*from));
        let measured = Measured::new(waits.map(|wait| micros(wait.try_into().unwrap_or_default())).collect(), 1.0);
        let seconds = |share| measured.quantile(share) / 1000.0;
        say(
            &format!("{what} ({count} approvals)"),
            format!("p50 {:.2} s, p90 {:.2} s, most {:.2} s", seconds(0.5), seconds(0.9), seconds(1.0)),
        );
    }
}

/// When each was first seen on the page, which is asked for again and again, or whenever a hint is heard.
async fn watch(to: SocketAddr, session: String, names: Vec<String>, mut hints: Option<load::Hints>) -> Vec<Timestamp> {
    let mut seen = vec![None; names.len()];
    while seen.iter().any(Option::is_none) {
        match &mut hints {
            Some(hints) => hints.next().await,
            None => tokio::time::sleep(Duration::from_millis(50)).await,
        }
        // A page that listens is silent for long; the portal closes such connections.
        let page = Connection::open(to).await.ask(&load::get(to, "/?q=service-02", &session, "")).await.text();
        let shown: BTreeSet<&str> = page.split(['<', '>']).filter(|text| text.starts_with("service-")).collect();
        for (seen, name) in seen.iter_mut().zip(&names) {
            if seen.is_none() && shown.contains(name.as_str()) {
                *seen = Some(Clock::system().now());
            }
        }
    }
    seen.into_iter().flatten().collect()
}

/// When the portal wrote each down.
async fn found_at(stage: &Stage, names: &[String]) -> Vec<Timestamp> {
    let mut conn = stage.connect().await;
    let mut found = Vec::new();
    for name in names {
        let at: jiff_sqlx::Timestamp =
            sqlx::query_scalar("select found_at from portal.approval where source = 'bench' and pipeline = $1")
                .bind(name)
                .fetch_one(&mut conn)
                .await
                .unwrap();
        found.push(at.to_jiff());
    }
    found
}
