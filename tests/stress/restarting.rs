//! Replicas are replaced one after the other while people work (P-20).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use nix::sys::signal::Signal;
use reqwest::StatusCode;
use tokio::net::TcpListener;

use crate::balancer::Balancer;
use crate::harness::{Browser, EMAIL, PASSWORD, Served, Settings, client, print};
use crate::support::postgres::TestDatabase;

const PEOPLE: usize = 8;

/// Looks at pages until told to stop. What went wrong.
async fn look_around(browser: Browser, done: Arc<AtomicBool>, looks: Arc<AtomicUsize>) -> Vec<String> {
    let mut failed = Vec::new();
    while !done.load(Ordering::Relaxed) {
        for path in ["/", "/sign-in", "/me", "/healthz"] {
            looks.fetch_add(1, Ordering::Relaxed);
            match browser.get(path).await {
                // Who is signed in needs no form.
                Ok(answer) if [StatusCode::OK, StatusCode::SEE_OTHER].contains(&answer.status()) => {
                    if let Err(error) = answer.bytes().await {
                        failed.push(format!("{path}: {error:?}"));
                    }
                }
                Ok(answer) => failed.push(format!("{path}: {} {}", answer.status(), answer.text().await.unwrap())),
                Err(error) => failed.push(format!("{path}: {error:?}")),
            }
        }
    }
    failed
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_under_load_loses_no_request() {
    // P-20
    let database = TestDatabase::create().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    // Time for one probe that is just under way, and the next.
    let settings = || {
        let trusted = Settings::of(&database).with("COUNTERSIGN_TRUSTED_PROXIES", "127.0.0.0/8");
        trusted.with("COUNTERSIGN_PUBLIC_URL", &base).with("COUNTERSIGN_FAREWELL", "5s")
    };
    settings().create_account().await;
    let balancer = Balancer::start(listener);
    let mut replicas = vec![Served::start(settings()).await, Served::start(settings()).await];
    replicas.iter().for_each(|replica| balancer.add(replica.address));
    balancer.until_ready(2).await;

    let (done, looks) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (mut people, browsers) = (Vec::new(), client());
    for number in 0..PEOPLE {
        let mut browser = Browser::open(&browsers, &base, &format!("198.51.100.{number}")).await;
        assert_eq!(browser.sign_in(EMAIL, PASSWORD).await.unwrap().status(), StatusCode::SEE_OTHER);
        people.push(tokio::spawn(look_around(browser, done.clone(), looks.clone())));
    }
    for _ in 0..2 {
        let mut old = replicas.remove(0);
        old.signal(Signal::SIGTERM);
        assert_eq!(old.ended().await, Some(0), "{}", old.log());
        balancer.remove(old.address);
        let new = Served::start(settings()).await;
        balancer.add(new.address);
        balancer.until_ready(2).await;
        replicas.push(new);
    }
    done.store(true, Ordering::Relaxed);
    let mut failed = Vec::new();
    for person in people {
        failed.extend(person.await.unwrap());
    }
    let looks = looks.load(Ordering::Relaxed);
    print(&format!("two replicas replaced under load: {looks} requests, {} failed", failed.len()));
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(looks > 100, "{looks}");
}
