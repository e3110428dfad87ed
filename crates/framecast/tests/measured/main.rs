//! Tests with measurements: isolation of cameras, and memory.
//!
//! They are not part of plain `cargo test`, because a busy machine affects the result. They run only by name:
//!
//! ```text
//! cargo test --test measured                  all, ten minutes at most
//! cargo test --test measured -- isolation     one of them
//! FRAMECAST_SECONDS=4        how long each fault is watched; 10 without it
//! FRAMECAST_FRAMES=200000    how many frames are published; 1000000 without it
//! ```
//!
//! Each check prints its measurement, and the program fails if one does not hold.
#![allow(clippy::unwrap_used, clippy::print_stdout)]
#![warn(clippy::disallowed_methods)]

mod isolation;
mod memory;

use std::process::ExitCode;
use std::str::FromStr;

/// The checks so far.
#[derive(Default)]
pub(crate) struct Report {
    passed: u32,
    failed: u32,
}

impl Report {
    /// Records a check with its measurement.
    pub(crate) fn check(&mut self, holds: bool, measured: &str) {
        println!("{} {measured}", if holds { "ok    " } else { "FAILED" });
        *(if holds { &mut self.passed } else { &mut self.failed }) += 1;
    }
}

/// The number in an environment variable.
pub(crate) fn setting<T: FromStr>(name: &str, default: T) -> T {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")),
        Err(_) => default,
    }
}

fn main() -> ExitCode {
    let names: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let is_wanted = |name: &str| names.is_empty() || names.iter().any(|wanted| wanted == name);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut report = Report::default();
    runtime.block_on(async {
        // Memory comes first, while the process has no freed memory that could hide a leak.
        if is_wanted("memory") {
            memory::measure(&mut report).await;
        }
        if is_wanted("isolation") {
            isolation::measure(&mut report).await;
        }
    });
    println!("{} passed, {} failed", report.passed, report.failed);
    if report.failed == 0 && report.passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
