//! kill -9 at every moment between the click and the page (F-01 to F-05). The process is caught at the exact moment by
//! what it waits for: a lock somebody holds, or a call that the simulator has and that signals the process by itself.

use std::time::Duration;

use countersign::simulator::{Fault, FaultKind, Moment};
use sqlx::{Connection as _, Executor as _, PgConnection};

use crate::harness::{Form, Person, Replica, Stage, Told, until};

/// The advisory lock that the test's own trigger waits for.
const HELD: i64 = 7_301;

/// A story's beginning: two replicas, Ana, and the form of an approval she has before her.
struct Scene {
    stage: Stage,
    first: Replica,
    other: Replica,
    ana: Person,
    form: Form,
}

impl Scene {
    async fn set(pipeline: &str) -> Self {
        let stage = Stage::start().await;
        let (first, other) = tokio::join!(stage.serving("first"), stage.serving("other"));
        let ana = stage.person("Ana").await;
        let approval = stage.waiting(pipeline).await;
        let form = ana.fill_in_when_shown(&first, &approval, "approved").await;
        Self { stage, first, other, ana, form }
    }

    /// Makes every decision stop just before it becomes `state`, until the lock this connection holds is let go.
    async fn hold_before(&self, state: &str) -> PgConnection {
        let mut holder = self.stage.database.connect_superuser().await;
        let trigger = format!(
            "create function public.wait_here() returns trigger language plpgsql as
                $$ begin perform pg_advisory_xact_lock({HELD}); return new; end $$;
            create trigger wait_here before update on portal.decision
                for each row when (new.state = '{state}' and old.state <> '{state}') execute function public.wait_here();
            select pg_advisory_lock({HELD})"
        );
        holder.execute(sqlx::AssertSqlSafe(trigger)).await.unwrap();
        holder
    }

    /// Sends Ana's form to the first replica, waits until its connection to the database is stuck, and kills it there.
    async fn kill_while_stuck(&self, mut holder: PgConnection) {
        let sending = self.ana.send(&self.first, &self.form);
        let mut sending = std::pin::pin!(sending);
        tokio::select! {
            told = &mut sending => panic!("nothing was stuck: {told:?}\n{}", self.first.log()),
            () = until_somebody_waits(&mut holder) => {}
        }
        self.first.kill().await;
        let told = sending.await;
        assert!(matches!(told, Told::Unknown(_)), "nothing is known to her: {told:?}");
        holder.close().await.unwrap();
    }

    /// The process dies at a moment of its call to AWS, by AWS's own hand.
    async fn kill_at(&self, moment: Moment) {
        let pid = self.first.pid().await;
        let fault = FaultKind::Signal { at: moment, pid };
        self.stage.simulator.add_fault(Fault::on("PutApprovalResult", fault).times(1));
        let told = self.ana.send(&self.first, &self.form).await;
        assert!(matches!(told, Told::Unknown(_)), "{moment:?}: {told:?}");
        assert_eq!(self.first.ended().await, None, "a signal ended it");
    }

    /// However it went: one effect, by Ana, and everything agrees.
    async fn accepted_once(&self) {
        self.stage.until_state(&self.form.words, "accepted").await;
        let told = self.ana.send(&self.other, &self.form).await;
        assert_eq!(told, Told::Done, "the same form again leads to the same decision");
        let history = self.stage.judge().await;
        assert_eq!(history.effects.len(), 1);
        assert_eq!(history.receipts.len(), 1, "nothing was sent a second time");
    }
}

/// Returns once a replica waits for what this connection has locked, and not for anything else. Asks `pg_locks`: of
/// `pg_stat_activity` a transaction sees for its whole length what it saw first ("Statistics Snapshot" in PostgreSQL's
/// manual), and so never the connection that a replica makes after that.
async fn until_somebody_waits(conn: &mut PgConnection) {
    until("a replica waits for a lock", Duration::from_secs(30), async || {
        let waits =
            "select exists (select from pg_locks where not granted and pg_backend_pid() = any(pg_blocking_pids(pid)))";
        sqlx::query_scalar::<_, bool>(waits).fetch_one(&mut *conn).await.unwrap().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_before_the_intent_is_committed_nothing_was_ever_decided() {
    // F-01
    let scene = Scene::set("shop").await;
    let mut holder = scene.stage.database.connect_superuser().await;
    holder.execute("begin; select from audit.head for update").await.unwrap();
    scene.kill_while_stuck(holder).await;
    let history = scene.stage.judge().await;
    assert!(history.rows.is_empty() && history.receipts.is_empty(), "{history:?}");
    assert!(!history.records.iter().any(|record| record.kind.starts_with("decision.")));
    assert_eq!(history.approvals[0].at_aws, "open");
    // She asks again at the other replica: her form is good.
    assert_eq!(scene.ana.send(&scene.other, &scene.form).await, Told::Done);
    assert_eq!(scene.stage.judge().await.effects.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_the_intent_and_before_the_send_another_replica_sends_it_once() {
    // F-02
    let scene = Scene::set("line").await;
    let holder = scene.hold_before("submitting").await;
    scene.kill_while_stuck(holder).await;
    assert!(scene.stage.simulator.receipts().is_empty(), "it died before anything was sent");
    scene.accepted_once().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_the_intent_it_is_not_sent_for_somebody_disabled_since() {
    // F-02 with F-25: found after the crash, and no longer allowed.
    let scene = Scene::set("shop").await;
    let holder = scene.hold_before("submitting").await;
    scene.kill_while_stuck(holder).await;
    scene.stage.disable(&scene.ana).await;
    scene.stage.until_state(&scene.form.words, "lapsed").await;
    let history = scene.stage.judge().await;
    assert!(history.receipts.is_empty(), "{:?}", history.receipts);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_aws_has_the_request_it_is_read_back_and_is_one_effect() {
    // F-03, at each moment at which AWS has it, in the mode where reading back is hardest and in the usual one.
    let moments = [(Moment::Received, "shop"), (Moment::Applied, "swarm"), (Moment::Answering, "line")];
    futures::future::join_all(moments.map(async |(moment, pipeline)| {
        let scene = Scene::set(pipeline).await;
        scene.kill_at(moment).await;
        scene.accepted_once().await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_with_nobody_else_left_it_is_settled_by_the_next_process() {
    // F-03 with a single replica: what was under way is found at the next start.
    let scene = Scene::set("shop").await;
    scene.other.kill().await;
    scene.kill_at(Moment::Applied).await;
    scene.other.start().await;
    scene.accepted_once().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_the_answer_and_the_outcome_it_is_accepted_by_its_marker() {
    // F-04
    let scene = Scene::set("shop").await;
    let holder = scene.hold_before("accepted").await;
    scene.kill_while_stuck(holder).await;
    assert_eq!(scene.stage.simulator.receipts()[0].answer.as_deref(), Some("200"), "AWS had answered");
    scene.accepted_once().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_the_outcome_and_before_the_page_the_form_sent_again_shows_it() {
    // F-05
    let scene = Scene::set("shop").await;
    let unread = scene.ana.send_and_look_away(&scene.first, &scene.form).await;
    scene.stage.until_state(&scene.form.words, "accepted").await;
    scene.first.kill().await;
    drop(unread);
    scene.accepted_once().await;
}
