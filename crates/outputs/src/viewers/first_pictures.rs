//! How long viewers waited for their first picture, for each way in which pictures reach them.

use std::time::Duration;

use super::age_histogram::AgeHistogram;
use super::stats::Transport;

/// The times from a request to the first picture that was given to its connection, since the start of the server. Slates
/// are no pictures.
#[derive(Debug, Default)]
pub(super) struct FirstPictures {
    streams: [AgeHistogram; Transport::ALL.len()],
    snapshots: AgeHistogram,
}

impl FirstPictures {
    /// Records that a viewer over `transport` waited for so long.
    pub(super) fn observe(&self, transport: Transport, waited: Duration) {
        let of_transport = Transport::ALL.iter().zip(&self.streams).find(|(known, _)| **known == transport);
        if let Some((_, histogram)) = of_transport {
            histogram.observe(waited);
        }
    }

    /// Records that a snapshot took so long.
    pub(super) fn observe_snapshot(&self, waited: Duration) {
        self.snapshots.observe(waited);
    }

    /// Iterates over the times by the name of the transport, or `snapshot`.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static str, &AgeHistogram)> {
        let streams = Transport::ALL.iter().map(|transport| transport.as_str()).zip(&self.streams);
        streams.chain([("snapshot", &self.snapshots)])
    }
}
