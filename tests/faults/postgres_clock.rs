//! A replica whose machine has the wrong time (F-34). What replicas share follows the database's clock; what is signed for
//! AWS cannot, and that is said.

use std::path::PathBuf;
use std::time::Duration;

use crate::harness::{Stage, Told, until};

/// Debian's libfaketime. The story cannot be told without it, and must not be left out silently.
fn faketime() -> String {
    let found = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"]
        .map(|folder| PathBuf::from(folder).join("faketime/libfaketimeMT.so.1"))
        .into_iter()
        .find(|path| path.exists());
    found.expect("install libfaketime (apt-get install libfaketime)").to_string_lossy().into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_ten_minutes_off_serves_people_by_the_databases_clock_and_says_that_its_own_is_wrong() {
    for off in ["-600", "+600"] {
        let world = format!("check_time = true\n{}", include_str!("harness/gates.toml"));
        let stage = Stage::start_with(&world, None).await;
        let mut wrong = stage.replica("wrong");
        wrong.set("LD_PRELOAD", &faketime());
        wrong.set("FAKETIME", off);
        wrong.set("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        wrong.set("FAKETIME_NO_CACHE", "1");
        wrong.start().await;
        let right = stage.serving("right").await;
        let ana = stage.person("Ana").await;

        // Sessions made by the right one are good at the wrong one.
        assert_eq!(ana.open(&wrong, "/").await.unwrap().status, 200, "{off}");

        // AWS does not take its signature: nothing is sent, nothing is unsure, and the cause is named.
        let approval = stage.waiting("shop").await;
        let form = ana.fill_in(&wrong, &approval, "approved").await.unwrap();
        let told = ana.send(&wrong, &form).await;
        assert!(!matches!(told, Told::Done), "{off}: {told:?}");
        assert!(stage.simulator.effects().is_empty(), "{off}");
        until("it says that its clock is wrong", Duration::from_secs(30), async || {
            wrong.log().contains("This machine's clock is wrong").then_some(())
        })
        .await;

        // The other takes leases by the database's clock whatever the wrong one thinks, and decides.
        let form = ana.fill_in(&right, &approval, "approved").await.unwrap();
        assert_eq!(ana.send(&right, &form).await, Told::Done, "{off}: {}", right.log());
        let history = stage.judge().await;
        assert_eq!(history.effects.len(), 1, "{off}");
        let times: Vec<_> = history.records.iter().map(|record| record.at).collect();
        assert!(times.is_sorted(), "{off}: {times:?}");
    }
}
