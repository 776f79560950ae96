//! Another replica: the same program once more, on the same database and the same AWS.

use countersign::config::Config;
use countersign::database::Database;
use countersign::random::Random;
use countersign::watcher::Watcher;
use countersign::web::{App, AppState, Running};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{Browser, Portal, assemble};

pub struct Replica {
    pub state: AppState,
    pub watcher: Watcher,
    pub running: Running,
}

impl Portal {
    pub async fn replica(&self) -> Replica {
        self.replica_on(self.database.open()).await
    }

    /// With these connections to the database.
    pub async fn replica_on(&self, pools: Database) -> Replica {
        // Behind one address, as replicas are.
        self.replica_at(pools, Some(self.state.config.public_url())).await
    }

    /// For a browser that has nothing in front of the replicas.
    pub async fn replica_under_its_own_address(&self) -> Replica {
        self.replica_at(self.database.open(), None).await
    }

    async fn replica_at(&self, pools: Database, public_url: Option<url::Url>) -> Replica {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut config = Config { public_url, ..(*self.state.config).clone() };
        config.listen = listener.local_addr().unwrap();
        let (state, watcher) = assemble(config, pools, &self.clock, &Random::system()).await;
        watcher.register().await.unwrap();
        let running = App::start(state.clone(), listener).unwrap();
        Replica { state, watcher, running }
    }
}

impl Replica {
    /// The same browser, sent to this replica by whatever is in front.
    pub fn sees(&self, browser: &Browser) -> Browser {
        browser.at(self.running.address)
    }

    /// Hears of changes by itself from now on.
    pub fn hear(&self) -> Hearing {
        hear(&self.state)
    }
}

/// The running loop that hears of changes.
pub struct Hearing {
    stop: CancellationToken,
    task: JoinHandle<sqlx::Result<()>>,
}

impl Hearing {
    pub async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }
}

pub fn hear(state: &AppState) -> Hearing {
    let stop = CancellationToken::new();
    let task = tokio::spawn(state.hearing.clone().run(stop.clone()));
    Hearing { stop, task }
}
