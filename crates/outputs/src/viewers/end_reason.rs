//! How a viewer's stream ended, and how many streams of one camera ended in each way.

use std::sync::atomic::{AtomicU64, Ordering};

/// How a stream over HTTP ended. Connections of `/api/live` have [reasons of their own](crate::live::CloseReason).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EndReason {
    /// The client closed its connection, or the connection broke.
    #[default]
    Left,
    /// The client received nothing for the duration of the write timeout.
    Stalled,
    /// Sending one picture took many times the write timeout.
    Slow,
    /// The server shut down.
    Shutdown,
    /// The camera was removed. A stream of coded video also ends if the camera is lost or delivers another format.
    CameraEnded,
    /// An internal error of the server, for example a thread that could not be started.
    Failed,
}

impl EndReason {
    const ALL: [Self; 6] =
        [Self::Left, Self::Stalled, Self::Slow, Self::Shutdown, Self::CameraEnded, Self::Failed];

    /// Returns the reason's name in metrics and logs, for example `camera_ended`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Stalled => "stalled",
            Self::Slow => "slow",
            Self::Shutdown => "shutdown",
            Self::CameraEnded => "camera_ended",
            Self::Failed => "failed",
        }
    }
}

/// The number of one camera's multipart streams that ended for each reason.
#[derive(Debug, Default)]
pub(super) struct EndCounts([AtomicU64; EndReason::ALL.len()]);

impl EndCounts {
    pub(super) fn count(&self, end_reason: EndReason) {
        self.0[end_reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (EndReason, u64)> + '_ {
        EndReason::ALL
            .into_iter()
            .zip(&self.0)
            .map(|(end_reason, count)| (end_reason, count.load(Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_ending_is_counted_as_itself() {
        let endings = EndCounts::default();
        for (n, end_reason) in (1..).zip(EndReason::ALL) {
            (0..n).for_each(|_| endings.count(end_reason));
            assert_eq!(endings.iter().find(|(_, count)| *count == n), Some((end_reason, n)));
        }
    }
}
