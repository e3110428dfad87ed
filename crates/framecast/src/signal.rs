//! The signals that ask a program to end.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use framecast_outputs::RateLimitedLog;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// The signals that shut the program down, each with an exit code. If a second signal arrives, the program ends at once
/// with the exit code of that signal.
const ENDINGS: [(SignalKind, i32); 3] =
    [(SignalKind::interrupt(), 130), (SignalKind::quit(), 131), (SignalKind::terminate(), 143)];

/// Returns a token that the first SIGINT, SIGQUIT or SIGTERM cancels. A second such signal ends the process at once,
/// with exit code 130, 131 or 143. The first such signal never ends the process at once, even if the caller or SIGHUP
/// has already cancelled the token.
///
/// SIGHUP also cancels the token if the process has a controlling terminal, because a terminal sends SIGHUP when it
/// closes. A process without a terminal, such as a service, logs and ignores SIGHUP. A process that was started with
/// SIGHUP ignored, as `nohup` does, continues to ignore SIGHUP.
///
/// Must be called within a Tokio runtime.
pub fn shutdown_signal() -> CancellationToken {
    let token = CancellationToken::new();
    let was_asked = Arc::new(AtomicBool::new(false));
    for (kind, exit_code) in ENDINGS {
        let Some(mut signals) = listen(kind) else { continue };
        let (token, was_asked) = (token.clone(), Arc::clone(&was_asked));
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                // Counts signals instead of checking the token: a session that closes sends SIGHUP, and SIGTERM right
                // after it.
                if was_asked.swap(true, Ordering::Relaxed) {
                    std::process::exit(exit_code);
                }
                if !token.is_cancelled() {
                    info!("shutting down");
                    token.cancel();
                }
            }
        });
    }
    if !framecast_sys::is_ignored(SignalKind::hangup().as_raw_value()) {
        let hangups = listen(SignalKind::hangup());
        // Once the terminal is gone, `open` fails.
        let has_terminal = File::open("/dev/tty").is_ok();
        hangups.map(|hangups| tokio::spawn(hang_up(hangups, has_terminal, token.clone())));
    }
    token
}

fn listen(kind: SignalKind) -> Option<Signal> {
    signal(kind)
        .inspect_err(|error| {
            let number = kind.as_raw_value();
            warn!(%error, "cannot listen for signal {number}; that signal stops the server without cleanup");
        })
        .ok()
}

/// Handles SIGHUP. With a terminal, SIGHUP means that the terminal was closed, so the program shuts down. A shell might
/// send a second SIGHUP, which does not end the process at once.
async fn hang_up(mut hangups: Signal, has_terminal: bool, token: CancellationToken) {
    let refused_log = RateLimitedLog::default();
    while hangups.recv().await.is_some() {
        if !has_terminal {
            if refused_log.should_log().is_some() {
                warn!(
                    "the server ignores SIGHUP: to reload the configuration, restart the server; to stop it, \
                     send SIGTERM"
                );
            }
        } else if !token.is_cancelled() {
            info!("shutting down: the terminal was closed");
            token.cancel();
        }
    }
}
