//! How long an approval takes to an open queue page when AWS announces it, and when it does not. SNS and SQS are `moto`'s.
//! Prints; judges nothing.
//!
//!   events [--quick] [--records=N] [--approvals=N]

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement prints, and stops where it cannot go on")]

#[path = "../tests/support/aws_stand_in.rs"]
#[allow(dead_code, reason = "shared with the tests, which use more of it")]
mod aws_stand_in;
mod support;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use aws_stand_in::{AwsStandIn, TestQueue};
use serde_json::json;
use support::load::{self, Connection, Measured, micros};
use support::stage::{Setting, Stage};
use support::table::{Table, find_option, heading, is_quick, profile};
use tokio::task::JoinHandle;

/// So many approvals are on one page: a page shows no more than fifty.
const PAGE: usize = 10;
/// The first pipeline with a gate at which nothing waits, such that the next ten share all digits but the last.
const FIRST: usize = 50;

fn main() {
    tokio::runtime::Runtime::new().unwrap().block_on(measure());
}

async fn measure() {
    let asked = find_option("approvals").map(|text| text.parse::<usize>().expect("--approvals takes a number"));
    let count = asked.unwrap_or(if is_quick() { 10 } else { 200 }).clamp(1, 250);
    heading(
        "From AWS to an open queue page",
        &format!(
            "1,000 pipelines, 300 with a gate, 40 waiting, read every 15 s, or every 2 min while the queue is heard; {count} \
             approvals; {}.",
            profile()
        ),
    );
    let mut table = Table::new(&["from", "until", "approvals", "p50 s", "p95 s", "most s"]);
    let mut say = |from: &str, measured: &Measured| {
        let seconds = |share| format!("{:.2}", measured.quantile(share) / 1000.0);
        let figures = [seconds(0.5), seconds(0.95), seconds(1.0)];
        let cells = [from.to_owned(), "it is on an open queue page".to_owned(), measured.count().to_string()];
        table.row(&[cells.as_slice(), &figures].concat());
    };
    say("the event is put into the queue", &announced(count).await);
    say("it waits at AWS, polling alone", &polled(count).await);
    table.print();
}

/// Each approval is announced as soon as it waits.
async fn announced(count: usize) -> Measured {
    let aws = AwsStandIn::start();
    let queue = aws.queue("bench").await;
    let stage = Stage::start(&setting(Some(queue.url.to_string()))).await;
    until_heard(&queue).await;
    // Farther apart than a page looks again.
    let measured = openings(&stage, count, Duration::from_millis(1_370), Some(&queue)).await;
    stage.end().await;
    measured
}

async fn polled(count: usize) -> Measured {
    let stage = Stage::start(&setting(None)).await;
    let measured = openings(&stage, count, Duration::from_millis(370), None).await;
    stage.end().await;
    measured
}

fn setting(queue: Option<String>) -> Setting {
    Setting { waiting: 40, queue, ..Setting::full() }
}

/// Until the queue is read, and the sweep has become slow for it.
async fn until_heard(queue: &TestQueue<'_>) {
    queue.send(&event("service-0001")).await;
    while queue.left().await != (0, 0) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tokio::time::sleep(Duration::from_secs(if is_quick() { 0 } else { 20 })).await;
}

/// Opens one approval after the other; how long each took to a page that is open.
async fn openings(stage: &Stage, count: usize, apart: Duration, queue: Option<&TestQueue<'_>>) -> Measured {
    let names: Vec<String> = (FIRST..FIRST + count).map(|number| format!("service-{number:04}")).collect();
    let (mut begun, mut pages): (Vec<Instant>, Vec<JoinHandle<Vec<Instant>>>) = (Vec::new(), Vec::new());
    for (number, names) in names.chunks(PAGE).enumerate() {
        let page = OpenPage::open(stage.portal().address, &stage.sessions[number], names).await;
        pages.push(tokio::spawn(page.watch()));
        for name in names {
            let order = format!(r#"{{"act":"open_approval","pipeline":"{name}"}}"#);
            stage.control("POST", "/act", &order).await;
            begun.push(Instant::now());
            if let Some(queue) = queue {
                queue.send(&event(name)).await;
            }
            tokio::time::sleep(apart).await;
        }
    }
    let mut shown = Vec::new();
    for page in pages {
        shown.extend(page.await.unwrap());
    }
    let waits = begun.iter().zip(&shown).map(|(begun, shown)| micros(shown.saturating_duration_since(*begun)));
    Measured::new(waits.collect(), 1.0)
}

/// A queue page with its stream of hints, which looks again as the page's script does: at most once a second, and not all
/// pages in the same moment.
struct OpenPage {
    to: SocketAddr,
    session: String,
    names: Vec<String>,
    hints: load::Hints,
    looked: Instant,
}

impl OpenPage {
    async fn open(to: SocketAddr, session: &str, names: &[String]) -> Self {
        let hints = load::Hints::open(to, session).await;
        Self { to, session: session.to_owned(), names: names.to_vec(), hints, looked: Instant::now() }
    }

    /// When each was first seen.
    async fn watch(mut self) -> Vec<Instant> {
        let mut seen = vec![None; self.names.len()];
        let shared = self.names[0][..self.names[0].len() - 1].to_owned();
        while seen.iter().any(Option::is_none) {
            self.hints.next().await;
            let soon = Instant::now() + Duration::from_millis(fastrand::u64(..250));
            tokio::time::sleep_until(soon.max(self.looked + Duration::from_secs(1)).into()).await;
            self.looked = Instant::now();
            // A page that listens is silent for long; the portal closes such connections.
            let request = load::get(self.to, &format!("/?q={shared}"), &self.session, "");
            let page = Connection::open(self.to).await.ask(&request).await.text();
            let shown: BTreeSet<&str> = page.split(['<', '>']).filter(|text| text.starts_with("service-")).collect();
            for (seen, name) in seen.iter_mut().zip(&self.names) {
                if seen.is_none() && shown.contains(name.as_str()) {
                    *seen = Some(Instant::now());
                }
            }
        }
        seen.into_iter().flatten().collect()
    }
}

/// As EventBridge puts it into a queue.
fn event(pipeline: &str) -> String {
    let arn = format!("arn:aws:codepipeline:eu-west-1:111122223333:{pipeline}");
    let body = json!({
        "version": "0", "id": "01234567-0123-0123-0123-012345678901", "source": "aws.codepipeline",
        "detail-type": "CodePipeline Action Execution State Change", "account": "111122223333", "region": "eu-west-1",
        "time": "2026-11-21T08:00:00Z", "resources": [arn],
        "detail": {
            "pipeline": pipeline, "execution-id": "01234567-0123-0123-0123-012345678901", "stage": "Production",
            "action": "Approve", "state": "STARTED", "region": "eu-west-1", "version": 1.0,
            "type": {"owner": "AWS", "category": "Approval", "provider": "Manual", "version": "1"},
        },
    });
    body.to_string()
}
