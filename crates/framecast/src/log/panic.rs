//! Logs panics. Without this module, the standard library would write a panic to standard error itself, and would block
//! if nobody reads standard error.

use std::backtrace::{Backtrace, BacktraceStatus};

use framecast::blocking::panic_message;
use tracing::error;

use super::LogFormat;

/// The maximum number of lines of a backtrace in the text log. The frames closest to the panic come first.
const MAX_LINES: usize = 200;

/// Installs a panic hook that logs each panic as one line. If `RUST_BACKTRACE` asks for a backtrace, the text log has
/// one more line per line of the backtrace; the JSON log has the whole backtrace in one field.
pub(super) fn install_hook(format: LogFormat) {
    std::panic::set_hook(Box::new(move |info| {
        let message = panic_message(info.payload());
        let place = info.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        log_panic(&format!("panicked at {place}: {message}"), &Backtrace::capture(), format);
    }));
}

fn log_panic(message: &str, backtrace: &Backtrace, format: LogFormat) {
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("without a name");
    match (backtrace.status(), format) {
        (BacktraceStatus::Captured, LogFormat::Json) => error!(thread, %backtrace, "{message}"),
        (BacktraceStatus::Captured, LogFormat::Human) => {
            error!(thread, "{message}");
            for line in backtrace.to_string().lines().take(MAX_LINES) {
                error!("{line}");
            }
        }
        _ => error!(thread, "{message}"),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek};
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_backtrace_is_a_line_a_frame_for_people() {
        let file = Arc::new(tempfile::tempfile().unwrap());
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(Arc::clone(&file)).finish();
        let backtrace = Backtrace::force_capture();
        tracing::subscriber::with_default(subscriber, || {
            log_panic("panicked at a.rs:1: why", &backtrace, LogFormat::Human);
        });
        let (mut file, mut log) = (&*file, String::new());
        file.rewind().unwrap();
        file.read_to_string(&mut log).unwrap();
        let frames = backtrace.to_string().lines().count().min(MAX_LINES);
        assert!(frames > 2, "{backtrace}");
        assert_eq!(log.matches("ERROR").count(), 1 + frames, "{log}");
        assert!(log.lines().next().unwrap().contains("panicked at a.rs:1: why"), "{log}");
        assert!(log.contains("a_backtrace_is_a_line_a_frame_for_people"), "{log}");
    }
}
