//! `countersign simulate`: the simulator as a process of its own.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::Args;

use super::{complain, say};
use crate::{
    clock::Clock,
    simulator::{Simulator, WorldFile},
};

/// Runs a simulated CodePipeline (and STS) over HTTP, for trying things out and for tests.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  countersign simulate --world world.toml --listen 127.0.0.1:4599 --control 127.0.0.1:4600
  aws --endpoint-url http://127.0.0.1:4599 --region eu-west-1 codepipeline list-pipelines")]
pub(super) struct Simulate {
    /// The world file: accounts, regions, pipelines and how they live
    #[arg(long, value_name = "FILE")]
    world: PathBuf,
    /// Where the CodePipeline and STS APIs listen
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:4599")]
    listen: SocketAddr,
    /// Where the control listener listens (faults, acts, effects); none when absent
    #[arg(long, value_name = "ADDR")]
    control: Option<SocketAddr>,
    /// The clock stands still and moves only by `POST /step` on the control listener
    #[arg(long, requires = "control")]
    stepped: bool,
}

impl Simulate {
    pub(super) fn run(self) -> ExitCode {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let done = runtime.context("cannot start the runtime").and_then(|runtime| runtime.block_on(self.serve()));
        match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                complain(format_args!("{error:#}"));
                ExitCode::FAILURE
            }
        }
    }

    async fn serve(self) -> anyhow::Result<()> {
        let path = self.world.display();
        let text =
            std::fs::read_to_string(&self.world).with_context(|| format!("cannot read the world file {path}"))?;
        let world = WorldFile::parse(&text).with_context(|| format!("the world file {path} cannot be used"))?;
        let machine = Clock::system();
        let clock = if self.stepped { Clock::manual(world.start.unwrap_or(machine.now())) } else { machine };
        let simulator = Simulator::start(world, clock, self.listen).await?;
        if let Some(control) = self.control {
            let address = simulator.listen_control(control).await?;
            say(format_args!("control {address}"));
        }
        say(format_args!("listening {}", simulator.addr()));
        tokio::signal::ctrl_c().await.context("cannot wait for Ctrl-C")?;
        simulator.stop();
        Ok(())
    }
}
