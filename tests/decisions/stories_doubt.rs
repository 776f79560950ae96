//! What must not be lost, stuck or blamed on somebody else when answers, reads and times conspire.

use std::time::Duration;

use countersign::domain::approval::Standing;
use countersign::domain::decision::{State, Verdict};
use countersign::simulator::{Fault, FaultKind};
use jiff::SignedDuration;

use crate::stage::{CONSOLE, Stage};

const PUT: &str = "PutApprovalResult";

fn secs(n: i64) -> SignedDuration {
    SignedDuration::from_secs(n)
}

fn missing(members: &[&str]) -> FaultKind {
    FaultKind::Missing { members: members.iter().map(ToString::to_string).collect() }
}

/// D-07: it lands after the quarantine, before it is sent again.
#[tokio::test]
async fn a_request_that_lands_after_the_quarantine_is_still_ours_and_not_sent_twice() {
    let stage = Stage::start_with(Duration::from_millis(400)).await;
    let approval = stage.waiting("shop").await;
    let ana = stage.approver("Ana").await;
    stage.sim.add_fault(Fault::on(PUT, FaultKind::Hang { seconds: Some(70.0), applied: true }).times(1));
    let decision = stage.decide(&ana, &approval, Verdict::Approved, "ok").await;
    assert_eq!(stage.answer(decision).await.state, State::Unsure);
    while stage.answer(decision).await.state == State::Unsure {
        stage.settle_for(secs(2)).await;
    }
    assert_eq!(stage.answer(decision).await.state, State::Intent, "it is to be sent again");

    stage.pass(secs(20)).await;
    while stage.sim.effects().is_empty() {
        tokio::task::yield_now().await;
    }
    stage.settle_once().await;

    assert_eq!(stage.answer(decision).await.state, State::Accepted);
    assert_eq!((stage.sim.effects().len(), stage.sim.receipts().len()), (1, 1));
    stage.finish().await;
}

/// D-09: everything that was sent was surely not taken, so an expiry is an expiry.
#[tokio::test]
async fn a_rejection_that_never_got_through_ends_with_the_approval_it_was_for() {
    let stage = Stage::start().await;
    let approval = stage.waiting("shop").await;
    let ana = stage.approver("Ana").await;
    stage.sim.add_fault(Fault::on(PUT, FaultKind::Throttle));
    let decision = stage.decide(&ana, &approval, Verdict::Rejected, "The migration is missing").await;
    stage.settle_for(secs(20)).await;
    assert_eq!(stage.answer(decision).await.state, State::Intent);

    stage.pass(secs(61 * 60)).await;
    stage.settle_for(secs(10)).await;

    assert_eq!(stage.answer(decision).await.state, State::Stale);
    assert_eq!(stage.standing(&approval).await, Standing::Expired);
    stage.finish().await;
}

/// D-10: an outage of reading, too, ends the ten minutes.
#[tokio::test]
async fn an_intent_that_cannot_even_be_checked_lapses_instead_of_holding_the_approval_for_ever() {
    let stage = Stage::start().await;
    let approval = stage.waiting("shop").await;
    let ana = stage.approver("Ana").await;
    stage.sim.add_fault(Fault::on(PUT, FaultKind::Throttle).times(1));
    let decision = stage.decide(&ana, &approval, Verdict::Approved, "ok").await;
    assert_eq!(stage.answer(decision).await.state, State::Intent);
    stage.world.deny("GetPipelineState", None);
    stage.pass(secs(6)).await;

    stage.settle_for(secs(9 * 60)).await;
    assert_eq!(stage.answer(decision).await.state, State::Intent, "it may still be sent");
    stage.settle_for(secs(2 * 60)).await;

    let end = stage.answer(decision).await;
    assert_eq!(end.state, State::Lapsed);
    assert!(end.reason.unwrap().contains("within 10 minutes"));
    assert_eq!(stage.sim.receipts().len(), 1);

    stage.sim.clear_faults();
    stage.sim.add_fault(Fault::on(PUT, FaultKind::Throttle).times(1));
    let approval = stage.open_approvals().await.remove(0);
    let rejection = stage.decide(&ana, &approval, Verdict::Rejected, "No").await;
    assert_eq!(stage.answer(rejection).await.state, State::Intent);
    stage.world.deny("GetPipelineState", None);
    stage.pass(secs(6)).await;
    stage.disable(&ana).await;
    stage.settle_for(secs(10)).await;
    assert_eq!(stage.answer(rejection).await.state, State::Lapsed, "a revocation needs no reading");
    stage.finish().await;
}

/// A record holds 16 KiB; AWS's texts may be longer.
#[tokio::test]
async fn a_console_decision_with_an_endless_comment_is_still_recorded() {
    let stage = Stage::start().await;
    let approval = stage.waiting("shop").await;
    let ana = stage.approver("Ana").await;
    let held = stage.hold_before_effect();
    let decision = stage.decide(&ana, &approval, Verdict::Approved, "ok").await;
    stage.sim.until_held(held).await;
    stage.decide_in_console(&approval, Verdict::Rejected, &"\u{1}\"<b>".repeat(20_000));
    stage.sim.release(held);
    stage.quiet().await;
    stage.settle_once().await;

    assert_eq!(stage.answer(decision).await.state, State::Elsewhere);
    let record = stage.last_payload("approval.decided_elsewhere").await;
    assert_eq!((&record["verdict"], &record["by"]), (&"rejected".into(), &CONSOLE.into()));
    stage.finish().await;
}

/// P-05: decisions have connections of their own, for all they need.
#[tokio::test]
async fn a_flood_of_page_views_holds_no_decision_up() {
    let stage = Stage::start().await;
    let approval = stage.waiting("shop").await;
    let ana = stage.approver("Ana").await;
    let flood = stage.flood_pages().await;

    let decision = stage.decide(&ana, &approval, Verdict::Approved, "ok").await;
    assert_eq!(stage.answer(decision).await.state, State::Accepted);
    drop(flood);
    stage.finish().await;
}

/// D-09: our own role without our marker is not somebody else, also where this replica has never swept the source.
#[tokio::test]
async fn our_own_answer_without_its_marker_is_never_called_somebody_elses() {
    let stage = Stage::start().await;
    let approval = stage.waiting("shop").await;
    let ana = stage.approver("Ana").await;
    stage.sim.add_fault(Fault::on(PUT, FaultKind::Reset { applied: true }).times(1));
    let decision = stage.decide(&ana, &approval, Verdict::Approved, "ok").await;
    assert_eq!(stage.answer(decision).await.state, State::Unsure);
    for operation in ["GetPipelineState", "ListActionExecutions"] {
        stage.sim.add_fault(Fault::on(operation, missing(&["summary", "externalExecutionSummary"])));
    }
    let replica = stage.replica().await;
    replica.step().await.unwrap();
    assert_eq!(stage.answer(decision).await.state, State::Unsure);

    stage.sim.clear_faults();
    stage.settle_for(secs(20)).await;
    assert_eq!(stage.answer(decision).await.state, State::Accepted);
    assert_eq!(stage.count("approval.decided_elsewhere").await, 0);
    stage.finish().await;
}

/// F-16 without names: a first send that came too late cannot have been what decided.
#[tokio::test]
async fn a_decision_that_aws_names_nobody_for_is_not_ours_when_our_only_send_came_too_late() {
    let stage = Stage::start().await;
    let approval = stage.waiting("shop").await;
    let ana = stage.approver("Ana").await;
    let held = stage.hold_before_effect();
    let decision = stage.decide(&ana, &approval, Verdict::Approved, "ok").await;
    stage.sim.until_held(held).await;
    stage.decide_in_console(&approval, Verdict::Approved, "Go");
    for operation in ["GetPipelineState", "ListActionExecutions"] {
        let nobody = missing(&["summary", "externalExecutionSummary", "lastUpdatedBy", "updatedBy"]);
        stage.sim.add_fault(Fault::on(operation, nobody));
    }
    stage.sim.release(held);
    stage.quiet().await;
    stage.settle_once().await;

    let end = stage.answer(decision).await;
    assert_eq!(end.state, State::Elsewhere);
    assert!(end.reason.unwrap().contains("somebody AWS does not name"));
    stage.finish().await;
}

/// F-19 with the rights of the managed policy alone, which does not contain ListActionExecutions.
#[tokio::test]
async fn too_late_for_a_retried_stage_ends_also_without_the_right_to_list_actions() {
    let stage = Stage::start().await;
    stage.world.deny("ListActionExecutions", None);
    let approval = stage.waiting("shop").await;
    let ana = stage.approver("Ana").await;
    let held = stage.hold_before_effect();
    let decision = stage.decide(&ana, &approval, Verdict::Approved, "ok").await;
    stage.sim.until_held(held).await;
    stage.decide_in_console(&approval, Verdict::Rejected, "again, please");
    stage.retry(&approval);
    stage.sim.release(held);
    stage.quiet().await;
    stage.settle_for(secs(10)).await;

    assert_eq!(stage.answer(decision).await.state, State::Stale);
    stage.watch().await;
    let waiting = stage.open_approvals().await;
    assert!(waiting.len() == 1 && waiting[0].token != approval.token, "the retry waits for a decision of its own");
    stage.finish().await;
}

/// D-13: a read that lags behind does not open again what was decided, nor record anything.
#[tokio::test]
async fn polling_on_writes_no_more_records_and_stale_reads_flip_nothing() {
    let stage = Stage::start().await;
    let approval = stage.waiting("shop").await;
    let ana = stage.approver("Ana").await;
    stage.pass(secs(60)).await;
    let decision = stage.decide(&ana, &approval, Verdict::Approved, "ok").await;
    assert_eq!(stage.answer(decision).await.state, State::Accepted);
    let records = stage.records().await;
    let stale = FaultKind::Stale { seconds: 30.0 };
    for operation in ["GetPipelineState", "ListActionExecutions", "ListPipelineExecutions"] {
        stage.sim.add_fault(Fault::on(operation, stale.clone()));
    }
    for _ in 0..6 {
        stage.pass(secs(4)).await;
        stage.watch().await;
        stage.settle_once().await;
        assert_eq!(stage.standing(&approval).await, Standing::Approved);
    }
    assert_eq!(stage.records().await, records);
    stage.finish().await;
}
