//! Remembers how each camera was read last, so that the next opening need not probe it again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::target::{RtspTarget, Transport};

/// How a camera is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ProbeResult {
    /// ffmpeg's name of its codec.
    pub(super) codec: String,
    pub(super) transport: Transport,
}

/// What is known of each camera, by its address. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct ProbeCache(Arc<Mutex<HashMap<String, ProbeResult>>>);

impl ProbeCache {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, ProbeResult>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of the camera, unless it was read over a transport that the target does not allow.
    pub(super) fn get(&self, target: &RtspTarget) -> Option<ProbeResult> {
        self.lock().get(&target.address).filter(|known| target.transports.contains(&known.transport)).cloned()
    }

    pub(super) fn insert(&self, target: &RtspTarget, known: ProbeResult) {
        self.lock().insert(target.address.clone(), known);
    }

    /// Forgets a camera, which may have been replaced or reconfigured; the next opening probes it again.
    pub(super) fn remove(&self, target: &RtspTarget) {
        self.lock().remove(&target.address);
    }
}
