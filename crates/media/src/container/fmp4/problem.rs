//! What can be wrong with a stream of fragmented MP4.

use std::fmt;

/// What makes ffmpeg write MP4 that can be read as it comes. With `frag_keyframe` in place of `frag_every_frame`,
/// ffmpeg holds back all frames up to the next keyframe.
const FFMPEG_OPTIONS: &str = "give ffmpeg `-movflags frag_every_frame+empty_moov+default_base_moof`";

/// The kind of a box, such as `moov`: four bytes, in most cases letters.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct BoxKind(pub [u8; 4]);

impl fmt::Display for BoxKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0.escape_ascii())
    }
}

impl fmt::Debug for BoxKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What is wrong with a stream of fragmented MP4.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// A box is larger than the limit.
    #[error(
        "the box {kind} has {size_bytes} bytes; the limit is {limit_bytes}. If it is `mdat`, {FFMPEG_OPTIONS}"
    )]
    BoxTooLarge {
        /// The kind of the box.
        kind: BoxKind,
        /// The size of the box in bytes, with its header.
        size_bytes: u64,
        /// The limit in bytes.
        limit_bytes: usize,
    },
    /// A box is smaller than its header, or larger than the box around it.
    #[error("the box {kind} cannot have {size_bytes} bytes")]
    BoxSize {
        /// The kind of the box.
        kind: BoxKind,
        /// The size of the box in bytes, with its header.
        size_bytes: u64,
    },
    /// The content of a box is invalid.
    #[error("the box {kind} is invalid")]
    InvalidBox {
        /// The kind of the box.
        kind: BoxKind,
    },
    /// A box lacks another one in it.
    #[error("the box {parent} contains no {kind}")]
    MissingBox {
        /// The kind of the box that is missing.
        kind: BoxKind,
        /// The kind of the box in which it belongs.
        parent: BoxKind,
    },
    /// The samples are not in fragments.
    #[error("the MP4 is not fragmented, so it cannot be read as it comes: {FFMPEG_OPTIONS}")]
    NotFragmented,
    /// A fragment comes before the box that describes the tracks.
    #[error("a fragment comes before the box `moov`, which describes the tracks")]
    NoMoov,
    /// No track contains video.
    #[error("the MP4 has no video track")]
    NoVideo,
    /// The video is coded in a way that Framecast does not carry.
    #[error("the video is {kind}{}; only H.264 and H.265 can be read from MP4", codec_name(*kind))]
    UnsupportedCodec {
        /// The kind of the sample entry.
        kind: BoxKind,
    },
    /// It is unknown where the data of a track begin.
    #[error("the fragment does not say where its data are: {FFMPEG_OPTIONS}")]
    NoDataOffset,
    /// A fragment has more samples than the limit.
    #[error("a fragment has more than {limit} samples: {FFMPEG_OPTIONS}")]
    TooManySamples {
        /// The limit.
        limit: usize,
    },
    /// A frame does not lie in the data of its fragment, or not in the order of decoding.
    #[error(
        "a frame does not lie in the box `mdat` of its fragment, in the order in which frames are decoded"
    )]
    SampleOutsideData,
    /// A NAL unit ends beyond its frame.
    #[error("a NAL unit ends beyond the end of its frame")]
    NalLength,
    /// The stream ended inside a box or before the frames of a fragment.
    #[error("the stream ended inside a fragment")]
    Truncated,
}

/// Returns the name of what a sample entry of `kind` stands for, in brackets.
fn codec_name(kind: BoxKind) -> &'static str {
    match &kind.0 {
        b"av01" => " (AV1)",
        b"encv" => " (encrypted)",
        b"jpeg" | b"mjpa" | b"mjpg" => " (Motion JPEG)",
        b"mp4v" => " (MPEG-4 Part 2)",
        b"vp08" => " (VP8)",
        b"vp09" => " (VP9)",
        b"vvc1" | b"vvi1" => " (H.266)",
        _ => "",
    }
}
