//! Gates marked as asking for proof while a decision is on its way (S-18, S-32, D-11): the mark or the intent is first, never
//! both, and what holds no proof is not sent once the mark stands.

use std::sync::Arc;

use countersign::access::Access;
use countersign::accounts::By;
use countersign::decisions::DecideError;
use countersign::domain::access::GateFields;
use countersign::domain::decision::{State, Verdict};
use countersign::domain::ids::StepUpGateId;
use countersign::domain::people::{Approver, Person};
use countersign::simulator::Act;
use jiff::SignedDuration;
use sqlx::{Connection as _, Executor as _, PgConnection};

use crate::stage::Stage;

const LAPSED: &str =
    "Since it was made, this gate asks for fresh proof of who decides, and it holds none. Please decide again.";

fn gates(pipeline: &str) -> GateFields {
    GateFields { pipeline: pipeline.into(), ..everything() }
}

fn everything() -> GateFields {
    let any = || "*".to_owned();
    GateFields {
        source: any(),
        pipeline: any(),
        stage: any(),
        action: any(),
        tag_key: String::new(),
        tag_value: String::new(),
    }
}

async fn mark(access: &Access, gates: &GateFields) -> StepUpGateId {
    access.require_proof(&By::Operator, gates, "").await.unwrap()
}

/// The same person, who has just proven who they are.
fn proven(stage: &Stage, by: &Approver) -> Approver {
    let at = Some(stage.clock.now());
    let person = Person { stepped_up_at: at, proven_by: Some("passkey".into()), ..by.person().clone() };
    Approver::of(&person).unwrap()
}

/// Until so many wait for a lock. How many of them wait for the one that orders marks and decisions.
async fn until_they_wait(watcher: &mut PgConnection, how_many: i64) -> i64 {
    let sql = "select count(*), count(*) filter (where wait_event = 'advisory') from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock'";
    loop {
        let (waiting, for_marks): (i64, i64) = sqlx::query_as(sql).fetch_one(&mut *watcher).await.unwrap();
        if waiting == how_many {
            return for_marks;
        }
        tokio::task::yield_now().await;
    }
}

/// Nothing can be recorded until this transaction ends: whoever is to commit something waits just before.
async fn hold_the_record(conn: &mut PgConnection) -> sqlx::Transaction<'_, sqlx::Postgres> {
    let mut holding = conn.begin().await.unwrap();
    holding.execute("select from audit.head where one = 1 for update").await.unwrap();
    holding
}

/// The mark is being made when the decision comes: it was first, so the decision without proof is refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_mark_that_is_first_refuses_the_decision_that_waited_for_it() {
    let stage = Stage::start().await;
    let approval = stage.waiting("shop").await;
    let ana = stage.approver("Ana").await;
    let (access, mut conn, mut watcher) =
        (stage.access(), stage.database.connect_superuser().await, stage.database.connect_superuser().await);
    let holding = hold_the_record(&mut conn).await;
    let marking = tokio::spawn(async move { mark(&access, &gates("shop")).await });
    assert_eq!(until_they_wait(&mut watcher, 1).await, 0, "made, and not committed yet");
    let (decisions, form) = (stage.decisions.clone(), stage.form(&approval, Verdict::Approved, "ok"));
    let by = ana.clone();
    let deciding = tokio::spawn(async move { decisions.decide(&by, form).await });
    assert_eq!(until_they_wait(&mut watcher, 2).await, 1, "the decision waits for the mark");
    holding.commit().await.unwrap();

    marking.await.unwrap();
    let refused = deciding.await.unwrap();
    assert!(matches!(refused, Err(DecideError::StepUpNeeded { why: None })), "{refused:?}");
    assert!(stage.sim.receipts().is_empty());
    assert_eq!(stage.count("decision.intended").await, 0);
    let record = stage.last_payload("decision.attempt_refused").await;
    assert_eq!(record["outcome"], "step_up_needed");
    let again = stage.decide(&proven(&stage, &ana), &approval, Verdict::Approved, "ok").await;
    assert_eq!(stage.answer(again).await.state, State::Accepted);
    assert_eq!(stage.last_payload("decision.intended").await["step_up"]["with"], "passkey");
    stage.finish().await;
}

/// The intent is being recorded when the mark comes: it was first, so it needs no proof. The mark comes after it, and before
/// the send.
#[tokio::test(flavor = "multi_thread")]
async fn an_intent_that_is_first_needs_no_proof_and_the_mark_waits_for_it() {
    let stage = Arc::new(Stage::start().await);
    let approval = stage.waiting("shop").await;
    let ana = stage.approver("Ana").await;
    let (access, mut conn, mut watcher) =
        (stage.access(), stage.database.connect_superuser().await, stage.database.connect_superuser().await);
    let holding = hold_the_record(&mut conn).await;
    let deciding = tokio::spawn({
        let stage = Arc::clone(&stage);
        async move { stage.intend_and_die(&ana, &approval, Verdict::Approved, "ok").await }
    });
    assert_eq!(until_they_wait(&mut watcher, 1).await, 0);
    let marking = tokio::spawn(async move { mark(&access, &gates("*")).await });
    assert_eq!(until_they_wait(&mut watcher, 2).await, 1, "the mark waits for the decision");
    holding.commit().await.unwrap();

    let intent = deciding.await.unwrap();
    marking.await.unwrap();
    assert!(stage.last_payload("decision.intended").await.get("step_up").is_none());
    stage.pass(SignedDuration::from_secs(20)).await;
    stage.settle_once().await;
    let ended = stage.answer(intent).await;
    assert_eq!((ended.state, ended.reason.as_deref()), (State::Lapsed, Some(LAPSED)));
    assert!(stage.sim.receipts().is_empty());
    Arc::into_inner(stage).unwrap().finish().await;
}

/// D-11: what a gate asks for is looked at again before the send. By its names, and by what AWS says it is tagged with.
#[tokio::test]
async fn a_gate_that_is_marked_after_the_intent_is_sent_nothing_without_proof() {
    let gold = GateFields { tag_key: "tier".into(), tag_value: "gold".into(), ..everything() };
    for gates in [gates("sh*"), gold] {
        let stage = Stage::start().await;
        let tags = [("tier".to_owned(), "gold".to_owned())].into();
        stage.world.act(Act::Tag { pipeline: "shop".into(), tags }).unwrap();
        let approval = stage.waiting("shop").await;
        let ana = stage.approver("Ana").await;
        let intent = stage.intend_and_die(&ana, &approval, Verdict::Approved, "ok").await;
        mark(&stage.access(), &gates).await;
        stage.pass(SignedDuration::from_secs(20)).await;
        stage.settle_once().await;

        let ended = stage.answer(intent).await;
        assert_eq!((ended.state, ended.reason.as_deref()), (State::Lapsed, Some(LAPSED)), "{gates:?}");
        assert!(stage.sim.receipts().is_empty());
        assert_eq!(stage.kinds_of(intent).await, ["decision.intended", "decision.lapsed"]);
        assert_eq!(stage.last_payload("decision.lapsed").await["reason"], LAPSED);
        // The approval is anybody's again, with proof.
        let again = stage.decide(&proven(&stage, &ana), &approval, Verdict::Approved, "ok").await;
        assert_eq!(stage.answer(again).await.state, State::Accepted);
        stage.finish().await;
    }
}

/// Proof that was given counts for the send too, however long that takes; and a mark that was lifted asks for nothing.
#[tokio::test]
async fn what_holds_proof_or_needs_none_any_more_is_sent() {
    let stage = Stage::start().await;
    let (shop, blog) = (stage.waiting("shop").await, stage.waiting("blog").await);
    let ana = stage.approver("Ana").await;
    let access = stage.access();
    let of_shop = mark(&access, &gates("shop")).await;
    let signed = stage.intend_and_die(&proven(&stage, &ana), &shop, Verdict::Approved, "ok").await;
    let plain = stage.intend_and_die(&ana, &blog, Verdict::Approved, "ok").await;
    mark(&access, &gates("s*")).await;
    access.lift(&By::Operator, of_shop).await.unwrap();
    let of_blog = mark(&access, &gates("blog")).await;
    access.lift(&By::Operator, of_blog).await.unwrap();
    stage.pass(SignedDuration::from_mins(6)).await;
    stage.settle_once().await;
    assert_eq!(stage.answer(signed).await.state, State::Accepted);
    assert_eq!(stage.answer(plain).await.state, State::Accepted);
    stage.finish().await;
}
