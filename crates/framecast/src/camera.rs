//! A configured camera: what its supervisor, its encoders and the API share.

use std::sync::{Arc, Mutex, PoisonError};

use framecast_drivers::{Capture, Drivers};
use framecast_hub::Feed;

use crate::config::CameraSettings;

/// A configured camera.
#[derive(Debug)]
pub(crate) struct Camera {
    pub(crate) feed: Arc<Feed>,
    pub(crate) drivers: Drivers,
    pub(crate) settings: CameraSettings,
    /// What the device gave when it was opened last.
    capture: Mutex<Option<Capture>>,
}

impl Camera {
    pub(crate) fn new(feed: Arc<Feed>, drivers: Drivers, settings: CameraSettings) -> Self {
        Self { feed, drivers, settings, capture: Mutex::default() }
    }

    /// What the device gave when it was opened last, beside what it was asked for.
    pub(crate) fn capture(&self) -> Option<Capture> {
        self.capture.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_capture(&self, capture: Option<Capture>) {
        *self.capture.lock().unwrap_or_else(PoisonError::into_inner) = capture;
    }
}
