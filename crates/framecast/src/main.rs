//! The program: reads the arguments and runs a server until a signal ends it.

mod cli;
mod log;

use std::process::ExitCode;

fn main() -> ExitCode {
    // Before the first thread starts, because each thread's arena takes this setting when it is made.
    framecast_sys::return_large_blocks();
    cli::Cli::read().run()
}
