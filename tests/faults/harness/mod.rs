//! The stage of a story: a database, a simulated AWS that can kill, replicas, people, and the judge.

#![allow(dead_code, reason = "a stage has more on it than each story needs")]

pub mod deeds;
pub mod history;
pub mod index;
pub mod judge;
pub mod person;
pub mod replica;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use countersign::accounts::admin::{AdminError, NewAccount};
use countersign::accounts::ceremonies::Holder;
use countersign::accounts::sign_in::{SignIn, SignedIn};
use countersign::accounts::{Accounts, By, Origin, Settings};
use countersign::clock::Clock;
use countersign::config::{Config, Environment};
use countersign::database::Role as Login;
use countersign::domain::people::Role;
use countersign::random::Random;
use countersign::simulator::{OpenApproval, Simulator, SimulatorHandle, WorldFile, WorldHandle};
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::ConnectOptions as _;
use sqlx::PgConnection;
use tempfile::TempDir;

use crate::support::postgres::{PROGRAM, TestDatabase};
use crate::support::proxy::{Proxy, Upstream};
pub use deeds::Deeds;
pub use history::History;
pub use judge::{Wrong, judge};
pub use person::{Form, Person, Told};
pub use replica::Replica;

pub const ACCOUNT: &str = "111122223333";
pub const REGION: &str = "eu-west-1";
/// How long a decision may need until it is settled: its lease, the quarantine of a request nobody answered, reading back
/// in between, and the slowness of a busy machine.
const SETTLED: Duration = Duration::from_secs(180);

pub struct Stage {
    pub database: TestDatabase,
    pub simulator: SimulatorHandle,
    pub accounts: Accounts,
    pub deeds: Arc<Deeds>,
    folder: TempDir,
    config: Option<String>,
    people: AtomicU16,
}

impl Stage {
    /// AWS with three pipelines with a gate each, and nobody serving yet.
    pub async fn start() -> Self {
        Self::start_with(include_str!("gates.toml"), None).await
    }

    /// AWS as this world file says, and portals with this configuration file.
    pub async fn start_with(world: &str, config: Option<&str>) -> Self {
        Self::start_on(TestDatabase::create().await, world, config).await
    }

    /// The same on this database.
    pub async fn start_on(database: TestDatabase, world: &str, config: Option<&str>) -> Self {
        let world = WorldFile::parse(world).unwrap();
        let simulator = Simulator::start(world, Clock::system(), "127.0.0.1:0".parse().unwrap()).await.unwrap();
        let settings = Settings::of(&Config::load(None, &Environment::default()).unwrap());
        let accounts = Accounts::cheap(database.open_for_command(), Clock::system(), Random::system(), settings);
        let folder = tempfile::tempdir().unwrap();
        let config = config.map(|text| {
            let path = folder.path().join("countersign.toml");
            std::fs::write(&path, text).unwrap();
            path.to_string_lossy().into_owned()
        });
        Self { database, simulator, accounts, deeds: Arc::default(), folder, config, people: AtomicU16::new(0) }
    }

    pub fn world(&self) -> WorldHandle {
        self.simulator.world(ACCOUNT, REGION)
    }

    /// A replica with a proxy of its own between it and the database, not started yet.
    pub fn replica(&self, name: &str) -> Replica {
        self.replica_behind(name, &Proxy::start(Upstream::of(&self.database.options(Login::App))))
    }

    /// A replica behind this proxy, not started yet.
    pub fn replica_behind(&self, name: &str, proxy: &Proxy) -> Replica {
        let proxy = proxy.clone();
        let mut environment = BTreeMap::from(
            [
                ("DATABASE_URL", proxy.url(Login::App.name(), &self.database.name)),
                ("COUNTERSIGN_LISTEN", "127.0.0.1:0".to_owned()),
                ("COUNTERSIGN_POLL_INTERVAL", "1s".to_owned()),
                ("AWS_REGION", REGION.to_owned()),
                ("AWS_ENDPOINT_URL", self.simulator.endpoint()),
                ("AWS_ACCESS_KEY_ID", "AKIAPORTAL".to_owned()),
                ("AWS_SECRET_ACCESS_KEY", "portal-secret".to_owned()),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        );
        if let Some(config) = &self.config {
            environment.insert("COUNTERSIGN_CONFIG".to_owned(), config.clone());
        }
        Replica::new(name, proxy, environment, self.folder.path().join(format!("{name}.log")))
    }

    /// The same, serving.
    pub async fn serving(&self, name: &str) -> Replica {
        let replica = self.replica(name);
        replica.start().await;
        replica
    }

    /// An approver, signed in. Their session is good at every replica (H-07).
    pub async fn person(&self, name: &str) -> Person {
        let email = format!("{}@example.com", name.replace(' ', ".").to_lowercase());
        let password = SecretString::from(format!("the long password of {name}"));
        let roles = [Role::Approver].into_iter().collect();
        let new = NewAccount { email: email.clone(), name: name.to_owned(), roles, password: Some(password.clone()) };
        let (account, _) = self.accounts.create(&By::Operator, new).await.unwrap();
        self.let_decide_everything(account).await;
        let number = self.people.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let address = Ipv4Addr::new(127, 0, number[0] + 1, number[1]);
        let origin = Origin { address: address.into(), user_agent: "a browser".to_owned(), device: None };
        let (holder, return_to) = (Holder::browser(name.as_bytes()), "/".to_owned());
        let ask = SignIn { email, password, origin, replaces: None, holder, return_to };
        let SignedIn::Session(session) = self.accounts.sign_in(ask).await.unwrap() else { panic!("no second factor") };
        let cookie = session.cookie_secret.expose_secret().to_owned();
        Person::new((name, &account.to_string()), address, cookie, Arc::clone(&self.deeds))
    }

    async fn let_decide_everything(&self, account: countersign::domain::ids::AccountId) {
        let sql =
            "insert into portal.access_grant (id, capability, account_id, source, pipeline, stage, action, from_at)
            select gen_random_uuid(), 'decide', $1, '*', '*', '*', '*', now()
            where not exists (select from portal.access_grant where account_id = $1)";
        sqlx::query(sql).bind(account.0).execute(&mut self.database.connect_superuser().await).await.unwrap();
    }

    /// Takes away an account.
    pub async fn disable(&self, person: &Person) {
        let account = countersign::domain::ids::AccountId(person.account.parse().unwrap());
        let disable = || self.accounts.disable(&By::Operator, account);
        let done = match disable().await {
            // The server may have been cut off from us too. Asking again is safe: it is done once.
            Err(AdminError::Unavailable(_)) => disable().await.map(|_| true),
            done => done,
        };
        assert!(done.unwrap(), "{} was disabled already", person.name);
    }

    /// Lets a run reach its gate and a replica find it; the approval's id in the portal's addresses.
    pub async fn waiting(&self, pipeline: &str) -> String {
        let open = self.world().open_approval(pipeline, None).expect("the gate is free");
        self.found(&open).await
    }

    /// The id of an approval, once it is found.
    pub async fn found(&self, open: &OpenApproval) -> String {
        let mut conn = self.database.connect_superuser().await;
        let what = format!("the approval of {} is found", open.pipeline);
        until(&what, Duration::from_secs(60), async || {
            let sql = "select id::text from portal.approval where token = $1";
            sqlx::query_scalar(sql).bind(&open.token).fetch_optional(&mut conn).await.unwrap()
        })
        .await
    }

    /// How a decision stands, by the words of its deed.
    pub async fn state_of(&self, conn: &mut PgConnection, words: &str) -> Option<String> {
        let sql = "select state from portal.decision where summary = $1";
        sqlx::query_scalar(sql).bind(words).fetch_optional(conn).await.unwrap()
    }

    /// Waits until the decision with these words stands so.
    pub async fn until_state(&self, words: &str, state: &str) {
        let mut conn = self.database.connect_superuser().await;
        until(&format!("{words} is {state}"), SETTLED, async || {
            (self.state_of(&mut conn, words).await.as_deref() == Some(state)).then_some(())
        })
        .await;
    }

    /// Waits until no decision is on its way and every approval AWS has decided is known to be. Somebody must serve.
    pub async fn quiet(&self) {
        let mut conn = self.database.connect_superuser().await;
        until("every decision is settled", SETTLED, async || {
            let live = "select count(*) from portal.decision where state in ('intent', 'submitting', 'unsure')";
            let live: i64 = sqlx::query_scalar(live).fetch_one(&mut conn).await.unwrap();
            (live == 0).then_some(())
        })
        .await;
        until("what AWS shows is known", SETTLED, async || {
            let open: Vec<String> = sqlx::query_scalar("select token from portal.approval where at_aws = 'open'")
                .fetch_all(&mut conn)
                .await
                .unwrap();
            let waiting: Vec<String> = self.simulator.open_approvals().into_iter().map(|it| it.token).collect();
            open.iter().all(|token| waiting.contains(token)).then_some(())
        })
        .await;
    }

    /// Waits for quiet, and holds everything that happened against everything else that happened.
    pub async fn judge(&self) -> History {
        self.quiet().await;
        let history = History::read(self).await;
        let found = judge(&history);
        let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert!(found.is_empty(), "{} violations:\n{}", found.len(), lines.join("\n"));
        history
    }

    /// `countersign audit verify`, as a program of its own.
    pub async fn verify(&self) -> Result<(), String> {
        let url = self.database.options(Login::Reader).to_url_lossy().to_string();
        let mut command = tokio::process::Command::new(PROGRAM);
        command.args(["audit", "verify"]).env_clear().env("COUNTERSIGN_DATABASE_READER_URL", &url);
        let ran = command.env("DATABASE_URL", &url).current_dir(self.folder.path()).output().await.unwrap();
        let said = [ran.stdout, ran.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        if ran.status.success() { Ok(()) } else { Err(said.concat()) }
    }
}

/// Waits until `ask` answers, and fails with these words when it does not for `at_most`. For conditions that only other
/// processes can bring about and that nothing announces.
pub async fn until<T>(what: &str, at_most: Duration, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let asking = async {
        loop {
            ticks.tick().await;
            if let Some(answer) = ask().await {
                return answer;
            }
        }
    };
    tokio::time::timeout(at_most, asking).await.unwrap_or_else(|_| panic!("waited {at_most:?} in vain until {what}"))
}
