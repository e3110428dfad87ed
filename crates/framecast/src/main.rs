//! The program: reads the arguments and runs a server until a signal ends it.

#![forbid(unsafe_code)]

mod cli;
mod log;

use std::process::ExitCode;

fn main() -> ExitCode {
    // Before the first thread starts, because threads read these settings when they get their heaps.
    framecast_sys::fix_malloc_thresholds();
    framecast_sys::limit_malloc_heaps();
    cli::Cli::read().run()
}
