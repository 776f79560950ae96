//! Deciding in every execution mode, from the queue to AWS: the right request is answered and no other.

use countersign::domain::approval::Standing;
use countersign::domain::decision::{State, Verdict};
use countersign::simulator::{Act, Verdict as SimVerdict, Which};

use crate::stage::{CONSOLE, Stage};

#[tokio::test]
async fn of_two_that_wait_at_one_parallel_gate_the_one_that_was_shown_is_answered() {
    let stage = Stage::start().await;
    let first = stage.waiting("swarm").await;
    let second = stage.waiting("swarm").await;
    assert_eq!(first.gate, second.gate);
    let ana = stage.approver("Ana").await;

    let yes = stage.decide(&ana, &second, Verdict::Approved, "This one").await;
    assert_eq!(stage.answer(yes).await.state, State::Accepted);
    let effects = stage.sim.effects();
    assert_eq!((effects.len(), effects[0].token.as_str()), (1, second.token.expose()));
    assert_eq!(effects[0].execution, second.execution.as_str());
    stage.watch().await;
    assert_eq!(stage.standing(&first).await, Standing::Open);

    let no = stage.decide(&ana, &first, Verdict::Rejected, "Not this one").await;
    assert_eq!(stage.answer(no).await.state, State::Accepted);
    stage.watch().await;
    assert_eq!(stage.standing(&first).await, Standing::Rejected);
    assert_eq!(stage.standing(&second).await, Standing::Approved);
    stage.finish().await;
}

#[tokio::test]
async fn of_two_at_one_parallel_gate_the_console_takes_one_and_the_other_is_not_blamed() {
    let stage = Stage::start().await;
    let first = stage.waiting("swarm").await;
    let second = stage.waiting("swarm").await;
    let ana = stage.approver("Ana").await;
    let held = stage.hold_before_effect();
    let decision = stage.decide(&ana, &first, Verdict::Approved, "ok").await;
    stage.sim.until_held(held).await;
    stage.pass(jiff::SignedDuration::from_secs(1)).await;
    let which = Which { execution: Some(second.execution.to_string()), ..Which::default() };
    let pipeline = second.gate.pipeline.to_string();
    let summary = "Not on a Friday".into();
    let act = Act::Decide { pipeline, which, verdict: SimVerdict::Rejected, summary, by: CONSOLE.into() };
    stage.world.act(act).unwrap();
    stage.sim.release(held);

    assert_eq!(stage.answer(decision).await.state, State::Accepted);
    stage.watch().await;
    assert_eq!(stage.standing(&second).await, Standing::Rejected);
    assert_eq!(stage.last_payload("approval.decided_elsewhere").await["execution"], second.execution.as_str());
    stage.finish().await;
}

#[tokio::test]
async fn a_queued_run_is_answered_and_the_next_one_waits_for_an_answer_of_its_own() {
    let stage = Stage::start().await;
    let first = stage.waiting("queue").await;
    let ana = stage.approver("Ana").await;
    let next = stage.world.start("queue", None);
    stage.world.rush("queue", &next);
    stage.watch().await;
    assert_eq!(stage.open_approvals().await.len(), 1, "the stage is locked");

    let decision = stage.decide(&ana, &first, Verdict::Approved, "ok").await;
    assert_eq!(stage.answer(decision).await.state, State::Accepted);
    stage.world.rush("queue", first.execution.as_str());
    stage.world.rush("queue", &next);
    stage.watch().await;

    let waiting = stage.open_approvals().await;
    assert_eq!(waiting.len(), 1);
    assert_eq!(waiting[0].execution.as_str(), next);
    assert_eq!(stage.standing(&first).await, Standing::Approved);
    stage.finish().await;
}

#[tokio::test]
async fn a_stage_retried_after_our_rejection_is_a_new_approval_and_the_old_one_stays_rejected() {
    let stage = Stage::start().await;
    let first = stage.waiting("shop").await;
    let ana = stage.approver("Ana").await;
    let no = stage.decide(&ana, &first, Verdict::Rejected, "Once more").await;
    assert_eq!(stage.answer(no).await.state, State::Accepted);
    stage.retry(&first);
    stage.watch().await;

    let again = stage.open_approvals().await.remove(0);
    assert_ne!(again.id, first.id);
    assert_eq!(again.execution, first.execution);
    let yes = stage.decide(&ana, &again, Verdict::Approved, "Now it is").await;
    assert_eq!(stage.answer(yes).await.state, State::Accepted);
    stage.watch().await;
    assert_eq!(stage.standing(&first).await, Standing::Rejected);
    assert_eq!(stage.standing(&again).await, Standing::Approved);
    stage.finish().await;
}
