//! How the parts of a stream are written.

use super::Framing;

/// How the parts of a stream are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PartFormat {
    /// The text between the parts.
    pub boundary: Boundary,
    /// The order of headers, picture and boundary.
    pub framing: Framing,
}

/// The text between the parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Boundary {
    /// `frame`, as in the stream of the Flask article; pages and scripts may rely on it.
    Frame,
    /// `boundarydonotcross`, as in mjpg-streamer and uStreamer; some of their clients search for it.
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
