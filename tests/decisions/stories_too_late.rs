//! What becomes of an approval between the page and the send (fault matrix rows F-18 to F-20).

use countersign::domain::approval::Standing;
use countersign::domain::decision::{State, Verdict};
use countersign::simulator::Act;

use crate::stage::Stage;

/// Holds the send at AWS's door, lets `happen` happen, and lets the send in.
async fn decided_while(stage: &Stage, happen: impl AsyncFnOnce(&Stage, &countersign::approvals::Approval)) -> End {
    let approval = stage.waiting("shop").await;
    let ana = stage.approver("Ana").await;
    let held = stage.hold_before_effect();
    let decision = stage.decide(&ana, &approval, Verdict::Approved, "ok").await;
    stage.sim.until_held(held).await;
    happen(stage, &approval).await;
    stage.sim.release(held);
    stage.quiet().await;
    stage.settle_once().await;
    let end = stage.answer(decision).await;
    assert!(stage.sim.effects().is_empty(), "nothing took effect");
    End { state: end.state, reason: end.reason.unwrap_or_default(), standing: stage.standing(&approval).await }
}

struct End {
    state: State,
    reason: String,
    standing: Standing,
}

/// F-18
#[tokio::test]
async fn f18_an_approval_that_expired_meanwhile_is_expired_and_nobody_rejected_it() {
    let stage = Stage::start().await;
    let end = decided_while(&stage, async |stage, approval| {
        let left = approval.expires_at.duration_since(stage.clock.now());
        stage.pass(left + jiff::SignedDuration::from_secs(1)).await;
    })
    .await;
    assert_eq!(end.state, State::Stale);
    assert_eq!(end.standing, Standing::Expired);
    assert!(end.reason.contains("expired") && !end.reason.contains("rejected by"), "{}", end.reason);
    stage.finish().await;
}

/// F-19
#[tokio::test]
async fn f19_a_decision_is_never_aimed_at_the_retry() {
    let stage = Stage::start().await;
    let end = decided_while(&stage, async |stage, approval| {
        stage.decide_in_console(approval, Verdict::Rejected, "again, please");
        stage.retry(approval);
    })
    .await;
    assert!(matches!(end.state, State::Stale | State::Elsewhere), "{:?}", end.state);

    stage.watch().await;
    let waiting = stage.open_approvals().await;
    assert_eq!(waiting.len(), 1, "the retry waits as an approval of its own");
    let first = stage.sim.receipts();
    assert_eq!(first.len(), 1);
    assert_ne!(first[0].token, waiting[0].token.expose());
    stage.finish().await;
}

/// F-20
#[tokio::test]
async fn f20_stopped_edited_and_deleted_are_each_told_as_what_they_are() {
    let stage = Stage::start().await;
    let end = decided_while(&stage, async |stage, approval| {
        stage.world.stop(approval.gate.pipeline.as_str(), approval.execution.as_str(), true);
    })
    .await;
    assert_eq!((end.state, end.standing), (State::Stale, Standing::Stopped), "{}", end.reason);
    stage.finish().await;

    let stage = Stage::start().await;
    let end = decided_while(&stage, async |stage, approval| {
        stage.world.edit_comment(approval.gate.pipeline.as_str(), "Another comment");
    })
    .await;
    assert_eq!((end.state, end.standing), (State::Stale, Standing::Gone), "{}", end.reason);
    assert!(end.reason.contains("edited"), "{}", end.reason);
    stage.finish().await;

    let stage = Stage::start().await;
    let end = decided_while(&stage, async |stage, approval| {
        stage.world.act(Act::Delete { pipeline: approval.gate.pipeline.to_string() }).unwrap();
    })
    .await;
    assert_eq!((end.state, end.standing), (State::Stale, Standing::Gone), "{}", end.reason);
    assert!(end.reason.contains("deleted") || end.reason.contains("no longer exists"), "{}", end.reason);
    stage.finish().await;
}
