//! The stage of a story: a database, a simulated AWS, a watcher and one or more replicas of the decision service, all on
//! one clock that moves only when told.

use std::net::IpAddr;
use std::time::Duration;

use countersign::access::Access;
use countersign::approvals::{Approval, Reader};
use countersign::audit;
use countersign::clock::Clock;
use countersign::codepipeline::{Gateway, Settings};
use countersign::config::{Credentials, SourceConfig};
use countersign::database::{Database, Role as DatabaseRole};
use countersign::decisions::{Ask, Channel, DecideError, DecisionView, Decisions, new_form_key};
use countersign::domain::approval::Standing;
use countersign::domain::decision::{State, Verdict};
use countersign::domain::ids::{AccountId, DecisionId, GrantId, SessionId};
use countersign::domain::people::{Approver, Person, Role, Roles};
use countersign::random::Random;
use countersign::simulator::{
    Act, Fault, FaultKind, Moment, Simulator, SimulatorHandle, Verdict as SimVerdict, Which, WorldFile, WorldHandle,
};
use countersign::store;
use countersign::watcher::{Ended, Watcher};
use jiff::SignedDuration;
use secrecy::SecretString;
use serde_json::Value;

use crate::support::postgres::TestDatabase;

/// Somebody with access to the console.
pub const CONSOLE: &str = "arn:aws:iam::111122223333:user/ines";
const PIPELINES: &[(&str, &str)] =
    &[("shop", "SUPERSEDED"), ("blog", "SUPERSEDED"), ("queue", "QUEUED"), ("swarm", "PARALLEL")];

const WORLD: &str = r#"
seed = 11
[[keys]]
id = "AKIAPORTAL"
secret = "portal-secret"
account = "111122223333"
user = "portal"
[[worlds]]
account = "111122223333"
region = "eu-west-1"
"#;

pub struct Stage {
    pub database: TestDatabase,
    pools: Database,
    pub clock: Clock,
    random: Random,
    pub sim: SimulatorHandle,
    pub world: WorldHandle,
    pub decisions: Decisions,
    watcher: Watcher,
    settings: Settings,
    endpoint: String,
}

impl Stage {
    pub async fn start() -> Self {
        Self::start_with(Duration::from_secs(10)).await
    }

    /// A portal that talks to another AWS than the simulator.
    pub async fn start_at(endpoint: String) -> Self {
        Self::build(Duration::from_secs(10), Some(endpoint)).await
    }

    /// `attempt`: how long one attempt at sending may take, in real time.
    pub async fn start_with(attempt: Duration) -> Self {
        Self::build(attempt, None).await
    }

    async fn build(attempt: Duration, endpoint: Option<String>) -> Self {
        let clock = Clock::manual("2026-11-21T08:00:00Z".parse().unwrap());
        let random = Random::system();
        let sim = Simulator::start(world(), clock.clone(), "127.0.0.1:0".parse().unwrap()).await.unwrap();
        let database = TestDatabase::create().await;
        let pools = database.open();
        let settings = Settings { attempt, ..Settings::default() };
        let endpoint = endpoint.unwrap_or_else(|| sim.endpoint());
        let reader = reader(&pools, &clock, &random, &endpoint, &settings).await;
        let decisions = Decisions::new(pools.decisions.clone(), reader.clone(), clock.clone(), random.clone());
        let watcher = Watcher::new(&reader, &clock, &random, SignedDuration::from_secs(15)).unwrap();
        watcher.register().await.unwrap();
        let world = sim.world("111122223333", "eu-west-1");
        Self { database, pools, clock, random, sim, world, decisions, watcher, settings, endpoint }
    }

    /// Another replica on the same database.
    pub async fn replica(&self) -> Decisions {
        let pools = self.database.open();
        let reader = reader(&pools, &self.clock, &self.random, &self.endpoint, &self.settings).await;
        Decisions::new(pools.decisions.clone(), reader, self.clock.clone(), self.random.clone())
    }

    /// Who may decide what, as admins change it.
    pub fn access(&self) -> Access {
        Access::new(self.pools.clone(), self.clock.clone(), self.random.clone())
    }

    /// Lets a run reach the gate and the watcher find it.
    pub async fn waiting(&self, pipeline: &str) -> Approval {
        let open = self.world.open_approval(pipeline, None).expect("the gate is free");
        self.watch().await;
        let found = self.open_approvals().await;
        found.into_iter().find(|it| it.token.expose() == open.token).expect("the watcher finds what waits")
    }

    pub async fn watch(&self) {
        let status = self.watcher.activate().await;
        assert!(status.iter().all(|it| !matches!(it.ended, Ended::Failed(_))), "{status:?}");
    }

    pub async fn open_approvals(&self) -> Vec<Approval> {
        let mut conn = self.pools.pages.acquire().await.unwrap();
        let source = countersign::domain::ids::SourceName::parse("default").unwrap();
        store::approvals::list_open(&mut conn, &source).await.unwrap()
    }

    /// An approver who may decide everything.
    pub async fn approver(&self, name: &str) -> Approver {
        let approver = self.approver_without_grant(name).await;
        self.grant(&approver, "decide", "*").await;
        approver
    }

    /// Lets somebody do something at the gates of the pipelines that fit.
    pub async fn grant(&self, to: &Approver, capability: &str, pipeline: &str) -> GrantId {
        self.insert_grant(capability, ("account_id", to.person().account.0), pipeline, None).await
    }

    pub async fn insert_grant(
        &self,
        capability: &str,
        (column, holder): (&str, uuid::Uuid),
        pipeline: &str,
        tag: Option<(&str, &str)>,
    ) -> GrantId {
        let id = self.random.uuid_v7(self.clock.now());
        let sql = format!(
            "insert into portal.access_grant (id, capability, {column}, source, pipeline, stage, action, tag_key, tag_value,
                from_at) values ($1, $2, $3, '*', $4, '*', '*', $5, $6, now())"
        );
        sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(id)
            .bind(capability)
            .bind(holder)
            .bind(pipeline)
            .bind(tag.map(|tag| tag.0))
            .bind(tag.map(|tag| tag.1))
            .execute(&mut self.database.connect_superuser().await)
            .await
            .unwrap();
        GrantId(id)
    }

    pub async fn approver_without_grant(&self, name: &str) -> Approver {
        let id = self.random.uuid_v7(self.clock.now());
        let email = format!("{}@example.com", name.replace(' ', ".").to_lowercase());
        let mut conn = self.database.connect_superuser().await;
        sqlx::query(
            "insert into portal.account (id, email, email_key, name, roles, created_at) values ($1, $2, $2, $3, array['approver'], now())",
        )
        .bind(id)
        .bind(&email)
        .bind(name)
        .execute(&mut conn)
        .await
        .unwrap();
        let person = Person {
            account: AccountId(id),
            email,
            name: name.into(),
            roles: Roles::default().with(Role::Approver),
            session: SessionId(self.random.uuid_v4()),
            method: "password".into(),
            signed_in_at: self.clock.now(),
            factor: None,
            lacks_factor: false,
            stepped_up_at: None,
            proven_by: None,
            address: IpAddr::from([192, 0, 2, 7]),
            zone: jiff::tz::TimeZone::UTC,
            session_mark: "0123456789abcdef".into(),
            must_change_password: false,
        };
        Approver::of(&person).unwrap()
    }

    pub async fn disable(&self, approver: &Approver) {
        self.change_account(approver, "disabled_at = now()").await;
    }

    pub async fn set_roles(&self, approver: &Approver, roles: &[Role]) {
        let names: Vec<_> = roles.iter().map(|role| format!("'{}'", role.name())).collect();
        self.change_account(approver, &format!("roles = array[{}]", names.join(","))).await;
    }

    async fn change_account(&self, approver: &Approver, change: &str) {
        let mut conn = self.database.connect_superuser().await;
        let sql = format!("update portal.account set {change} where id = $1");
        sqlx::query(sqlx::AssertSqlSafe(sql)).bind(approver.person().account.0).execute(&mut conn).await.unwrap();
    }

    /// The form as the page made it, with its one-use key.
    pub fn form(&self, seen: &Approval, verdict: Verdict, summary: &str) -> Ask {
        Ask {
            approval: seen.id,
            fingerprint: seen.fingerprint,
            verdict,
            summary: summary.into(),
            key: new_form_key(&self.random),
            channel: Channel::Page,
            proof: None,
            mail: None,
        }
    }

    pub async fn try_decide(
        &self,
        by: &Approver,
        seen: &Approval,
        verdict: Verdict,
        summary: &str,
    ) -> Result<DecisionId, DecideError> {
        self.decisions.decide(by, self.form(seen, verdict, summary)).await
    }

    pub async fn try_decide_on(
        &self,
        replica: &Decisions,
        by: &Approver,
        seen: &Approval,
        verdict: Verdict,
        summary: &str,
    ) -> Result<DecisionId, DecideError> {
        replica.decide(by, self.form(seen, verdict, summary)).await
    }

    pub async fn decide(&self, by: &Approver, seen: &Approval, verdict: Verdict, summary: &str) -> DecisionId {
        self.try_decide(by, seen, verdict, summary).await.unwrap()
    }

    /// Commits an intent in a process that ends before it sends.
    pub async fn intend_and_die(&self, by: &Approver, seen: &Approval, verdict: Verdict, summary: &str) -> DecisionId {
        let (by, ask, dying) = (by.clone(), self.form(seen, verdict, summary), self.dying());
        let dying = move || {
            // One thread that only ever polls what it blocks on: when `decide` returns, the send it has just spawned has
            // not been looked at, and never will be.
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async { dying.await.decide(&by, ask).await.unwrap() })
        };
        tokio::task::spawn_blocking(dying).await.unwrap()
    }

    /// The decision service of a process of its own, for whoever runs it there.
    pub fn dying(&self) -> impl Future<Output = Decisions> + Send + 'static {
        let options = self.database.options(DatabaseRole::App);
        let (clock, random, endpoint, settings) =
            (self.clock.clone(), self.random.clone(), self.endpoint.clone(), self.settings.clone());
        async move {
            let pools = Database::open(&options);
            let reader = reader(&pools, &clock, &random, &endpoint, &settings).await;
            Decisions::new(pools.decisions.clone(), reader, clock, random)
        }
    }

    pub async fn answer(&self, id: DecisionId) -> DecisionView {
        self.answer_anywhere(&self.decisions, id).await
    }

    /// Waits for the send under way, then tells how the decision stands.
    pub async fn answer_anywhere(&self, replica: &Decisions, id: DecisionId) -> DecisionView {
        replica.quiet().await;
        self.decisions.quiet().await;
        self.decisions.find(id).await.unwrap().unwrap()
    }

    pub async fn quiet(&self) {
        self.decisions.quiet().await;
    }

    /// One pass of the settler.
    pub async fn settle_once(&self) {
        self.decisions.step().await.unwrap();
    }

    /// Lets time pass in steps of two seconds, with the settler at work.
    pub async fn settle_for(&self, span: SignedDuration) {
        let end = self.clock.now() + span;
        while self.clock.now() < end {
            self.quiet().await;
            self.pass(SignedDuration::from_secs(2)).await;
            self.settle_once().await;
        }
    }

    pub async fn pass(&self, span: SignedDuration) {
        self.sim.step(span);
    }

    /// The next send is received by AWS but not looked at until released.
    pub fn hold_before_effect(&self) -> u64 {
        let block = FaultKind::Block { at: Moment::Received };
        self.sim.add_fault(Fault::on("PutApprovalResult", block).times(1))
    }

    pub fn decide_in_console(&self, approval: &Approval, verdict: Verdict, summary: &str) {
        let verdict = match verdict {
            Verdict::Approved => SimVerdict::Approved,
            Verdict::Rejected => SimVerdict::Rejected,
        };
        let decide = Act::Decide {
            pipeline: approval.gate.pipeline.to_string(),
            which: Which::default(),
            verdict,
            summary: summary.into(),
            by: CONSOLE.into(),
        };
        self.world.act(decide).unwrap();
    }

    pub fn retry(&self, approval: &Approval) {
        let gate = &approval.gate;
        self.world.retry(gate.pipeline.as_str(), gate.stage.as_str(), approval.execution.as_str());
    }

    pub async fn standing(&self, approval: &Approval) -> Standing {
        let mut conn = self.pools.pages.acquire().await.unwrap();
        let now = store::approvals::find(&mut conn, approval.id).await.unwrap().unwrap();
        let live = store::decisions::find_holding(&mut conn, approval.id).await.unwrap();
        Standing::derive(now.at_aws, live.map(|decision| decision.state))
    }

    pub fn receipts_of(&self, pipeline: &str) -> usize {
        self.sim.receipts().iter().filter(|it| it.pipeline == pipeline).count()
    }

    pub fn effects_of(&self, pipeline: &str) -> usize {
        self.sim.effects().iter().filter(|it| it.pipeline == pipeline).count()
    }

    /// Until some statement waits for a lock that another transaction holds.
    pub async fn until_somebody_waits_for_a_lock(&self) {
        let mut conn = self.database.connect_superuser().await;
        let sql = "select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')";
        while !sqlx::query_scalar::<_, bool>(sql).fetch_one(&mut conn).await.unwrap() {
            tokio::task::yield_now().await;
        }
    }

    /// Every connection that pages may use, taken and kept.
    pub async fn flood_pages(&self) -> Vec<sqlx::pool::PoolConnection<sqlx::Postgres>> {
        let most = self.pools.pages.now().options().get_max_connections();
        let mut held = Vec::new();
        for _ in 0..most {
            held.push(self.pools.pages.acquire().await.unwrap());
        }
        held
    }

    pub async fn hash_of(&self, seq: i64) -> String {
        let mut conn = self.database.connect(DatabaseRole::Reader).await;
        let hash: Vec<u8> = sqlx::query_scalar("select hash from audit.record where seq = $1")
            .bind(seq)
            .fetch_one(&mut conn)
            .await
            .unwrap();
        hex::encode(hash)
    }

    pub async fn kinds_of(&self, id: DecisionId) -> Vec<String> {
        let mut conn = self.database.connect(DatabaseRole::Reader).await;
        sqlx::query_scalar("select kind from audit.payload where decision = $1 order by seq")
            .bind(id.0)
            .fetch_all(&mut conn)
            .await
            .unwrap()
    }

    pub async fn count(&self, kind: &str) -> i64 {
        let mut conn = self.database.connect(DatabaseRole::Reader).await;
        sqlx::query_scalar("select count(*) from audit.record where kind = $1")
            .bind(kind)
            .fetch_one(&mut conn)
            .await
            .unwrap()
    }

    /// How many records there are.
    pub async fn records(&self) -> i64 {
        let mut conn = self.database.connect(DatabaseRole::Reader).await;
        sqlx::query_scalar("select count(*) from audit.record").fetch_one(&mut conn).await.unwrap()
    }

    pub async fn last_payload(&self, kind: &str) -> Value {
        let mut conn = self.database.connect(DatabaseRole::Reader).await;
        let bytes: Vec<u8> =
            sqlx::query_scalar("select payload from audit.payload where kind = $1 order by seq desc limit 1")
                .bind(kind)
                .fetch_optional(&mut conn)
                .await
                .unwrap()
                .unwrap_or_else(|| panic!("there is no record of kind {kind}"));
        serde_json::from_slice(&bytes).unwrap()
    }

    /// The end of every story: effects at AWS and accepted records are one to one, no two sends of a token overlapped,
    /// nothing is left unsure, and the chain is whole.
    pub async fn finish(self) {
        self.decisions.quiet().await;
        let mut conn = self.database.connect(DatabaseRole::Reader).await;
        let accepted: Vec<Vec<u8>> =
            sqlx::query_scalar("select payload from audit.payload where kind = 'decision.accepted' order by seq")
                .fetch_all(&mut conn)
                .await
                .unwrap();
        let accepted: Vec<Value> = accepted.iter().map(|bytes| serde_json::from_slice(bytes).unwrap()).collect();
        let effects = self.sim.effects();
        assert_eq!(effects.len(), accepted.len(), "every effect has one accepted record, every such record an effect");
        for effect in &effects {
            let verdict = effect.verdict.to_lowercase();
            let of_it = accepted.iter().filter(|record| {
                record["pipeline"] == effect.pipeline.as_str()
                    && record["execution"] == effect.execution.as_str()
                    && record["verdict"] == verdict.as_str()
                    && effect.summary.contains(&format!(", rec {} ", record["intent"]))
            });
            assert_eq!(of_it.count(), 1, "{effect:?} is not told by exactly one of {accepted:#?}");
        }
        self.assert_no_overlap();
        let unsettled: Vec<String> = sqlx::query_scalar("select state from portal.decision where settled_at is null")
            .fetch_all(&mut self.database.connect_superuser().await)
            .await
            .unwrap();
        assert!(unsettled.is_empty(), "left behind: {unsettled:?} (unsure is {})", State::Unsure);
        let verdict = audit::verify::verify(&mut conn).await.unwrap();
        assert!(matches!(verdict, audit::Verdict::Intact(_)), "{verdict:?}");
    }

    fn assert_no_overlap(&self) {
        let receipts = self.sim.receipts();
        for (at, first) in receipts.iter().enumerate() {
            for second in receipts[at + 1..].iter().filter(|other| other.token == first.token) {
                let ended = first.ended_order.unwrap_or(u64::MAX);
                assert!(ended < second.started_order, "two sends of one token overlap: {first:?} and {second:?}");
            }
        }
    }
}

fn world() -> WorldFile {
    let mut text = WORLD.to_owned();
    for (pipeline, mode) in PIPELINES {
        text.push_str(&format!(
            r#"
[[worlds.pipelines]]
name = "{pipeline}"
mode = "{mode}"
stages = [
  {{ name = "Source", actions = [{{ name = "Repo", kind = "source", seconds = 1 }}] }},
  {{ name = "Production", actions = [
    {{ name = "Release", kind = "approval", comment = "Ship {pipeline}: #{{SourceVariables.CommitMessage}}", timeout_minutes = 60 }},
    {{ name = "Deploy", kind = "deploy", run_order = 2, seconds = 30 }} ] }},
]
"#
        ));
    }
    WorldFile::parse(&text).unwrap()
}

async fn reader(pools: &Database, clock: &Clock, random: &Random, endpoint: &str, settings: &Settings) -> Reader {
    let source = SourceConfig {
        region: Some("eu-west-1".into()),
        account: Some("111122223333".into()),
        endpoint_url: Some(endpoint.parse().unwrap()),
        credentials: Some(Credentials {
            access_key_id: "AKIAPORTAL".into(),
            secret_access_key: SecretString::from("portal-secret"),
            session_token: None,
        }),
        max_reads_per_second: 1000,
        ..SourceConfig::from_environment()
    };
    let gateway = Gateway::open(&source, settings.clone(), random).await.unwrap();
    Reader::new(pools.clone(), clock.clone(), random.clone(), vec![gateway])
}
