//! The program: reads the arguments and runs a server until a signal ends it.

#![forbid(unsafe_code)]

mod cli;
mod log;

use std::process::ExitCode;

fn main() -> ExitCode {
    // Before the first thread starts, because each thread's malloc arena reads this setting when the arena is created.
    framecast_sys::fix_malloc_thresholds();
    cli::Cli::read().run()
}
