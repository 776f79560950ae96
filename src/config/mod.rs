//! What the operator decided: `countersign.toml`, overridden key by key by the environment. Owns reading, checking and
//! explaining mistakes; every message names the key, what is wrong with it and a value that would work. It never reads
//! the process environment by itself (the caller hands it in) and never prints a secret.

mod channels;
mod hooks;
mod hosts;
mod load;
mod mail;
mod push;
mod source;
mod sso;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use jiff::SignedDuration;
use secrecy::SecretString;
use serde::Deserialize;
use url::Url;

pub use channels::ChannelsConfig;
pub use hooks::HooksConfig;
pub use load::{BadConfig, Environment};
pub use mail::{Channel, MailConfig, MailServer};
pub use push::PushConfig;
pub use source::{Credentials, Matcher, SourceConfig};
pub use sso::{EmailVerified, SecondFactor, SignInConfig, SsoConfig};

const FAREWELL: SignedDuration = SignedDuration::from_secs(5);

/// The whole configuration, checked.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the portal listens. Environment: `COUNTERSIGN_LISTEN`.
    #[serde(default = "default_listen")]
    pub listen: SocketAddr,
    /// The address people use, without a path. Required (and https) unless the portal listens on loopback.
    #[serde(default)]
    pub public_url: Option<Url>,
    /// Where the private Postgres and local secrets live. Default: the platform's place for such data.
    #[serde(default)]
    pub data_dir: Option<PathBuf>,
    /// A file with the key that secrets are sealed with: 32 bytes in base64. Absent: the portal makes one and keeps it in
    /// the database. `COUNTERSIGN_SECRET_KEY_FILE`.
    #[serde(default)]
    pub secret_key_file: Option<PathBuf>,
    /// How often each source is read through. 1 s to 1 h.
    #[serde(default = "default_poll_interval")]
    pub poll_interval: SignedDuration,
    /// How often a source is read through while its queue (`sources.queue_url`) is heard. 1 s to 1 h, never more often than
    /// `poll_interval`.
    #[serde(default = "default_queue_poll_interval")]
    pub queue_poll_interval: SignedDuration,
    /// How long the portal goes on serving after it was told to stop, so that a balancer notices first. At most 1 min.
    /// Default: 5 s with a `public_url`, nothing without.
    #[serde(default)]
    pub farewell: Option<SignedDuration>,
    /// What is logged: a level, or `tracing` directives such as `info,countersign::watcher=debug`.
    #[serde(default = "default_log")]
    pub log: String,
    #[serde(default)]
    pub log_format: LogFormat,
    /// Proxies whose `X-Forwarded-For` is believed.
    #[serde(default)]
    pub trusted_proxies: Vec<IpNet>,
    #[serde(default)]
    pub database: DatabaseConfig,
    #[serde(default)]
    pub session: SessionConfig,
    #[serde(default)]
    pub mail: MailConfig,
    #[serde(default)]
    pub sign_in: SignInConfig,
    /// The identity providers that people may sign in with.
    #[serde(default)]
    pub sso: Vec<SsoConfig>,
    #[serde(default)]
    pub hooks: HooksConfig,
    #[serde(default)]
    pub channels: ChannelsConfig,
    #[serde(default)]
    pub push: PushConfig,
    /// Empty: one source, `default`, from the SDK's own environment.
    #[serde(default)]
    pub sources: Vec<SourceConfig>,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    #[default]
    Human,
    Json,
}

/// Which Postgres, and as whom.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseConfig {
    /// The serving login. Also `DATABASE_URL`. Absent: a private Postgres under the data directory.
    #[serde(default)]
    pub url: Option<SecretString>,
    /// The login that owns the schema: used for migrations only. `COUNTERSIGN_DATABASE_OWNER_URL`.
    #[serde(default)]
    pub owner_url: Option<SecretString>,
    /// The login that verifies and exports. Absent: the serving login. `COUNTERSIGN_DATABASE_READER_URL`.
    #[serde(default)]
    pub reader_url: Option<SecretString>,
    /// Where changes are heard of, when `url` leads to a pooler that passes no notifications on. Absent: `url`.
    /// `COUNTERSIGN_DATABASE_LISTEN_URL`.
    #[serde(default)]
    pub listen_url: Option<SecretString>,
    /// Whether `serve` runs pending migrations. Default true.
    #[serde(default)]
    pub migrate: Option<bool>,
    /// Where the server programs of a private Postgres are, when they are not found by themselves.
    #[serde(default)]
    pub postgres_bin: Option<PathBuf>,
}

/// How long people stay signed in (NIST SP 800-63B-4 AAL2; ASVS 7.3).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SessionConfig {
    /// Without a request for this long, the session ends. 1 min to 1 h.
    pub idle: SignedDuration,
    /// The session ends after this in any case. 5 min to 12 h.
    pub absolute: SignedDuration,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self { idle: SignedDuration::from_mins(30), absolute: SignedDuration::from_hours(8) }
    }
}

fn default_listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8080))
}

fn default_poll_interval() -> SignedDuration {
    SignedDuration::from_secs(15)
}

fn default_queue_poll_interval() -> SignedDuration {
    SignedDuration::from_mins(2)
}

fn default_log() -> String {
    "info".to_owned()
}

impl Config {
    /// The address people use, as an origin: scheme, host and port, no path.
    #[must_use]
    pub fn public_origin(&self) -> String {
        let url = self.public_url();
        url.origin().ascii_serialization()
    }

    /// The address people use. Without a configured one, the listening address itself (only ever loopback: `load` saw to
    /// that).
    #[must_use]
    pub fn public_url(&self) -> Url {
        self.public_url.clone().unwrap_or_else(|| {
            Url::parse(&format!("http://{}", self.listen)).expect("a socket address makes an http address")
        })
    }

    /// How long a balancer in front is given to notice that the portal stops (P-20).
    #[must_use]
    pub fn farewell(&self) -> Duration {
        let default = if self.public_url.is_some() { FAREWELL } else { SignedDuration::ZERO };
        self.farewell.unwrap_or(default).unsigned_abs()
    }

    /// Whether cookies carry `__Host-` and `Secure`: everywhere but on plain http over loopback.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.public_url.as_ref().is_some_and(|url| url.scheme() == "https")
    }

    /// Where data is kept. As root a system directory, because the database runs as another user who could not reach a
    /// private home.
    #[must_use]
    pub fn data_dir(&self, environment: &Environment) -> PathBuf {
        self.data_dir.clone().unwrap_or_else(|| default_data_dir(environment, "countersign"))
    }
}

/// The platform's place for the data of a program called `name`.
#[must_use]
pub fn default_data_dir(environment: &Environment, name: &str) -> PathBuf {
    if nix::unistd::geteuid().is_root() {
        return PathBuf::from("/var/lib").join(name);
    }
    let home = environment.find("HOME").map_or_else(|| PathBuf::from("."), PathBuf::from);
    match environment.find("XDG_DATA_HOME") {
        Some(data) if !data.is_empty() => PathBuf::from(data).join(name),
        _ if cfg!(target_os = "macos") => home.join("Library/Application Support").join(name),
        _ => home.join(".local/share").join(name),
    }
}
