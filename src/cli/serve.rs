//! `countersign serve`: the portal. Assembles the parts in the order in which each needs the one before, and takes them
//! apart again when told to stop.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use secrecy::ExposeSecret as _;
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::net::TcpListener;

use super::open::{Company, ConfigArg, Opened, open, run};
use super::say;
use crate::accounts::{Accounts, Settings};
use crate::clock::Clock;
use crate::config::{Config, LogFormat};
use crate::database::{Database, migrate, safety};
use crate::random::Random;
use crate::web::duties::{self, Duties};
use crate::web::{App, AppState, Running};
use crate::{shutdown, telemetry};

/// How long probers get to notice that we are leaving, before connections are refused (P-20).
const FAREWELL: Duration = Duration::from_secs(5);
const REQUESTS: Duration = Duration::from_secs(20);

/// Serves the portal: watches the sources, shows what waits, sends decisions.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  COUNTERSIGN_LISTEN=127.0.0.1:8080 AWS_REGION=eu-west-1 countersign serve")]
pub(super) struct Serve {
    #[command(flatten)]
    config: ConfigArg,
    /// How log lines look
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
}

impl Serve {
    pub(super) fn run(self) -> ExitCode {
        run(self.serve())
    }

    async fn serve(self) -> anyhow::Result<()> {
        let (mut config, environment) = self.config.load()?;
        telemetry::start(&config.log, self.log_format.unwrap_or(config.log_format))?;
        let stop = shutdown::on_signal().context("Signals cannot be heard")?;
        // Before the database, because it is quickly known and quickly put right.
        let listener = TcpListener::bind(config.listen)
            .await
            .with_context(|| format!("The portal cannot listen on {} (`listen`, COUNTERSIGN_LISTEN)", config.listen))?;
        // Port 0 becomes the port it is, which the portal's own address is made of where none is configured.
        config.listen = listener.local_addr()?;
        let opened = open(&config, &environment, Company::Alone).await?;
        if let Some(private) = &opened.private {
            say(private.notice());
        }
        prepare(&config, &opened).await?;
        let state = assemble(config, Database::open(&opened.serving)).await?;
        let duties = Duties::start(&state);
        offer_setup(&state).await?;
        let running = App::start(state, listener)?;
        say(format_args!("Countersign is at {}", running.state.config.public_url()));
        stop.cancelled().await;
        end(running, duties, opened).await
    }
}

/// Migrates unless told not to, then refuses a database in which records would not be safe.
pub(super) async fn prepare(config: &Config, opened: &Opened) -> anyhow::Result<()> {
    if let (Some(owner), true) = (&opened.owner, config.database.migrate.unwrap_or(true)) {
        let done = migrate::migrate(owner).await?;
        if done > 0 {
            tracing::info!(migrations = done, "the database was migrated");
        }
    }
    let mut connection = opened.serving.connect().await.context("The database cannot be reached")?;
    if let Some(problem) = migrate::load_state(&mut connection).await?.problem() {
        bail!(problem);
    }
    let problems = safety::check(&mut connection).await?;
    connection.close().await.ok();
    if problems.is_empty() {
        return Ok(());
    }
    let lines: String = problems.iter().map(|problem| format!("\n  {problem}")).collect();
    bail!("Records would not be safe in this database, so the portal does not start:{lines}")
}

/// The portal's parts, around an open database.
pub(super) async fn assemble(config: Config, database: Database) -> anyhow::Result<AppState> {
    let (clock, random) = (Clock::system(), Random::system());
    duties::follow_database_clock(&database, &clock).await.context("The database's clock cannot be read")?;
    let accounts = Accounts::new(database.clone(), clock.clone(), random.clone(), Settings::of(&config));
    Ok(AppState { clock, random, config: Arc::new(config), database, accounts, readiness: Default::default() })
}

/// Prints the one-time secret for the first account (S-07). It goes to the terminal or the service's journal, not
/// through the log, which may be shipped elsewhere.
async fn offer_setup(state: &AppState) -> anyhow::Result<()> {
    if let Some(secret) = state.accounts.issue_secret().await? {
        say(format_args!(
            "Nobody has an account yet. Within the hour, open {}setup and give this secret:\n\n    {}\n",
            state.config.public_url(),
            secret.expose_secret()
        ));
    }
    Ok(())
}

/// Stops in good order (P-20): readiness, new connections, running requests, decisions under way, the database.
async fn end(running: Running, duties: Duties, opened: Opened) -> anyhow::Result<()> {
    running.leave();
    tokio::time::sleep(FAREWELL).await;
    let database = running.state.database.clone();
    running.stop(REQUESTS).await;
    duties.stop().await;
    database.close().await;
    if let Some(private) = opened.private {
        private.stop().await?;
    }
    Ok(())
}
