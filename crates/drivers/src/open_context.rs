//! What a driver gets from outside when it opens a source, beside the source's URL.

use std::sync::Arc;

use crate::clock::{Clock, SystemClock};

/// The default maximum size of one picture, in bytes: larger than the pictures of any camera, and small enough for the
/// memory of a Raspberry Pi.
const DEFAULT_MAX_PICTURE_BYTES: usize = 16 * 1024 * 1024;

/// The limits and clocks for one opening of a source. The default has the default limits and the machine's clocks.
#[derive(Debug, Clone)]
pub struct OpenContext {
    max_picture_bytes: usize,
    clock: Arc<dyn Clock>,
}

impl Default for OpenContext {
    fn default() -> Self {
        Self { max_picture_bytes: DEFAULT_MAX_PICTURE_BYTES, clock: Arc::new(SystemClock) }
    }
}

impl OpenContext {
    /// Returns this context with `max_picture_bytes` as the maximum size of one coded picture, in bytes.
    #[must_use]
    pub fn with_max_picture_bytes(mut self, max_picture_bytes: usize) -> Self {
        self.max_picture_bytes = max_picture_bytes;
        self
    }

    /// Returns this context with `clock` in place of the machine's clocks.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Returns the maximum size of one coded picture, in bytes; 16 MiB by default.
    pub fn max_picture_bytes(&self) -> usize {
        self.max_picture_bytes
    }

    /// Returns the clocks from which the times of frames are taken.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }
}
