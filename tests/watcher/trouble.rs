//! Blindness is loud, and one broken thing does not stop the others.

use std::collections::BTreeSet;
use std::time::Duration;

use countersign::simulator::config::Rate;
use countersign::simulator::{Fault, FaultKind, Moment, Verdict};
use countersign::store::sources;
use countersign::watcher::Ended;
use sqlx::Executor as _;
use tokio_util::sync::CancellationToken;

use crate::frugal::SMALL as MANY;
use crate::harness::{GATES, INES, Stage, other_source, source};

async fn blindness(stage: &Stage) -> Option<(String, String)> {
    let mut conn = stage.database.pages.acquire().await.unwrap();
    let all = sources::list(&mut conn).await.unwrap();
    let shops = all.into_iter().find(|it| it.name.as_str() == "shops").unwrap();
    shops.blind.map(|(since, why)| (since.to_string(), why))
}

async fn unreadable(stage: &Stage) -> Vec<(String, String)> {
    let mut conn = stage.database.pages.acquire().await.unwrap();
    let name = source(&stage.sim).name;
    let all = countersign::store::pipelines::list(&mut conn, &name).await.unwrap();
    let mut bad: Vec<_> = all.into_iter().filter_map(|it| Some((it.name.to_string(), it.unreadable?.1))).collect();
    bad.sort_unstable();
    bad
}

#[tokio::test]
async fn a_source_that_cannot_be_read_says_since_when_and_why_and_keeps_its_approvals() {
    let stage = Stage::gates().await;
    stage.open("shop");
    stage.sweep().await;
    stage.step(60);
    stage.world.deny("ListPipelines", None);
    let status = stage.sweep().await;
    assert!(matches!(status.ended, Ended::Blind(_)));
    let (since, why) = blindness(&stage).await.unwrap();
    assert_eq!(since, "2026-11-21T08:01:00Z");
    assert!(why.contains("Allow codepipeline:ListPipelines in the policy"), "{why}");
    stage.step(60);
    stage.sweep().await;
    assert_eq!(blindness(&stage).await.unwrap().0, since, "since when, not since the last look");
    assert_eq!(stage.waiting().await.len(), 1);

    stage.sim.clear_faults();
    stage.sweep().await;
    assert_eq!(blindness(&stage).await, None);
    assert_eq!(stage.kinds().await, ["approval.opened", "source.blind", "source.seen"]);
}

#[tokio::test]
async fn one_denied_pipeline_does_not_stop_the_others_and_is_tried_again_later() {
    let stage = Stage::gates().await;
    for name in ["queue", "shop"] {
        stage.open(name);
    }
    let fault = stage.world.deny("GetPipelineState", Some("queue"));
    let status = stage.sweep().await;
    assert_eq!((&status.ended, status.unreadable, status.waiting), (&Ended::Read, 1, 1));
    let bad = unreadable(&stage).await;
    assert_eq!(bad[0].0, "queue");
    assert!(bad[0].1.contains("codepipeline:GetPipelineState"), "{bad:?}");
    assert_eq!(blindness(&stage).await, None);

    // Not with every sweep; but in time.
    stage.sim.release(fault);
    stage.calls();
    stage.step(15);
    stage.sweep().await;
    assert_eq!(stage.waiting().await.len(), 1);
    stage.step(60);
    stage.sweep().await;
    assert_eq!(stage.waiting().await.len(), 2);
    assert_eq!(unreadable(&stage).await, []);
}

#[tokio::test]
async fn without_list_action_executions_approvals_are_found_as_configured_and_parallel_says_why_not() {
    // What AWSCodePipelineApproverAccess allows.
    let stage = Stage::gates().await;
    let open = stage.open("shop");
    stage.open("swarm");
    stage.world.deny("ListActionExecutions", None);
    stage.sweep().await;
    let found = stage.only().await;
    assert_eq!(found.gate.pipeline.as_str(), "shop");
    assert_eq!(found.shown.comment.as_ref().unwrap().text, "Ship shop: #{SourceVariables.CommitMessage}");
    assert!(!found.details.resolved && found.details.complete);
    assert_eq!(found.shown.revisions.len(), 1);
    let bad = unreadable(&stage).await;
    assert!(bad[0].0 == "swarm" && bad[0].1.contains("codepipeline:ListActionExecutions"), "{bad:?}");

    let again = stage.reader.refresh(found.id).await.unwrap();
    assert_eq!(again.fingerprint, found.fingerprint);
    stage.step(1);
    stage.world.decide(&open, Verdict::Approved, "", INES);
    stage.sweep().await;
    assert!(stage.waiting().await.is_empty());
}

#[tokio::test]
async fn details_that_could_not_be_read_are_read_with_the_next_sweep() {
    let stage = Stage::gates().await;
    stage.open("shop");
    let broken = Fault::on("ListActionExecutions", FaultKind::Reset { applied: false });
    let fault = stage.sim.add_fault(broken);
    stage.sweep().await;
    assert!(!stage.only().await.details.complete);
    stage.sim.release(fault);
    stage.sweep().await;
    let found = stage.only().await;
    assert!(found.details.complete && found.details.resolved);
    assert!(found.shown.comment.unwrap().text.starts_with("Ship shop: "));
}

#[tokio::test]
async fn expired_credentials_blind_the_source_until_they_work_again() {
    let stage = Stage::start(GATES, |sim| vec![source(sim)]).await;
    stage.open("shop");
    stage.sim.add_fault(Fault::on("ListPipelines", FaultKind::Expired));
    let status = stage.sweep().await;
    let Ended::Blind(why) = status.ended else { panic!("{status:?}") };
    assert!(why.starts_with("The AWS credentials of this source do not work"), "{why}");
    stage.sim.clear_faults();
    assert_eq!(stage.sweep().await.ended, Ended::Read);
    assert_eq!(stage.waiting().await.len(), 1);
}

#[tokio::test]
async fn a_role_that_cannot_be_assumed_blinds_its_source_and_no_other() {
    let wrong = |sim: &_| {
        let external_id = Some("somebody-else".to_owned().into());
        vec![source(sim), countersign::config::SourceConfig { external_id, ..other_source(sim) }]
    };
    let stage = Stage::start(GATES, wrong).await;
    stage.open("shop");
    let all = stage.watcher.activate().await;
    let ended: Vec<_> = all.iter().map(|status| (status.source.as_str(), &status.ended)).collect();
    let Ended::Blind(why) = ended[0].1 else { panic!("{ended:?}") };
    assert_eq!(ended[0].0, "branch");
    assert!(why.contains("credentials of this source do not work"), "{why}");
    assert_eq!(*ended[1].1, Ended::Read);
    assert_eq!(stage.waiting().await.len(), 1);
}

#[tokio::test]
async fn credentials_of_another_account_than_configured_are_refused() {
    let wrong =
        |sim: &_| vec![countersign::config::SourceConfig { account: Some("999999999999".into()), ..source(sim) }];
    let stage = Stage::start(GATES, wrong).await;
    stage.open("shop");
    let status = stage.sweep().await;
    let Ended::Blind(why) = status.ended else { panic!("{status:?}") };
    assert!(why.contains("belong to account 111122223333, but the configuration says 999999999999"), "{why}");
    assert!(stage.all().await.is_empty());
}

#[tokio::test]
async fn without_sts_the_account_is_read_from_a_pipelines_arn() {
    let stage = Stage::gates().await;
    let no_sts = FaultKind::Error {
        status: 404,
        code: "UnknownOperationException".into(),
        message: String::new(),
        body: countersign::simulator::ErrorBody::Json,
        applied: false,
    };
    stage.sim.add_fault(Fault::on("GetCallerIdentity", no_sts));
    stage.open("shop");
    stage.sweep().await;
    assert_eq!(stage.only().await.shown.account, crate::harness::ACCOUNT);
}

#[tokio::test]
async fn being_throttled_slows_reading_down_and_loses_nothing() {
    let stage = Stage::gates().await;
    for name in ["queue", "shop", "swarm"] {
        stage.open(name);
    }
    stage.sim.add_fault(Fault::on("GetPipelineState", FaultKind::Throttle).times(2));
    let status = stage.sweep().await;
    assert_eq!((&status.ended, status.waiting), (&Ended::Read, 3));
    assert!(status.reads_per_second < 1000.0);
    assert_eq!(stage.calls()["GetPipelineState"], 5, "three pipelines, and twice again");
}

#[tokio::test]
async fn a_source_throttled_for_long_is_blind_and_throttled_once_is_not() {
    let stage = Stage::gates().await;
    stage.open("shop");
    stage.sweep().await;
    stage.world.limit_calls(Some(Rate { per_second: 0.0, burst: 0.0 }));
    stage.sweep().await;
    assert_eq!(blindness(&stage).await, None);
    stage.sweep().await;
    assert!(blindness(&stage).await.unwrap().1.contains("slow down"));
    assert_eq!(stage.waiting().await.len(), 1);
    stage.world.limit_calls(None);
    stage.sweep().await;
    assert_eq!(blindness(&stage).await, None);
}

#[tokio::test]
async fn a_storm_of_throttling_ends_the_sweep_early_and_the_next_begins_with_what_was_not_read() {
    // P-14
    let stage = Stage::start(&sixty_gated(), |sim| vec![source(sim)]).await;
    assert_eq!(stage.sweep().await.gated, 60);
    let mut read = BTreeSet::new();
    let mut endings = Vec::new();
    for _ in 0..4 {
        stage.step(15);
        stage.sim.clear_calls();
        stage.world.limit_calls(Some(Rate { per_second: 0.0, burst: 21.0 }));
        let status = stage.sweep().await;
        let calls = stage.sim.calls();
        read.extend(states_read(&stage));
        assert!(calls.counts["GetPipelineState"] < 20 + 12 * 6, "not six tries for each of 40: {:?}", calls.counts);
        assert_eq!(status.gated, 20, "what was read is kept");
        endings.push(blindness(&stage).await.is_some());
    }
    assert_eq!(endings, [false, true, true, true], "throttled once is not blind");
    assert_eq!(read.len(), 60, "three sweeps of twenty came to every pipeline");
    stage.world.limit_calls(None);
    assert_eq!(stage.sweep().await.gated, 60);
    assert_eq!(blindness(&stage).await, None);
}

/// Six watchers, none of which lives for a whole sweep, must not all begin with the same pipelines.
#[tokio::test]
async fn watchers_that_come_to_a_third_of_the_pipelines_each_come_to_nearly_all_of_them() {
    let mut stage = Stage::start(&sixty_gated(), |sim| vec![source(sim)]).await;
    stage.sweep().await;
    let mut read = BTreeSet::new();
    for _ in 0..6 {
        stage.restart(vec![source(&stage.sim)]).await;
        stage.step(15);
        stage.sim.clear_calls();
        stage.world.limit_calls(Some(Rate { per_second: 0.0, burst: 21.0 }));
        assert_eq!(stage.sweep().await.gated, 20);
        read.extend(states_read(&stage));
    }
    assert!(read.len() >= 50, "it was always the same 20: {}", read.len());
}

/// H-04, P-12: the database is gone for everybody while eight pipelines are being read.
#[tokio::test]
async fn a_sweep_that_the_database_broke_off_keeps_what_was_read_and_the_next_begins_with_the_rest() {
    let world = sixty_gated().replace("waiting = 1", "waiting = 0");
    let stage = Stage::start(&world, |sim| vec![source(sim)]).await;
    assert_eq!(stage.sweep().await.gated, 60);
    // As AWS lists them.
    let mut order = states_read(&stage);
    order.sort();
    order.iter().for_each(|pipeline| drop(stage.open(pipeline)));
    let block = |pipeline: &String| {
        let block = FaultKind::Block { at: Moment::Received };
        stage.sim.add_fault(Fault::on("GetPipelineState", block).of(pipeline).times(1))
    };
    let held: Vec<u64> = order[30..38].iter().map(block).collect();
    let mut dba = stage.test_database.connect_superuser().await;
    stage.step(15);
    let (status, ()) = tokio::join!(stage.sweep(), async {
        for fault in &held {
            stage.sim.until_held(*fault).await;
        }
        dba.execute(
            "do $$ begin execute format('alter database %I connection limit 0', current_database());
                perform pg_terminate_backend(pid) from pg_stat_activity
                    where datname = current_database() and pid <> pg_backend_pid(); end $$",
        )
        .await
        .unwrap();
        held.iter().for_each(|fault| stage.sim.release(*fault));
    });
    assert!(matches!(status.ended, Ended::Failed(_)), "{status:?}");
    assert_eq!(status.opened, 30, "what was read is kept");

    dba.execute("do $$ begin execute format('alter database %I connection limit -1', current_database()); end $$")
        .await
        .unwrap();
    stage.sim.clear_calls();
    let status = stage.sweep().await;
    assert_eq!((status.ended, status.opened, status.waiting), (Ended::Read, 30, 60));
    let first: BTreeSet<String> = states_read(&stage).into_iter().take(30).collect();
    assert_eq!(first, order[30..].iter().cloned().collect(), "the rest comes first");
    assert_eq!(stage.kinds().await.len(), 60, "each is recorded once");
}

/// A world of sixty pipelines, each with a gate.
fn sixty_gated() -> String {
    MANY.replace("count = 12", "count = 60").replace("gated = 2", "gated = 60")
}

/// The pipelines whose state AWS told, in order.
fn states_read(stage: &Stage) -> Vec<String> {
    let calls = stage.sim.calls().recent.into_iter();
    let answered = calls.filter(|call| call.operation == "GetPipelineState" && call.answer != "ThrottlingException");
    answered.map(|call| call.pipeline).collect()
}

#[tokio::test]
async fn a_source_taken_out_of_the_configuration_keeps_its_rows_and_is_marked() {
    let mut stage = Stage::start(GATES, |sim| vec![source(sim), other_source(sim)]).await;
    stage.open("shop");
    stage.sweep().await;
    stage.restart(vec![other_source(&stage.sim)]).await;
    let mut conn = stage.database.pages.acquire().await.unwrap();
    let all = sources::list(&mut conn).await.unwrap();
    let configured: Vec<_> = all.iter().map(|it| (it.name.as_str(), it.configured)).collect();
    assert_eq!(configured, [("branch", true), ("shops", false)]);
    drop(conn);
    let left = stage.waiting().await.swap_remove(0);
    let error = stage.reader.refresh(left.id).await.unwrap_err();
    assert_eq!(error.to_string(), "the source shops is no longer configured");
}

#[tokio::test]
async fn an_approval_taken_for_gone_by_mistake_is_found_again() {
    let stage = Stage::gates().await;
    stage.open("shop");
    stage.sweep().await;
    // For a moment AWS claims that the pipeline does not exist.
    let missing = FaultKind::Error {
        status: 400,
        code: "PipelineNotFoundException".into(),
        message: "Account '111122223333' does not have a pipeline with name 'shop'".into(),
        body: countersign::simulator::ErrorBody::Json,
        applied: false,
    };
    let fault = stage.sim.add_fault(Fault::on("GetPipelineState", missing).of("shop"));
    stage.step(1);
    stage.sweep().await;
    assert!(stage.waiting().await.is_empty());
    stage.sim.release(fault);
    stage.step(15);
    stage.sweep().await;
    assert_eq!(stage.waiting().await.len(), 1);
    assert_eq!(stage.kinds().await, ["approval.opened", "approval.closed", "approval.opened"]);
}

#[tokio::test]
async fn a_pipeline_whose_rows_the_database_refuses_does_not_stop_the_others() {
    let stage = Stage::gates().await;
    for name in ["queue", "shop", "swarm"] {
        stage.open(name);
    }
    let mut dba = stage.test_database.connect_superuser().await;
    let refusing = "create function portal.refuse() returns trigger language plpgsql as $$
            begin if new.pipeline = 'shop' then raise exception 'no room for this'; end if; return new; end $$;
        create trigger refuse before insert on portal.approval for each row execute function portal.refuse()";
    sqlx::raw_sql(refusing).execute(&mut dba).await.unwrap();
    let status = stage.sweep().await;
    assert_eq!((&status.ended, status.waiting, status.unreadable), (&Ended::Read, 2, 1));
    let told = unreadable(&stage).await;
    assert_eq!((told.len(), told[0].0.as_str()), (1, "shop"), "its page says that it cannot be trusted: {told:?}");
    assert!(!told[0].1.contains("no room for this"), "the database's words are for the log: {told:?}");
    sqlx::raw_sql("drop trigger refuse on portal.approval").execute(&mut dba).await.unwrap();
    assert_eq!(stage.sweep().await.waiting, 3, "tried again with the next sweep");
    assert_eq!(unreadable(&stage).await, []);
}

#[tokio::test]
async fn an_aws_that_is_away_is_told_in_words_without_the_insides_of_the_program() {
    let stage = Stage::gates().await;
    stage.sim.stop();
    stage.sim.add_fault(Fault { kind: FaultKind::Reset { applied: false }, ..Fault::default() });
    let Ended::Blind(why) = stage.sweep().await.ended else { panic!("AWS is away") };
    assert!(why.starts_with("AWS could not be reached: "), "{why}");
    for inside in ["DispatchFailure", "ConnectorError", "Some(", " { "] {
        assert!(!why.contains(inside), "{inside}: {why}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_sweep_has_read_is_kept_although_one_read_hangs_while_the_database_is_lost_for_a_moment() {
    // P-13. Ten seconds after a question that nobody answered, what hangs on it is given up: that one step, not the sweep.
    let stage = Stage::gates().await.with_patience(Duration::from_secs(60)).await;
    stage.sweep().await;
    let first = stage.sim.now();
    stage.step(60);
    let (stop, database) = (CancellationToken::new(), stage.database.clone());
    let feeling = tokio::spawn({
        let stop = stop.clone();
        async move { database.feel_pulse(stop).await }
    });
    let reads = stage.sim.count("GetPipelineState");
    stage.sim.add_fault(Fault::on("GetPipelineState", FaultKind::Block { at: Moment::Received }).of("shop"));
    let mut dba = stage.test_database.connect_superuser().await;
    let losing = async {
        while stage.sim.count("GetPipelineState") < 2 * reads {
            tokio::task::yield_now().await;
        }
        let lose =
            "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name = 'countersign'";
        dba.execute(lose).await.unwrap();
    };
    let (status, ()) = tokio::join!(stage.sweep(), losing);
    assert!(matches!(status.ended, Ended::Failed(_)), "{status:?}");
    let again = "select name from portal.pipeline where read_at > $1 and gate_count > 0 order by name";
    let again = sqlx::query_scalar::<_, String>(again).bind(jiff_sqlx::ToSqlx::to_sqlx(first));
    let again = again.fetch_all(&mut dba).await.unwrap();
    assert!(!again.is_empty() && !again.contains(&"shop".to_owned()), "{again:?}");
    stage.sim.clear_faults();
    assert_eq!(stage.sweep().await.ended, Ended::Read);
    stop.cancel();
    feeling.await.unwrap().unwrap();
}
