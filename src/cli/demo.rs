//! `countersign demo`: the portal on a simulated AWS, with nothing to configure. Puts together what `serve` does with a
//! world, its review pages and people who may sign in; everything lasts in one directory.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use jiff::SignedDuration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::opening::{database_settings, finish};
use super::{say, serve};
use crate::access::Access;
use crate::accounts::admin::NewAccount;
use crate::accounts::{Accounts, By};
use crate::clock::Clock;
use crate::config::{
    ChannelsConfig, Config, DatabaseConfig, Environment, HooksConfig, LogFormat, MailConfig, PushConfig, SessionConfig,
    SignInConfig, default_data_dir,
};
use crate::database::private::PrivatePostgres;
use crate::database::{Patience, Serving, open_for_serving};
use crate::demo::{self, Memory, Place};
use crate::domain::people::Roles;
use crate::random::Random;
use crate::simulator::{Diary, Simulator, SimulatorHandle};
use crate::store::access::grants::To;
use crate::web::duties::Duties;
use crate::web::{App, Running};
use crate::{shutdown, telemetry};

/// How many ports after the portal's are tried for the review pages, the first time.
const NEIGHBOURS: u16 = 50;

/// Runs the portal on a simulated AWS: pipelines that move by themselves, and people who may sign in.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign demo\n  countersign demo --reset --listen 127.0.0.1:9090")]
pub(super) struct Demo {
    /// Start over: forget the world, the people and every record of this demo
    #[arg(long)]
    reset: bool,
    /// Where the portal listens; only this machine can reach it
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Where the demo lives [default: countersign-demo, where such data belongs on this system]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where postgres and initdb are, when they are not found by themselves
    #[arg(long, value_name = "DIR", env = "COUNTERSIGN_DATABASE_POSTGRES_BIN")]
    postgres_bin: Option<PathBuf>,
    /// What is logged: a level, or directives such as info,countersign::watcher=debug
    #[arg(long, value_name = "FILTER", default_value = "warn")]
    log: String,
}

impl Demo {
    pub(super) fn run(self) -> ExitCode {
        finish(self.show())
    }

    async fn show(self) -> anyhow::Result<ExitCode> {
        ensure!(
            self.listen.ip().is_loopback(),
            "the demo listens on this machine only: {} is reachable from elsewhere; use 127.0.0.1",
            self.listen
        );
        telemetry::start(&self.log, LogFormat::Human)?;
        let stop = shutdown::on_signal().context("Signals cannot be heard")?;
        let listener = bind(self.listen, "Stop it, or choose another with --listen 127.0.0.1:9090").await?;
        let place = self.take_place()?;
        let stage = Stage::set(self, &place, listener.local_addr()?, stop.clone()).await?;
        let playing = stage.play(&place, listener).await?;
        stop.cancelled().await;
        say("Stopping; everything is kept for the next start.");
        playing.end().await?;
        Ok(ExitCode::SUCCESS)
    }

    fn take_place(&self) -> anyhow::Result<Place> {
        let default = || default_data_dir(&Environment::of_process(), "countersign-demo");
        let place = Place::take(&self.data_dir.clone().unwrap_or_else(default))?;
        say(format_args!("The demo lives in {}", place.dir().display()));
        if self.reset {
            say("  starting over");
            place.reset()?;
        }
        Ok(place)
    }
}

/// The simulated AWS with everything around it, before the portal.
struct Stage {
    memory: Memory,
    simulator: SimulatorHandle,
    config: Config,
    opened: Serving,
}

impl Stage {
    async fn set(demo: Demo, place: &Place, portal: SocketAddr, stop: CancellationToken) -> anyhow::Result<Self> {
        let (memory, reviews) = remember(place, portal).await?;
        let world = demo::world(memory.seed.into(), &format!("http://{}", reviews.local_addr()?))?;
        let config = |sources| Config {
            listen: portal,
            public_url: None,
            data_dir: Some(place.dir().to_owned()),
            secret_key_file: None,
            poll_interval: SignedDuration::from_secs(5),
            queue_poll_interval: SignedDuration::from_mins(2),
            farewell: None,
            log: demo.log.clone(),
            log_format: LogFormat::Human,
            trusted_proxies: Vec::new(),
            database: DatabaseConfig { postgres_bin: demo.postgres_bin.clone(), ..DatabaseConfig::default() },
            session: SessionConfig { idle: SignedDuration::from_hours(1), absolute: SignedDuration::from_hours(12) },
            mail: MailConfig::default(),
            sign_in: SignInConfig::default(),
            sso: Vec::new(),
            hooks: HooksConfig::default(),
            channels: ChannelsConfig::default(),
            push: PushConfig::default(),
            sources,
        };
        say("  starting a PostgreSQL of its own");
        let settings = database_settings(&config(Vec::new()), &Environment::default());
        let opened = open_for_serving(&settings, |step| say(format_args!("    {step}"))).await;
        let opened = opened.map_err(|error| in_words_of_the_demo(&error.into()))?;
        say("  starting a simulated AWS");
        let clock = Clock::system();
        let diary = Diary::open(&place.diary_file(), clock.now()).context("Start over with --reset")?;
        let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let simulator = Simulator::resume(world.clone(), clock, anywhere, diary).await?;
        let sources = demo::sources(&world, &simulator.endpoint().parse()?);
        serve_reviews(reviews, simulator.clone(), stop);
        Ok(Self { memory, simulator, config: config(sources), opened })
    }

    /// Starts the portal, and says how to get in.
    async fn play(self, place: &Place, listener: TcpListener) -> anyhow::Result<Playing> {
        say("  starting the portal");
        let (state, watcher) = serve::assemble(self.config, self.opened.database, Patience::begin()).await?;
        admit(&state.accounts, &state.access, &self.memory).await?;
        // Once before anybody looks, so that the first page already shows what waits.
        watcher.register().await?;
        watcher.activate().await;
        let duties = Duties::start(&state, watcher);
        let running = App::start(state, listener)?;
        say(welcome(&running, place, &self.memory, &self.simulator));
        Ok(Playing { running, duties, private: self.opened.private, simulator: self.simulator })
    }
}

/// The demo while it runs.
struct Playing {
    running: Running,
    duties: Duties,
    private: Option<PrivatePostgres>,
    simulator: SimulatorHandle,
}

impl Playing {
    async fn end(self) -> anyhow::Result<()> {
        // The simulator goes last: decisions under way still need it.
        let ended = serve::end(self.running, self.duties, self.private).await;
        self.simulator.stop();
        ended
    }
}

/// What an earlier start wrote down, or a first start's, with a listener where the review pages are.
async fn remember(place: &Place, portal: SocketAddr) -> anyhow::Result<(Memory, TcpListener)> {
    let at = |port| SocketAddr::new(portal.ip(), port);
    if let Some(memory) = place.find_memory()? {
        let advice = "Review links of this demo lead there. Stop it, or start over with --reset";
        let listener = bind(at(memory.reviews_port), advice).await?;
        return Ok((memory, listener));
    }
    for port in portal.port().saturating_add(1)..=portal.port().saturating_add(NEIGHBOURS) {
        if let Ok(listener) = TcpListener::bind(at(port)).await {
            return Ok((place.create_memory(port, &Random::system())?, listener));
        }
    }
    bail!("no port after {} is free for the demo's review pages; choose another address with --listen", portal.port())
}

async fn bind(address: SocketAddr, advice: &str) -> anyhow::Result<TcpListener> {
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(listener),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            bail!("{address} is taken by another program. {advice}.")
        }
        Err(error) => bail!("cannot listen on {address}: {error}. {advice}."),
    }
}

/// The database module knows the data directory by a variable; here it is an argument.
fn in_words_of_the_demo(error: &anyhow::Error) -> anyhow::Error {
    anyhow::anyhow!(format!("{error:#}").replace("COUNTERSIGN_DATA_DIR", "--data-dir"))
}

fn serve_reviews(listener: TcpListener, simulator: SimulatorHandle, stop: CancellationToken) {
    tokio::spawn(async move {
        let served = axum::serve(listener, demo::reviews(simulator)).with_graceful_shutdown(stop.cancelled_owned());
        if let Err(error) = served.await {
            tracing::error!(%error, "the demo's review pages ended");
        }
    });
}

/// Makes the accounts that are missing, with what each may decide.
async fn admit(accounts: &Accounts, access: &Access, memory: &Memory) -> anyhow::Result<()> {
    for person in &memory.sign_ins {
        if accounts.find_by_email(&person.email).await?.is_some() {
            continue;
        }
        let roles = person.roles.iter().fold(Roles::default(), |roles, role| roles.with(*role));
        let (email, name) = (person.email.clone(), person.name.clone());
        let password = Some(person.password.clone().into());
        let (account, _) = accounts.create(&By::Operator, NewAccount { email, name, roles, password }).await?;
        let has_grant = access.list_grants().await?.iter().any(|grant| grant.to == To::Person(account));
        // The first approver of a portal may decide everything anyway.
        for asked in person.grants().into_iter().filter(|_| !has_grant) {
            access.give(&By::Operator, &asked).await?;
        }
    }
    Ok(())
}

fn welcome(running: &Running, place: &Place, memory: &Memory, simulator: &SimulatorHandle) -> String {
    let people = memory.sign_ins.iter();
    let people: String =
        people.map(|person| format!("  {:<20} {:<22} {}\n", person.part(), person.email, person.password)).collect();
    format!(
        "\nReady: {}\n\n{people}\nThe sign-ins are also in {}.\nThe simulated AWS answers the real command line:\n  \
         AWS_ACCESS_KEY_ID=any AWS_SECRET_ACCESS_KEY=any aws --endpoint-url {} --region eu-west-1 codepipeline \
         list-pipelines\nCtrl-C stops everything; the next start finds it as it was. --reset starts over.",
        running.state.config.public_url(),
        place.memory_file().display(),
        simulator.endpoint(),
    )
}
