//! The signals that ask a program to end, or to read its configuration again.

use std::fs::File;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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
/// closes. A shell might send a second SIGHUP, which does not end the process at once. In a process without a terminal,
/// such as a service, SIGHUP ends nothing: it is for [`reload_signal`].
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
    if let Some(mut hangups) = listen_for_hangups() {
        let (token, has_terminal) = (token.clone(), has_terminal());
        tokio::spawn(async move {
            while hangups.recv().await.is_some() {
                if has_terminal && !token.is_cancelled() {
                    info!("shutting down: the terminal was closed");
                    token.cancel();
                }
            }
        });
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

/// The signal that asks a program without a terminal to read its configuration again.
#[derive(Debug)]
pub struct ReloadSignal(Option<Signal>);

impl ReloadSignal {
    /// Waits for the next SIGHUP. Never returns if the process has a controlling terminal. Cancel safe.
    pub async fn received(&mut self) {
        let received = match &mut self.0 {
            Some(hangups) => hangups.recv().await,
            None => None,
        };
        if received.is_none() {
            pending::<()>().await;
        }
    }
}

/// Returns the signal SIGHUP of a process that has no controlling terminal. A process that was started with SIGHUP
/// ignored, as `nohup` does, continues to ignore it.
///
/// Must be called within a Tokio runtime.
pub fn reload_signal() -> ReloadSignal {
    ReloadSignal((!has_terminal()).then(listen_for_hangups).flatten())
}

/// Returns whether the process has a controlling terminal. Once the terminal is gone, the result is false.
fn has_terminal() -> bool {
    File::open("/dev/tty").is_ok()
}

/// Returns the signal SIGHUP, unless the process was started with this signal ignored.
fn listen_for_hangups() -> Option<Signal> {
    let is_ignored = framecast_sys::is_ignored(SignalKind::hangup().as_raw_value());
    (!is_ignored).then(|| listen(SignalKind::hangup())).flatten()
}
