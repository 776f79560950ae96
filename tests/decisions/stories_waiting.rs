//! Who waits for what, and who must not: for the database, for a form's key, for an AWS that hangs.

use countersign::decisions::DecideError;
use countersign::domain::decision::{State, Verdict};
use countersign::simulator::{Fault, FaultKind, Moment};
use jiff::SignedDuration;
use sqlx::{Connection as _, Executor as _};
use tokio::time::Instant;

use crate::stage::Stage;

const PUT: &str = "PutApprovalResult";

/// Returns once so many sessions wait for a lock.
async fn until_waiting_for_locks(stage: &Stage, sessions: i64) {
    let mut conn = stage.database.connect_superuser().await;
    let count = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    while sqlx::query_scalar::<_, i64>(count).fetch_one(&mut conn).await.unwrap() < sessions {
        tokio::task::yield_now().await;
    }
}

/// F-32: of those who wait for one row, PostgreSQL lets all but the first wait for their turn and then for the row.
#[tokio::test]
async fn f32_nobody_waits_twice_as_long_for_the_head_of_the_records_because_others_wait_too() {
    let stage = Stage::start().await;
    let ana = stage.approver("Ana").await;
    let mut seen = Vec::new();
    for pipeline in ["shop", "blog", "queue"] {
        seen.push(stage.waiting(pipeline).await);
    }
    let mut holder = stage.database.connect_superuser().await;
    holder.execute("begin; select from audit.head for update").await.unwrap();
    let began = Instant::now();
    let deciding = seen.iter().map(async |approval| {
        let told = stage.try_decide(&ana, approval, Verdict::Approved, "ok").await;
        (told, began.elapsed())
    });
    let told = futures::future::join_all(deciding).await;

    assert!(told.iter().all(|(told, _)| matches!(told, Err(DecideError::Unavailable))), "{told:?}");
    let waits: Vec<f64> = told.iter().map(|(_, wait)| wait.as_secs_f64()).collect();
    let (least, most) = (waits.iter().copied().fold(f64::MAX, f64::min), waits.iter().copied().fold(0.0, f64::max));
    assert!(most < least * 1.5, "{waits:?}");
    assert!(stage.sim.receipts().is_empty());
    holder.close().await.unwrap();
    stage.decide(&ana, &seen[0], Verdict::Approved, "ok").await;
    stage.finish().await;
}

/// D-03: the same key for two approvals at the same instant is a mistake of whoever sent it, not of the database.
#[tokio::test]
async fn one_key_for_two_approvals_at_once_decides_one_and_is_told_as_used_for_the_other() {
    let stage = Stage::start().await;
    let ana = stage.approver("Ana").await;
    let (shop, blog) = (stage.waiting("shop").await, stage.waiting("blog").await);
    let first = stage.form(&shop, Verdict::Approved, "ok");
    let second = countersign::decisions::Ask { key: first.key.clone(), ..stage.form(&blog, Verdict::Approved, "ok") };
    let mut holder = stage.database.connect_superuser().await;
    holder.execute("begin; select from audit.head for update").await.unwrap();
    let (one, other, ()) =
        tokio::join!(stage.decisions.decide(&ana, first), stage.decisions.decide(&ana, second), async {
            // One has the key and waits for the head, the other waits for the key.
            until_waiting_for_locks(&stage, 2).await;
            holder.execute("rollback").await.unwrap();
        });

    let refused = match (one, other) {
        (Ok(_), Err(refused)) | (Err(refused), Ok(_)) => refused,
        both => panic!("exactly one must count: {both:?}"),
    };
    assert!(matches!(refused, DecideError::KeyReused), "{refused:?}");
    stage.quiet().await;
    assert_eq!((stage.sim.effects().len(), stage.count("decision.intended").await), (1, 1));
    assert_eq!(stage.last_payload("decision.attempt_refused").await["outcome"], "key_reused");
    stage.finish().await;
}

/// D-12: forty decisions wait for an AWS that hangs; others are sent again in their time, in the same pass or in the next.
#[tokio::test]
async fn an_aws_that_hangs_for_many_holds_up_nobody_elses_decision() {
    let stage = Stage::start().await;
    let ana = stage.approver("Ana").await;
    for _ in 0..40 {
        stage.world.open_approval("swarm", None).expect("runs of this mode do not wait for each other");
    }
    let quick = ["blog", "queue"];
    let mut others = Vec::new();
    for pipeline in quick {
        others.push(stage.waiting(pipeline).await);
    }
    let (mut hanging, mut sent_again) = (Vec::new(), Vec::new());
    stage.sim.add_fault(Fault::on(PUT, FaultKind::Throttle).times(42));
    for approval in stage.open_approvals().await {
        let decision = stage.decide(&ana, &approval, Verdict::Approved, "ok").await;
        let kept = if approval.gate.pipeline.as_str() == "swarm" { &mut hanging } else { &mut sent_again };
        kept.push(decision);
        stage.quiet().await;
    }
    assert_eq!((hanging.len(), sent_again.len()), (40, 2));

    let late = stage.waiting("shop").await;
    // Long enough for everything to be due and to be read again before it is sent.
    stage.pass(SignedDuration::from_secs(31)).await;
    let reads = Fault::on("ListActionExecutions", FaultKind::Block { at: Moment::Received }).of("swarm");
    let held = stage.sim.add_fault(reads);
    let settler = stage.decisions.clone();
    let pass = tokio::spawn(async move { settler.step().await });
    stage.sim.until_held(held).await;
    while quick.iter().any(|pipeline| stage.receipts_of(pipeline) < 2) {
        tokio::task::yield_now().await;
    }
    for decision in &hanging {
        let reason = stage.decisions.find(*decision).await.unwrap().unwrap().reason.unwrap();
        assert!(reason.contains("did not take it"), "none was given up before the others were sent: {reason}");
    }

    stage.sim.add_fault(Fault::on(PUT, FaultKind::Throttle).of("shop").times(1));
    let in_the_next = stage.decide(&ana, &late, Verdict::Approved, "ok").await;
    stage.quiet().await;
    stage.pass(SignedDuration::from_secs(1)).await;
    stage.settle_once().await;
    assert_eq!(stage.answer(in_the_next).await.state, State::Accepted);
    assert!(!pass.is_finished(), "what hangs still hangs");

    stage.sim.release(held);
    pass.await.unwrap().unwrap();
    stage.settle_for(SignedDuration::from_secs(60)).await;
    for decision in sent_again.into_iter().chain(hanging) {
        assert_eq!(stage.answer(decision).await.state, State::Accepted);
    }
    stage.finish().await;
}
