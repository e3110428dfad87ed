//! The signals that ask a program to end.

use std::fs::{self, File};

use framecast_outputs::Seldom;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// The signals that end the program at once where they come again, each with the exit code for that.
const ENDINGS: [(SignalKind, i32); 3] =
    [(SignalKind::interrupt(), 130), (SignalKind::quit(), 131), (SignalKind::terminate(), 143)];

/// A token that is cancelled by the first SIGINT, SIGQUIT or SIGTERM; a second one ends the process at once, with exit
/// code 130, 131 or 143.
///
/// SIGHUP cancels it too where the process has a controlling terminal, which sends it when it is closed. Without one,
/// as a service, SIGHUP is ignored with a line in the log. Where SIGHUP was ignored before, as by `nohup`, it stays so.
///
/// Must be called within a Tokio runtime.
pub fn shutdown_signal() -> CancellationToken {
    let token = CancellationToken::new();
    for (kind, exit_code) in ENDINGS {
        let Some(mut signals) = listen(kind) else { continue };
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
    if !is_ignored(SignalKind::hangup()) {
        let hangups = listen(SignalKind::hangup());
        // Once the terminal is gone it cannot be opened.
        let has_terminal = File::open("/dev/tty").is_ok();
        hangups.map(|hangups| tokio::spawn(hang_up(hangups, has_terminal, token.clone())));
    }
    token
}

fn listen(kind: SignalKind) -> Option<Signal> {
    signal(kind)
        .inspect_err(|error| {
            let number = kind.as_raw_value();
            warn!(%error, "cannot listen for signal {number}; it ends the program without cleaning up");
        })
        .ok()
}

/// Where there is a terminal, a hangup is its end, and a shell may send another one: neither ends the process at once.
async fn hang_up(mut hangups: Signal, has_terminal: bool, token: CancellationToken) {
    let seldom = Seldom::default();
    while hangups.recv().await.is_some() {
        if !has_terminal {
            if seldom.occurs().is_some() {
                warn!("SIGHUP is ignored: to read the configuration again, restart; to end, send SIGTERM");
            }
        } else if !token.is_cancelled() {
            info!("shutting down: the terminal was closed");
            token.cancel();
        }
    }
}

/// Whether the process ignores a signal. Where the system does not tell, it does not.
fn is_ignored(kind: SignalKind) -> bool {
    fs::read_to_string("/proc/self/status").is_ok_and(|status| is_in_ignored(&status, kind.as_raw_value()))
}

/// Whether the `SigIgn` of a `/proc/PID/status`, a mask in hexadecimal digits, has the signal of this number.
fn is_in_ignored(status: &str, number: i32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    let bit = u32::try_from(number - 1).ok().and_then(|shift| 1_u64.checked_shl(shift));
    mask.zip(bit).is_some_and(|(mask, bit)| mask & bit != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ignored_signal_is_read_from_the_mask() {
        let status = |mask: &str| format!("Name:\tframecast\nSigBlk:\tffffffffffffffff\nSigIgn:\t{mask}\n");
        assert!(is_in_ignored(&status("0000000000001001"), 1));
        assert!(!is_in_ignored(&status("0000000000001000"), 1));
        assert!(is_in_ignored(&status("0000000000001000"), 13));
        for nonsense in ["", "SigIgn:", "SigIgn:\tx\n"] {
            assert!(!is_in_ignored(nonsense, 1), "{nonsense}");
        }
        assert!(!is_in_ignored(&status("ffffffffffffffff"), 0));
        assert!(!is_in_ignored(&status("ffffffffffffffff"), 65));
    }
}
