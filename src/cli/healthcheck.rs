//! `countersign healthcheck`: asks the portal that the same configuration describes whether it lives. For container and
//! service managers, which need a program and an exit code.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;

use super::opening::ConfigFile;
use super::{complain, say};

const PATIENCE: Duration = Duration::from_secs(3);

/// Asks the running portal whether it lives; exits with 0 if it does, with 1 otherwise.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign healthcheck --ready && echo ready")]
pub(super) struct Healthcheck {
    #[command(flatten)]
    config: ConfigFile,
    /// Ask whether it is ready for requests, its database included, rather than merely alive
    #[arg(long)]
    ready: bool,
}

impl Healthcheck {
    pub(super) fn run(&self) -> ExitCode {
        match self.ask() {
            Ok(answer) => {
                say(answer.trim_end());
                ExitCode::SUCCESS
            }
            Err(error) => {
                complain(format_args!("countersign: {error:#}"));
                ExitCode::FAILURE
            }
        }
    }

    fn ask(&self) -> anyhow::Result<String> {
        let (config, _) = self.config.load()?;
        let address = reachable(config.listen);
        let path = if self.ready { "/readyz" } else { "/healthz" };
        let answer = fetch(address, path).with_context(|| format!("The portal does not answer at {address}"))?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        match head.split(' ').nth(1) {
            Some("200") => Ok(body.to_owned()),
            _ => bail!("The portal at {address} is not well: {}", body.trim_end()),
        }
    }
}

/// Where a listener on this address is reached from the machine itself.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

fn fetch(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(16 * 1024).read_to_string(&mut answer)?;
    Ok(answer)
}
