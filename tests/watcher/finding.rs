//! What waits is found, in every execution mode, with what an approver needs to know.

use countersign::domain::approval::AtAws;
use countersign::domain::mode::Mode;
use countersign::simulator::{Act, Commit, Mode as SimMode, Verdict};
use countersign::watcher::Ended;

use crate::harness::{ACCOUNT, INES, REGION, Stage, other_source, source};

fn commit(message: &str) -> Option<Commit> {
    Some(Commit { id: None, message: message.into(), author: Some("Ana Silva".into()) })
}

#[tokio::test]
async fn an_approval_is_found_with_what_it_ships_and_recorded_once() {
    let stage = Stage::gates().await;
    let open = stage.world.open_approval("shop", commit("Free shipping")).unwrap();
    stage.step(30);

    let status = stage.sweep().await;
    assert_eq!((status.ended, status.opened, status.waiting), (Ended::Read, 1, 1));

    let found = stage.only().await;
    assert_eq!(found.execution.as_str(), open.execution);
    assert_eq!(found.token.expose(), open.token);
    assert_eq!((found.shown.account.as_str(), found.shown.region.as_str()), (ACCOUNT, REGION));
    assert_eq!(found.shown.comment.as_ref().unwrap().text, "Ship shop: Free shipping");
    assert!(found.shown.review_url.as_ref().unwrap().text.starts_with("https://review.example/"));
    let revision = &found.shown.revisions[0];
    assert_eq!(revision.name, "Repo");
    assert_eq!(revision.message.as_ref().unwrap().text, "Free shipping");
    assert_eq!(revision.author.as_deref(), Some("Ana Silva"));
    assert!(found.details.resolved && found.details.answerable && found.details.complete);
    assert_eq!(found.details.trigger.as_ref().unwrap().kind, "WebhookV2");
    assert_eq!(found.opened_at, open.opened);
    // The gate's own timeout of an hour: AWS does not say the deadline, but this one is no guess.
    assert_eq!(found.expires_at.duration_since(found.opened_at).as_mins(), 60);
    assert!(!found.expires_about);
    assert_eq!(found.fingerprint, found.shown.fingerprint());

    let (kind, record) = stage.last_record().await;
    assert_eq!(kind, "approval.opened");
    assert_eq!(record["execution"], open.execution);
    assert_eq!(record["shown"]["comment"]["text"], "Ship shop: Free shipping");
    assert!(!record.to_string().contains(&open.token), "the token is in no record");

    stage.sweep().await;
    assert_eq!(stage.kinds().await, ["approval.opened"]);
}

#[tokio::test]
async fn approvals_are_found_in_all_three_modes() {
    let stage = Stage::gates().await;
    let tokens: Vec<_> = ["queue", "shop", "swarm"].map(|name| stage.open(name).token).to_vec();
    stage.sweep().await;

    let found = stage.waiting().await;
    let modes: Vec<_> = found.iter().map(|it| it.mode.clone()).collect();
    assert_eq!(modes, [Mode::Queued, Mode::Superseded, Mode::Parallel]);
    assert_eq!(found.iter().map(|it| it.token.expose()).collect::<Vec<_>>(), tokens);
    assert!(found.iter().all(|it| it.shown.comment.as_ref().is_some_and(|text| !text.text.contains("#{"))));
}

#[tokio::test]
async fn many_runs_of_a_parallel_pipeline_wait_at_one_gate() {
    let stage = Stage::gates().await;
    let mut open: Vec<_> = (0..4).map(|_| stage.open("swarm").execution).collect();
    stage.sweep().await;
    let mut found: Vec<_> = stage.waiting().await.iter().map(|it| it.execution.to_string()).collect();
    open.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, open);
}

#[tokio::test]
async fn a_run_waiting_behind_many_newer_ones_is_found() {
    let stage = Stage::gates().await;
    let first = stage.open("swarm");
    // More than a page of newer runs have come and gone.
    for _ in 0..120 {
        let newer = stage.open("swarm");
        stage.world.decide(&newer, Verdict::Rejected, "no", INES);
    }
    stage.sweep().await;
    assert_eq!(stage.only().await.execution.as_str(), first.execution);
}

#[tokio::test]
async fn both_gates_of_a_stage_are_found_and_a_custom_approval_never_is() {
    let stage = Stage::gates().await;
    stage.world.open_approval("pair", None);
    stage.sweep().await;
    let mut found = stage.waiting().await;
    found.sort_by(|a, b| a.gate.action.cmp(&b.gate.action));
    let names: Vec<_> = found.iter().map(|it| it.gate.action.as_str()).collect();
    assert_eq!(names, ["Business", "Security"]);
    let comment = found[0].shown.comment.as_ref().unwrap().text.clone();
    assert_eq!(comment, format!("For none in {}", found[0].execution));
    assert_eq!(found[0].details.variables[0].name, "ticket");
    // No comment, no link, and AWS's default of seven days, which the account may have changed.
    assert!(found[1].shown.comment.is_none() && found[1].shown.review_url.is_none());
    assert!(found[1].expires_about);
    assert_eq!(found[1].expires_at.duration_since(found[1].opened_at).as_hours(), 7 * 24);

    stage.step(1);
    // Both answered: now the custom approval waits, and nobody is asked to answer it here.
    for open in stage.world.open_approvals() {
        stage.world.decide(&open, Verdict::Approved, "", INES);
    }
    stage.sweep().await;
    assert!(stage.waiting().await.is_empty());
}

#[tokio::test]
async fn the_same_stage_and_gate_in_two_accounts_are_two_approvals() {
    let stage = Stage::start(crate::harness::GATES, |sim| vec![source(sim), other_source(sim)]).await;
    stage.open("shop");
    let other = stage.sim.world("444455556666", REGION);
    other.open_approval("shop", None).unwrap();
    stage.sweep().await;
    let found = stage.waiting().await;
    let accounts: Vec<_> = found.iter().map(|it| (it.gate.source.as_str(), it.shown.account.as_str())).collect();
    assert_eq!(accounts, [("branch", "444455556666"), ("shops", ACCOUNT)]);
    assert_eq!(found[0].gate.stage, found[1].gate.stage);
    assert_ne!(found[0].fingerprint, found[1].fingerprint);
}

#[tokio::test]
async fn newer_runs_behind_a_gate_are_told_with_what_they_bring() {
    let stage = Stage::gates().await;
    stage.open("queue");
    stage.sweep().await;
    assert!(stage.only().await.details.newer.is_empty());
    let before = stage.only().await.fingerprint;

    let newer = stage.world.start("queue", commit("Faster search\n\nA long story"));
    stage.world.rush("queue", &newer);
    stage.sweep().await;
    let approval = stage.only().await;
    let behind = &approval.details.newer;
    assert_eq!(behind.len(), 1);
    assert_eq!(behind[0].execution, newer);
    assert_eq!(behind[0].at_stage.as_deref(), Some("Production"));
    assert_eq!(behind[0].brings, ["Faster search"]);
    assert_eq!(approval.fingerprint, before, "what the decision is bound to has not changed");
}

#[tokio::test]
async fn stages_behind_a_gate_do_not_pass_an_earlier_runs_results_for_this_ones() {
    let stage = Stage::gates().await;
    let first = stage.open("shop");
    stage.world.decide(&first, Verdict::Approved, "", INES);
    stage.world.rush("shop", &first.execution);
    stage.step(600);
    stage.open("shop");
    stage.sweep().await;
    let approval = stage.waiting().await.swap_remove(0);
    let production = approval.details.stages.iter().find(|it| it.name == "Production").unwrap();
    let statuses: Vec<_> = production.actions.iter().map(|it| (it.name.as_str(), it.status.as_deref())).collect();
    assert_eq!(statuses, [("Approve", Some("InProgress")), ("Deploy", None)]);
}

#[tokio::test]
async fn approvals_are_followed_through_a_change_of_mode() {
    for (pipeline, mode) in [("queue", SimMode::Parallel), ("swarm", SimMode::Queued)] {
        let stage = Stage::gates().await;
        let old = stage.open(pipeline);
        stage.sweep().await;
        stage.step(1);
        stage.world.act(Act::SetMode { pipeline: pipeline.into(), mode }).unwrap();
        stage.step(1);
        let new = stage.world.open_approval(pipeline, None);
        stage.sweep().await;
        let waiting = stage.waiting().await;
        assert!(waiting.iter().any(|it| it.token.expose() == old.token), "{pipeline}");
        assert!(new.is_none_or(|new| waiting.iter().any(|it| it.token.expose() == new.token)), "{pipeline}");
        stage.world.decide(&old, Verdict::Approved, "", INES);
        stage.step(31);
        stage.sweep().await;
        let ended = stage.all().await.into_iter().find(|it| it.token.expose() == old.token).unwrap();
        assert_eq!(ended.at_aws, AtAws::Approved, "{pipeline}");
    }
}

#[tokio::test]
async fn patterns_choose_the_pipelines() {
    let chosen = |sim: &_| {
        let include = vec!["s*".to_owned()];
        let exclude = vec!["swarm".to_owned()];
        vec![countersign::config::SourceConfig { include, exclude, ..source(sim) }]
    };
    let stage = Stage::start(crate::harness::GATES, chosen).await;
    for name in ["queue", "shop", "swarm"] {
        stage.open(name);
    }
    let status = stage.sweep().await;
    assert_eq!(status.pipelines, 1);
    assert_eq!(stage.only().await.gate.pipeline.as_str(), "shop");
    assert_eq!(stage.only().await.at_aws, AtAws::Open);
}
