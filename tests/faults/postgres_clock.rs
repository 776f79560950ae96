//! A replica whose machine has the wrong time (F-34). What replicas share follows the database's clock; what is signed for
//! AWS cannot, and that is said.

use std::path::PathBuf;

use countersign::simulator::{ErrorBody, Fault, FaultKind};

use crate::harness::{Stage, Told};

/// `script/test` finds or installs it. The story cannot be told without it, and must not be left out silently.
fn faketime() -> String {
    let usual = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"]
        .map(|folder| PathBuf::from(folder).join("faketime/libfaketimeMT.so.1"));
    let told = std::env::var_os("COUNTERSIGN_TEST_FAKETIME").map(PathBuf::from);
    let found = told.into_iter().chain(usual).find(|path| path.exists());
    found.expect("libfaketime is missing: run script/test, which installs it").to_string_lossy().into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_ten_minutes_off_shares_everything_by_the_databases_clock_and_says_that_its_own_is_wrong() {
    for off in ["-600", "+600"] {
        // AWS refuses signatures that are five minutes off, as it really does.
        let world = format!("check_time = true\n{}", include_str!("harness/gates.toml"));
        let stage = Stage::start_with(&world, None).await;
        let mut wrong = stage.replica("wrong");
        wrong.set("LD_PRELOAD", &faketime());
        wrong.set("FAKETIME", off);
        wrong.set("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        wrong.start().await;
        let right = stage.serving("right").await;
        assert!(wrong.log().contains("This machine's clock is not the database's"), "{off}: {}", wrong.log());

        // A session made by the right time is good at the wrong one. A signature that AWS does not take was surely not
        // applied: it is made again, and the decision is never unsure.
        let ana = stage.person("Ana").await;
        let approval = stage.waiting("shop").await;
        let form = ana.fill_in_when_shown(&wrong, &approval, "approved").await;
        stage.simulator.add_fault(Fault::on("PutApprovalResult", refused_signature()).times(1));
        ana.send(&wrong, &form).await;
        stage.until_state(&form.words, "accepted").await;

        // Leases too: with the right one killed, the wrong one watches; the decision of the right one keeps its place.
        let approval = stage.waiting("line").await;
        let form = ana.fill_in_when_shown(&right, &approval, "rejected").await;
        assert_eq!(ana.send(&right, &form).await, Told::Done, "{off}: {}", right.log());
        assert!(right.kill().await);
        stage.waiting("swarm").await;

        let history = stage.judge().await;
        assert_eq!(history.effects.len(), 2, "{off}");
        assert!(!history.records.iter().any(|record| record.kind == "decision.unsure"), "{off}");
        let times: Vec<_> = history.records.iter().map(|record| record.at).collect();
        assert!(times.is_sorted(), "{off}: {times:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn how_old_a_session_is_is_asked_of_the_database_and_not_of_the_machine() {
    // S-26. An hour ahead is idle for too long, ten hours ahead is over; behind, nothing would ever end.
    for (off, minutes_ago, is_in) in [("+3600", 0, true), ("+36000", 0, true), ("-3600", 31, false)] {
        let stage = Stage::start().await;
        let mut wrong = stage.replica("wrong");
        wrong.set("LD_PRELOAD", &faketime());
        wrong.set("FAKETIME", off);
        wrong.set("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        wrong.start().await;
        assert!(wrong.log().contains("This machine's clock is not the database's"), "{off}: {}", wrong.log());
        let ana = stage.person("Ana").await;
        let sql = "update portal.session set last_seen_at = last_seen_at - make_interval(mins => $1)";
        let mut conn = stage.database.connect_superuser().await;
        sqlx::query(sql).bind(minutes_ago).execute(&mut conn).await.unwrap();
        let page = ana.open(&wrong, "/me").await.unwrap();
        assert_eq!(page.status, if is_in { 200 } else { 303 }, "{off}: {} {}", page.text(), wrong.log());
    }
}

fn refused_signature() -> FaultKind {
    FaultKind::Error {
        status: 400,
        code: "InvalidSignatureException".into(),
        message: "Signature expired: 20261121T055000Z is now earlier than 20261121T055500Z (20261121T060000Z - 5 min.)"
            .into(),
        body: ErrorBody::Json,
        applied: false,
    }
}
