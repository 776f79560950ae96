//! Postgres dies, freezes, slows down, is cut off or becomes read-only while people use the portal: they see 503 or the
//! truth, the program lives on, and all is well soon after Postgres is.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Executor as _};
use tokio_util::sync::CancellationToken;

use super::postgres_commit::{BOUND, RECOVERED};
use crate::harness::{Person, Replica, Stage, Told, until};
use crate::support::postgres::{TestDatabase, memory_dir};
use crate::support::proxy::Proxy;

const READERS: usize = 8;

/// One answered page: when it was asked for, how long it took, its status.
#[derive(Debug, Clone, Copy)]
struct Answered {
    asked: Instant,
    took: Duration,
    status: u16,
}

/// People who look at the queue again and again.
struct Readers {
    stop: CancellationToken,
    tasks: Vec<tokio::task::JoinHandle<Vec<Answered>>>,
}

impl Readers {
    fn start(ana: &Arc<Person>, replica: &Arc<Replica>) -> Self {
        let stop = CancellationToken::new();
        let tasks = (0..READERS).map(|_| tokio::spawn(read(ana.clone(), replica.clone(), stop.clone()))).collect();
        Self { stop, tasks }
    }

    /// Everything they were answered: only pages and 503, each in time.
    async fn end(self) -> Vec<Answered> {
        self.stop.cancel();
        let mut answered: Vec<Answered> = Vec::new();
        for task in self.tasks {
            answered.extend(task.await.unwrap());
        }
        let seen: BTreeSet<u16> = answered.iter().map(|it| it.status).collect();
        let slowest = answered.iter().map(|it| it.took).max().unwrap();
        let refused = answered.iter().filter(|it| it.status == 503).count();
        println!("{} pages, {refused} times 503, the slowest after {slowest:?}", answered.len());
        assert!(seen.iter().all(|status| [200, 503].contains(status)), "{seen:?}");
        assert!(slowest < BOUND, "{slowest:?}");
        answered
    }
}

async fn read(ana: Arc<Person>, replica: Arc<Replica>, stop: CancellationToken) -> Vec<Answered> {
    let mut answered = Vec::new();
    while !stop.is_cancelled() {
        let asked = Instant::now();
        let status = ana.open(&replica, "/").await.expect("the portal answers whatever happens").status;
        answered.push(Answered { asked, took: asked.elapsed(), status });
    }
    answered
}

struct Scene {
    stage: Stage,
    replica: Arc<Replica>,
    ana: Arc<Person>,
    pid: i32,
}

impl Scene {
    async fn set() -> Self {
        Self::set_on(TestDatabase::create().await).await
    }

    async fn set_on(database: TestDatabase) -> Self {
        let stage = Stage::start_on(database, include_str!("harness/gates.toml"), None).await;
        let replica = Arc::new(stage.serving("only").await);
        let ana = Arc::new(stage.person("Ana").await);
        let pid = replica.pid().await;
        Self { stage, replica, ana, pid }
    }

    fn readers(&self) -> Readers {
        Readers::start(&self.ana, &self.replica)
    }

    fn proxy(&self) -> &Proxy {
        &self.replica.proxy
    }

    async fn first_page(&self) {
        let asked = Instant::now();
        until("the queue is shown again", RECOVERED, async || {
            (self.ana.open(&self.replica, "/").await.ok()?.status == 200).then_some(())
        })
        .await;
        println!("the first page after {:?}", asked.elapsed());
    }

    async fn page_refused(&self) {
        until("a page is refused", RECOVERED, async || {
            (self.ana.open(&self.replica, "/").await.ok()?.status == 503).then_some(())
        })
        .await;
        let alive = self.ana.open(&self.replica, "/healthz").await.unwrap();
        assert_eq!(alive.status, 200, "the database's outage is not the program's (P-16)");
    }

    /// A decision at this gate is done, by the program that was started at the beginning.
    async fn decides(&self, pipeline: &str) {
        let approval = self.stage.waiting(pipeline).await;
        let form = self.ana.fill_in_when_shown(&self.replica, &approval, "approved").await;
        assert_eq!(self.ana.send(&self.replica, &form).await, Told::Done);
        assert_eq!(self.replica.pid().await, self.pid, "it was never started again");
        let history = self.stage.judge().await;
        assert_eq!(history.effects.len(), history.receipts.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_killed_under_load_is_answered_503_and_forgotten_once_it_is_back() {
    // P-12. The guard starts the server again; no portal is.
    let scene = Scene::set_on(TestDatabase::create_on_own_server(&memory_dir(), &[]).await).await;
    let readers = scene.readers();
    scene.first_page().await;
    let killed = scene.stage.database.postmaster().await;
    kill(Pid::from_raw(killed), Signal::SIGQUIT).unwrap();
    let back = until("the server accepts again", Duration::from_secs(60), async || {
        let mut conn = scene.stage.database.superuser_options().connect().await.ok()?;
        let since = "select pg_postmaster_start_time() > now() - interval '1 hour'";
        let _: bool = sqlx::query_scalar(since).fetch_one(&mut conn).await.ok()?;
        (scene.stage.database.postmaster().await != killed).then(Instant::now)
    })
    .await;
    scene.first_page().await;
    let answered = readers.end().await;
    let good = answered.iter().filter(|it| it.status == 200 && it.asked + it.took > back);
    let first = good.map(|it| (it.asked + it.took) - back).min().expect("pages are shown after it is back");
    println!("the first page {first:?} after the server accepts");
    assert!(first < RECOVERED);
    scene.decides("shop").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_postgres_keeps_nobody_waiting_and_takes_no_connection_with_it() {
    // P-13: nothing passes and nothing closes, until what hung was given up, and some.
    let scene = Scene::set().await;
    let approval = scene.stage.waiting("line").await;
    let form = scene.ana.fill_in_when_shown(&scene.replica, &approval, "approved").await;
    let readers = scene.readers();
    scene.first_page().await;
    scene.proxy().freeze();
    let asked = Instant::now();
    let told = scene.ana.send(&scene.replica, &form).await;
    println!("a decision is told {told:?} after {:?}", asked.elapsed());
    assert!(matches!(&told, Told::Unknown(page) if page.starts_with("503 ")), "{told:?}");
    assert!(asked.elapsed() < BOUND);
    scene.page_refused().await;
    until("what hangs is given up", Duration::from_secs(30), async || {
        scene.replica.log().contains("sight=Dead").then_some(())
    })
    .await;
    assert!(scene.stage.simulator.receipts().is_empty());
    scene.proxy().thaw();
    scene.first_page().await;
    readers.end().await;
    assert_eq!(scene.ana.send(&scene.replica, &form).await, Told::Done);
    scene.decides("shop").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_server_behind_the_name_is_found_while_the_old_connections_still_hang() {
    // P-13: the old server is gone without a word, as a machine that lost its power; its name leads elsewhere.
    let scene = Scene::set().await;
    let elsewhere = crate::support::proxy::Upstream::Tcp(scene.proxy().address());
    let name = Proxy::start(elsewhere);
    let front = Arc::new(scene.stage.replica_behind("front", &name));
    front.start().await;
    let readers = Readers::start(&scene.ana, &front);
    until("it is read from", RECOVERED, async || (scene.ana.open(&front, "/").await.ok()?.status == 200).then_some(()))
        .await;
    scene.proxy().freeze();
    until("a page is refused", RECOVERED, async || {
        (scene.ana.open(&front, "/").await.ok()?.status == 503).then_some(())
    })
    .await;
    let direct = scene.stage.database.options(countersign::database::Role::App);
    name.lead_to(crate::support::proxy::Upstream::of(&direct));
    until("pages are read from the other", RECOVERED, async || {
        (scene.ana.open(&front, "/").await.ok()?.status == 200).then_some(())
    })
    .await;
    readers.end().await;
    scene.proxy().thaw();
    scene.decides("shop").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_postgres_makes_slow_pages_or_none_and_a_decision_counts_once() {
    // P-13: 300 ms for every answer.
    let scene = Scene::set().await;
    let approval = scene.stage.waiting("swarm").await;
    let form = scene.ana.fill_in_when_shown(&scene.replica, &approval, "approved").await;
    scene.proxy().delay_answers(Duration::from_millis(300));
    let told = scene.ana.send(&scene.replica, &form).await;
    assert!(!matches!(told, Told::Not(_)), "{told:?}");
    let status = scene.ana.open(&scene.replica, "/").await.unwrap().status;
    assert!([200, 503].contains(&status), "{status}");
    scene.proxy().delay_answers(Duration::ZERO);
    scene.first_page().await;
    assert_eq!(scene.ana.send(&scene.replica, &form).await, Told::Done);
    scene.decides("shop").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_cut_again_and_again_are_made_again_each_time() {
    // P-13
    let scene = Scene::set().await;
    let readers = scene.readers();
    for _ in 0..6 {
        let before = scene.proxy().counts().connections;
        scene.first_page().await;
        assert!(scene.proxy().cut().await > 0);
        scene.proxy().until(|counts| counts.connections > before).await;
    }
    scene.first_page().await;
    readers.end().await;
    scene.decides("shop").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_server_is_not_served_from_and_is_left_as_soon_as_it_takes_writes() {
    // P-13: a failover that leads to a standby which is not promoted yet.
    let scene = Scene::set().await;
    let mut dba = scene.stage.database.connect_superuser().await;
    let name = &scene.stage.database.name;
    let read_only = format!("alter database {name} set default_transaction_read_only = on");
    dba.execute(AssertSqlSafe(read_only)).await.unwrap();
    scene.proxy().cut().await;
    scene.page_refused().await;
    until("probers are told", RECOVERED, async || (!scene.replica.is_ready().await).then_some(())).await;
    dba.execute(AssertSqlSafe(format!(
        "set default_transaction_read_only = off; alter database {name} reset default_transaction_read_only"
    )))
    .await
    .unwrap();
    scene.first_page().await;
    scene.decides("shop").await;
}
