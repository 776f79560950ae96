//! What AWS may answer to a decision, and how each ends (fault matrix rows F-06 to F-17).

use std::time::Duration;

use countersign::domain::approval::Standing;
use countersign::domain::decision::{State, Verdict};
use countersign::simulator::{ErrorBody, Fault, FaultKind};
use jiff::SignedDuration;

use crate::stage::{CONSOLE, Stage};

const PUT: &str = "PutApprovalResult";

fn secs(n: i64) -> SignedDuration {
    SignedDuration::from_secs(n)
}

#[tokio::test]
async fn an_approval_goes_through_and_everybody_can_see_who_it_was() {
    let stage = Stage::start().await;
    let approval = stage.waiting("shop").await;
    let ana = stage.approver("Ana Silva").await;

    let decision = stage.decide(&ana, &approval, Verdict::Approved, "Tests are green").await;

    let end = stage.answer(decision).await;
    assert_eq!(end.state, State::Accepted);
    let effects = stage.sim.effects();
    assert_eq!(effects.len(), 1);
    assert_eq!(effects[0].verdict, "Approved");
    assert_eq!(effects[0].token, approval.token.expose());
    assert_eq!(effects[0].summary, end.sent_summary);
    let hash = stage.hash_of(end.intent_seq).await;
    assert_eq!(effects[0].summary, format!("Tests are green [Ana Silva, rec {} {}]", end.intent_seq, &hash[..16]));
    assert_eq!(stage.kinds_of(decision).await, ["decision.intended", "decision.sent", "decision.accepted"]);
    assert_eq!(stage.standing(&approval).await, Standing::Approved);
    stage.finish().await;
}

#[tokio::test]
async fn a_rejection_needs_a_reason_and_stops_the_run() {
    let stage = Stage::start().await;
    let approval = stage.waiting("shop").await;
    let ana = stage.approver("Ana").await;

    let refused = stage.try_decide(&ana, &approval, Verdict::Rejected, "  ").await.unwrap_err();
    assert_eq!(refused.to_string(), "Please say why you reject: the summary must not be empty.");
    assert!(stage.sim.receipts().is_empty());

    let decision = stage.decide(&ana, &approval, Verdict::Rejected, "The migration is missing").await;
    assert_eq!(stage.answer(decision).await.state, State::Accepted);
    assert_eq!(stage.sim.effects()[0].verdict, "Rejected");
    assert_eq!(stage.standing(&approval).await, Standing::Rejected);
    stage.finish().await;
}

/// F-06: the connection is dropped after AWS applied it.
#[tokio::test]
async fn f06_an_answer_lost_after_the_effect_is_found_by_the_marker() {
    let stage = Stage::start().await;
    let approval = stage.waiting("shop").await;
    let ana = stage.approver("Ana").await;
    stage.sim.add_fault(Fault::on(PUT, FaultKind::Reset { applied: true }).times(1));

    let decision = stage.decide(&ana, &approval, Verdict::Approved, "ok").await;
    assert_eq!(stage.answer(decision).await.state, State::Unsure);
    assert_eq!(stage.standing(&approval).await, Standing::Unsure);
    stage.settle_once().await;

    assert_eq!(stage.answer(decision).await.state, State::Accepted);
    assert_eq!(stage.sim.effects().len(), 1);
    assert_eq!(stage.sim.receipts().len(), 1, "nothing is sent while the fate of the first is unknown");
    stage.finish().await;
}

/// F-07: the connection is dropped before AWS applied it.
#[tokio::test]
async fn f07_a_request_lost_before_the_effect_waits_out_the_quarantine_and_is_sent_once_more() {
    let stage = Stage::start().await;
    let approval = stage.waiting("shop").await;
    let ana = stage.approver("Ana").await;
    stage.sim.add_fault(Fault::on(PUT, FaultKind::Reset { applied: false }).times(1));

    let decision = stage.decide(&ana, &approval, Verdict::Approved, "ok").await;
    assert_eq!(stage.answer(decision).await.state, State::Unsure);
    for _ in 0..5 {
        stage.settle_once().await;
        stage.pass(secs(10)).await;
        assert_eq!(stage.sim.receipts().len(), 1, "still within the quarantine");
    }
    stage.settle_for(secs(75)).await;

    assert_eq!(stage.answer(decision).await.state, State::Accepted);
    assert_eq!(stage.sim.receipts().len(), 2);
    assert_eq!(stage.sim.effects().len(), 1);
    stage.finish().await;
}

/// F-08: an error of AWS's own, after the effect, in HTML.
#[tokio::test]
async fn f08_a_server_error_after_the_effect_is_found_by_the_marker() {
    for status in [500, 503, 504] {
        let stage = Stage::start().await;
        let approval = stage.waiting("shop").await;
        let ana = stage.approver("Ana").await;
        let error = FaultKind::Error {
            status,
            code: "InternalFailure".into(),
            message: String::new(),
            body: ErrorBody::Html,
            applied: true,
        };
        stage.sim.add_fault(Fault::on(PUT, error).times(1));

        let decision = stage.decide(&ana, &approval, Verdict::Approved, "ok").await;
        assert_eq!(stage.answer(decision).await.state, State::Unsure);
        stage.settle_once().await;

        assert_eq!(stage.answer(decision).await.state, State::Accepted);
        assert_eq!((stage.sim.effects().len(), stage.sim.receipts().len()), (1, 1));
        stage.finish().await;
    }
}

/// F-09: three server errors without effect.
#[tokio::test]
async fn f09_server_errors_without_effect_are_sent_again_after_two_reads_each() {
    let stage = Stage::start().await;
    let approval = stage.waiting("shop").await;
    let ana = stage.approver("Ana").await;
    let error = FaultKind::Error {
        status: 503,
        code: "ServiceUnavailableException".into(),
        message: "busy".into(),
        body: ErrorBody::Json,
        applied: false,
    };
    stage.sim.add_fault(Fault::on(PUT, error).times(3));

    let decision = stage.decide(&ana, &approval, Verdict::Approved, "ok").await;
    assert_eq!(stage.answer(decision).await.state, State::Unsure);
    stage.settle_once().await;
    stage.pass(secs(3)).await;
    stage.settle_once().await;
    assert_eq!(stage.sim.receipts().len(), 1, "two reads at least five seconds apart come first");
    stage.settle_for(secs(120)).await;

    assert_eq!(stage.answer(decision).await.state, State::Accepted);
    assert_eq!((stage.sim.effects().len(), stage.sim.receipts().len()), (1, 4));
    stage.finish().await;
}

/// F-11: a 200 without a body.
#[tokio::test]
async fn f11_an_empty_answer_is_not_believed_until_read_back() {
    let stage = Stage::start().await;
    let approval = stage.waiting("shop").await;
    let ana = stage.approver("Ana").await;
    stage.sim.add_fault(Fault::on(PUT, FaultKind::Empty { applied: true }).times(1));

    let decision = stage.decide(&ana, &approval, Verdict::Approved, "ok").await;
    assert_eq!(stage.answer(decision).await.state, State::Unsure);
    stage.settle_once().await;
    assert_eq!(stage.answer(decision).await.state, State::Accepted);
    stage.finish().await;
}

/// F-12: throttled twenty times, then taken.
#[tokio::test]
async fn f12_throttling_is_waited_out_without_holding_up_others() {
    let stage = Stage::start().await;
    let (slow, quick) = (stage.waiting("shop").await, stage.waiting("blog").await);
    let ana = stage.approver("Ana").await;
    stage.sim.add_fault(Fault::on(PUT, FaultKind::Throttle).of("shop").times(20));

    let decision = stage.decide(&ana, &slow, Verdict::Approved, "ok").await;
    stage.quiet().await;
    let other = stage.decide(&ana, &quick, Verdict::Approved, "ok").await;
    assert_eq!(stage.answer(other).await.state, State::Accepted, "other decisions are not starved");
    let sent_at_once = stage.receipts_of("shop");
    assert_eq!(sent_at_once, 1, "the next send waits its turn");
    stage.settle_for(secs(550)).await;

    assert_eq!(stage.answer(decision).await.state, State::Accepted);
    assert_eq!(stage.receipts_of("shop"), 21);
    assert_eq!(stage.effects_of("shop"), 1);
    stage.finish().await;
}

/// F-13: throttled for a quarter of an hour.
#[tokio::test]
async fn f13_an_approval_that_could_not_be_sent_in_ten_minutes_is_not_sent_by_itself() {
    let stage = Stage::start().await;
    let approval = stage.waiting("shop").await;
    let ana = stage.approver("Ana").await;
    stage.sim.add_fault(Fault::on(PUT, FaultKind::Throttle));

    let decision = stage.decide(&ana, &approval, Verdict::Approved, "ok").await;
    stage.settle_for(secs(15 * 60)).await;
    let end = stage.answer(decision).await;
    assert_eq!(end.state, State::Lapsed);
    assert!(end.reason.unwrap().contains("within 10 minutes"));
    stage.sim.clear_faults();
    stage.settle_for(secs(300)).await;

    assert!(stage.sim.effects().is_empty(), "nothing is sent later");
    assert_eq!(stage.standing(&approval).await, Standing::Open);
    stage.finish().await;
}

/// F-14: the credentials have run out.
#[tokio::test]
async fn f14_expired_credentials_cost_one_more_send() {
    let stage = Stage::start().await;
    let approval = stage.waiting("shop").await;
    let ana = stage.approver("Ana").await;
    stage.sim.add_fault(Fault::on(PUT, FaultKind::Expired).times(1));

    let decision = stage.decide(&ana, &approval, Verdict::Approved, "ok").await;
    stage.settle_for(secs(10)).await;

    assert_eq!(stage.answer(decision).await.state, State::Accepted);
    assert_eq!((stage.sim.effects().len(), stage.sim.receipts().len()), (1, 2));
    stage.finish().await;
}

/// F-15: not allowed.
#[tokio::test]
async fn f15_what_aws_does_not_allow_is_refused_and_still_waits() {
    let stage = Stage::start().await;
    let approval = stage.waiting("shop").await;
    let ana = stage.approver("Ana").await;
    stage.sim.add_fault(Fault::on(PUT, FaultKind::Denied).times(1));

    let decision = stage.decide(&ana, &approval, Verdict::Approved, "ok").await;

    let end = stage.answer(decision).await;
    assert_eq!(end.state, State::Refused);
    let reason = end.reason.unwrap();
    assert!(reason.contains("AccessDeniedException") && reason.contains("codepipeline:PutApprovalResult"), "{reason}");
    assert_eq!(stage.standing(&approval).await, Standing::Open);
    // Once the operator has mended it, the same person decides again.
    let again = stage.decide(&ana, &approval, Verdict::Approved, "ok").await;
    assert_eq!(stage.answer(again).await.state, State::Accepted);
    stage.finish().await;
}

/// F-16: somebody was quicker in the console, between our last look and our send.
#[tokio::test]
async fn f16_a_console_decision_in_between_is_named_with_its_maker() {
    let stage = Stage::start().await;
    let approval = stage.waiting("shop").await;
    let ana = stage.approver("Ana").await;
    let held = stage.hold_before_effect();

    let decision = stage.decide(&ana, &approval, Verdict::Approved, "ok").await;
    stage.sim.until_held(held).await;
    stage.decide_in_console(&approval, Verdict::Rejected, "Not on a Friday");
    stage.sim.release(held);
    assert_eq!(stage.answer(decision).await.state, State::Unsure);
    stage.settle_once().await;

    let end = stage.answer(decision).await;
    assert_eq!(end.state, State::Elsewhere);
    assert!(end.reason.unwrap().contains(CONSOLE));
    let record = stage.last_payload("approval.decided_elsewhere").await;
    assert_eq!(record["verdict"], "rejected");
    assert!(record.to_string().contains("Not on a Friday"), "{record}");
    assert_eq!(stage.standing(&approval).await, Standing::Rejected);
    assert!(stage.sim.effects().is_empty());
    stage.finish().await;
}

/// F-17: "already completed" after a send whose fate was unknown.
#[tokio::test]
async fn f17_too_late_after_an_unsure_send_is_ours_if_the_marker_is() {
    // The first send took effect but its answer was lost, and reads lagged behind for longer than the quarantine.
    let stage = Stage::start().await;
    let approval = stage.waiting("shop").await;
    let ana = stage.approver("Ana").await;
    stage.pass(secs(120)).await;
    stage.sim.add_fault(Fault::on(PUT, FaultKind::Reset { applied: true }).times(1));
    let decision = stage.decide(&ana, &approval, Verdict::Approved, "ok").await;
    assert_eq!(stage.answer(decision).await.state, State::Unsure);
    let stale = ["GetPipelineState", "ListActionExecutions"]
        .map(|read| stage.sim.add_fault(Fault::on(read, FaultKind::Stale { seconds: 90.0 })));
    stage.settle_for(secs(80)).await;
    assert_eq!(stage.sim.receipts().len(), 2, "the reads said it still waits");
    for fault in stale {
        stage.sim.release(fault);
    }
    stage.sim.clear_faults();
    stage.settle_for(secs(60)).await;

    assert_eq!(stage.answer(decision).await.state, State::Accepted, "told as ours, not as somebody else's");
    assert_eq!(stage.sim.effects().len(), 1);
    stage.finish().await;

    // The same, but the console was quicker than our second send.
    let stage = Stage::start().await;
    let approval = stage.waiting("shop").await;
    let ana = stage.approver("Ana").await;
    stage.sim.add_fault(Fault::on(PUT, FaultKind::Reset { applied: false }).times(1));
    let decision = stage.decide(&ana, &approval, Verdict::Approved, "ok").await;
    assert_eq!(stage.answer(decision).await.state, State::Unsure);
    stage.decide_in_console(&approval, Verdict::Approved, "Go");
    stage.settle_once().await;
    assert_eq!(stage.answer(decision).await.state, State::Elsewhere);
    stage.finish().await;
}

/// F-10: no answer at all; the effect comes later.
#[tokio::test]
async fn f10_a_request_that_lands_after_its_sender_gave_up_is_still_ours() {
    let stage = Stage::start_with(Duration::from_millis(400)).await;
    let approval = stage.waiting("shop").await;
    let ana = stage.approver("Ana").await;
    stage.sim.add_fault(Fault::on(PUT, FaultKind::Hang { seconds: Some(40.0), applied: true }).times(1));

    let decision = stage.decide(&ana, &approval, Verdict::Approved, "ok").await;
    assert_eq!(stage.answer(decision).await.state, State::Unsure);
    stage.settle_for(secs(30)).await;
    assert_eq!(stage.sim.receipts().len(), 1, "never two in flight");
    assert_eq!(stage.answer(decision).await.state, State::Unsure);
    stage.settle_for(secs(100)).await;

    assert_eq!(stage.answer(decision).await.state, State::Accepted);
    assert_eq!((stage.sim.effects().len(), stage.sim.receipts().len()), (1, 1));
    stage.finish().await;
}
