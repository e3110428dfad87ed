//! The format of a stream's parts: the boundary text and the framing.

use super::Framing;

/// The format of a stream's parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PartFormat {
    /// The text between the parts.
    pub boundary: Boundary,
    /// The order of headers, picture and boundary.
    pub framing: Framing,
}

/// The text of the boundary between the parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Boundary {
    /// `frame`, as in the Flask app that Framecast replaces. Pages and scripts might rely on this text.
    Frame,
    /// `boundarydonotcross`, as in mjpg-streamer and uStreamer; some of their clients search for it.
    DoNotCross,
}

impl Boundary {
    /// Returns the boundary text, without the dashes before it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Frame => "frame",
            Self::DoNotCross => "boundarydonotcross",
        }
    }
}
