//! AWS that shows for seconds what was before (F-37). Reads are eventually consistent; what people see must not flip back.

use std::time::Duration;

use countersign::simulator::{Fault, FaultKind, Moment};
use jiff::SignedDuration;

use crate::harness::{Person, Replica, Stage, Told, until};

/// How far behind reads are, and how long it is watched that nothing comes of it.
const BEHIND: f64 = 5.0;
const WATCHED: SignedDuration = SignedDuration::from_secs(8);

/// Reads the approval's page again and again while AWS shows the past: nobody may be offered to decide it a second time.
async fn watch(stage: &Stage, replica: &Replica, person: &Person, approval: &str) -> Vec<String> {
    let (began, mut seen) = (stage.simulator.now(), Vec::new());
    until("AWS shows the present again", Duration::from_secs(60), async || {
        let page = person.open(replica, &format!("/approvals/{approval}")).await.unwrap();
        assert!(!page.body.contains("name=\"verdict\""), "it is offered again: {}", page.text());
        let queue = person.open(replica, "/").await.unwrap();
        let standing = if queue.body.contains(&format!("/approvals/{approval}")) { "queue" } else { "history" };
        if seen.last().is_none_or(|last| last != standing) {
            seen.push(standing.to_owned());
        }
        (stage.simulator.now().duration_since(began) > WATCHED).then_some(())
    })
    .await;
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decided_approval_does_not_open_again_because_aws_shows_the_past() {
    // F-37
    let stage = Stage::start().await;
    let replica = stage.serving("only").await;
    let ana = stage.person("Ana").await;
    let approval = stage.waiting("shop").await;
    let form = ana.fill_in_when_shown(&replica, &approval, "approved").await;
    assert_eq!(ana.send(&replica, &form).await, Told::Done);
    stage.simulator.add_fault(Fault { kind: FaultKind::Stale { seconds: BEHIND }, ..Fault::default() });
    let seen = watch(&stage, &replica, &ana, &approval).await;
    assert_eq!(seen, ["history"], "it left the queue and stayed away");
    let history = stage.judge().await;
    assert_eq!(history.receipts.len(), 1);
    let opened = history.records.iter().filter(|record| record.kind == "approval.opened").count();
    assert_eq!(opened, 1, "it was opened once");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unsure_decision_stays_unsure_until_the_evidence_is_newer_than_the_send() {
    // F-37 with F-06: the answer is lost, and reads still show the approval as waiting.
    let stage = Stage::start().await;
    let replica = stage.serving("only").await;
    let ana = stage.person("Ana").await;
    let approval = stage.waiting("shop").await;
    let form = ana.fill_in_when_shown(&replica, &approval, "approved").await;
    let put = |kind| stage.simulator.add_fault(Fault::on("PutApprovalResult", kind).times(1));
    put(FaultKind::Reset { applied: true });
    let held = put(FaultKind::Block { at: Moment::Received });
    let (told, ()) = tokio::join!(ana.send(&replica, &form), async {
        stage.simulator.until_held(held).await;
        stage.simulator.add_fault(Fault { kind: FaultKind::Stale { seconds: BEHIND }, ..Fault::default() });
        stage.simulator.release(held);
    });
    assert!(matches!(&told, Told::Unknown(said) if said.starts_with("It is not known yet")), "{told:?}");
    watch(&stage, &replica, &ana, &approval).await;
    stage.until_state(&form.words, "accepted").await;
    let history = stage.judge().await;
    assert_eq!((history.effects.len(), history.receipts.len()), (1, 1), "it was not sent a second time");
}
