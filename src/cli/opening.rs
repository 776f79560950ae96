//! What every command that needs the configuration or the database has in common: reading the one, opening the other,
//! finding somebody in it, and turning the end into an exit code.

use std::future::Future;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;

use super::complain;
use crate::accounts::seal::open_sealer;
use crate::accounts::{Accounts, Settings};
use crate::clock::Clock;
use crate::config::{Config, Environment};
use crate::database::migrate::load_state;
use crate::database::{Database, DatabaseSettings, Role, open};
use crate::domain::ids::AccountId;
use crate::random::Random;

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

/// Does what a command does in the portal's own database, once its tables are those of this version. The database is closed
/// whatever came of it.
pub(super) async fn with_database(
    file: &ConfigFile,
    act: impl AsyncFnOnce(&Config, &Database) -> anyhow::Result<()>,
) -> anyhow::Result<ExitCode> {
    let (config, environment) = file.load()?;
    let settings = database_settings(&config, &environment);
    let opened = open(&settings, Role::App, |step| complain(step)).await?;
    let problem = load_state(&mut opened.connect().await?).await?.problem();
    let database = Database::open_for_command(&opened.options);
    let done = match problem {
        Some(problem) => Err(anyhow::Error::msg(problem)),
        None => act(&config, &database).await,
    };
    database.close().await;
    opened.close().await?;
    done.map(|()| ExitCode::SUCCESS)
}

/// The people in that database, as the portal that is served has them.
pub(super) async fn open_accounts(config: &Config, database: &Database) -> anyhow::Result<Accounts> {
    let (clock, random) = (Clock::system(), Random::system());
    let sealer = open_sealer(database, config.secret_key_file.as_deref(), &clock, &random).await?;
    Ok(Accounts::new(database.clone(), clock, random, Settings::of(config), sealer))
}

/// Whose e-mail this is.
pub(super) async fn load_account(accounts: &Accounts, email: &str) -> anyhow::Result<AccountId> {
    let found = accounts.find_by_email(email).await?;
    found.with_context(|| format!("There is no account {}. `countersign account list` shows all.", email.trim()))
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
