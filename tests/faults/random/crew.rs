//! The replicas of a random run: killed, cut off from their database, and always started again.

use std::sync::Arc;
use std::time::Duration;

use countersign::simulator::{Fault, FaultKind, Moment};
use tokio_util::task::TaskTracker;

use super::plan::Spoil;
use super::tally::Tally;
use crate::harness::{Replica, Stage};
use crate::support::proxy::Commit;

/// How long a connection stays frozen or a database away.
const WHILE: Duration = Duration::from_secs(1);
/// A call that has not come by then will not come.
const CALL: Duration = Duration::from_secs(5);

pub struct Crew {
    pub replicas: Vec<Arc<Replica>>,
    pub tally: Arc<Tally>,
    pub work: TaskTracker,
}

impl Crew {
    pub async fn start(stage: &Stage, count: usize, tally: Arc<Tally>) -> Self {
        let starting = (1..=count).map(|number| async move { Arc::new(stage.serving(&format!("r{number}")).await) });
        let replicas = futures::future::join_all(starting).await;
        Self { replicas, tally, work: TaskTracker::new() }
    }

    /// Kills a replica and has it started again. False: it was not running.
    pub async fn kill(&self, number: usize, when: &str) -> bool {
        let replica = &self.replicas[number];
        if !replica.kill().await {
            return false;
        }
        self.tally.count(format!("kills {when}"));
        self.tally.count("kills");
        let (replica, tally) = (Arc::clone(replica), Arc::clone(&self.tally));
        self.work.spawn(async move {
            // The database may be away just now: a process that cannot start is started again, as an operator's system does.
            while replica.try_start().await.is_err() {
                tally.count("starts that failed");
            }
        });
        true
    }

    /// Arms the switch: the next decision of this pipeline is held at this moment of its call, the replica it was sent
    /// to is killed there, and the call goes on at AWS.
    pub fn arm(self: &Arc<Self>, stage: &Arc<Stage>, (pipeline, number): (&str, usize), moment: Moment) {
        let (crew, simulator) = (Arc::clone(self), stage.simulator.clone());
        let held =
            simulator.add_fault(Fault::on("PutApprovalResult", FaultKind::Block { at: moment }).times(1).of(pipeline));
        self.work.spawn(async move {
            let came = tokio::time::timeout(CALL, simulator.until_held(held)).await.is_ok();
            let when = if came { format!("at {moment:?}") } else { "at a time".to_owned() };
            crew.kill(number, &when).await;
            simulator.release(held);
        });
    }

    /// Breaks the connections of a replica to its database.
    pub async fn spoil(&self, number: usize, how: Spoil) {
        let proxy = self.replicas[number].proxy.clone();
        self.tally.count("cuts");
        match how {
            Spoil::Cut => {
                self.tally.count("cuts of every connection");
                self.tally.add("connections cut", proxy.cut().await as u64);
            }
            Spoil::Lose(commit) => {
                self.tally.count(match commit {
                    Commit::AnswerLost | Commit::ServerLost => "cuts after a COMMIT",
                    Commit::RequestLost => "cuts before a COMMIT",
                });
                proxy.lose_commits(commit, "portal.decision", 1);
            }
            Spoil::Freeze => {
                self.tally.count("cuts by silence");
                proxy.freeze();
                tokio::time::sleep(WHILE).await;
                proxy.thaw();
            }
            Spoil::Away => {
                self.tally.count("cuts for a while");
                proxy.go_away().await;
                tokio::time::sleep(WHILE).await;
                proxy.accept();
            }
        }
    }

    /// Everything is well again.
    pub async fn heal(&self) {
        self.work.close();
        self.work.wait().await;
        for replica in &self.replicas {
            replica.proxy.thaw();
            replica.proxy.accept();
        }
    }
}
