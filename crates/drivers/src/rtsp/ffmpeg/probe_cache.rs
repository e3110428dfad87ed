//! Remembers the codec and transport with which each camera was last read, so that the next opening need not probe the
//! camera again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use framecast_media::lock;

use crate::rtsp::target::{RtspTarget, Transport};

/// How to read a camera: its codec and its transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ProbeResult {
    /// The camera's codec, by ffmpeg's name.
    pub(super) codec: String,
    /// Whether the camera says the parameter sets of its video, in its description or with its first packets.
    pub(super) has_parameter_sets: bool,
    pub(super) transport: Transport,
}

/// The last probe result of each camera, by the camera's URL. Clones of this value share the results.
#[derive(Debug, Clone, Default)]
pub(super) struct ProbeCache(Arc<Mutex<HashMap<String, ProbeResult>>>);

impl ProbeCache {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, ProbeResult>> {
        lock(&self.0)
    }

    /// Returns the last probe result of the camera. Returns `None` if there is none, or if the URL's options do not
    /// allow the transport in the result.
    pub(super) fn get(&self, target: &RtspTarget) -> Option<ProbeResult> {
        self.lock().get(&target.address).filter(|known| target.transports.contains(&known.transport)).cloned()
    }

    pub(super) fn insert(&self, target: &RtspTarget, known: ProbeResult) {
        self.lock().insert(target.address.clone(), known);
    }

    /// Removes the result of a camera that may have been replaced or reconfigured, so that the next opening probes it
    /// again.
    pub(super) fn remove(&self, target: &RtspTarget) {
        self.lock().remove(&target.address);
    }
}
