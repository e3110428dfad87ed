//! What a camera is doing, as its viewers are told.

use std::fmt;
use std::time::SystemTime;

/// Where a camera is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Closed, because nobody watches.
    Idle,
    /// Being opened for a viewer; no frame yet.
    Opening,
    /// Frames are coming.
    Live,
    /// It failed and is tried again.
    Lost,
}

impl State {
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

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A camera's state with its circumstances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Where the camera is in its life.
    pub state: State,
    /// Wall clock since when.
    pub since: SystemTime,
    /// Why it is lost, or what one that is being opened waits for, secrets masked; `None` in other states.
    pub reason: Option<String>,
    /// Wall clock of the next attempt to open it; `None` unless lost.
    pub next_try: Option<SystemTime>,
}

impl Status {
    /// A status without reason or next attempt.
    pub fn new(state: State, since: SystemTime) -> Self {
        Self { state, since, reason: None, next_try: None }
    }
}
