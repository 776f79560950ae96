//! What every command that needs the configuration or the database has in common: reading the one, opening the other, and
//! turning the end into an exit code.

use std::future::Future;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;

use super::complain;
use crate::config::{Config, Environment};
use crate::database::DatabaseSettings;

/// Where the configuration is.
#[derive(Debug, Args)]
pub(super) struct ConfigFile {
    /// The configuration file [default: $COUNTERSIGN_CONFIG, or ./countersign.toml if it exists]
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
}

impl ConfigFile {
    pub(super) fn load(&self) -> anyhow::Result<(Config, Environment)> {
        let environment = Environment::of_process();
        let config = Config::load(self.config.as_deref(), &environment)?;
        Ok((config, environment))
    }

    pub(super) fn load_database(&self) -> anyhow::Result<DatabaseSettings> {
        let (config, environment) = self.load()?;
        Ok(database_settings(&config, &environment))
    }
}

/// Which database the configuration means.
pub(super) fn database_settings(config: &Config, environment: &Environment) -> DatabaseSettings {
    DatabaseSettings {
        url: config.database.url.clone(),
        owner_url: config.database.owner_url.clone(),
        reader_url: config.database.reader_url.clone(),
        listen_url: config.database.listen_url.clone(),
        migrate: config.database.migrate.unwrap_or(true),
        data_dir: config.data_dir(environment),
        postgres_bin: config.database.postgres_bin.clone(),
    }
}

/// Runs a command to its end; what went wrong goes to standard error, and the exit code is then 1.
pub(super) fn finish(command: impl Future<Output = anyhow::Result<ExitCode>>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let done = runtime.context("cannot start the runtime").and_then(|runtime| runtime.block_on(command));
    done.unwrap_or_else(|error| {
        complain(format_args!("{error:#}"));
        ExitCode::FAILURE
    })
}
