//! A database full of records for the benches: made once per size, kept under `target/bench/<records>`, reused by every
//! run. It is the data directory of a private PostgreSQL, so `countersign serve` can be pointed at it too.
//!
//! The year it tells is [`super::year`]'s: a valid chain of records of every usual kind, with the approvals and decisions that
//! belong to it, 500 people, 1,000 pipelines in 20 sources of which 300 have a gate, 200 approvals waiting.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign::audit::entry::sha256;
use countersign::clock::Clock;
use countersign::database::private::{Keep, PrivateOptions, PrivatePostgres};
use countersign::database::{Database, Role, migrate};
use countersign::random::Random;
use jiff_sqlx::ToSqlx as _;
use sqlx::{ConnectOptions, Executor, PgConnection};

use super::fill::fill;
use super::processes::program;
use super::table::{find_option, is_quick};

/// Everybody's password.
pub const PASSWORD: &str = "a long bench password";

/// A running server with the records in it. Dropping it stops the server and keeps the data.
pub struct Records {
    pub postgres: PrivatePostgres,
    /// How many there are at least; benches append.
    pub count: i64,
    pub data_dir: PathBuf,
}

impl Records {
    /// Opens the database of `count` records, making it first where there is none.
    pub async fn open(count: i64) -> Self {
        let data_dir = place().join(count.to_string());
        if !data_dir.join("filled").exists() {
            fill(&data_dir, count).await;
        }
        let postgres = start(&data_dir, &["max_connections=200", "shared_buffers=512MB", "max_wal_size=4GB"]).await;
        migrate::migrate(&postgres.options(Role::Owner)).await.expect("the newest migrations apply");
        let records = Self { postgres, count, data_dir };
        records.freshen().await;
        records
    }

    /// The size asked for with `--records=N`; otherwise ten million, and ten thousand where it shall be quick.
    pub fn asked() -> i64 {
        let usual = if is_quick() { 10_000 } else { 10_000_000 };
        find_option("records").map_or(usual, |text| text.replace('_', "").parse().expect("--records takes a number"))
    }

    /// The pools a serving process uses.
    pub fn database(&self) -> Database {
        Database::open(&self.postgres.options(Role::App))
    }

    pub async fn connect(&self, role: Role) -> PgConnection {
        self.postgres.options(role).connect().await.expect("the server runs")
    }

    pub async fn connect_superuser(&self) -> PgConnection {
        self.postgres.superuser_options("countersign").connect().await.expect("the server runs")
    }

    /// The value of a session cookie (`countersign` over http) for the person of this e-mail. The first has every role.
    pub async fn session_of(&self, email: &str) -> String {
        let (random, now) = (Random::system(), Clock::system().now());
        let secret: [u8; 32] = random.bytes();
        let mut conn = self.connect(Role::App).await;
        sqlx::query(
            "insert into portal.session (id, token_hash, csrf_secret, account_id, method, address, user_agent, started_at,
                last_seen_at, expires_at)
            select $1, $2, $3, id, 'password', '127.0.0.1', 'bench', $4, $4, $4 + interval '11 hours'
            from portal.account where email = $5",
        )
        .bind(random.uuid_v7(now))
        .bind(sha256(&secret).to_vec())
        .bind(random.bytes::<32>().to_vec())
        .bind(now.to_sqlx())
        .bind(email)
        .execute(&mut conn)
        .await
        .expect("the person exists");
        URL_SAFE_NO_PAD.encode(secret)
    }

    /// The e-mails of everybody, the one with every role first.
    pub async fn emails(&self) -> Vec<String> {
        let mut conn = self.connect(Role::App).await;
        sqlx::query_scalar("select email from portal.account order by cardinality(roles) desc, id")
            .fetch_all(&mut conn)
            .await
            .expect("accounts")
    }

    /// What waits was seen just now, however long ago the database was made.
    async fn freshen(&self) {
        let mut conn = self.connect_superuser().await;
        conn.execute("update portal.source set swept_at = now()").await.expect("sources exist");
        conn.execute(
            "update portal.approval set seen_open_at = now(), expires_at = greatest(expires_at, now() + interval '7 days')
            where at_aws = 'open'",
        )
        .await
        .expect("approvals exist");
    }
}

/// Where the databases are kept.
fn place() -> PathBuf {
    std::env::var_os("COUNTERSIGN_BENCH_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench"), PathBuf::from)
}

/// A server on this directory.
pub async fn start(data_dir: &Path, settings: &[&str]) -> PrivatePostgres {
    let options = PrivateOptions {
        data_dir: data_dir.to_owned(),
        guard_exe: program().into(),
        bin_dir: None,
        keep: Keep::Forever,
        settings: settings.iter().map(ToString::to_string).collect(),
        progress: |_| {},
    };
    PrivatePostgres::start_or_join(&options).await.expect("a private PostgreSQL starts")
}
