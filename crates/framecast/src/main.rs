//! The program: arguments in, a server until it is told to end.

mod cli;
mod log;

use std::process::ExitCode;

fn main() -> ExitCode {
    // Before any thread is there that has an arena of its own.
    framecast_sys::return_large_blocks();
    cli::Cli::read().run()
}
