//! What a camera is doing, as its viewers see it.

use std::fmt;
use std::time::SystemTime;

/// The states of a camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CameraState {
    /// Closed, because nobody watches.
    Idle,
    /// A viewer came and the camera is being opened; no frame yet.
    Opening,
    /// The camera delivers frames.
    Live,
    /// The camera failed; the supervisor tries it again.
    Lost,
}

impl CameraState {
    /// The state as one lower-case word, the same in API, page and log.
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
    /// Since when, by the wall clock.
    pub since: SystemTime,
    /// Why the camera is lost, or what it waits for while it is being opened, with secrets masked; `None` in other
    /// states.
    pub reason: Option<String>,
    /// When the supervisor tries again, by the wall clock; `None` unless lost.
    pub retry_at: Option<SystemTime>,
}

impl CameraStatus {
    /// A status without reason or next attempt.
    pub fn new(state: CameraState, since: SystemTime) -> Self {
        Self { state, since, reason: None, retry_at: None }
    }
}
