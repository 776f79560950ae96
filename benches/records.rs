//! What the record can take: appends a second by 1, 8 and 16 clients of the serving login, with how long each holds the
//! head's lock, and rows a second and memory of `countersign audit verify` over everything. Prints; judges nothing but
//! that the log is intact afterwards.
//!
//!   records [--quick] [--records=N] [--seconds=N]

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement prints, and stops where it cannot go on")]

mod support;

use std::process::Stdio;
use std::time::{Duration, Instant};

use countersign::audit::{self, Kind, Payload};
use countersign::clock::Clock;
use countersign::database::connect::serving;
use countersign::database::{Database, Role};
use countersign::random::Random;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection};
use support::portal::Times;
use support::processes::{memory_of, program};
use support::records::Records;
use support::table::{find_option, heading, is_quick, profile};
use tokio::process::Command;

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(measure());
}

async fn measure() {
    let usual = if is_quick() { 2 } else { 10 };
    let seconds = find_option("seconds").map_or(usual, |text| text.parse().unwrap());
    let records = Records::open(Records::asked()).await;
    heading("Records", &format!("Made with {} records; {}.", records.count, profile()));
    println!(
        "| appending, {seconds} s each | appends/s | head locked p50 ms | p99 ms | most ms | whole p50 ms | p99 ms |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|");
    for clients in [1, 8, 16] {
        append(&records, clients, Duration::from_secs(seconds)).await;
    }
    println!();
    println!("| verifying | rows | seconds | rows/s | MiB at most | of the database server |");
    println!("|---|---:|---:|---:|---:|---:|");
    verify(&records).await;
    println!();
}

/// So many clients append, each as fast as it can.
async fn append(records: &Records, clients: usize, lasting: Duration) {
    let began = Instant::now();
    let mut running = Vec::new();
    for number in 0..clients {
        let conn = serving(records.postgres.options(Role::App)).connect().await.unwrap();
        running.push(tokio::spawn(append_until(conn, number as u64, began + lasting)));
    }
    let (mut held, mut whole, mut count) = (Times::default(), Times::default(), 0_u32);
    for client in running {
        for (lock, all) in client.await.unwrap() {
            held.add(lock);
            whole.add(all);
            count += 1;
        }
    }
    let rate = f64::from(count) / began.elapsed().as_secs_f64();
    let ([_, p50, p99, most], [_, whole_p50, whole_p99, _]) = (held.figures(), whole.figures());
    let plural = if clients == 1 { "" } else { "s" };
    println!(
        "| {clients} client{plural} | {rate:.0} | {p50:.2} | {p99:.1} | {most:.0} | {whole_p50:.1} | {whole_p99:.1} |"
    );
}

/// For each append: how long the head was locked, from the time under the lock until COMMIT had returned, and how long
/// the transaction took in all.
async fn append_until(mut conn: PgConnection, seed: u64, until: Instant) -> Vec<(Duration, Duration)> {
    let (random, clock) = (Random::seeded(seed), Clock::system());
    let fields = serde_json::json!({
        "source": "billing", "pipeline": "billing-api-00", "stage": "Production", "action": "Release",
        "execution": random.uuid_v4().to_string(), "mode": "bench", "text": "x".repeat(400),
    });
    let mut took = Vec::new();
    while Instant::now() < until {
        let began = Instant::now();
        let payload = Payload::new(&random, &fields).unwrap();
        let mut transaction = conn.begin().await.unwrap();
        let appended = audit::append(&mut transaction, Kind::SettingsChanged, "operator", &payload).await.unwrap();
        transaction.commit().await.unwrap();
        let held = clock.now().duration_since(appended.at);
        took.push((Duration::try_from(held).unwrap_or_default(), began.elapsed()));
    }
    took
}

/// The command as an auditor runs it.
async fn verify(records: &Records) {
    let began = Instant::now();
    let mut child = Command::new(program())
        .args(["audit", "verify"])
        .env_clear()
        .env("COUNTERSIGN_DATABASE_READER_URL", records.postgres.url(Role::Reader))
        .current_dir(std::env::temp_dir())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let pid = child.id().unwrap();
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    let mut peak = 0.0_f64;
    let database = Database::open(&records.postgres.options(Role::App));
    let mut server_peak = 0.0_f64;
    while child.try_wait().unwrap().is_none() {
        tick.tick().await;
        if std::fs::read_to_string(format!("/proc/{pid}/status")).is_ok_and(|status| status.contains("VmHWM")) {
            peak = peak.max(memory_of(pid).1);
        }
        server_peak = server_peak.max(backend_memory(&database).await);
    }
    let took = began.elapsed().as_secs_f64();
    let output = child.wait_with_output().await.unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "the log is not intact: {said}");
    let rows: f64 = said.split_whitespace().nth(1).unwrap().parse().unwrap();
    println!("| `audit verify` | {rows:.0} | {took:.0} | {:.0} | {peak:.0} | {server_peak:.0} |", rows / took);
}

/// What the server process that reads for the verifier holds besides the pages it shares, in MiB.
async fn backend_memory(database: &Database) -> f64 {
    let pid: Option<i32> =
        sqlx::query_scalar("select pid from pg_stat_activity where application_name = 'countersign-read'")
            .fetch_optional(&database.pages.now())
            .await
            .unwrap();
    let status = pid.and_then(|pid| std::fs::read_to_string(format!("/proc/{pid}/status")).ok());
    let line = status.as_deref().and_then(|status| status.lines().find_map(|line| line.strip_prefix("RssAnon:")));
    line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok()).unwrap_or_default() / 1024.0
}
