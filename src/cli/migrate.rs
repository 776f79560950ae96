//! `countersign migrate`: brings the database up to this program, as its owner.

use std::process::ExitCode;

use clap::Args;

use super::opening::{ConfigFile, finish};
use super::{complain, say};
use crate::database::migrate::migrate;
use crate::database::roles::print_roles;
use crate::database::{Role, open};

/// Brings the database up to this program. Safe to run again, and while other processes serve.
///
/// Logs in with COUNTERSIGN_DATABASE_OWNER_URL (else DATABASE_URL); without either, it is the private Postgres.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  countersign migrate --print-roles | psql -v ON_ERROR_STOP=1 postgres://admin@host/countersign
  COUNTERSIGN_DATABASE_OWNER_URL=postgres://countersign_owner:…@host/countersign countersign migrate")]
pub(super) struct Migrate {
    /// Print the SQL that makes the three roles in a Postgres of your own, and do nothing
    #[arg(long)]
    print_roles: bool,
    #[command(flatten)]
    config: ConfigFile,
}

impl Migrate {
    pub(super) fn run(self) -> ExitCode {
        if self.print_roles {
            say(print_roles());
            return ExitCode::SUCCESS;
        }
        finish(self.migrate())
    }

    async fn migrate(self) -> anyhow::Result<ExitCode> {
        let opened = open(&self.config.load_database()?, Role::Owner, |step| complain(step)).await?;
        let done = migrate(&opened.options).await;
        opened.close().await?;
        match done? {
            0 => say("The database is current; nothing was to be done."),
            run => say(format_args!("The database is current; {run} migrations were run.")),
        }
        Ok(ExitCode::SUCCESS)
    }
}
