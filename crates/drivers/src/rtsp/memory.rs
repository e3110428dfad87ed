//! Remembers how each camera was read last, so that the next opening need not probe it again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::target::{Target, Transport};

/// How a camera is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    /// ffmpeg's name of its codec.
    pub(super) codec: String,
    pub(super) transport: Transport,
}

/// What is known of each camera, by its address. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Memory(Arc<Mutex<HashMap<String, Known>>>);

impl Memory {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of the camera, unless it was read over a transport that the target does not allow.
    pub(super) fn of(&self, target: &Target) -> Option<Known> {
        self.lock().get(&target.address).filter(|known| target.transports.contains(&known.transport)).cloned()
    }

    pub(super) fn keep(&self, target: &Target, known: Known) {
        self.lock().insert(target.address.clone(), known);
    }

    /// Forgets a camera, which may have been replaced or reconfigured; the next opening probes it again.
    pub(super) fn forget(&self, target: &Target) {
        self.lock().remove(&target.address);
    }
}
