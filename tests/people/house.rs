//! A portal's people, with the database they live in, a clock moved by hand, and eyes on the record.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use countersign::accounts::admin::NewAccount;
use countersign::accounts::ceremonies::Holder;
use countersign::accounts::hasher::{Cost, Hasher, Room};
use countersign::accounts::sign_in::{SignIn, SignInError, SignedIn};
use countersign::accounts::{Accounts, By, NewSession, Origin, Settings};
use countersign::audit::verify::verify;
use countersign::clock::Clock;
use countersign::config::MailConfig;
use countersign::database::{Database, Role as DatabaseRole};
use countersign::domain::ids::AccountId;
use countersign::domain::people::{Person, Role};
use countersign::mail::Mailer;
use countersign::random::Random;
use jiff::SignedDuration;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use crate::support::authenticator::App;
use crate::support::postgres::TestDatabase;

pub const ANNA: &str = "anna@example.org";
pub const PASSWORD: &str = "correct horse battery staple";
pub const WRONG: &str = "incorrect horse battery staple";

pub struct House {
    pub test: TestDatabase,
    pub database: Database,
    pub clock: Clock,
    pub hasher: Hasher,
    pub accounts: Accounts,
}

/// A record as an auditor reads it.
#[derive(Debug)]
pub struct Record {
    pub kind: String,
    pub actor: String,
    pub payload: Value,
}

/// One mail as the outbox has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InOutbox {
    pub kind: String,
    pub attempts: i32,
    pub is_whole: bool,
    pub is_sent: bool,
    pub is_given_up: bool,
    pub error: String,
}

impl House {
    pub async fn new() -> Self {
        Self::with_room(Room { seats: 4, queue: 32, wait: Duration::from_secs(600) }).await
    }

    pub async fn with_room(room: Room) -> Self {
        let test = TestDatabase::create().await;
        let database = test.open();
        let clock = Clock::manual("2026-11-21T10:00:00Z".parse().unwrap());
        let hasher = Hasher::of_any_cost(Cost::CHEAP, room);
        let accounts = Self::replica_of(&database, &clock, &hasher);
        Self { test, database, clock, hasher, accounts }
    }

    fn replica_of(database: &Database, clock: &Clock, hasher: &Hasher) -> Accounts {
        Accounts::with_hasher(database.clone(), clock.clone(), Random::system(), settings(), hasher.clone())
    }

    /// Another process on the same database (H-07).
    pub fn replica(&self) -> Accounts {
        Self::replica_of(&self.test.open(), &self.clock, &self.hasher)
    }

    pub fn pass(&self, time: SignedDuration) {
        self.clock.advance(time);
    }

    pub async fn account(&self, email: &str, roles: &[Role]) -> AccountId {
        let new = NewAccount {
            email: email.into(),
            name: format!("Person {}", email.split('@').next().unwrap()),
            roles: roles.iter().copied().collect(),
            password: Some(PASSWORD.into()),
        };
        self.accounts.create(&By::Operator, new).await.unwrap().0
    }

    pub async fn try_from(&self, address: &str, email: &str, password: &str) -> Result<NewSession, SignInError> {
        self.accounts.sign_in(ask(address, email, password)).await.map(whole)
    }

    /// A try from an address that was never seen before, so that only the account's own limits are met.
    pub async fn try_in(&self, email: &str, password: &str) -> Result<NewSession, SignInError> {
        self.try_from(&fresh_address(), email, password).await
    }

    pub async fn sign_in(&self, email: &str) -> NewSession {
        self.try_in(email, PASSWORD).await.unwrap()
    }

    /// Signed in as an admin, who sets an app up to be one.
    pub async fn sign_in_as_admin(&self, email: &str) -> NewSession {
        let session = self.sign_in(email).await;
        self.add_app(&session).await.1
    }

    /// Sets an app up as a first factor; the session goes on under another id.
    pub async fn add_app(&self, session: &NewSession) -> (App, NewSession, Vec<String>) {
        self.accounts.begin_totp(&session.person).await.unwrap();
        let enrolment = self.accounts.find_enrolment(&session.person).await.unwrap().unwrap();
        let app = App::told(enrolment.text.expose_secret());
        let code = app.code(self.clock.now()).into();
        let added = self.accounts.confirm_totp(&session.person, &code, &origin("203.0.113.9")).await.unwrap();
        let codes = added.codes.unwrap().iter().map(|code| code.expose_secret().to_owned()).collect();
        (app, added.session.unwrap(), codes)
    }

    /// Who the portal takes the holder of this cookie for, when they click something.
    pub async fn who(&self, session: &NewSession) -> Option<Person> {
        who(&self.accounts, session).await
    }

    pub async fn records(&self) -> Vec<Record> {
        let mut conn = self.test.connect(DatabaseRole::Reader).await;
        let rows: Vec<(String, String, Vec<u8>)> = sqlx::query_as(
            "select r.kind, r.actor, p.payload from audit.record r join audit.payload p using (seq) order by seq",
        )
        .fetch_all(&mut conn)
        .await
        .unwrap();
        let read = |(kind, actor, payload): (String, String, Vec<u8>)| Record {
            kind,
            actor,
            payload: serde_json::from_slice(&payload).unwrap(),
        };
        rows.into_iter().map(read).collect()
    }

    pub async fn records_of(&self, kind: &str) -> Vec<Record> {
        self.records().await.into_iter().filter(|record| record.kind == kind).collect()
    }

    /// Everything the database holds, as text: tables of the portal and the record.
    pub async fn dump(&self) -> String {
        let mut conn = self.test.connect_superuser().await;
        let mut all = String::new();
        let tables = [
            "account",
            "session",
            "setup_secret",
            "throttle",
            "sign_in_wait",
            "stranger_count",
            "one_time_link",
            "reset_request",
            "known_device",
            "mail",
            "totp",
            "recovery_code",
            "passkey",
            "ceremony",
            "api_token",
        ];
        for table in tables {
            let sql = format!("select coalesce(string_agg(t::text, E'\\n'), '') from portal.{table} t");
            let text: String = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&mut conn).await.unwrap();
            all += &text;
        }
        for record in self.records().await {
            all += &record.payload.to_string();
        }
        all
    }

    /// Who delivers this portal's mail to that server.
    pub fn mailer(&self, at: SocketAddr) -> Mailer {
        mailer(&self.accounts, &self.database, &format!("smtp://{at}"))
    }

    /// Answers who forgot a password, and delivers all mail that is due.
    pub async fn deliver(&self, mailer: &Mailer) {
        while self.accounts.answer_request().await.unwrap() {}
        while mailer.step().await.unwrap() > 0 {}
    }

    /// The outbox: kind, attempts, whether it still holds what was said, what became of it, the last error.
    pub async fn outbox(&self) -> Vec<InOutbox> {
        let mut conn = self.test.connect_superuser().await;
        let sql = "select kind, attempts, sealed is not null, sent_at is not null, given_up_at is not null,
                coalesce(last_error, '')
            from portal.mail order by id";
        let rows: Vec<(String, i32, bool, bool, bool, String)> =
            sqlx::query_as(sql).fetch_all(&mut conn).await.unwrap();
        let read = |(kind, attempts, is_whole, is_sent, is_given_up, error)| InOutbox {
            kind,
            attempts,
            is_whole,
            is_sent,
            is_given_up,
            error,
        };
        rows.into_iter().map(read).collect()
    }

    /// The chain holds, whatever the test did.
    pub async fn verify(&self) {
        let mut conn = self.test.connect(DatabaseRole::Reader).await;
        let verdict = verify(&mut conn).await.unwrap();
        assert!(matches!(verdict, countersign::audit::Verdict::Intact(_)), "{verdict:?}");
    }
}

/// With little patience: on this machine nothing takes long.
pub fn mailer(accounts: &Accounts, database: &Database, smtp_url: &str) -> Mailer {
    let (from, reply_to) = (Some("Countersign <approvals@example.com>".to_owned()), None);
    let server = MailConfig { smtp_url: Some(smtp_url.into()), from, reply_to }.server().unwrap();
    Mailer::with_patience(accounts.outbox(), database.clone(), Some(server), Duration::from_secs(2))
}

/// The code at the end of a link.
pub fn code_of(link: &str) -> SecretString {
    link.rsplit('/').next().unwrap().into()
}

pub fn settings() -> Settings {
    Settings {
        idle: SignedDuration::from_mins(30),
        absolute: SignedDuration::from_hours(8),
        host: "releases.example.org".into(),
        public_url: "https://releases.example.org".parse().unwrap(),
        sends_mail: true,
        local_sign_in: true,
        forbidden_words: vec!["Umbrella".to_owned()],
    }
}

pub async fn who(accounts: &Accounts, session: &NewSession) -> Option<Person> {
    let here: IpAddr = "192.0.2.77".parse().unwrap();
    accounts.person(session.cookie_secret.expose_secret(), here, true).await.unwrap().map(|(person, _)| person)
}

pub fn ask(address: &str, email: &str, password: &str) -> SignIn {
    SignIn {
        email: email.into(),
        password: SecretString::from(password),
        origin: origin(address),
        replaces: None,
        holder: browser(),
        return_to: "/".into(),
    }
}

/// The browser in which people here sign in.
pub fn browser() -> Holder {
    Holder::browser(b"the only browser of this story")
}

/// Of who needs no second factor.
pub fn whole(signed_in: SignedIn) -> NewSession {
    match signed_in {
        SignedIn::Session(session) => *session,
        SignedIn::NeedsSecond => panic!("a second factor is asked for"),
    }
}

pub fn origin(address: &str) -> Origin {
    Origin { address: address.parse().unwrap(), user_agent: "Firefox on a\u{202e} phone\r\n".into(), device: None }
}

pub fn fresh_address() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("10.{}.{}.{}", n >> 16 & 255, n >> 8 & 255, n & 255)
}
