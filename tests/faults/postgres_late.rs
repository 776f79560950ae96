//! Postgres or a sender is away between AWS's answer and its record: what AWS did is read back, and whoever comes late
//! changes nothing.

use countersign::simulator::{Fault, FaultKind, Moment};
use nix::sys::signal::Signal;

use crate::harness::{Stage, Told};

const PUT: &str = "PutApprovalResult";

#[tokio::test(flavor = "multi_thread")]
async fn postgres_gone_between_send_and_outcome_the_decision_is_settled_by_reading_back_after_its_return() {
    // F-29
    let stage = Stage::start().await;
    let replica = stage.serving("only").await;
    let ana = stage.person("Ana").await;
    let approval = stage.waiting("shop").await;
    let form = ana.fill_in_when_shown(&replica, &approval, "approved").await;
    let held = stage.simulator.add_fault(Fault::on(PUT, FaultKind::Block { at: Moment::Answering }).times(1));
    let (told, ()) = tokio::join!(ana.send(&replica, &form), async {
        stage.simulator.until_held(held).await;
        replica.proxy.go_away().await;
        stage.simulator.release(held);
    });
    assert!(matches!(told, Told::Unknown(_)), "nobody could say yet: {told:?}");
    replica.proxy.accept();
    stage.until_state(&form.words, "accepted").await;
    let history = stage.judge().await;
    assert_eq!((history.effects.len(), history.receipts.len()), (1, 1), "never sent again");
    let kinds: Vec<&str> =
        history.records.iter().filter(|it| !it.text("decision").is_empty()).map(|it| &*it.kind).collect();
    assert_eq!(kinds, ["decision.intended", "decision.sent", "decision.unsure", "decision.accepted"]);
    assert_eq!(ana.send(&replica, &form).await, Told::Done);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_wakes_after_another_settled_its_decision_changes_nothing() {
    // F-33, H-02: the first is stopped while AWS has its request, and its lease runs out.
    let stage = Stage::start().await;
    let (first, other) = tokio::join!(stage.serving("first"), stage.serving("other"));
    let ana = stage.person("Ana").await;
    let approval = stage.waiting("line").await;
    let form = ana.fill_in_when_shown(&first, &approval, "rejected").await;
    let held = stage.simulator.add_fault(Fault::on(PUT, FaultKind::Block { at: Moment::Answering }).times(1));
    let looking = ana.send_and_look_away(&first, &form).await;
    stage.simulator.until_held(held).await;
    first.signal(Signal::SIGSTOP).await;
    stage.simulator.release(held);
    stage.until_state(&form.words, "accepted").await;
    let settled = stage.judge().await;
    first.signal(Signal::SIGCONT).await;
    crate::harness::until("the first is awake", std::time::Duration::from_secs(30), async || {
        (ana.open(&first, "/").await.ok()?.status == 200).then_some(())
    })
    .await;
    // It hears AWS's answer now, and finds its decision settled; only then can it stop.
    drop(looking);
    first.signal(Signal::SIGTERM).await;
    assert_eq!(first.ended().await, Some(0), "{}", first.log());
    let history = stage.judge().await;
    let accepted = |of: &crate::harness::History| of.records.iter().filter(|it| it.kind == "decision.accepted").count();
    assert_eq!((accepted(&settled), accepted(&history)), (1, 1));
    assert_eq!((history.effects.len(), history.receipts.len()), (1, 1));
    assert!(other.is_ready().await);
}
