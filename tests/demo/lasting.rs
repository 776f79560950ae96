//! What a person finds at the first start, and at the next ones.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use nix::sys::signal::{Signal, kill};

use crate::harness::{Demo, directory, hidden, lives};

#[tokio::test]
async fn the_first_start_lets_everybody_in_and_ctrl_c_ends_every_child() {
    let directory = directory();
    let demo = Demo::start(directory.path(), &[]);
    assert_eq!(demo.sign_ins.len(), 4);
    let mode = fs::metadata(directory.path().join("demo.toml")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "the sign-ins are nobody else's business");
    let lead = demo.sign_in("ana@").await;
    assert!(lead.queue().await.len() >= 6, "too little waits at the start");
    demo.sign_in("tomas@").await.read("/history").await;
    demo.sign_in("ingrid@").await;
    let postmaster = demo.postmaster();
    assert!(lives(postmaster));
    assert!(demo.interrupt(), "Ctrl-C is no failure");
    assert!(!lives(postmaster), "the database outlived the demo");
}

#[tokio::test]
async fn what_a_review_link_shows_is_the_change_that_waits() {
    let directory = directory();
    let demo = Demo::start(directory.path(), &[]);
    let lead = demo.sign_in("ana@").await;
    let mut seen = 0;
    for approval in lead.queue().await {
        let page = lead.read(&format!("/approvals/{approval}")).await;
        let Some((_, rest)) = page.split_once("href=\"http://127.0.0.1:") else { continue };
        let link = format!("http://127.0.0.1:{}", rest.split('"').next().unwrap());
        let review = reqwest::get(&link).await.unwrap();
        assert_eq!(review.status(), 200, "{link}");
        let review = review.text().await.unwrap();
        let title = review.split("<h1>").nth(1).unwrap().split("</h1>").next().unwrap().to_owned();
        assert!(page.contains(&title), "the approval does not show {title:?}, which its review page is about");
        seen += 1;
    }
    assert!(seen >= 5, "only {seen} approvals had a review link");
}

#[tokio::test]
async fn what_was_approved_stays_approved_at_the_next_start_also_after_a_kill() {
    let directory = directory();
    let demo = Demo::start(directory.path(), &[]);
    let sign_ins = demo.sign_ins.clone();
    let lead = demo.sign_in("ana@").await;
    let before = lead.queue().await;
    // The last to expire: nobody else decides it, and no time runs out, while this story is told.
    let approval = before.last().unwrap().clone();
    let page = lead.read(&format!("/approvals/{approval}")).await;
    let fields = ["csrf", "key", "fingerprint"].map(|name| (name, hidden(&page, name)));
    let mut form: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    form.extend([("summary", "Looks right"), ("verdict", "approved")]);
    let result = lead.submit(&format!("/approvals/{approval}/decision"), &form).await;
    assert!(result.contains("Approved"), "{result}");
    demo.kill();

    let demo = Demo::start(directory.path(), &[]);
    assert_eq!(demo.sign_ins, sign_ins);
    let lead = demo.sign_in("ana@").await;
    let page = lead.read(&format!("/approvals/{approval}")).await;
    assert!(page.contains("Approved") && page.contains("Looks right"), "{page}");
    let after = lead.queue().await;
    assert!(!after.contains(&approval), "it waits again");
    let still = before.iter().filter(|one| after.contains(one)).count();
    assert!(still >= 4, "of {} approvals only {still} wait still", before.len());
    assert!(demo.interrupt());
}

#[tokio::test]
async fn a_database_that_dies_under_the_demo_comes_back_by_itself() {
    let directory = directory();
    let demo = Demo::start(directory.path(), &[]);
    let lead = demo.sign_in("ana@").await;
    let first = demo.postmaster();
    kill(first, Signal::SIGKILL).unwrap();
    // The guard starts it again; nothing tells us when, so we ask.
    let mut tick = tokio::time::interval(std::time::Duration::from_millis(100));
    loop {
        tick.tick().await;
        let file = fs::read_to_string(directory.path().join("postgres/cluster/postmaster.pid")).unwrap_or_default();
        if file.contains("ready") && demo.postmaster() != first {
            break;
        }
    }
    assert!(lead.queue().await.len() >= 6);
    assert!(demo.interrupt());
}

#[tokio::test]
async fn a_reset_starts_over_with_other_passwords() {
    let directory = directory();
    let demo = Demo::start(directory.path(), &[]);
    let old = demo.sign_ins.clone();
    assert!(demo.interrupt());
    let demo = Demo::start(directory.path(), &["--reset"]);
    assert_ne!(demo.sign_ins[0].1, old[0].1);
    demo.sign_in("ana@").await;
    assert!(demo.interrupt());
}
