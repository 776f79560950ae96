//! What commands have in common: the configuration, a runtime, and the way to the database it names.

use std::future::Future;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use sqlx::postgres::PgConnectOptions;

use super::complain;
use crate::config::{Config, Environment};
use crate::database::private::{PrivateOptions, PrivatePostgres};
use crate::database::{Role, connect};

/// Which configuration a command reads: the same as `serve`.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ConfigArg {
    /// The configuration file [default: countersign.toml, if there is one]
    #[arg(long, value_name = "FILE", env = "COUNTERSIGN_CONFIG")]
    pub config: Option<PathBuf>,
}

impl ConfigArg {
    /// Reads the file and the environment of this process.
    pub(crate) fn load(&self) -> anyhow::Result<(Config, Environment)> {
        let environment = Environment::of_process();
        Ok((Config::load(self.config.as_deref(), &environment)?, environment))
    }
}

/// Runs a command to its end and says what went wrong, if anything did.
pub(crate) fn run(command: impl Future<Output = anyhow::Result<()>>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match runtime.context("The runtime could not be started").and_then(|runtime| runtime.block_on(command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(format_args!("countersign: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Whether another process of the same data directory may be running the private Postgres.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Company {
    /// This process runs it, or fails.
    Alone,
    /// A command beside a running portal: it shares that portal's.
    Joins,
}

/// The logins of the database that the configuration names.
#[derive(Debug)]
pub(crate) struct Opened {
    pub serving: PgConnectOptions,
    /// Absent where migrating is somebody else's task.
    pub owner: Option<PgConnectOptions>,
    pub reader: PgConnectOptions,
    /// Keeps the private Postgres running for as long as it is held.
    pub private: Option<PrivatePostgres>,
}

/// Finds the database: the one at `DATABASE_URL`, or else the private one, which is started if need be.
pub(crate) async fn open(config: &Config, environment: &Environment, company: Company) -> anyhow::Result<Opened> {
    let settings = &config.database;
    if let Some(url) = &settings.url {
        let serving = connect::parse_url("DATABASE_URL", url)?;
        let owner = settings.owner_url.as_ref().map(|url| connect::parse_url("COUNTERSIGN_DATABASE_OWNER_URL", url));
        let reader = settings.reader_url.as_ref().map(|url| connect::parse_url("COUNTERSIGN_DATABASE_READER_URL", url));
        let reader = reader.transpose()?.unwrap_or_else(|| serving.clone());
        return Ok(Opened { serving, owner: owner.transpose()?, reader, private: None });
    }
    let mut options = PrivateOptions::new(&config.data_dir(environment)).context("This program cannot find itself")?;
    options.bin_dir.clone_from(&settings.postgres_bin);
    options.progress = |line| tracing::info!("{line}");
    let private = match company {
        Company::Alone => PrivatePostgres::start(&options).await?,
        Company::Joins => PrivatePostgres::start_or_join(&options).await?,
    };
    Ok(Opened {
        serving: private.options(Role::App),
        owner: Some(private.options(Role::Owner)),
        reader: private.options(Role::Reader),
        private: Some(private),
    })
}
