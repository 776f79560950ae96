//! Everybody signs in at once (S-09).

use std::time::Instant;

use futures::future::join_all;
use reqwest::StatusCode;
use reqwest::header::RETRY_AFTER;

use crate::harness::{Browser, EMAIL, PASSWORD, Served, Settings, client, open_many, print, spread};
use crate::support::postgres::TestDatabase;

const AT_ONCE: usize = 200;
const ROUNDS: usize = 3;
/// KiB.
const MOST_GROWTH: u64 = 150 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_sign_ins_at_once_cost_little_memory_and_leave_probers_their_answers() {
    // S-09
    open_many();
    let database = TestDatabase::create().await;
    let settings = || Settings::of(&database).with("COUNTERSIGN_TRUSTED_PROXIES", "127.0.0.0/8");
    settings().create_account().await;
    let served = Served::start(settings()).await;
    let (base, browsers) = (served.url(""), client());
    let mut ana = Browser::open(&browsers, &base, "198.51.100.1").await;
    assert_eq!(ana.sign_in(EMAIL, PASSWORD).await.unwrap().status(), StatusCode::SEE_OTHER);
    let (_, before) = served.memory();

    let (mut times, mut heard, mut sent_away) = (Vec::new(), 0, 0);
    for round in 0..ROUNDS {
        // Strangers: their passwords cost the same work (S-10).
        let open = (0..AT_ONCE).map(|number| {
            let (browsers, base) = (&browsers, &base);
            async move { Browser::open(browsers, base, &format!("203.0.{round}.{number}")).await }
        });
        let mut strangers = join_all(open).await;
        let posts = tokio::spawn(async move {
            let posts = strangers.iter_mut().enumerate().map(async |(number, stranger)| {
                stranger.sign_in(&format!("s{round}-{number}@x.test"), "a guess like any other").await
            });
            join_all(posts).await
        });
        while !posts.is_finished() {
            let began = Instant::now();
            let answer = browsers.get(served.url("/healthz")).send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::OK);
            times.push(began.elapsed());
        }
        for answer in posts.await.unwrap() {
            let answer = answer.unwrap();
            match answer.status() {
                StatusCode::UNAUTHORIZED => heard += 1,
                StatusCode::SERVICE_UNAVAILABLE => {
                    assert!(answer.headers().contains_key(RETRY_AFTER), "they are told when to come back");
                    sent_away += 1;
                }
                other => panic!("{other}: {}", answer.text().await.unwrap()),
            }
        }
    }
    let (most, after) = served.memory();
    print(&format!("{ROUNDS} × {AT_ONCE} sign-ins at once: {heard} heard, {sent_away} sent away with Retry-After"));
    print(&format!("memory {} MiB before, {} MiB at most, {} MiB after", before / 1024, most / 1024, after / 1024));
    print(&format!("/healthz meanwhile: {}", spread(&mut times)));
    assert_eq!(heard + sent_away, ROUNDS * AT_ONCE);
    assert!(heard >= ROUNDS, "the portal went on hearing some");
    assert!(most - before < MOST_GROWTH, "it grew by {} KiB", most - before);
    let mut ana = Browser::open(&browsers, &base, "198.51.100.2").await;
    assert_eq!(
        ana.sign_in(EMAIL, PASSWORD).await.unwrap().status(),
        StatusCode::SEE_OTHER,
        "and goes on for everybody else"
    );
}
