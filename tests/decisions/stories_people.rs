//! What people do between the page and the send (fault matrix rows F-21 to F-26; F-24 is a story of the portal's).

use countersign::approvals::Approval;
use countersign::decisions::DecideError;
use countersign::domain::approval::Standing;
use countersign::domain::decision::{State, Verdict};
use countersign::domain::people::Role;
use countersign::simulator::{Fault, FaultKind};

use crate::stage::Stage;

/// F-21: what waits is no longer what was shown.
#[tokio::test]
async fn f21_a_changed_comment_is_refused_and_the_difference_shown() {
    let stage = Stage::start().await;
    // The page was made while the role could not read resolved comments; by the time of the post, it can.
    stage.world.deny("ListActionExecutions", None);
    let seen = stage.waiting("shop").await;
    let comment = |approval: &Approval| approval.shown.comment.clone().unwrap().text;
    assert_eq!(comment(&seen), "Ship shop: #{SourceVariables.CommitMessage}");
    let ana = stage.approver("Ana").await;
    stage.sim.clear_faults();

    let refused = stage.try_decide(&ana, &seen, Verdict::Approved, "ok").await.unwrap_err();

    let DecideError::Changed { differences, now } = refused else { panic!("{refused:?}") };
    let changed = differences.iter().find(|it| it.what == "Comment").expect("the comment is named");
    assert_eq!(changed.was, comment(&seen));
    assert_eq!(changed.is, comment(&now));
    assert_ne!(changed.was, changed.is);
    assert!(stage.sim.receipts().is_empty());
    assert_eq!(stage.count("decision.intended").await, 0);
    assert_eq!(stage.last_payload("decision.attempt_refused").await["outcome"], "changed");
    stage.finish().await;
}

/// F-22: two people, opposite verdicts, at once, on two replicas.
#[tokio::test]
async fn f22_of_two_opposite_verdicts_at_once_one_counts_and_the_other_learns_whose() {
    for _ in 0..8 {
        let stage = Stage::start().await;
        let other = stage.replica().await;
        let approval = stage.waiting("shop").await;
        let (ana, bo) = (stage.approver("Ana").await, stage.approver("Bo").await);

        let (yes, no) = tokio::join!(
            stage.try_decide(&ana, &approval, Verdict::Approved, "yes"),
            stage.try_decide_on(&other, &bo, &approval, Verdict::Rejected, "no"),
        );

        let (winner, loser, first) = match (yes, no) {
            (Ok(id), Err(refused)) => (id, refused, "Ana"),
            (Err(refused), Ok(id)) => (id, refused, "Bo"),
            other => panic!("exactly one must win: {other:?}"),
        };
        match loser {
            DecideError::AlreadyDeciding { by, .. } => assert_eq!(by, first),
            // The winner's answer was quicker than the loser's read.
            DecideError::NotOpen { standing, .. } => {
                assert!(matches!(standing, Standing::Approved | Standing::Rejected));
            }
            refused => panic!("{refused:?}"),
        }
        assert_eq!(stage.answer_anywhere(&other, winner).await.state, State::Accepted);
        assert_eq!(stage.sim.effects().len(), 1);
        assert_eq!(stage.count("decision.intended").await, 1);
        stage.finish().await;
    }
}

/// F-23: double click, browser retry, back and post again.
#[tokio::test]
async fn f23_the_same_form_counts_once_however_often_it_arrives() {
    let stage = Stage::start().await;
    let approval = stage.waiting("shop").await;
    let ana = stage.approver("Ana").await;
    let form = stage.form(&approval, Verdict::Approved, "ok");

    let (first, second) =
        tokio::join!(stage.decisions.decide(&ana, form.clone()), stage.decisions.decide(&ana, form.clone()));
    let decision = first.unwrap();
    assert_eq!(decision, second.unwrap());
    assert_eq!(stage.answer(decision).await.state, State::Accepted);
    assert_eq!(stage.decisions.decide(&ana, form.clone()).await.unwrap(), decision, "the back button changes nothing");
    assert_eq!((stage.sim.effects().len(), stage.sim.receipts().len()), (1, 1));
    assert_eq!(stage.count("decision.intended").await, 1);

    let mut other = form;
    other.summary = "something else".into();
    assert!(matches!(stage.decisions.decide(&ana, other).await, Err(DecideError::KeyReused)));
    stage.finish().await;
}

/// F-23: of two clicks one cannot read AWS. It must not say that nothing was sent when the other one has.
#[tokio::test]
async fn f23_a_click_that_cannot_read_aws_leads_to_what_the_other_click_decided() {
    let stage = Stage::start().await;
    let approval = stage.waiting("shop").await;
    let ana = stage.approver("Ana").await;
    let form = stage.form(&approval, Verdict::Approved, "ok");
    let hang = FaultKind::Hang { seconds: None, applied: false };
    let held = stage.sim.add_fault(Fault::on("GetPipelineState", hang).times(1));
    let (slow, quick) = tokio::join!(stage.decisions.decide(&ana, form.clone()), async {
        stage.sim.until_held(held).await;
        let quick = stage.decisions.decide(&ana, form.clone()).await.unwrap();
        assert_eq!(stage.answer(quick).await.state, State::Accepted);
        stage.sim.add_fault(Fault::on("GetPipelineState", FaultKind::Denied));
        stage.sim.release(held);
        quick
    });

    assert_eq!(slow.unwrap(), quick);
    assert_eq!((stage.sim.effects().len(), stage.count("decision.intended").await), (1, 1));
    assert_eq!(stage.count("decision.attempt_refused").await, 0, "nothing was refused");
    stage.finish().await;
}

/// F-23, F-25: the account is taken away between the two clicks of one form.
#[tokio::test]
async fn f23_a_click_of_somebody_disabled_meanwhile_leads_to_what_the_other_click_decided() {
    let stage = Stage::start().await;
    let approval = stage.waiting("shop").await;
    let ana = stage.approver("Ana").await;
    let form = stage.form(&approval, Verdict::Approved, "ok");
    let hang = FaultKind::Hang { seconds: None, applied: false };
    let (read, put) = (stage.sim.add_fault(Fault::on("GetPipelineState", hang).times(1)), stage.hold_before_effect());
    let (slow, quick) = tokio::join!(stage.decisions.decide(&ana, form.clone()), async {
        stage.sim.until_held(read).await;
        let quick = stage.decisions.decide(&ana, form.clone()).await.unwrap();
        stage.sim.until_held(put).await;
        stage.disable(&ana).await;
        stage.sim.release(read);
        quick
    });
    stage.sim.release(put);

    assert_eq!(slow.unwrap(), quick);
    assert_eq!(stage.answer(quick).await.state, State::Accepted);
    assert_eq!((stage.sim.effects().len(), stage.count("decision.intended").await), (1, 1));
    assert_eq!(stage.count("decision.attempt_refused").await, 0, "nothing was refused");
    stage.finish().await;
}

/// F-25: disabled between page and post.
#[tokio::test]
async fn f25_a_person_disabled_before_the_post_decides_nothing() {
    let stage = Stage::start().await;
    let approval = stage.waiting("shop").await;
    let ana = stage.approver("Ana").await;
    stage.disable(&ana).await;

    let refused = stage.try_decide(&ana, &approval, Verdict::Approved, "ok").await.unwrap_err();

    assert!(matches!(&refused, DecideError::NotAllowed(why) if why.contains("disabled")), "{refused:?}");
    assert!(stage.sim.receipts().is_empty());
    assert_eq!(stage.count("decision.intended").await, 0);
    assert_eq!(stage.last_payload("decision.attempt_refused").await["outcome"], "not_allowed");
    stage.finish().await;
}

/// F-25: disabled between intent and send.
#[tokio::test]
async fn f25_a_person_disabled_after_the_intent_sends_nothing() {
    let stage = Stage::start().await;
    let approval = stage.waiting("shop").await;
    let ana = stage.approver("Ana").await;
    let intent = stage.intend_and_die(&ana, &approval, Verdict::Approved, "ok").await;
    stage.disable(&ana).await;
    stage.pass(jiff::SignedDuration::from_secs(20)).await;
    stage.settle_once().await;

    let end = stage.answer(intent).await;
    assert_eq!(end.state, State::Lapsed);
    assert!(end.reason.unwrap().contains("disabled"));
    assert!(stage.sim.receipts().is_empty());
    assert_eq!(stage.kinds_of(intent).await, ["decision.intended", "decision.lapsed"]);
    stage.finish().await;
}

/// F-26, and S-33 as far as the rule of today goes (one vote decides): a role is taken away between two people's votes; each
/// is weighed under the rule at the moment it decides, and the vote that decides is committed with the intent.
#[tokio::test]
async fn f26_a_vote_counts_under_the_rule_at_the_moment_it_decides() {
    let stage = Stage::start().await;
    let approval = stage.waiting("shop").await;
    let (ana, bo) = (stage.approver("Ana").await, stage.approver("Bo").await);
    stage.set_roles(&ana, &[Role::Auditor]).await;

    let refused = stage.try_decide(&ana, &approval, Verdict::Approved, "mine counted a minute ago").await.unwrap_err();
    assert!(matches!(&refused, DecideError::NotAllowed(why) if why.contains("not an approver")), "{refused:?}");
    let decision = stage.decide(&bo, &approval, Verdict::Approved, "ok").await;

    assert_eq!(stage.answer(decision).await.state, State::Accepted);
    let record = stage.last_payload("decision.intended").await;
    assert_eq!(record["rule"]["text"], countersign::decisions::RULE);
    assert_eq!(record["rule"]["votes"].as_array().unwrap().len(), 1, "only the vote that counted: {record}");
    assert_eq!(record["name"], "Bo");
    stage.finish().await;
}

/// A crash between intent and send (F-02's shape): found again, still allowed, sent once.
#[tokio::test]
async fn an_intent_whose_sender_died_is_sent_by_whoever_finds_it() {
    let stage = Stage::start().await;
    let approval = stage.waiting("shop").await;
    let ana = stage.approver("Ana").await;
    let intent = stage.intend_and_die(&ana, &approval, Verdict::Approved, "ok").await;
    stage.settle_once().await;
    assert!(stage.sim.receipts().is_empty(), "its sender may still be alive");
    stage.pass(jiff::SignedDuration::from_secs(20)).await;
    stage.settle_once().await;

    assert_eq!(stage.answer(intent).await.state, State::Accepted);
    assert_eq!((stage.sim.effects().len(), stage.sim.receipts().len()), (1, 1));
    stage.finish().await;
}
