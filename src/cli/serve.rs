//! `countersign serve`: the portal. Assembles the parts in the order in which each needs the one before, and takes them
//! apart again when told to stop.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use secrecy::ExposeSecret as _;
use tokio::net::TcpListener;

use super::opening::{ConfigFile, database_settings, finish};
use super::say;
use crate::accounts::{Accounts, Settings};
use crate::clock::Clock;
use crate::config::{Config, LogFormat};
use crate::database::private::PrivatePostgres;
use crate::database::{Database, open_for_serving};
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
    config: ConfigFile,
    /// How log lines look
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
}

impl Serve {
    pub(super) fn run(self) -> ExitCode {
        finish(self.serve())
    }

    async fn serve(self) -> anyhow::Result<ExitCode> {
        let (mut config, environment) = self.config.load()?;
        telemetry::start(&config.log, self.log_format.unwrap_or(config.log_format))?;
        let stop = shutdown::on_signal().context("Signals cannot be heard")?;
        // Before the database, because it is quickly known and quickly put right.
        let listener = TcpListener::bind(config.listen)
            .await
            .with_context(|| format!("The portal cannot listen on {} (`listen`, COUNTERSIGN_LISTEN)", config.listen))?;
        // Port 0 becomes the port it is, which the portal's own address is made of where none is configured.
        config.listen = listener.local_addr()?;
        let settings = database_settings(&config, &environment);
        let opened = open_for_serving(&settings, |step| tracing::info!("{step}")).await?;
        if let Some(private) = &opened.private {
            say(private.notice());
        }
        let state = assemble(config, opened.database).await?;
        let duties = Duties::start(&state);
        offer_setup(&state).await?;
        let running = App::start(state, listener)?;
        say(format_args!("Countersign is at {}", running.state.config.public_url()));
        stop.cancelled().await;
        end(running, duties, opened.private).await?;
        Ok(ExitCode::SUCCESS)
    }
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
async fn end(running: Running, duties: Duties, private: Option<PrivatePostgres>) -> anyhow::Result<()> {
    running.leave();
    tokio::time::sleep(FAREWELL).await;
    let state = running.state.clone();
    running.stop(REQUESTS).await;
    duties.stop(&state.accounts).await;
    state.database.close().await;
    if let Some(private) = private {
        private.stop().await?;
    }
    Ok(())
}
