//! From settings to a database that may be used: the operator's own server or a private one, migrated if that is wanted,
//! and refused if it is not safe. What `serve` and every command that needs the database go through.
//!
//! It must never serve with the owner's login, and never serve from a database that does not fit or is not safe.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};

use super::connect::{self, BadUrl, Database, parse_url};
use super::migrate::{self, MigrateFailure};
use super::outage::is_passing;
use super::private::{PrivateError, PrivateOptions, PrivatePostgres};
use super::roles::Role;
use super::safety::{self, Unsafe};

/// Which Postgres, and as whom. The configuration fills this in; nothing here reads the environment.
#[derive(Debug, Clone)]
pub struct DatabaseSettings {
    /// The serving login (`DATABASE_URL`). Absent: a private Postgres under `data_dir`.
    pub url: Option<SecretString>,
    /// The login that owns the schema (`COUNTERSIGN_DATABASE_OWNER_URL`); for migrations only.
    pub owner_url: Option<SecretString>,
    /// The login that verifies and exports (`COUNTERSIGN_DATABASE_READER_URL`). Absent: the serving login.
    pub reader_url: Option<SecretString>,
    /// Where the serving login hears of changes (`COUNTERSIGN_DATABASE_LISTEN_URL`). Absent: `url`.
    pub listen_url: Option<SecretString>,
    /// Whether serving begins with the pending migrations.
    pub migrate: bool,
    /// Where a private Postgres lives.
    pub data_dir: PathBuf,
    /// Where the server programs of a private Postgres are, when they are not found by themselves.
    pub postgres_bin: Option<PathBuf>,
}

impl DatabaseSettings {
    /// The options of a private Postgres here, guarded by the running program.
    fn private(&self, progress: fn(&str)) -> Result<PrivateOptions, OpenError> {
        let mut options = PrivateOptions::new(&self.data_dir).map_err(OpenError::OwnPath)?;
        options.bin_dir.clone_from(&self.postgres_bin);
        options.progress = progress;
        Ok(options)
    }

    /// The login an operator gave for `role`, with what it is called, where one was given.
    fn find_login(&self, role: Role) -> Result<Option<PgConnectOptions>, BadUrl> {
        let own = match role {
            Role::Owner => self.owner_url.as_ref().map(|url| ("COUNTERSIGN_DATABASE_OWNER_URL", url)),
            Role::Reader => self.reader_url.as_ref().map(|url| ("COUNTERSIGN_DATABASE_READER_URL", url)),
            Role::App => None,
        };
        let login = own.or_else(|| self.url.as_ref().map(|url| ("DATABASE_URL", url)));
        login.map(|(name, url)| parse_url(name, url)).transpose()
    }
}

/// Why the database is not used. Every text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Url(#[from] BadUrl),
    #[error(transparent)]
    Private(#[from] PrivateError),
    #[error(
        "The path of the running program is not known, so no database guard can be started: {0}. Set DATABASE_URL."
    )]
    OwnPath(std::io::Error),
    #[error("The database at {place} cannot be reached: {reason}. Is it running, and is the address right?")]
    Unreachable {
        place: String,
        reason: String,
        /// Whether it may pass by itself.
        passing: bool,
    },
    #[error(transparent)]
    Migrate(#[from] MigrateFailure),
    #[error("{0}")]
    Unfit(String),
    #[error("This database is not safe to serve from.\n{}", list(.0))]
    Unsafe(Vec<Unsafe>),
    #[error("The database could not be asked: {0}")]
    Database(#[from] sqlx::Error),
}

fn list(found: &[Unsafe]) -> String {
    let lines: Vec<String> = found.iter().map(|one| format!("- {one}")).collect();
    lines.join("\n")
}

/// A database for one command.
#[derive(Debug)]
pub struct Opened {
    pub options: PgConnectOptions,
    private: Option<PrivatePostgres>,
}

impl Opened {
    /// Stops the private server, if this command had to start it.
    pub async fn close(self) -> Result<(), PrivateError> {
        match self.private {
            Some(private) => private.stop().await,
            None => Ok(()),
        }
    }

    /// One connection, or a sentence.
    pub async fn connect(&self) -> Result<PgConnection, OpenError> {
        connect(&self.options).await
    }
}

/// Opens the database for a command beside a possibly running portal, logged in as `role`.
pub async fn open(settings: &DatabaseSettings, role: Role, progress: fn(&str)) -> Result<Opened, OpenError> {
    if let Some(options) = settings.find_login(role)? {
        return Ok(Opened { options, private: None });
    }
    let private = PrivatePostgres::start_or_join(&settings.private(progress)?).await?;
    Ok(Opened { options: private.options(role), private: Some(private) })
}

/// A database to serve from: migrated, checked, and with pools that have not connected yet.
#[derive(Debug)]
pub struct Serving {
    pub database: Database,
    /// The private server, where there is one. Dropping it stops the server: keep it until the pools are closed.
    pub private: Option<PrivatePostgres>,
}

/// Opens the database for serving. Refuses one that lacks migrations it may not run, and one that is not safe.
pub async fn open_for_serving(settings: &DatabaseSettings, progress: fn(&str)) -> Result<Serving, OpenError> {
    let (app, owner, private) = match &settings.url {
        Some(_) => {
            // Never DATABASE_URL: the serving login is not the owner's.
            let owner = settings.owner_url.as_ref().map(|_| settings.find_login(Role::Owner)).transpose()?.flatten();
            (settings.find_login(Role::App)?, owner, None)
        }
        None => {
            let private = PrivatePostgres::start(&settings.private(progress)?).await?;
            (Some(private.options(Role::App)), Some(private.options(Role::Owner)), Some(private))
        }
    };
    let app = app.expect("there is a URL or a private server");
    if let Some(owner) = owner.filter(|_| settings.migrate) {
        migrate::migrate(&owner).await?;
    }
    let mut conn = connect(&connect::serving(app.clone())).await?;
    let state = migrate::load_state(&mut conn).await?;
    if let Some(problem) = state.problem() {
        return Err(OpenError::Unfit(problem));
    }
    if let migrate::SchemaState::Newer { database, program, .. } = state {
        tracing::warn!(
            database,
            program,
            "the database is newer than this program, which works with it until it is replaced"
        );
    }
    let found = safety::check(&mut conn).await?;
    if !found.is_empty() {
        return Err(OpenError::Unsafe(found));
    }
    conn.close().await?;
    let mut database = Database::open(&app);
    if let Some(url) = &settings.listen_url {
        database = database.listening_by(parse_url("COUNTERSIGN_DATABASE_LISTEN_URL", url)?);
    }
    Ok(Serving { database, private })
}

async fn connect(options: &PgConnectOptions) -> Result<PgConnection, OpenError> {
    let place = || {
        let socket = options.get_socket().map(|socket| socket.display().to_string());
        socket.unwrap_or_else(|| format!("{}:{}", options.get_host(), options.get_port()))
    };
    // Only connecting is limited here; a transaction never is (P-02).
    match tokio::time::timeout(Duration::from_secs(10), options.connect()).await {
        Ok(Ok(conn)) => Ok(conn),
        Ok(Err(error)) => {
            let passing = is_passing(&error);
            Err(OpenError::Unreachable { place: place(), reason: error.to_string(), passing })
        }
        Err(_) => {
            Err(OpenError::Unreachable { place: place(), reason: "no answer within 10 s".to_owned(), passing: true })
        }
    }
}
