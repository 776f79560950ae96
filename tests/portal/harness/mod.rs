//! The stage of a story. What people do goes through [`Browser`]; what AWS does through [`Portal::world`]; what stays is
//! read with [`Portal::records`].

#![allow(dead_code, unused_imports, reason = "a stage has more on it than the stories told so far need")]

mod browser;
mod listening;
mod passkeys;
mod replica;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, Ordering};

use countersign::accounts::admin::NewAccount;
use countersign::accounts::{Accounts, By, Settings};
use countersign::audit;
use countersign::clock::Clock;
use countersign::codepipeline;
use countersign::config::{Config, Environment};
use countersign::database::{Database, Role as Login};
use countersign::domain::approval::Standing;
use countersign::domain::ids::AccountId;
use countersign::domain::people::{Role, Roles};
use countersign::random::Random;
use countersign::simulator::{OpenApproval, Simulator, SimulatorHandle, WorldFile, WorldHandle};
use countersign::watcher::Watcher;
use countersign::web::state::Parts;
use countersign::web::{App, AppState, Running};
use jiff::SignedDuration;
use secrecy::SecretString;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::support::authenticator::App as CodeApp;
pub use crate::support::page::Page;
use crate::support::postgres::TestDatabase;
use crate::support::proxy::{Proxy, Upstream};
pub use browser::Browser;
pub use listening::Ears;
pub use replica::{Hearing, Replica, hear};

/// Three pipelines with a gate each, in one account and region.
const WORLD: &str = r#"
seed = 5
[[keys]]
id = "AKIAPORTAL"
secret = "portal-secret"
account = "111122223333"
user = "portal"

[[templates]]
name = "gated"
stages = [
  { name = "Source", actions = [{ name = "Repo", kind = "source", seconds = 1 }] },
  { name = "Production", actions = [
    { name = "Release", kind = "approval", comment = "Ship {name}: #{SourceVariables.CommitMessage}", url = "https://review.example/{name}", timeout_minutes = 600 },
    { name = "Deploy", kind = "deploy", run_order = 2, seconds = 30 } ] },
]

[[worlds]]
account = "111122223333"
region = "eu-west-1"
pipelines = [
  { name = "shop", template = "gated", repository = "acme/shop", commits = [{ message = "Free shipping", author = "Ana" }] },
  { name = "blog", template = "gated", repository = "acme/blog", commits = [{ message = "New fonts", author = "Ben" }] },
  { name = "wiki", template = "gated", repository = "acme/wiki", commits = [{ message = "Fewer ads", author = "Cleo" }] },
]
"#;

/// A portal with everything around it.
pub struct Portal {
    pub database: TestDatabase,
    pub clock: Clock,
    pub state: AppState,
    pub watcher: Watcher,
    pub simulator: SimulatorHandle,
    pub running: Running,
    browsers: AtomicU8,
    /// The authenticator apps of those whom the portal asks for one.
    apps: Mutex<BTreeMap<String, CodeApp>>,
}

/// One record, as the audit table has it.
#[derive(Debug, Clone)]
pub struct Record {
    pub seq: i64,
    pub kind: String,
    pub actor: String,
    pub payload: Value,
}

impl Portal {
    /// On plain http over loopback, as `countersign serve` without any configuration is.
    pub async fn start() -> Self {
        Self::start_with("").await
    }

    /// With this configuration beside the tests' own.
    pub async fn start_with(more: &str) -> Self {
        let database = TestDatabase::create().await;
        let pools = database.open();
        Self::start_on(database, pools, more).await
    }

    /// By way of a proxy, with the pulse felt as `serve` does.
    pub async fn start_behind_proxy() -> (Self, Proxy) {
        let database = TestDatabase::create().await;
        let proxy = Proxy::start(Upstream::of(&database.options(Login::App)));
        let pools = Database::open(&proxy.options(&database.options(Login::App)));
        let felt = pools.clone();
        tokio::spawn(async move { felt.feel_pulse(CancellationToken::new()).await });
        (Self::start_on(database, pools, "").await, proxy)
    }

    /// At the machine's own time and on this listener: for stories with programs that have a clock of their own and must
    /// know where the portal is.
    pub async fn start_today(listener: TcpListener, more: &str) -> Self {
        let database = TestDatabase::create().await;
        let pools = database.open();
        Self::start_at(database, pools, more, (Clock::system(), listener)).await
    }

    async fn start_on(database: TestDatabase, pools: Database, more: &str) -> Self {
        let clock = Clock::manual("2026-11-21T08:00:00Z".parse().unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::start_at(database, pools, more, (clock, listener)).await
    }

    async fn start_at(
        database: TestDatabase,
        pools: Database,
        more: &str,
        (clock, listener): (Clock, TcpListener),
    ) -> Self {
        let random = Random::system();
        let world = WorldFile::parse(WORLD).unwrap();
        let simulator = Simulator::start(world, clock.clone(), "127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        // A story may say where in its address the port stands.
        let mut config = config(&simulator, &more.replace("{port}", &address.port().to_string()));
        config.listen = address;
        let (state, watcher) = assemble(config, pools, &clock, &random).await;
        watcher.register().await.unwrap();
        let running = App::start(state.clone(), listener).unwrap();
        let (browsers, apps) = (AtomicU8::new(1), Mutex::default());
        Self { database, clock, state, watcher, simulator, running, browsers, apps }
    }

    /// AWS, as far as this portal watches it.
    pub fn world(&self) -> WorldHandle {
        self.simulator.world("111122223333", "eu-west-1")
    }

    /// Where the portal really listens.
    pub fn address(&self) -> std::net::SocketAddr {
        self.running.address
    }

    /// A browser in which nobody is signed in, at an address of its own.
    pub fn anonymous(&self) -> Browser {
        Browser::new(self.running.address, &self.state.config, self.browsers.fetch_add(1, Ordering::Relaxed))
    }

    pub async fn as_approver(&self, name: &str) -> Browser {
        self.as_person(name, &[Role::Approver]).await
    }

    pub async fn as_auditor(&self) -> Browser {
        self.as_person("audrey", &[Role::Auditor]).await
    }

    pub async fn as_admin(&self) -> Browser {
        self.as_person("adam", &[Role::Admin]).await
    }

    /// Signed in through the sign-in page, as a person with these roles. Makes the account at the first time.
    pub async fn as_person(&self, name: &str, roles: &[Role]) -> Browser {
        if self.state.accounts.find_by_email(&email(name)).await.unwrap().is_none() {
            self.create_account(name, roles).await;
        }
        self.sign_in(name).await
    }

    pub async fn create_account(&self, name: &str, roles: &[Role]) -> AccountId {
        let roles: Roles = roles.iter().copied().collect();
        let password = Some(SecretString::from(password(name)));
        let new = NewAccount { email: email(name), name: name.to_owned(), roles, password };
        let id = self.state.accounts.create(&By::Operator, new).await.unwrap().0;
        if roles.approver {
            self.let_decide_everything(id).await;
        }
        id
    }

    /// Stories are about other things than who may decide, unless they say so.
    async fn let_decide_everything(&self, id: AccountId) {
        let sql =
            "insert into portal.access_grant (id, capability, account_id, source, pipeline, stage, action, from_at)
            select gen_random_uuid(), 'decide', $1, '*', '*', '*', '*', created_at from portal.account
            where id = $1 and not exists (select from portal.access_grant where account_id = $1)";
        sqlx::query(sql).bind(id.0).execute(&mut self.database.connect_superuser().await).await.unwrap();
    }

    /// An approver whom no grant lets decide anything.
    pub async fn as_approver_without_grant(&self, name: &str) -> Browser {
        let browser = self.as_approver(name).await;
        self.end_grants_of(name).await;
        browser
    }

    /// Ends every grant of somebody's own.
    pub async fn end_grants_of(&self, name: &str) {
        let id = self.state.accounts.find_by_email(&email(name)).await.unwrap().unwrap();
        let sql = "update portal.access_grant set until_at = from_at where account_id = $1 and until_at is null";
        sqlx::query(sql).bind(id.0).execute(&mut self.database.connect_superuser().await).await.unwrap();
    }

    /// Lets somebody decide the gates of one pipeline and no other.
    pub async fn let_decide_only(&self, name: &str, pipeline: &str) {
        self.end_grants_of(name).await;
        let sql =
            "insert into portal.access_grant (id, capability, account_id, source, pipeline, stage, action, from_at)
            select gen_random_uuid(), 'decide', id, '*', $2, '*', '*', created_at from portal.account where email = $1";
        let grant = sqlx::query(sql).bind(email(name)).bind(pipeline);
        grant.execute(&mut self.database.connect_superuser().await).await.unwrap();
    }

    /// Nobody is fresh for more than five minutes: as if so much time had passed for this person alone.
    pub async fn make_stale(&self, name: &str) {
        let sql = "update portal.session s set stepped_up_at = s.stepped_up_at - interval '6 minutes'
            from portal.account a where a.id = s.account_id and a.email = $1";
        sqlx::query(sql).bind(email(name)).execute(&mut self.database.connect_superuser().await).await.unwrap();
    }

    /// Signed in with a password alone, by whoever is asked for a second factor and has none yet.
    pub async fn as_person_without_factor(&self, name: &str, roles: &[Role]) -> Browser {
        if self.state.accounts.find_by_email(&email(name)).await.unwrap().is_none() {
            self.create_account(name, roles).await;
        }
        let browser = self.anonymous();
        let page = browser.open("/sign-in").await;
        let page = browser.submit(&page, "/sign-in", &[("email", &email(name)), ("password", &password(name))]).await;
        assert_eq!((page.status, page.location()), (303, Some("/me/factors")), "{}", page.text());
        browser
    }

    /// As [`Portal::sign_in`]; reads better for a second browser.
    pub async fn sign_in_again(&self, name: &str) -> Browser {
        self.sign_in(name).await
    }

    /// A new browser in which this person has just signed in.
    pub async fn sign_in(&self, name: &str) -> Browser {
        let browser = self.anonymous();
        let page = browser.open("/sign-in").await;
        let page = browser.submit(&page, "/sign-in", &[("email", &email(name)), ("password", &password(name))]).await;
        let page = match page.location() {
            Some("/sign-in/second") => self.second_step(&browser, name).await,
            Some("/me/factors") => {
                self.add_app(&browser, name).await;
                return browser;
            }
            _ => page,
        };
        assert_eq!((page.status, page.location()), (303, Some("/")), "{name} cannot sign in: {}", page.text());
        browser
    }

    /// Sets an authenticator app up for who has just signed in; the recovery codes that come with it.
    pub async fn add_app(&self, browser: &Browser, name: &str) -> Vec<String> {
        let page = browser.open("/me/factors").await;
        let begun = browser.submit(&page, "/me/factors/totp", &[]).await;
        let page = browser.follow(&begun).await;
        let key =
            page.body.split("<code class=\"whole\">").nth(1).expect("the key is shown").split('<').next().unwrap();
        let app = CodeApp::told(key);
        let code = app.code(self.clock.now());
        let page = browser.submit(&page, "/me/factors/totp/confirm", &[("code", &code)]).await;
        assert_eq!(page.status, 200, "{name} cannot set an app up: {}", page.text());
        self.apps.lock().unwrap().insert(name.to_owned(), app);
        page.body.split("<li><code>").skip(1).map(|code| code.split('<').next().unwrap().to_owned()).collect()
    }

    /// The code that this person's app shows now. The clock stands still here and a code counts once, so the portal is made
    /// to forget that it was used.
    pub async fn code_of(&self, name: &str) -> String {
        let mut conn = self.database.connect_superuser().await;
        sqlx::query(
            "update portal.totp set last_step = 0 from portal.account a where a.id = account_id and a.email = $1",
        )
        .bind(email(name))
        .execute(&mut conn)
        .await
        .unwrap();
        self.apps.lock().unwrap()[name].code(self.clock.now())
    }

    async fn second_step(&self, browser: &Browser, name: &str) -> Page {
        let code = self.code_of(name).await;
        let page = browser.open("/sign-in/second").await;
        browser.submit(&page, "/sign-in/second", &[("code", &code)]).await
    }

    pub async fn disable(&self, name: &str) {
        let id = self.state.accounts.find_by_email(&email(name)).await.unwrap().unwrap();
        self.state.accounts.disable(&By::Operator, id).await.unwrap();
    }

    /// Lets a run of this pipeline reach its gate, and the watcher find it.
    pub async fn waiting(&self, pipeline: &str) -> OpenApproval {
        let open = self.world().open_approval(pipeline, None).expect("the gate is free");
        self.watcher.activate().await;
        open
    }

    /// The id in the portal's addresses of the approval that waits at this pipeline's gate.
    pub async fn approval_id(&self, pipeline: &str) -> String {
        let mut conn = self.database.connect_superuser().await;
        let sql = "select a.id::text from portal.approval a where a.pipeline = $1 order by a.found_at desc limit 1";
        sqlx::query_scalar(sql).bind(pipeline).fetch_one(&mut conn).await.unwrap()
    }

    /// Time passes, for the portal and for AWS.
    pub fn advance(&self, by: SignedDuration) {
        self.simulator.step(by);
    }

    /// Takes every step of decisions that is due.
    pub async fn settle(&self) {
        while self.state.decisions.step().await.unwrap() > 0 {}
        self.state.decisions.quiet().await;
    }

    /// Every record, oldest first.
    pub async fn records(&self) -> Vec<Record> {
        records_in(&self.database).await
    }

    /// The records of one kind, oldest first.
    pub async fn records_of(&self, kind: &str) -> Vec<Record> {
        self.records().await.into_iter().filter(|record| record.kind == kind).collect()
    }

    /// The end of every story: nothing is left unsure, and the chain of records is whole.
    pub async fn finish(self) {
        self.settle().await;
        let mut conn = self.database.connect_superuser().await;
        let sql = "select state from portal.decision where state in ('intent', 'submitting', 'unsure')";
        let unsettled: Vec<String> = sqlx::query_scalar(sql).fetch_all(&mut conn).await.unwrap();
        assert!(unsettled.is_empty(), "left behind: {unsettled:?}, for example {}", Standing::Unsure);
        self.verify().await;
    }

    /// As [`Portal::finish`], for stories that end while a decision is still open on purpose.
    pub async fn finish_unsettled(self) {
        self.verify().await;
    }

    /// Stops the portal as `serve` does, waiting for the work of its requests, and leaves the rest standing.
    pub async fn stop(self) -> (TestDatabase, SimulatorHandle) {
        self.running.stop(std::time::Duration::from_secs(20)).await;
        (self.database, self.simulator)
    }

    async fn verify(self) {
        let mut conn = self.database.connect(Login::Reader).await;
        let verdict = audit::verify::verify(&mut conn).await.unwrap();
        assert!(matches!(verdict, audit::Verdict::Intact(_)), "{verdict:?}");
        self.running.stop(std::time::Duration::from_secs(5)).await;
    }
}

async fn assemble(config: Config, database: Database, clock: &Clock, random: &Random) -> (AppState, Watcher) {
    let (clock, random) = (clock.clone(), random.clone());
    let accounts = Accounts::cheap(database.clone(), clock.clone(), random.clone(), Settings::of(&config));
    let aws = codepipeline::Settings { first_reads_per_second: 1000, ..codepipeline::Settings::default() };
    AppState::assemble(Parts { config, database, clock, random, accounts, aws }).await.unwrap()
}

/// Every record of a database, oldest first.
pub async fn records_in(database: &TestDatabase) -> Vec<Record> {
    let mut conn = database.connect(Login::Reader).await;
    let sql =
        "select r.seq, r.kind, r.actor, p.payload from audit.record r join audit.payload p using (seq) order by r.seq";
    let rows: Vec<(i64, String, String, Vec<u8>)> = sqlx::query_as(sql).fetch_all(&mut conn).await.unwrap();
    let record = |(seq, kind, actor, payload): (i64, String, String, Vec<u8>)| Record {
        seq,
        kind,
        actor,
        payload: serde_json::from_slice(&payload).unwrap(),
    };
    rows.into_iter().map(record).collect()
}

pub fn email(name: &str) -> String {
    format!("{}@example.com", name.replace(' ', ".").to_lowercase())
}

pub fn password(name: &str) -> String {
    format!("never mind the weather {}", name.len())
}

fn config(simulator: &SimulatorHandle, more: &str) -> Config {
    let text = format!(
        r#"
trusted_proxies = ["127.0.0.0/8"]
{more}
[[sources]]
name = "default"
region = "eu-west-1"
account = "111122223333"
endpoint_url = "{}"
max_reads_per_second = 1000
credentials = {{ access_key_id = "AKIAPORTAL", secret_access_key = "portal-secret" }}
"#,
        simulator.endpoint()
    );
    let mut file = tempfile::NamedTempFile::new().unwrap();
    std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
    Config::load(Some(file.path()), &Environment::default()).unwrap()
}
