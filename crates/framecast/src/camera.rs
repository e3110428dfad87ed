//! The handle of one camera. It holds the camera's channels and figures (in its feed), its controls, and its tasks. The
//! supervisor, the encoders and the API share it. The handle is enough to end the camera. A sub stream has a handle of
//! its own, which belongs to that of its camera.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use framecast_drivers::{Capture, Drivers};
use framecast_hub::Feed;
use framecast_media::{Frame, lock};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::CameraSettings;
use crate::controls::{Changes, Controls};

/// A configured camera, shared by its supervisor, its encoders and the API.
#[derive(Debug)]
pub(crate) struct Camera {
    pub(crate) feed: Arc<Feed>,
    /// The camera's sub stream; `None` if it has none.
    pub(crate) sub: Option<Arc<Camera>>,
    /// Whether this is the sub stream of a camera.
    pub(crate) is_sub: bool,
    pub(crate) drivers: Drivers,
    pub(crate) settings: CameraSettings,
    /// How often the server probes the camera: opens it for one picture while no client needs it. `None` for never.
    pub(crate) probe_interval: Option<Duration>,
    pub(crate) controls: Controls,
    /// Ends the camera's tasks when it is cancelled.
    pub(crate) stop: CancellationToken,
    /// The camera's tasks. Once they have ended, its device is closed.
    pub(crate) tasks: TaskTracker,
    /// The format, picture size and frame rate that the device delivered when the camera was last opened, and those
    /// that the server requested from the device. `None` before the first opening.
    capture: Mutex<Option<Capture>>,
    /// Whether the driver has blocked a thread that it shared with other cameras.
    pub(crate) has_blocked: Arc<AtomicBool>,
    /// Why the camera ends; unset while it is one of the server's cameras, and when the server shuts down.
    removal: OnceLock<Removal>,
}

/// Why a camera ends while the server goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Removal {
    /// The server no longer has this camera.
    Removed,
    /// The server has another camera of this name in its place.
    Replaced,
}

/// The text of the last picture that a camera's viewers get.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Farewell {
    /// What happened.
    pub(crate) headline: &'static str,
    /// What viewers should know besides, and do.
    pub(crate) advice: &'static str,
}

impl Farewell {
    /// The server ends, or a new version of the program takes over.
    pub(crate) const OF_SERVER: Self = Self {
        headline: "Stream ended",
        advice: "The server stopped or starts anew; reload to see the camera again",
    };
}

impl Removal {
    /// Returns what viewers are told.
    pub(crate) fn farewell(self) -> Farewell {
        let (headline, advice) = match self {
            Self::Removed => ("Camera removed", "This server no longer has this camera"),
            Self::Replaced => ("Camera changed", "Its settings were changed; reload to see it again"),
        };
        Farewell { headline, advice }
    }

    /// Returns what happened, for the log and the history.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Removed => "the camera was removed",
            Self::Replaced => "the camera's settings were changed",
        }
    }
}

impl Camera {
    /// Creates a camera whose controls get the values of `settings`, overridden by the values of `saved`. Its tasks end
    /// when `stop` is cancelled.
    pub(crate) fn new(
        feed: Arc<Feed>,
        drivers: Drivers,
        settings: CameraSettings,
        probe_interval: Option<Duration>,
        saved: &Changes,
        stop: CancellationToken,
    ) -> Self {
        let controls = Controls::new(&settings.controls, saved);
        Self {
            feed,
            sub: None,
            is_sub: false,
            drivers,
            settings,
            probe_interval,
            controls,
            stop,
            tasks: TaskTracker::new(),
            capture: Mutex::default(),
            has_blocked: Arc::default(),
            removal: OnceLock::new(),
        }
    }

    /// Gives the camera the sub stream that its settings have, with `feed`. It ends with the camera.
    pub(crate) fn with_sub(mut self, feed: Arc<Feed>, settings: CameraSettings) -> Self {
        let (drivers, stop) = (self.drivers.clone(), self.stop.clone());
        let sub = Self::new(feed, drivers, settings, None, &Changes::default(), stop);
        self.sub = Some(Arc::new(Self { is_sub: true, ..sub }));
        self
    }

    /// Returns the camera and its sub stream, if it has one.
    pub(crate) fn streams(self: &Arc<Self>) -> impl Iterator<Item = &Arc<Self>> {
        std::iter::once(self).chain(&self.sub)
    }

    /// Returns whether anybody watches the camera or its sub stream.
    pub(crate) fn is_watched(&self) -> bool {
        let sub = self.sub.as_ref().map_or(0, |sub| sub.feed.viewer_count());
        self.feed.viewer_count() + sub > 0
    }

    /// Returns whether the camera's reader may run on a thread that it shares with the readers of other cameras.
    pub(crate) fn shares_thread(&self) -> bool {
        let never_blocks = self.drivers.find(&self.settings.source).is_ok_and(|driver| driver.never_blocks());
        never_blocks && !self.has_blocked.load(Ordering::Relaxed)
    }

    /// Returns the format, picture size and frame rate that the device delivered when the camera was last opened, and
    /// those that the server requested from the device. Returns `None` before the first opening.
    #[cfg(feature = "server")]
    pub(crate) fn capture(&self) -> Option<Capture> {
        lock(&self.capture).clone()
    }

    pub(crate) fn set_capture(&self, capture: Option<Capture>) {
        *lock(&self.capture) = capture;
    }

    /// Returns why the camera ends; `None` while it is one of the server's cameras, and when the server shuts down.
    pub(crate) fn removal(&self) -> Option<Removal> {
        self.removal.get().copied()
    }

    /// Ends the camera: its viewers get `slate` as their last picture, and its tasks are told to end.
    pub(crate) fn end(&self, removal: Removal, slate: Option<&Frame>) {
        self.removal.get_or_init(|| removal);
        for feed in std::iter::once(&self.feed).chain(self.feed.sub()) {
            match slate {
                Some(slate) => feed.end_with(slate),
                None => feed.end(),
            }
        }
        self.stop.cancel();
    }
}
