//! The state of a configured camera that its supervisor, its encoders and the API share.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use framecast_drivers::{Capture, Drivers};
use framecast_hub::Feed;

use crate::config::CameraSettings;
use crate::controls::{Changes, Controls};

/// A configured camera, shared by its supervisor, its encoders and the API.
#[derive(Debug)]
pub(crate) struct Camera {
    pub(crate) feed: Arc<Feed>,
    pub(crate) drivers: Drivers,
    pub(crate) settings: CameraSettings,
    pub(crate) controls: Controls,
    /// The format, picture size and frame rate that the device delivered when the camera was last opened, and those
    /// that the server requested from the device. `None` before the first opening.
    capture: Mutex<Option<Capture>>,
    /// Whether the driver has blocked a thread that it shared with other cameras.
    pub(crate) has_blocked: Arc<AtomicBool>,
}

impl Camera {
    /// Creates a camera whose controls get the values of `settings`, overridden by the values of `saved`.
    pub(crate) fn new(feed: Arc<Feed>, drivers: Drivers, settings: CameraSettings, saved: &Changes) -> Self {
        let controls = Controls::new(&settings.controls, saved);
        Self { feed, drivers, settings, controls, capture: Mutex::default(), has_blocked: Arc::default() }
    }

    /// Returns whether the camera's reader may run on a thread that it shares with the readers of other cameras.
    pub(crate) fn shares_thread(&self) -> bool {
        let never_blocks = self.drivers.find(&self.settings.source).is_ok_and(|driver| driver.never_blocks());
        never_blocks && !self.has_blocked.load(Ordering::Relaxed)
    }

    /// Returns the format, picture size and frame rate that the device delivered when the camera was last opened, and
    /// those that the server requested from the device. Returns `None` before the first opening.
    pub(crate) fn capture(&self) -> Option<Capture> {
        self.capture.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_capture(&self, capture: Option<Capture>) {
        *self.capture.lock().unwrap_or_else(PoisonError::into_inner) = capture;
    }
}
