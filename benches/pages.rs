//! How fast the queue and an approval's page are, with 200 waiting approvals, 500 accounts and many records, beside a
//! floor: a bare server that looks the session up, makes one query (of 50 approvals, or of the one) and sends as many
//! bytes as the page has. Portal and floor take turns within the same minute. Prints; judges nothing.
//!
//!   pages [--quick] [--records=N] [--page=queue|approval]

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement prints, and stops where it cannot go on")]

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use support::load::{self, Measured, closed_loop};
use support::processes::Process;
use support::stage::{PEOPLE, Setting, Stage};
use support::table::{Table, find_option, heading, is_quick, median, profile};

/// What a browser says it understands.
const BROWSER: &str = "gzip, deflate, br, zstd";
const CONNECTIONS: [usize; 3] = [1, 16, 64];

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if std::env::args().nth(1).as_deref() == Some("floor") {
        runtime.block_on(floor::serve());
    } else {
        runtime.block_on(measure());
    }
}

async fn measure() {
    let stage = Stage::start(&Setting::full()).await;
    let approvals = stage.list_approvals().await;
    heading(
        "Pages",
        &format!(
            "{} approvals wait, {PEOPLE} accounts, {} records; load, portal, simulator and PostgreSQL share the \
             machine; {}. The portal goes on watching meanwhile.",
            approvals.len(),
            stage.records(),
            profile()
        ),
    );
    let ((idle, _), idle_files) = (stage.portal().memory(), stage.portal().open_files());
    let mut table = Table::new(&[
        "page",
        "encoding",
        "bytes",
        "connections",
        "requests/s",
        "p50 ms",
        "p99 ms",
        "floor requests/s",
        "of the floor",
    ]);
    let only = find_option("page");
    let pages = [("queue", "/"), ("approval", approvals[0].path.as_str())];
    for (page, path) in pages.into_iter().filter(|(page, _)| only.as_deref().is_none_or(|only| only == *page)) {
        for encodings in [BROWSER, ""] {
            compare(&stage, (page, path), encodings, &mut table).await;
        }
    }
    table.print();
    let (_, most) = stage.portal().memory();
    println!(
        "The portal: {idle:.0} MiB resident and {idle_files} files open before the load; at most {most:.0} MiB under it, \
         {} files open after it.\n",
        stage.portal().open_files()
    );
    stage.end().await;
}

/// One page in one encoding, at every number of connections.
async fn compare(stage: &Stage, (page, path): (&str, &str), encodings: &str, table: &mut Table) {
    let portal = stage.portal().address;
    let answer =
        load::Connection::open(portal).await.ask(&load::get(portal, path, &stage.sessions[0], encodings)).await;
    assert_eq!(answer.status, 200, "{}", answer.head);
    let (bytes, encoding) = (answer.body.len(), answer.find_header("content-encoding").unwrap_or("none").to_owned());
    let floor = Process::part(
        stage.dir(),
        "floor",
        &[stage.database_url(), page.to_owned(), path.to_owned(), bytes.to_string()],
    );
    for connections in CONNECTIONS {
        let mut ours = Vec::new();
        let mut theirs = Vec::new();
        for _ in 0..if is_quick() { 1 } else { 3 } {
            ours.push(run(portal, stage, path, encodings, connections).await);
            theirs.push(run(floor.address, stage, path, encodings, connections).await);
        }
        let middle = |runs: &[Measured], of: fn(&Measured) -> f64| median(runs.iter().map(of).collect());
        let (rate, bare) = (middle(&ours, Measured::per_second), middle(&theirs, Measured::per_second));
        table.row(&[
            page.to_owned(),
            encoding.clone(),
            bytes.to_string(),
            connections.to_string(),
            format!("{rate:.0}"),
            format!("{:.1}", middle(&ours, |run| run.quantile(0.5))),
            format!("{:.1}", middle(&ours, |run| run.quantile(0.99))),
            format!("{bare:.0}"),
            format!("{:.2}", rate / bare),
        ]);
    }
}

async fn run(to: SocketAddr, stage: &Stage, path: &str, encodings: &str, connections: usize) -> Measured {
    let ask = |session: &String| load::get(to, path, session, encodings);
    let requests = stage.sessions[..connections].iter().map(ask).collect();
    let time = Duration::from_millis(if is_quick() { 1_500 } else { 5_000 });
    closed_loop(to, requests, time / 5, time).await
}

mod floor {
    //! The least a page could do. Its own process, on the same database.

    use std::net::{IpAddr, Ipv4Addr};
    use std::sync::Arc;

    use axum::Router;
    use axum::extract::State;
    use axum::http::{HeaderMap, StatusCode, header};
    use axum::response::{IntoResponse as _, Response};
    use countersign::accounts::Accounts;
    use countersign::database::Database;
    use sqlx::Row as _;
    use sqlx::postgres::PgConnectOptions;

    use super::support::people;

    #[derive(Clone)]
    struct Floor {
        accounts: Accounts,
        database: Database,
        /// Of the one approval; none for the queue.
        approval: Option<uuid::Uuid>,
        body: Arc<str>,
    }

    /// Arguments: database, page, path, bytes.
    pub async fn serve() {
        let arguments: Vec<String> = std::env::args().skip(2).collect();
        let options: PgConnectOptions = arguments[0].parse().unwrap();
        let database = Database::open(&options);
        let floor = Floor {
            accounts: people::accounts(database.clone()),
            database,
            approval: arguments[2].rsplit('/').next().and_then(|id| id.parse().ok()),
            body: "x".repeat(arguments[3].parse().unwrap()).into(),
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("listening {}", listener.local_addr().unwrap());
        axum::serve(listener, Router::new().fallback(answer).with_state(floor)).await.unwrap();
    }

    async fn answer(State(floor): State<Floor>, headers: HeaderMap) -> Response {
        let cookie = headers[header::COOKIE].to_str().unwrap().split_once('=').unwrap().1.to_owned();
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        if floor.accounts.person(&cookie, address, true).await.unwrap().is_none() {
            return StatusCode::FORBIDDEN.into_response();
        }
        let mut conn = floor.database.pages.acquire().await.unwrap();
        let query = match floor.approval {
            None => sqlx::query(
                "select id, shown, details, opened_at, expires_at, seen_open_at from portal.approval
                 where at_aws = 'open' order by expires_at, id limit 50",
            ),
            Some(id) => sqlx::query(
                "select id, shown, details, opened_at, expires_at, seen_open_at from portal.approval where id = $1",
            )
            .bind(id),
        };
        let rows = query.fetch_all(&mut *conn).await.unwrap();
        let read: usize = rows.iter().map(|row| row.get::<&str, _>("shown").len()).sum();
        assert!(read > 0, "something waits");
        ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], floor.body.to_string()).into_response()
    }
}
