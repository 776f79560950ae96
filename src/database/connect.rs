//! Connections: who may be talked to without TLS (nobody beyond this machine), how long anything may take, and the
//! pools. Owns the session limits of every login.
//!
//! It must never weaken TLS because an environment variable said so, and never put a URL into an error: passwords live
//! in URLs.

use std::convert::Infallible;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgSslMode};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::pool::Pool;
use super::pulse::Pulse;

/// Connections of one process: 16 in all, of which 4 are for decisions alone (P-05) and one is the pulse's. One more
/// listens.
const READS: u32 = 5;
const PAGES: u32 = 6;
const DECISIONS: u32 = 4;

/// How long a request waits for a pool: for a free connection, proof that it works, or a new one.
const ACQUIRE: Duration = Duration::from_secs(2);
/// How long a command waits for the same. Nobody holds a page open for it, and an operator whose server is busy is helped
/// by a slow answer, not by a quick refusal.
const COMMAND_ACQUIRE: Duration = Duration::from_secs(30);
/// How long a statement of a serving session may take.
pub const STATEMENT_TIMEOUT: &str = "5s";

/// Why a database URL is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    #[error(
        "{name} is not a Postgres URL. Write it as postgres://user:password@host/database; \
         characters such as @ or / in the password are written %40 or %2F."
    )]
    Unreadable { name: &'static str },
    #[error(
        "{name} asks for sslmode={mode} to {host}. Anything but sslmode=verify-full can be listened to or imitated \
         on the way: use verify-full (add sslrootcert=FILE for a private authority), or a socket or loopback address."
    )]
    WeakTls { name: &'static str, mode: String, host: String },
}

/// Reads a database URL (`name` is what the operator calls it). TLS is `verify-full` unless the server is reached by a
/// Unix socket or a loopback address (S-50); a URL that asks for less is refused, and `PGSSLMODE` changes nothing.
pub fn parse_url(name: &'static str, url: &SecretString) -> Result<PgConnectOptions, BadUrl> {
    let unreadable = |_| BadUrl::Unreadable { name };
    let parsed = Url::parse(url.expose_secret()).map_err(unreadable)?;
    if !matches!(parsed.scheme(), "postgres" | "postgresql") {
        return Err(BadUrl::Unreadable { name });
    }
    let options = PgConnectOptions::from_str(url.expose_secret()).map_err(|_| BadUrl::Unreadable { name })?;
    let asked = parsed.query_pairs().filter(|(key, _)| key == "sslmode" || key == "ssl-mode").last();
    let host = options.get_host().to_owned();
    match asked.map(|(_, mode)| mode.into_owned()) {
        Some(mode) if mode != "verify-full" && !is_local(&options) => Err(BadUrl::WeakTls { name, mode, host }),
        Some(_) => Ok(options),
        None if is_local(&options) => Ok(options.ssl_mode(PgSslMode::Prefer)),
        None => Ok(options.ssl_mode(PgSslMode::VerifyFull)),
    }
}

fn is_local(options: &PgConnectOptions) -> bool {
    let host = options.get_host().trim_start_matches('[').trim_end_matches(']');
    options.get_socket().is_some()
        || host.starts_with('/')
        || host == "localhost"
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The limits of a session that serves people: a stuck one cannot stop everybody's decisions.
#[must_use]
pub fn serving(options: PgConnectOptions) -> PgConnectOptions {
    session(options, "countersign").options([
        ("statement_timeout", STATEMENT_TIMEOUT),
        ("lock_timeout", "2s"),
        ("idle_in_transaction_session_timeout", "10s"),
    ])
}

/// A session that migrates: statements may take their time, but not while others wait for a lock it cannot have.
#[must_use]
pub fn owning(options: PgConnectOptions) -> PgConnectOptions {
    session(options, "countersign-migrate").options([
        ("statement_timeout", "0"),
        ("lock_timeout", "60s"),
        ("idle_in_transaction_session_timeout", "60s"),
    ])
}

/// A session that verifies or exports: long, and unable to write.
#[must_use]
pub fn reading(options: PgConnectOptions) -> PgConnectOptions {
    session(options, "countersign-read").options([
        ("default_transaction_read_only", "on"),
        ("statement_timeout", "60s"),
        ("lock_timeout", "2s"),
        ("idle_in_transaction_session_timeout", "60s"),
    ])
}

fn session(options: PgConnectOptions, name: &str) -> PgConnectOptions {
    options.application_name(name).options([("TimeZone", "UTC"), ("search_path", "public")])
}

/// The pools of one serving process.
#[derive(Debug, Clone)]
pub struct Database {
    /// For looking at things: who somebody is, what waits. Cannot write, whatever is asked of it.
    pub reads: Pool,
    /// For everything that may write, but deciding.
    pub pages: Pool,
    /// For deciding and settling alone, so that a flood of page views cannot hold a decision up.
    pub decisions: Pool,
    server: PgConnectOptions,
    listening: PgConnectOptions,
    /// Whether the server answers.
    pub pulse: Pulse,
}

impl Database {
    /// Makes the pools without connecting yet: a server that is away makes the first request fail, not this call.
    #[must_use]
    pub fn open(options: &PgConnectOptions) -> Self {
        Self::open_waiting(options, ACQUIRE)
    }

    /// As [`Database::open`], for a command instead of requests: waits for a connection up to 30 s instead of 2 s.
    #[must_use]
    pub fn open_for_command(options: &PgConnectOptions) -> Self {
        Self::open_waiting(options, COMMAND_ACQUIRE)
    }

    fn open_waiting(options: &PgConnectOptions, acquire: Duration) -> Self {
        let (server, pulse) = (serving(options.clone()), Pulse::default());
        Self {
            reads: Pool::looking(READS, acquire, &server, &pulse),
            pages: Pool::writing(PAGES, acquire, &server, &pulse),
            decisions: Pool::writing(DECISIONS, acquire, &server, &pulse),
            server,
            listening: options.clone(),
            pulse,
        }
    }

    /// As [`Database::open`], with another way to the same database for hearing of changes: a pooler in transaction mode
    /// passes no notifications on (H-03).
    #[must_use]
    pub fn listening_by(self, options: PgConnectOptions) -> Self {
        Self { listening: options, ..self }
    }

    /// A pool of one connection that stays: for listening, beside the other pools.
    #[must_use]
    pub fn listening(&self) -> PgPool {
        PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(Duration::from_secs(5))
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_lazy_with(serving(self.listening.clone()))
    }

    /// Feels the pulse until told to stop: the duty that [`Pulse`] lives by. Leaves what the pools may have lost at a server
    /// that is gone.
    ///
    /// # Errors
    /// Never.
    pub async fn feel_pulse(&self, stop: CancellationToken) -> Result<(), Infallible> {
        let (felt, renewed) = tokio::join!(
            self.pulse.beat(self.server.clone(), stop.clone()),
            stop.run_until_cancelled(self.renew_pools())
        );
        renewed.map_or(felt, |never| match never {})
    }

    async fn renew_pools(&self) -> Infallible {
        loop {
            self.pulse.dead(Instant::now()).await;
            tracing::warn!("the database did not answer: connections that may have been lost are left for new ones");
            for pool in [&self.reads, &self.pages, &self.decisions] {
                pool.renew();
            }
            self.pulse.answering().await;
        }
    }

    /// Closes every connection, after those in use came back.
    pub async fn close(&self) {
        self.decisions.close().await;
        self.pages.close().await;
        self.reads.close().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<PgSslMode, BadUrl> {
        parse_url("DATABASE_URL", &SecretString::from(url)).map(|options| options.get_ssl_mode())
    }

    #[test]
    fn a_server_elsewhere_is_always_verified() {
        // S-50
        assert!(matches!(parse("postgres://app:x@db.example.org/c"), Ok(PgSslMode::VerifyFull)));
        assert!(matches!(parse("postgres://app:x@db.example.org/c?sslmode=verify-full"), Ok(PgSslMode::VerifyFull)));
        assert!(matches!(parse("postgresql://app:x@10.0.0.8:5433/c"), Ok(PgSslMode::VerifyFull)));
    }

    #[test]
    fn a_url_asking_for_less_is_refused_without_its_password() {
        for mode in ["disable", "allow", "prefer", "require", "verify-ca"] {
            let said =
                parse(&format!("postgres://app:hunter2@db.example.org/c?sslmode={mode}")).unwrap_err().to_string();
            assert!(said.contains(mode) && said.contains("db.example.org") && said.contains("verify-full"), "{said}");
            assert!(!said.contains("hunter2"), "{said}");
        }
        let twice = parse("postgres://app:x@db.example.org/c?sslmode=verify-full&sslmode=disable").unwrap_err();
        assert!(matches!(twice, BadUrl::WeakTls { .. }));
    }

    #[test]
    fn this_machine_needs_no_tls() {
        for url in [
            "postgres://app@localhost/c",
            "postgres://app@127.0.0.1/c?sslmode=disable",
            "postgres://app@[::1]/c",
            "postgres:///c?host=/var/run/postgresql",
            "postgres://app@%2Fvar%2Frun%2Fpostgresql/c",
        ] {
            let mode = parse(url).unwrap();
            assert!(matches!(mode, PgSslMode::Prefer | PgSslMode::Disable), "{url}: {mode:?}");
        }
    }

    #[test]
    fn what_is_not_a_postgres_url_is_explained_and_not_repeated() {
        for url in ["mysql://root:hunter2@localhost/c", "hunter2", "postgres://u:hunter2@host:port/c"] {
            let said = parse(url).unwrap_err().to_string();
            assert!(said.starts_with("DATABASE_URL is not a Postgres URL.") && !said.contains("hunter2"), "{said}");
        }
    }
}
