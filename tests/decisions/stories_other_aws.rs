//! The same portal on another implementation of the API: nothing relies on a habit of one of them.

use countersign::approvals::Approval;
use countersign::domain::approval::Standing;
use countersign::domain::decision::{State, Verdict};
use jiff::SignedDuration;

use crate::other_aws::{Habits, ID, OtherAws};
use crate::stage::Stage;

async fn start(habits: Habits) -> (Stage, OtherAws, Approval) {
    let (aws, endpoint) = OtherAws::start(habits).await;
    let stage = Stage::start_at(endpoint).await;
    stage.watch().await;
    let mut waiting = stage.open_approvals().await;
    assert_eq!(waiting.len(), 1, "{habits:?}");
    (stage, aws, waiting.swap_remove(0))
}

#[tokio::test]
async fn whatever_its_ids_and_orders_a_decision_reaches_the_request_that_was_shown() {
    for parallel in [false, true] {
        for (without_action_ids, names_nobody) in [(false, false), (true, false), (false, true), (true, true)] {
            let habits = Habits { parallel, without_action_ids, names_nobody, ..Habits::default() };
            let (stage, aws, approval) = start(habits).await;
            assert_eq!(approval.token.expose(), ID);
            let ana = stage.approver("Ana").await;
            let records = stage.records().await;
            for _ in 0..5 {
                stage.pass(SignedDuration::from_secs(40)).await;
                stage.watch().await;
            }
            assert_eq!(stage.records().await, records, "looking again is no news: {habits:?}");

            let decision = stage.decide(&ana, &approval, Verdict::Approved, "ok").await;
            let end = stage.answer(decision).await;
            assert_eq!(end.state, State::Accepted, "{habits:?}: {:?}", end.reason);
            assert_eq!(aws.decided(), [("Approved".to_owned(), end.sent_summary)]);
            for _ in 0..3 {
                stage.pass(SignedDuration::from_secs(40)).await;
                stage.watch().await;
            }
            assert_eq!(stage.standing(&approval).await, Standing::Approved, "{habits:?}");
            assert_eq!(stage.records().await, records + 3, "{habits:?}");
        }
    }
}

#[tokio::test]
async fn a_marker_that_comes_back_with_a_line_end_or_without_names_is_still_ours() {
    for parallel in [false, true] {
        for verdict in [Verdict::Approved, Verdict::Rejected] {
            let odd =
                Habits { parallel, line_end: true, without_action_ids: true, names_nobody: true, ..Habits::default() };
            let (stage, aws, approval) = start(Habits { says_nothing: true, ..odd }).await;
            let ana = stage.approver("Ana").await;
            let decision = stage.decide(&ana, &approval, verdict, "so it is").await;
            assert_eq!(stage.answer(decision).await.state, State::Unsure);
            stage.watch().await;
            stage.settle_once().await;
            assert_eq!(stage.answer(decision).await.state, State::Accepted, "{odd:?}");
            assert_eq!(aws.decided().len(), 1);
            assert_eq!(stage.count("approval.decided_elsewhere").await, 0);
        }
    }
}

#[tokio::test]
async fn a_marker_that_was_cut_off_leaves_it_unsure_and_blames_nobody() {
    for names_nobody in [false, true] {
        let habits = Habits { echoes: Some(20), says_nothing: true, names_nobody, ..Habits::default() };
        let (stage, aws, approval) = start(habits).await;
        let ana = stage.approver("Ana").await;
        let decision = stage.decide(&ana, &approval, Verdict::Approved, "A longer sentence than comes back").await;
        assert_eq!(stage.answer(decision).await.state, State::Unsure);
        stage.settle_for(SignedDuration::from_mins(16)).await;
        stage.watch().await;

        let end = stage.answer(decision).await;
        assert_eq!(end.state, State::Unsure, "{:?}", end.reason);
        assert!(end.needs_person_since.is_some());
        assert_eq!(stage.count("decision.needs_person").await, 1, "said once");
        assert_eq!(stage.count("approval.decided_elsewhere").await, 0);
        assert_eq!(aws.decided().len(), 1, "and never sent again");
    }
}
