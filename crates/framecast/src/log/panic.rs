//! Panics in the log. The standard library would write them to standard error itself, and wait there for its reader.

use std::backtrace::{Backtrace, BacktraceStatus};

use framecast::blocking::panic_message;
use tracing::error;

use super::Format;

/// Lines of a backtrace that are told: the frames next to the panic come first.
const MAX_LINES: usize = 200;

/// Lets each panic from now on be a line of the log. Where `RUST_BACKTRACE` asks for a backtrace, each line of it is one of
/// the log for people, and all of it is a field in JSON.
pub(super) fn tell_in_log(format: Format) {
    std::panic::set_hook(Box::new(move |info| {
        let message = panic_message(info.payload());
        let place = info.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or("without a name");
        let backtrace = Backtrace::capture();
        match (backtrace.status(), format) {
            (BacktraceStatus::Captured, Format::Json) => {
                error!(thread, %backtrace, "panicked at {place}: {message}");
            }
            (BacktraceStatus::Captured, Format::Human) => {
                error!(thread, "panicked at {place}: {message}");
                for line in backtrace.to_string().lines().take(MAX_LINES) {
                    error!("{line}");
                }
            }
            _ => error!(thread, "panicked at {place}: {message}"),
        }
    }));
}
