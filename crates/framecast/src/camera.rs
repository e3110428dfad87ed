//! A configured camera: what its supervisor, its encoders and the API share.

use std::sync::{Arc, Mutex, PoisonError};

use framecast_drivers::{Capture, Drivers};
use framecast_hub::Feed;

use crate::config::CameraSettings;
use crate::controls::{Changes, Controls};

/// A configured camera.
#[derive(Debug)]
pub(crate) struct Camera {
    pub(crate) feed: Arc<Feed>,
    pub(crate) drivers: Drivers,
    pub(crate) settings: CameraSettings,
    pub(crate) controls: Controls,
    /// What the device delivered at the camera's last opening, and what the server asked the device for.
    capture: Mutex<Option<Capture>>,
}

impl Camera {
    /// A camera with the controls of its settings. The saved values override those.
    pub(crate) fn new(feed: Arc<Feed>, drivers: Drivers, settings: CameraSettings, saved: &Changes) -> Self {
        let controls = Controls::new(&settings.controls, saved);
        Self { feed, drivers, settings, controls, capture: Mutex::default() }
    }

    /// What the device delivered at the camera's last opening, and what the server asked the device for.
    pub(crate) fn capture(&self) -> Option<Capture> {
        self.capture.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_capture(&self, capture: Option<Capture>) {
        *self.capture.lock().unwrap_or_else(PoisonError::into_inner) = capture;
    }
}
