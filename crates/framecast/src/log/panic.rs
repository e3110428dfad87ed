//! Panics in the log. The standard library would write them to standard error itself, and wait there for its reader.

use std::backtrace::{Backtrace, BacktraceStatus};

use framecast::blocking::panic_message;
use tracing::error;

/// Lets each panic from now on be a line of the log, with a backtrace where `RUST_BACKTRACE` asks for one.
pub(super) fn tell_in_log() {
    std::panic::set_hook(Box::new(|info| {
        let message = panic_message(info.payload());
        let place = info.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or("without a name");
        let backtrace = Backtrace::capture();
        match backtrace.status() {
            BacktraceStatus::Captured => error!(thread, %backtrace, "panicked at {place}: {message}"),
            _ => error!(thread, "panicked at {place}: {message}"),
        }
    }));
}
