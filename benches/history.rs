//! What an auditor waits for over ten million records: pages of the history, near and far, under every filter and under
//! combinations of filters that find next to nothing, asked over HTTP of a serving process. Each case is asked from many
//! places in the list, so that it is not one page of the cache that is measured. Prints; judges nothing.
//!
//!   history [--quick] [--records=N] [--requests=N] [--only=TEXT]

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement prints, and stops where it cannot go on")]

mod support;

use std::time::Instant;

use countersign::database::Role;
use jiff::{Span, Timestamp};
use support::portal::{Portal, Times};
use support::records::Records;
use support::table::{find_option, heading, is_quick, profile};

/// The seed of the places that are asked for.
const SEED: u64 = 7;

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(measure());
}

async fn measure() {
    let usual = if is_quick() { 10 } else { 200 };
    let requests: usize = find_option("requests").map_or(usual, |text| text.parse().unwrap());
    let only = find_option("only").unwrap_or_default();
    let records = Records::open(Records::asked()).await;
    let url = records.postgres.url(Role::App);
    let portal = Portal::start(&url, &[]).await;
    let bench = Bench::new(&records, &portal).await;
    let circumstances = format!(
        "{} records; {requests} requests each, one after the other; seed {SEED}; ms; {}.",
        records.count,
        profile()
    );
    heading("History", &circumstances);
    println!("| what | first | p50 | p99 | most | lines |");
    println!("|---|---:|---:|---:|---:|---:|");
    let mut worst = (String::new(), 0.0);
    for (name, case) in bench.cases().await {
        if !name.contains(&only) {
            continue;
        }
        let (times, lines) = bench.ask(&case, requests).await;
        let [first, p50, p99, most] = times.figures();
        println!("| {name} | {first:.0} | {p50:.1} | {p99:.1} | {most:.0} | {lines} |");
        if p99 > worst.1 {
            worst = (name, p99);
        }
    }
    println!();
    let (resident, peak) = portal.memory();
    println!("worst p99: {:.0} ms ({}); portal {resident:.0} MiB resident, {peak:.0} at most\n", worst.1, worst.0);
}

/// One kind of request.
enum Case {
    /// The same address every time.
    Same(String),
    /// A filter, from a random place in the list: `before` of any record.
    Anywhere(String),
    /// A record's own page.
    Record,
}

struct Bench {
    http: reqwest::Client,
    address: String,
    cookie: String,
    count: i64,
    /// A day in the middle of the year, and one near its end.
    middle: String,
    recent: String,
    page_10000: i64,
}

impl Bench {
    async fn new(records: &Records, portal: &Portal) -> Self {
        let email = records.emails().await.remove(0);
        let mut conn = records.connect(Role::App).await;
        let page_10000: Option<i64> = sqlx::query_scalar(
            "select seq from audit.record where kind in ('decision.intended', 'approval.decided_elsewhere')
            order by seq desc offset 499949 limit 1",
        )
        .fetch_optional(&mut conn)
        .await
        .unwrap();
        let newest: jiff_sqlx::Timestamp = sqlx::query_scalar("select at from audit.record where seq = $1")
            .bind(records.count)
            .fetch_one(&mut conn)
            .await
            .unwrap();
        let day = |back: i64| day_before(newest.to_jiff(), back);
        Self {
            http: reqwest::Client::new(),
            address: portal.address.clone(),
            cookie: format!("countersign={}", records.session_of(&email).await),
            count: records.count,
            middle: day(180),
            recent: day(20),
            page_10000: page_10000.unwrap_or(records.count / 2),
        }
    }

    async fn ask(&self, case: &Case, requests: usize) -> (Times, usize) {
        let mut rng = fastrand::Rng::with_seed(SEED);
        let (mut times, mut lines) = (Times::default(), 0);
        for _ in 0..requests {
            let path = match case {
                Case::Same(path) => path.clone(),
                Case::Anywhere(filter) => format!("/history?{filter}&before={}", rng.i64(2..=self.count)),
                Case::Record => format!("/history/{}", rng.i64(1..=self.count)),
            };
            let began = Instant::now();
            let request = self.http.get(format!("{}{path}", self.address)).header("cookie", &self.cookie);
            let answer = request.send().await.unwrap();
            let status = answer.status();
            let page = answer.text().await.unwrap();
            times.add(began.elapsed());
            assert!(status.is_success(), "{path}: {status}\n{page}");
            lines = lines.max(page.matches("href=\"/history/").count());
        }
        (times, lines)
    }

    async fn cases(&self) -> Vec<(String, Case)> {
        let (middle, recent) = (&self.middle, &self.recent);
        let bot = "arn:aws:sts::111122220000:assumed-role/Release/deploy-bot";
        let rare_arn = "arn:aws:iam::111122220009:user/admin-49";
        let filters: Vec<(&str, String)> = vec![
            ("pipeline, common", "pipeline=billing-api-00".into()),
            ("pipeline, rare", "pipeline=yearly-closing".into()),
            ("pipeline, part of 30 names", "pipeline=-api-".into()),
            ("pipeline, part of every name", "pipeline=-".into()),
            ("pipeline, unknown", "pipeline=nothing-like-it".into()),
            ("person, common", "person=ana.abel@bench.example".into()),
            ("person, rare", "person=rita.rare".into()),
            ("person, part of every e-mail", "person=bench.example".into()),
            ("person who left early", "person=eve.early".into()),
            ("ARN, common", format!("person={bot}")),
            ("ARN, rare", format!("person={rare_arn}")),
            ("verdict approved", "verdict=approved".into()),
            ("verdict rejected", "verdict=rejected".into()),
            ("outcome accepted", "outcome=accepted".into()),
            ("outcome outside", "outcome=outside".into()),
            ("outcome elsewhere", "outcome=elsewhere".into()),
            ("outcome refused", "outcome=refused".into()),
            ("outcome lapsed", "outcome=lapsed".into()),
            ("outcome unsure", "outcome=unsure".into()),
            ("one day", format!("from={middle}&to={middle}")),
            ("until the middle", format!("to={middle}")),
            ("from the middle", format!("from={middle}")),
            (
                "common person and common pipeline of another team",
                "person=ana.abel@bench.example&pipeline=search-api-00".into(),
            ),
            ("rejected by the rare person", "verdict=rejected&person=rita.rare".into()),
            ("rejected by the early person", "verdict=rejected&person=eve.early".into()),
            ("early person, recently", format!("person=eve.early&from={recent}")),
            ("rejected, rare pipeline", "verdict=rejected&pipeline=yearly-closing".into()),
            (
                "rejected, common pipeline, one day",
                format!("verdict=rejected&pipeline=billing-api-00&from={middle}&to={middle}"),
            ),
            ("rare pipeline, common person", "pipeline=yearly-closing&person=ana.abel@bench.example".into()),
            ("every person, 30 pipelines, rejected", "person=bench.example&pipeline=-api-&verdict=rejected".into()),
            ("20 people, another team's 15 pipelines", "person=abel@&pipeline=wallet-".into()),
            ("early person, every pipeline", "person=eve.early&pipeline=-".into()),
            ("refused, common pipeline", "outcome=refused&pipeline=billing-api-00".into()),
            ("refused, rare pipeline", "outcome=refused&pipeline=yearly-closing".into()),
            ("refused, rare person", "outcome=refused&person=rita.rare".into()),
            ("elsewhere, common person", "outcome=elsewhere&person=ana.abel@bench.example".into()),
            ("elsewhere, early person", "outcome=elsewhere&person=eve.early".into()),
            ("elsewhere, rejected, 15 pipelines", "outcome=elsewhere&verdict=rejected&pipeline=wallet-".into()),
            ("accepted, rare pipeline", "outcome=accepted&pipeline=yearly-closing".into()),
            (
                "accepted, common person, rejected",
                "outcome=accepted&person=ana.abel@bench.example&verdict=rejected".into(),
            ),
            ("unsure, every person", "outcome=unsure&person=bench.example".into()),
            ("lapsed, rejected, one day", format!("outcome=lapsed&verdict=rejected&from={middle}&to={middle}")),
            ("outside, common person", "outcome=outside&person=ana.abel@bench.example".into()),
            ("outside, rejected, common pipeline", "outcome=outside&verdict=rejected&pipeline=billing-api-00".into()),
            ("outside, rare pipeline", "outcome=outside&pipeline=yearly-closing".into()),
            ("outside, 15 pipelines", "outcome=outside&pipeline=wallet-".into()),
            ("accepted, ARN", format!("outcome=accepted&person={bot}")),
            ("ARN common, rejected, one day", format!("person={bot}&verdict=rejected&from={middle}&to={middle}")),
            ("ARN common, rare pipeline", format!("person={bot}&pipeline=yearly-closing")),
            ("ARN rare, every pipeline", format!("person={rare_arn}&pipeline=-")),
        ];
        let mut cases = vec![
            ("first page".to_owned(), Case::Same("/history".into())),
            ("page 10,000".to_owned(), Case::Same(format!("/history?before={}", self.page_10000))),
            ("towards newer, from page 10,000".to_owned(), Case::Same(format!("/history?after={}", self.page_10000))),
            ("any page".to_owned(), Case::Anywhere(String::new())),
            ("a record".to_owned(), Case::Record),
        ];
        for (name, filter) in filters {
            cases.push((name.to_owned(), Case::Same(format!("/history?{filter}"))));
            cases.push((format!("{name}; anywhere"), Case::Anywhere(filter)));
        }
        cases
    }
}

fn day_before(newest: Timestamp, days: i64) -> String {
    let day = newest.checked_sub(Span::new().hours(24 * days)).unwrap();
    day.strftime("%Y-%m-%d").to_string()
}
