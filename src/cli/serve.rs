//! `countersign serve`: the portal. Assembles the parts in the order in which each needs the one before, and takes them
//! apart again when told to stop.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use secrecy::ExposeSecret as _;
use tokio::net::{TcpListener, TcpSocket};

use super::descriptors;
use super::opening::{ConfigFile, database_settings, finish};
use super::say;
use crate::accounts::seal::open_sealer;
use crate::accounts::{Accounts, Settings, Unavailable};
use crate::clock::Clock;
use crate::config::{Config, LogFormat};
use crate::database::outage::is_passing;
use crate::database::private::PrivatePostgres;
use crate::database::{Database, OpenError, Patience, open_for_serving};
use crate::random::Random;
use crate::web::duties::{self, Duties};
use crate::web::state::Parts;
use crate::web::{App, AppState, Running};
use crate::{codepipeline, shutdown, telemetry, watcher::Watcher};

/// How long what runs may go on (P-20). Together with the farewell of 5 s at most 45 s.
const REQUESTS: Duration = Duration::from_secs(20);
/// Connections the operating system may have let in before we look: as many as there may be at all.
const BACKLOG: u32 = 2_048;
const DECISIONS: Duration = Duration::from_secs(15);
/// For the rest: what a duty is in the middle of, and saying goodbye to the database.
const REST: Duration = Duration::from_secs(2);

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
        descriptors::raise_limit();
        let stop = shutdown::on_signal().context("Signals cannot be heard")?;
        // Before the database, because it is quickly known and quickly put right.
        let listener = listen(&mut config).await?;
        let settings = database_settings(&config, &environment);
        let patience = Patience::begin();
        let open = async || open_for_serving(&settings, |step| tracing::info!("{step}")).await;
        let opened = patience.keep(OpenError::is_passing, open).await?;
        if let Some(private) = &opened.private {
            say(private.notice());
        }
        let (state, watcher) = assemble(config, opened.database, patience).await?;
        let duties = Duties::start(&state, watcher);
        offer_setup(&state, patience).await?;
        warn_if_locked_out(&state, patience).await?;
        let running = App::start(state, listener)?;
        say(format_args!("Countersign is at {}", running.state.config.public_url()));
        stop.cancelled().await;
        end(running, duties, opened.private).await?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Listens where the configuration says. Port 0 becomes the port it is: where no public address is configured, the
/// portal's own is made of it.
pub(super) async fn listen(config: &mut Config) -> anyhow::Result<TcpListener> {
    let listener = bind(config.listen)
        .with_context(|| format!("The portal cannot listen on {} (`listen`, COUNTERSIGN_LISTEN)", config.listen))?;
    config.listen = listener.local_addr()?;
    Ok(listener)
}

fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// The portal's parts, around an open database.
pub(super) async fn assemble(
    config: Config,
    database: Database,
    patience: Patience,
) -> anyhow::Result<(AppState, Watcher)> {
    let (clock, random) = (Clock::system(), Random::system());
    let follow = async || duties::follow_database_clock(&database, &clock).await;
    patience.keep(is_passing, follow).await.context("The database's clock cannot be read")?;
    let sealer = open_sealer(&database, config.secret_key_file.as_deref(), &clock, &random).await?;
    let accounts = Accounts::new(database.clone(), clock.clone(), random.clone(), Settings::of(&config), sealer);
    let aws = codepipeline::Settings::default();
    Ok(AppState::assemble(Parts { config, database, clock, random, accounts, aws }).await?)
}

/// Prints the one-time secret for the first account (S-07). On the terminal or the service's journal rather than through
/// the log, which may be shipped elsewhere.
async fn offer_setup(state: &AppState, patience: Patience) -> anyhow::Result<()> {
    let issue = async || state.accounts.issue_secret().await;
    if let Some(secret) = patience.keep(Unavailable::is_passing, issue).await? {
        say(format_args!(
            "Nobody has an account yet. Within the hour, open {}setup and give this secret:\n\n    {}\n",
            state.config.public_url(),
            secret.expose_secret()
        ));
    }
    Ok(())
}

/// Where passwords are off, somebody must be able to get in when the identity provider fails.
async fn warn_if_locked_out(state: &AppState, patience: Patience) -> anyhow::Result<()> {
    let look = async || state.accounts.nobody_could_break_in().await;
    if patience.keep(Unavailable::is_passing, look).await? {
        tracing::warn!(
            "sign_in.local is false and there is no enabled account for emergencies: if the identity provider fails, nobody \
             gets in. `countersign account break-glass --email …` marks one"
        );
    }
    Ok(())
}

/// Stops in good order (P-20): readiness, new connections, running requests, decisions under way, the database.
pub(super) async fn end(running: Running, duties: Duties, private: Option<PrivatePostgres>) -> anyhow::Result<()> {
    let state = running.state.clone();
    running.leave();
    tokio::time::sleep(state.config.farewell()).await;
    let people = async {
        running.stop(REQUESTS).await;
        // Cutting this short loses nothing: the next process finds what was sent and reads it back.
        if tokio::time::timeout(DECISIONS, state.decisions.drain()).await.is_err() {
            tracing::warn!("decisions were still under way; the next process settles them");
        }
    };
    let duties = tokio::time::timeout(REQUESTS + DECISIONS + REST, duties.stop());
    let ((), stopped) = tokio::join!(people, duties);
    if stopped.is_err() {
        tracing::warn!("a duty was in the middle of something for too long; it is done again by the next process");
    }
    // Waits for whoever still holds a connection. Ending without it is what a crash does, which loses nothing either.
    tokio::time::timeout(REST, state.database.close()).await.ok();
    if let Some(private) = private {
        private.stop().await?;
    }
    Ok(())
}
