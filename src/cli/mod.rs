//! The commands. This is the only module that assembles the others; it owns argument parsing, what is printed on the
//! terminal, and the exit codes: 0 done, 1 it did not work, 2 wrong usage.

mod account;
mod audit;
mod demo;
mod descriptors;
mod grant;
mod healthcheck;
mod migrate;
mod opening;
mod serve;
mod simulate;
mod token;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::database::private::guard::{self, GuardArgs};

/// Approve or reject AWS CodePipeline manual approvals without an AWS login, with a record an auditor can check.
#[derive(Debug, Parser)]
#[command(name = "countersign", version, max_term_width = 100, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Account(account::Account),
    Audit(audit::Audit),
    Migrate(migrate::Migrate),
    /// Run the private Postgres for the portal that started this process.
    #[command(hide = true)]
    PostgresGuard(GuardArgs),
    Demo(demo::Demo),
    Grant(grant::Grant),
    Healthcheck(healthcheck::Healthcheck),
    Serve(serve::Serve),
    Simulate(simulate::Simulate),
    Token(token::Token),
}

/// Runs the command line this process was started with.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.command {
        Command::Account(account) => account.run(),
        Command::Audit(audit) => audit.run(),
        Command::Migrate(migrate) => migrate.run(),
        Command::PostgresGuard(args) => guard::run(&args),
        Command::Demo(demo) => demo.run(),
        Command::Grant(grant) => grant.run(),
        Command::Healthcheck(healthcheck) => healthcheck.run(),
        Command::Serve(serve) => serve.run(),
        Command::Simulate(simulate) => simulate.run(),
        Command::Token(token) => token.run(),
    }
}

/// Prints a result line on standard output.
pub(crate) fn say(line: impl std::fmt::Display) {
    #[expect(clippy::print_stdout, reason = "the one place where commands print their results")]
    {
        println!("{line}");
    }
}

/// Prints a notice or an error on standard error.
pub(crate) fn complain(line: impl std::fmt::Display) {
    #[expect(clippy::print_stderr, reason = "the one place where commands print notices and errors")]
    {
        eprintln!("{line}");
    }
}
