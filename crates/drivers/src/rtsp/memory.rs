//! How each camera was read when it was read last, so that it is not asked again at each opening.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::target::{Target, Transport};

/// How a camera is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    /// The name of its codec, as ffmpeg has it.
    pub(super) codec: String,
    pub(super) transport: Transport,
}

/// What is known of each camera, by the address that it was asked at. Clones share it.
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

    /// The camera may be another one by now, or have been set to something else: the next opening asks again.
    pub(super) fn forget(&self, target: &Target) {
        self.lock().remove(&target.address);
    }
}
