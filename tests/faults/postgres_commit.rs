//! Postgres fails around the intent: gone before it, cut off while it commits, its records locked or broken. A person is
//! told what is true, and AWS hears of nothing that is not known to be committed.

use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection as _, Executor as _};

use crate::harness::{Form, Person, Replica, Stage, Told, until};
use crate::support::proxy::Commit;

/// The rows say 2.5 s; the machine these tests run on is busy with other things, and what they are to catch is a portal that
/// waits for as long as its connections do.
pub const BOUND: Duration = Duration::from_secs(15);
/// How long the portal may need to notice that the database is back.
pub const RECOVERED: Duration = Duration::from_secs(30);
/// Part of the one statement that makes an intent.
const INTENT: &str = "insert into portal.decision (";
const CLAIM: &str = "update portal.decision set state = 'submitting'";

/// A replica behind its proxy, Ana, and the form she has before her.
struct Scene {
    stage: Stage,
    replica: Replica,
    ana: Person,
    form: Form,
}

impl Scene {
    async fn set(pipeline: &str) -> Self {
        let stage = Stage::start().await;
        let replica = stage.serving("only").await;
        let ana = stage.person("Ana").await;
        let approval = stage.waiting(pipeline).await;
        let form = ana.fill_in_when_shown(&replica, &approval, "approved").await;
        Self { stage, replica, ana, form }
    }

    /// Sends Ana's form, which must be answered with 503 in time; what the page claims.
    async fn told_503(&self) -> Told {
        let began = Instant::now();
        let told = self.ana.send(&self.replica, &self.form).await;
        let took = began.elapsed();
        println!("503 after {took:?}");
        assert!(matches!(&told, Told::NotNow(page) | Told::Unknown(page) if page.starts_with("503 ")), "{told:?}");
        assert!(took < BOUND, "{took:?}");
        told
    }

    /// How many decisions there are.
    async fn decisions(&self) -> i64 {
        let mut conn = self.stage.database.connect_superuser().await;
        sqlx::query_scalar("select count(*) from portal.decision").fetch_one(&mut conn).await.unwrap()
    }

    /// Connections that broke may each cost one more 503; pressing the button again is safe.
    async fn same_form_is_taken_again(&self) {
        until("the form is taken", RECOVERED, async || {
            (self.ana.send(&self.replica, &self.form).await == Told::Done).then_some(())
        })
        .await;
    }

    /// The same form again leads to the one decision, sent once.
    async fn same_form_is_done_once(&self) {
        assert_eq!(self.ana.send(&self.replica, &self.form).await, Told::Done);
        self.ends_with_one_send().await;
    }

    async fn ends_with_one_send(&self) {
        let history = self.stage.judge().await;
        assert_eq!((history.effects.len(), history.receipts.len(), history.rows.len()), (1, 1, 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_postgres_is_gone_a_decision_is_answered_503_in_time_and_nothing_is_called() {
    // F-27
    let scene = Scene::set("shop").await;
    scene.replica.proxy.go_away().await;
    scene.told_503().await;
    assert!(scene.stage.simulator.receipts().is_empty());
    assert_eq!(scene.decisions().await, 0);
    scene.replica.proxy.accept();
    scene.same_form_is_taken_again().await;
    scene.ends_with_one_send().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_intent_whose_commit_nobody_confirmed_is_looked_up_and_sent_at_once() {
    // F-28: committed.
    let scene = Scene::set("line").await;
    scene.replica.proxy.lose_commits(Commit::AnswerLost, INTENT, 1);
    assert_eq!(scene.ana.send(&scene.replica, &scene.form).await, Told::Done);
    assert_eq!(scene.replica.proxy.counts().answers_lost, 1);
    scene.ends_with_one_send().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_intent_whose_commit_never_arrived_is_told_as_not_recorded_and_nothing_is_sent() {
    // F-28: not committed.
    let scene = Scene::set("shop").await;
    scene.replica.proxy.lose_commits(Commit::RequestLost, INTENT, 1);
    assert!(matches!(scene.told_503().await, Told::NotNow(_)), "it was looked up");
    assert_eq!(scene.replica.proxy.counts().requests_lost, 1);
    assert_eq!(scene.decisions().await, 0);
    assert!(scene.stage.simulator.receipts().is_empty());
    scene.same_form_is_done_once().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_intent_nobody_can_look_up_is_told_as_not_known_and_is_sent_when_it_is_found() {
    // F-28: the server goes away with its answer.
    let scene = Scene::set("shop").await;
    scene.replica.proxy.lose_commits(Commit::ServerLost, INTENT, 1);
    assert!(matches!(scene.told_503().await, Told::Unknown(_)), "nobody could say");
    assert_eq!(scene.decisions().await, 1, "it was committed");
    assert!(scene.stage.simulator.receipts().is_empty(), "not sent before it is known");
    scene.replica.proxy.accept();
    scene.stage.until_state(&scene.form.words, "accepted").await;
    scene.same_form_is_done_once().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_whose_commit_nobody_confirmed_sends_nothing_until_it_was_read_back() {
    // D-02: a send may only follow a committed claim. Lost here, it is treated like a send that nobody answered.
    let scene = Scene::set("shop").await;
    scene.replica.proxy.lose_commits(Commit::AnswerLost, CLAIM, 1);
    let told = scene.ana.send(&scene.replica, &scene.form).await;
    assert!(matches!(told, Told::Unknown(_)), "{told:?}");
    assert!(scene.stage.simulator.receipts().is_empty(), "the claim is not known to be committed");
    scene.stage.until_state(&scene.form.words, "accepted").await;
    scene.ends_with_one_send().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_somebody_locks_the_head_of_the_records_deciding_waits_no_longer_than_the_lock_may() {
    // F-32
    let scene = Scene::set("shop").await;
    let ben = scene.stage.person("Ben").await;
    let other = scene.stage.waiting("line").await;
    let of_ben = ben.fill_in_when_shown(&scene.replica, &other, "approved").await;
    let mut holder = scene.stage.database.connect_superuser().await;
    holder.execute("begin; select from audit.head for update").await.unwrap();
    let (_, told) = tokio::join!(scene.told_503(), ben.send(&scene.replica, &of_ben));
    assert!(matches!(&told, Told::NotNow(page) if page.starts_with("503 ")), "{told:?}");
    assert!(scene.stage.simulator.receipts().is_empty());
    assert_eq!(scene.ana.open(&scene.replica, "/").await.unwrap().status, 200, "pages are read meanwhile");
    holder.close().await.unwrap();
    assert_eq!(scene.ana.send(&scene.replica, &scene.form).await, Told::Done);
    assert_eq!(ben.send(&scene.replica, &of_ben).await, Told::Done);
    assert_eq!(scene.stage.judge().await.receipts.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_records_cannot_be_written_nothing_is_decided() {
    // F-32, S-46: what must be recorded and cannot be is not done.
    let scene = Scene::set("shop").await;
    let mut dba = scene.stage.database.connect_superuser().await;
    let broken = "create function public.broken() returns trigger language plpgsql as
            $$ begin raise exception 'no records today'; end $$;
        create trigger broken before insert on audit.record for each row execute function public.broken()";
    dba.execute(AssertSqlSafe(broken)).await.unwrap();
    scene.told_503().await;
    assert!(scene.stage.simulator.receipts().is_empty());
    assert_eq!(scene.decisions().await, 0);
    dba.execute("drop trigger broken on audit.record").await.unwrap();
    scene.same_form_is_done_once().await;
}
