//! JPEG images (ITU-T T.81).

/// What is wrong with a JPEG image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The picture does not begin with the marker SOI.
    #[error("no SOI marker (FF D8)")]
    NoSoi,
}
