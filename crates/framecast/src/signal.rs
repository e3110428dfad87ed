//! The signals that ask a program to end.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// A token that is cancelled by the first SIGINT or SIGTERM; a second one ends the process at once, with exit code
/// 130 or 143.
///
/// Must be called within a Tokio runtime.
pub fn shutdown_signal() -> CancellationToken {
    let token = CancellationToken::new();
    for (kind, exit_code) in [(SignalKind::interrupt(), 130), (SignalKind::terminate(), 143)] {
        let mut signals = match signal(kind) {
            Ok(signals) => signals,
            Err(error) => {
                warn!(%error, "cannot listen for a signal; it ends the program without cleaning up");
                continue;
            }
        };
        let token = token.clone();
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                if token.is_cancelled() {
                    std::process::exit(exit_code);
                }
                info!("shutting down");
                token.cancel();
            }
        });
    }
    token
}
