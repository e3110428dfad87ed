//! How the parts of a stream are written.

use super::Framing;

/// How the parts of a stream are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Style {
    /// What stands between the parts.
    pub boundary: Boundary,
    /// What stands around each picture.
    pub framing: Framing,
}

/// What stands between the parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Boundary {
    /// `frame`, that of the Flask article's stream, on which pages and scripts may rely.
    Frame,
    /// `boundarydonotcross`, that of mjpg-streamer and uStreamer, which some of their clients search for.
    DoNotCross,
}

impl Boundary {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Frame => "frame",
            Self::DoNotCross => "boundarydonotcross",
        }
    }
}
