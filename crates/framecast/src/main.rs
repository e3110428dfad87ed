//! The program: arguments in, a server until it is told to end.

mod cli;
mod log;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::Cli::read().run()
}
