//! `countersign audit`: what an auditor runs. Exit codes: 0 intact, 1 not (or it could not be found out), 2 wrong usage.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use sqlx::ConnectOptions;

use super::opening::{ConfigFile, finish};
use super::{complain, say};
use crate::audit::{Intact, Verdict, verify};
use crate::database::connect::reading;
use crate::database::{Role, open};

/// Checks the record.
#[derive(Debug, Args)]
pub(super) struct Audit {
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    Verify(Verify),
}

impl Audit {
    pub(super) fn run(self) -> ExitCode {
        match self.command {
            AuditCommand::Verify(verify) => finish(verify.run()),
        }
    }
}

/// Checks every record: numbers without gaps, each continuing the one before, payloads and search columns unchanged.
///
/// Logs in with COUNTERSIGN_DATABASE_READER_URL (else DATABASE_URL); without either, it is the private Postgres. Exit
/// code 0: intact. 1: not, with the first bad record and why. Keep the printed hash somewhere else: a log that was cut
/// off, or rewritten to its end, is intact in itself and shows only by another hash for the same number.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  countersign audit verify")]
struct Verify {
    #[command(flatten)]
    config: ConfigFile,
}

impl Verify {
    async fn run(self) -> anyhow::Result<ExitCode> {
        let opened = open(&self.config.load_database()?, Role::Reader, |step| complain(step)).await?;
        let mut conn = reading(opened.options.clone()).connect().await?;
        let verdict = verify::verify(&mut conn).await;
        // Rows may still be on their way after a fault; hanging up is quicker than reading them.
        drop(conn);
        opened.close().await?;
        Ok(match verdict? {
            Verdict::Intact(intact) => {
                tell(&intact);
                ExitCode::SUCCESS
            }
            Verdict::Broken(broken) => {
                say(format_args!("BROKEN at record {}\n{broken}", broken.seq));
                ExitCode::FAILURE
            }
        })
    }
}

fn tell(intact: &Intact) {
    say(format_args!("intact: {} records, the last has hash {}", intact.rows, hex::encode(intact.head)));
    if intact.clock_held > 0 {
        say(format_args!(
            "{} records were written while the clock stood behind the record before; their times are 1 µs apart",
            intact.clock_held
        ));
    }
    for seq in &intact.redacted {
        say(format_args!("record {seq}: payload erased by the owner, as a later record tells"));
    }
}
