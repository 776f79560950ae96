//! Reading one approval again just before a decision, and reading back what became of it.

use countersign::approvals::{Fate, RefreshError};
use countersign::codepipeline::observed::ReadError;
use countersign::domain::approval::AtAws;
use countersign::domain::ids::ApprovalId;
use countersign::simulator::{Act, Fault, FaultKind, Verdict};

use crate::harness::{INES, Stage};

#[tokio::test]
async fn an_unchanged_approval_reads_back_to_the_same_fingerprint() {
    for pipeline in ["shop", "queue", "swarm", "pair"] {
        let stage = Stage::gates().await;
        stage.world.open_approval(pipeline, None);
        stage.sweep().await;
        stage.step(20);
        for before in stage.waiting().await {
            let now = stage.reader.refresh(before.id).await.unwrap();
            assert_eq!(now.fingerprint, before.fingerprint, "{pipeline}");
            assert_eq!(now.seen_open_at, stage.clock.now());
        }
        assert!(stage.kinds().await.iter().all(|kind| kind == "approval.opened"));
    }
}

#[tokio::test]
async fn what_happened_meanwhile_is_written_down_at_once() {
    for pipeline in ["shop", "swarm"] {
        let stage = Stage::gates().await;
        let open = stage.open(pipeline);
        stage.sweep().await;
        let id = stage.only().await.id;
        stage.step(1);
        stage.world.decide(&open, Verdict::Rejected, "No", INES);
        let now = stage.reader.refresh(id).await.unwrap();
        assert_eq!((now.at_aws, now.decided_by.as_deref()), (AtAws::Rejected, Some(INES)), "{pipeline}");
        assert_eq!(stage.last_record().await.0, "approval.decided_elsewhere");
    }
}

#[tokio::test]
async fn a_pipeline_that_was_deleted_ends_its_approval_at_once() {
    let stage = Stage::gates().await;
    stage.open("shop");
    stage.sweep().await;
    stage.step(1);
    stage.world.delete("shop");
    let now = stage.reader.refresh(stage.only().await.id).await.unwrap();
    assert_eq!((now.at_aws, now.closed_why.as_deref()), (AtAws::Gone, Some("the pipeline was deleted")));
}

#[tokio::test]
async fn a_retried_stage_is_seen_at_once_and_the_old_request_is_not_re_aimed() {
    // F-19
    let stage = Stage::gates().await;
    let open = stage.open("shop");
    stage.sweep().await;
    let id = stage.only().await.id;
    stage.step(1);
    stage.world.decide(&open, Verdict::Rejected, "", INES);
    stage.world.retry("shop", "Production", &open.execution);
    let old = stage.reader.refresh(id).await.unwrap();
    assert_eq!((old.at_aws, old.token.expose()), (AtAws::Rejected, open.token.as_str()));
    let new = stage.waiting().await;
    assert_eq!(new.len(), 1, "the new request was seen in the same read");
    assert_ne!(new[0].id, id);
}

#[tokio::test]
async fn when_aws_cannot_be_read_nothing_changes_and_the_caller_is_told() {
    let stage = Stage::gates().await;
    stage.open("shop");
    stage.sweep().await;
    let before = stage.only().await;
    for operation in ["GetPipelineState", "ListActionExecutions", "GetPipelineExecution"] {
        let fault = stage.sim.add_fault(Fault::on(operation, FaultKind::Reset { applied: false }));
        let error = stage.reader.refresh(before.id).await.unwrap_err();
        assert!(matches!(error, RefreshError::Unreadable(ReadError::Unreachable(_))), "{operation}: {error:?}");
        assert_eq!(stage.only().await, before, "{operation}");
        stage.sim.release(fault);
    }
    let nobody = stage.reader.refresh(ApprovalId(uuid::Uuid::nil())).await.unwrap_err();
    assert!(matches!(nobody, RefreshError::NoSuchApproval));
}

#[tokio::test]
async fn a_read_before_a_decision_does_not_queue_behind_a_sweep() {
    // P-14: the sweep is slowed down to a crawl; the decision's read is not.
    let stage = Stage::gates().await;
    stage.open("shop");
    stage.sweep().await;
    let id = stage.only().await.id;
    let sweeps = Fault::on("ListPipelines", FaultKind::Throttle);
    stage.sim.add_fault(sweeps);
    stage.sweep().await;
    let pace = stage.reader.gateways().next().unwrap().reads_per_second();
    assert!(pace < 1000.0, "{pace}");
    assert_eq!(stage.reader.refresh(id).await.unwrap().at_aws, AtAws::Open);
}

async fn fate_after(pipeline: &str, happen: impl FnOnce(&Stage, &countersign::simulator::OpenApproval)) -> Fate {
    let stage = Stage::gates().await;
    let open = stage.open(pipeline);
    stage.sweep().await;
    stage.step(1);
    happen(&stage, &open);
    stage.step(1);
    let approval = stage.only().await;
    stage.reader.fate(&approval).await.unwrap()
}

#[tokio::test]
async fn every_fate_is_read_back_by_evidence() {
    // D-09
    for pipeline in ["shop", "queue", "swarm"] {
        assert_eq!(fate_after(pipeline, |_, _| ()).await, Fate::Open, "{pipeline}");
        let approved =
            fate_after(pipeline, |stage, open| stage.world.decide(open, Verdict::Approved, "ok", INES)).await;
        let (summary, by) = (Some("ok".to_owned()), Some(INES.to_owned()));
        assert_eq!(approved, Fate::Approved { summary: summary.clone(), by: by.clone() }, "{pipeline}");
        let rejected =
            fate_after(pipeline, |stage, open| stage.world.decide(open, Verdict::Rejected, "ok", INES)).await;
        assert_eq!(rejected, Fate::Rejected { summary, by }, "{pipeline}");
        let expired = fate_after(pipeline, |stage, open| stage.world.expire(open)).await;
        assert_eq!(expired, Fate::Failed { summary: None, by: None }, "{pipeline}");
        let stopped = fate_after(pipeline, |stage, open| stage.world.stop(pipeline, &open.execution, true)).await;
        assert_eq!(stopped, Fate::Abandoned, "{pipeline}");
        let edited = fate_after(pipeline, |stage, _| stage.world.edit_comment(pipeline, "x")).await;
        assert!(matches!(&edited, Fate::Gone { why } if why.contains("edited")), "{pipeline}: {edited:?}");
        let deleted = fate_after(pipeline, |stage, _| stage.world.delete(pipeline)).await;
        assert!(matches!(&deleted, Fate::Gone { why } if why.contains("deleted")), "{pipeline}: {deleted:?}");
    }
}

#[tokio::test]
async fn an_answer_is_still_found_when_the_stage_has_gone_on_to_the_next_run() {
    let fate = fate_after("shop", |stage, open| {
        stage.world.decide(open, Verdict::Approved, "mine", INES);
        stage.world.rush("shop", &open.execution);
        stage.world.open_approval("shop", None);
    })
    .await;
    assert_eq!(fate, Fate::Approved { summary: Some("mine".into()), by: Some(INES.into()) });
}

#[tokio::test]
async fn without_the_right_to_look_a_fate_that_is_not_shown_stays_unknown() {
    // D-09: a guess never settles a decision.
    let stage = Stage::gates().await;
    let open = stage.open("shop");
    stage.sweep().await;
    stage.step(1);
    stage.world.decide(&open, Verdict::Approved, "", INES);
    stage.world.rush("shop", &open.execution);
    stage.world.open_approval("shop", None);
    stage.world.deny("ListActionExecutions", None);
    let unknown = stage.reader.fate(&stage.only().await).await.unwrap_err();
    assert!(matches!(unknown, ReadError::Denied { action: "codepipeline:ListActionExecutions", .. }));
}

#[tokio::test]
async fn an_edited_comment_in_a_running_request_is_noticed() {
    // F-21: an edit cancels what runs; the approval a person looked at is gone, not changed under their hands.
    let stage = Stage::gates().await;
    stage.open("shop");
    stage.sweep().await;
    let id = stage.only().await.id;
    stage.step(1);
    let edit =
        Act::Edit { pipeline: "shop".into(), comment: Some("Other".into()), stages: None, action: None, url: None };
    stage.world.act(edit).unwrap();
    let now = stage.reader.refresh(id).await.unwrap();
    assert_eq!(now.at_aws, AtAws::Gone);
}
