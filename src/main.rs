//! Parses the command line, runs the command, maps the result to an exit code. Nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    countersign::cli::main()
}
