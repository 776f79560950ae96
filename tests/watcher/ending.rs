//! What became of an approval is noticed, told by its reason, and recorded once.

use countersign::domain::approval::{AtAws, Decided};
use countersign::simulator::{Fault, FaultKind, Verdict};

use crate::harness::{INES, Stage};

#[tokio::test]
async fn an_approval_given_in_the_console_is_recorded_with_who_and_why() {
    for pipeline in ["shop", "queue", "swarm"] {
        let stage = Stage::gates().await;
        let open = stage.open(pipeline);
        stage.sweep().await;
        stage.step(60);
        stage.world.decide(&open, Verdict::Approved, "Looks good", INES);
        stage.step(5);
        stage.sweep().await;

        let ended = stage.only().await;
        assert_eq!((ended.at_aws, ended.decided), (AtAws::Approved, Some(Decided::Elsewhere)), "{pipeline}");
        assert_eq!(ended.decided_by.as_deref(), Some(INES));
        assert_eq!(ended.decided_summary.as_deref(), Some("Looks good"));
        assert_eq!(ended.closed_at.unwrap().to_string(), "2026-11-21T08:01:00Z", "{pipeline}");
        let (kind, record) = stage.last_record().await;
        assert_eq!(kind, "approval.decided_elsewhere");
        assert_eq!((&record["verdict"], &record["by"]), (&"approved".into(), &INES.into()));

        stage.step(60);
        stage.sweep().await;
        assert_eq!(stage.kinds().await, ["approval.opened", "approval.decided_elsewhere"]);
    }
}

#[tokio::test]
async fn a_rejection_in_the_console_is_told_from_an_expiry() {
    for (pipeline, mode) in [("shop", "state"), ("swarm", "runs")] {
        let stage = Stage::gates().await;
        let open = stage.open(pipeline);
        stage.sweep().await;
        stage.world.decide(&open, Verdict::Rejected, "Not before Monday", INES);
        stage.step(31);
        stage.sweep().await;
        let ended = stage.only().await;
        assert_eq!((ended.at_aws, ended.decided), (AtAws::Rejected, Some(Decided::Elsewhere)), "{mode}");

        let stage = Stage::gates().await;
        stage.open(pipeline);
        stage.sweep().await;
        stage.step(3601);
        stage.sweep().await;
        let ended = stage.only().await;
        assert_eq!((ended.at_aws, ended.decided), (AtAws::Expired, None), "{mode}");
        let (kind, record) = stage.last_record().await;
        assert_eq!((kind.as_str(), &record["outcome"]), ("approval.closed", &"expired".into()));
    }
}

#[tokio::test]
async fn a_failure_that_nobody_is_named_for_is_called_neither_rejected_nor_expired() {
    let stage = Stage::gates().await;
    let open = stage.open("shop");
    stage.sweep().await;
    // AWS fails the action long before its deadline, without saying who or why.
    stage.world.expire(&open);
    stage.step(5);
    stage.sweep().await;
    let ended = stage.only().await;
    assert_eq!(ended.at_aws, AtAws::Gone);
    assert_eq!(ended.closed_why.as_deref(), Some("failed at AWS; not known whether it was rejected or expired"));
}

#[tokio::test]
async fn stopped_edited_and_deleted_each_end_with_their_reason() {
    for pipeline in ["shop", "queue", "swarm"] {
        let stage = Stage::gates().await;
        let open = stage.open(pipeline);
        stage.sweep().await;
        stage.world.stop(pipeline, &open.execution, true);
        stage.step(31);
        stage.sweep().await;
        assert_eq!(stage.only().await.at_aws, AtAws::Stopped, "{pipeline}");

        let stage = Stage::gates().await;
        stage.open(pipeline);
        stage.sweep().await;
        stage.world.edit_comment(pipeline, "Something else");
        stage.step(31);
        stage.sweep().await;
        let ended = stage.only().await;
        assert_eq!(ended.at_aws, AtAws::Gone, "{pipeline}");
        assert_eq!(ended.closed_why.as_deref(), Some("the pipeline was edited, which cancels what runs"));

        let stage = Stage::gates().await;
        stage.open(pipeline);
        stage.sweep().await;
        stage.world.delete(pipeline);
        stage.sweep().await;
        let ended = stage.only().await;
        assert_eq!(ended.closed_why.as_deref(), Some("the pipeline was deleted"), "{pipeline}");
        assert_eq!(stage.last_record().await.0, "approval.closed");
    }
}

#[tokio::test]
async fn a_stop_that_waits_leaves_the_approval_open_and_says_that_the_run_will_not_go_on() {
    let stage = Stage::gates().await;
    let open = stage.open("shop");
    stage.sweep().await;
    stage.world.stop("shop", &open.execution, false);
    stage.sweep().await;
    let approval = stage.only().await;
    assert_eq!(approval.at_aws, AtAws::Open);
    let production = approval.details.stages.iter().find(|it| it.name == "Production").unwrap();
    assert_eq!(production.status.as_deref(), Some("Stopping"));
}

#[tokio::test]
async fn a_parallel_run_that_is_being_stopped_says_so_while_its_approval_waits() {
    let stage = Stage::gates().await;
    let open = stage.open("swarm");
    stage.sweep().await;
    assert_eq!(stage.only().await.details.run_status.as_deref(), Some("InProgress"));
    stage.step(1);
    stage.world.stop("swarm", &open.execution, false);
    stage.sweep().await;
    assert_eq!(stage.only().await.details.run_status.as_deref(), Some("Stopping"));
}

#[tokio::test]
async fn a_retried_stage_is_a_new_approval_and_the_old_one_stays_rejected() {
    for pipeline in ["shop", "swarm"] {
        let stage = Stage::gates().await;
        let open = stage.open(pipeline);
        stage.sweep().await;
        stage.world.decide(&open, Verdict::Rejected, "", INES);
        stage.step(1);
        stage.world.retry(pipeline, "Production", &open.execution);
        stage.step(31);
        stage.sweep().await;
        let all = stage.all().await;
        assert_eq!(all.len(), 2, "{pipeline}: {all:?}");
        let (old, new): (Vec<_>, Vec<_>) = all.into_iter().partition(|it| it.token.expose() == open.token);
        assert_eq!(old[0].at_aws, AtAws::Rejected, "{pipeline}");
        assert_eq!(old[0].decided_by.as_deref(), Some(INES));
        assert_eq!(new[0].at_aws, AtAws::Open);
        assert_eq!(new[0].execution, old[0].execution);
        assert_ne!(new[0].fingerprint, old[0].fingerprint);
    }
}

#[tokio::test]
async fn a_stale_read_does_not_open_a_decided_approval_again() {
    // F-37
    let stage = Stage::gates().await;
    let open = stage.open("shop");
    stage.sweep().await;
    stage.step(10);
    stage.world.decide(&open, Verdict::Approved, "", INES);
    stage.step(2);
    stage.sweep().await;
    assert_eq!(stage.only().await.at_aws, AtAws::Approved);
    stage.sim.add_fault(Fault::on("GetPipelineState", FaultKind::Stale { seconds: 5.0 }));
    stage.sweep().await;
    stage.step(1);
    stage.sweep().await;
    assert_eq!(stage.only().await.at_aws, AtAws::Approved);
    assert_eq!(stage.kinds().await, ["approval.opened", "approval.decided_elsewhere"]);
}

#[tokio::test]
async fn two_watchers_on_one_source_write_one_record_of_each_thing() {
    // H-02: the lease is an optimisation.
    let mut stage = Stage::gates().await;
    let open = stage.open("shop");
    let sources = vec![crate::harness::source(&stage.sim)];
    let (first_reader, first) = (stage.reader.clone(), stage.sweep().await);
    assert_eq!(first.opened, 1);
    stage.restart(sources).await;
    stage.world.decide(&open, Verdict::Approved, "", INES);
    let next = stage.open("queue");
    stage.step(1);
    let other = countersign::watcher::Watcher::new(
        &first_reader,
        &stage.clock,
        &countersign::random::Random::system(),
        jiff::SignedDuration::from_secs(15),
    )
    .unwrap();
    tokio::join!(stage.watcher.activate(), other.activate());
    let mut kinds = stage.kinds().await;
    kinds.sort_unstable();
    assert_eq!(kinds, ["approval.decided_elsewhere", "approval.opened", "approval.opened"]);
    assert_eq!(stage.waiting().await[0].token.expose(), next.token);
}
