//! What a camera is doing, as its viewers see it.

use std::fmt;
use std::time::SystemTime;

/// The state of a camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CameraState {
    /// The camera is closed, because nobody watches, or is open for a moment, for a probe.
    Idle,
    /// A viewer arrived, and the server is opening the camera. There is no frame yet.
    Opening,
    /// The camera delivers frames.
    Live,
    /// The camera failed. The server will try to open it again.
    Lost,
}

impl CameraState {
    /// All states.
    pub const ALL: [Self; 4] = [Self::Idle, Self::Opening, Self::Live, Self::Lost];

    /// Returns the state as one lower-case word, which is the same in the API, on the web page and in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Opening => "opening",
            Self::Live => "live",
            Self::Lost => "lost",
        }
    }
}

impl fmt::Display for CameraState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A camera's state and its details.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CameraStatus {
    /// The state of the camera.
    pub state: CameraState,
    /// When this state began, by the wall clock.
    pub since: SystemTime,
    /// Why the camera failed, or what the server waits for while it opens the camera. Secrets are masked. `None` in
    /// other states.
    pub reason: Option<String>,
    /// When the server will try to open the failed camera again, by the wall clock; `None` if no such attempt is
    /// scheduled.
    pub retry_at: Option<SystemTime>,
    /// When the server last learned whether the camera works, by the wall clock: a frame arrived in a camera that was
    /// not live, an attempt to open it failed, or the camera was closed while it was live. `None` if that is not known:
    /// the server has not opened the camera yet, or the camera was lost and is now idle.
    pub checked_at: Option<SystemTime>,
}

impl CameraStatus {
    /// Creates a status in which `reason`, `retry_at` and `checked_at` are `None`.
    pub fn new(state: CameraState, since: SystemTime) -> Self {
        Self { state, since, reason: None, retry_at: None, checked_at: None }
    }

    /// Returns the status of a camera that is in `state` since `since`, after this one: with the same `checked_at`, and
    /// without `reason` and `retry_at`.
    pub fn followed_by(&self, state: CameraState, since: SystemTime) -> Self {
        Self { checked_at: self.checked_at, ..Self::new(state, since) }
    }
}
