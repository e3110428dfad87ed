//! The errors about bytes that come from cameras and files.

use crate::Codec;
use crate::codec::jpeg;
use crate::codec::raw::PixelFormat;
use crate::container::sniff::Content;
use crate::container::{fmp4, multipart};
use crate::rtp;

/// What is wrong with bytes from outside, and in most cases the position of the fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A picture that is not a whole, plausible JPEG image.
    #[error("byte {offset}: {problem}")]
    Jpeg {
        /// Offset in bytes from the start of the picture.
        offset: usize,
        /// What is wrong at this offset.
        problem: jpeg::Problem,
    },
    /// A broken picture within a stream of pictures.
    #[error("byte {offset} of the picture that begins at byte {picture_offset} of the stream: {problem}")]
    JpegInStream {
        /// Offset of the picture's start in bytes from the start of the stream.
        picture_offset: u64,
        /// Offset of the fault in bytes from the start of the picture.
        offset: usize,
        /// What is wrong at this offset.
        problem: jpeg::Problem,
    },
    /// A stream that contains something other than pictures.
    #[error("no JPEG pictures here: the stream looks like {looks_like}")]
    NotPictures {
        /// What the first bytes of the stream look like.
        looks_like: Content,
    },
    /// A multipart body that is invalid or exceeds a limit.
    #[error("byte {offset} of the stream: {problem}")]
    Multipart {
        /// Offset in bytes from the start of the body.
        offset: u64,
        /// What is wrong at this offset.
        problem: multipart::Problem,
    },
    /// A picture or part that is larger than the limit.
    #[error("byte {offset} of the stream: a picture is larger than {limit_bytes} bytes")]
    TooLarge {
        /// Offset of the picture's start in bytes from the start of the stream.
        offset: u64,
        /// The limit, in bytes.
        limit_bytes: usize,
    },
    /// The length of a NAL unit points beyond the end of its access unit.
    #[error("byte {offset} of an access unit of {len_bytes} bytes: the NAL unit here does not fit in")]
    NalLength {
        /// Offset of the NAL unit's length in bytes from the start of the access unit.
        offset: usize,
        /// The size of the access unit in bytes.
        len_bytes: usize,
    },
    /// Coded video without a parameter set that a decoder needs.
    #[error("the video has no {set}: its encoder sends none, or not yet")]
    NoParameterSet {
        /// What the standard calls the set: VPS, SPS or PPS.
        set: &'static str,
    },
    /// Coded video without a keyframe, at which a decoder could begin.
    #[error(
        "the video has no keyframe: {skipped_frames} frames that need one were dropped; set a shorter keyframe \
         interval at the camera or encoder"
    )]
    NoKeyframe {
        /// How many frames were dropped.
        skipped_frames: u64,
    },
    /// A parameter set of coded video that cannot be read.
    #[error("the {set} of the video is broken at {field}")]
    ParameterSet {
        /// What the standard calls the set: VPS, SPS or PPS.
        set: &'static str,
        /// What the standard calls the field at which the set is cut off or out of range.
        field: &'static str,
    },
    /// A parameter set of coded video that is larger than the limit.
    #[error("the {set} of the video has {len_bytes} bytes; the limit is {limit_bytes}")]
    ParameterSetLength {
        /// What the standard calls the set: VPS, SPS or PPS.
        set: &'static str,
        /// The size of the set in bytes.
        len_bytes: usize,
        /// The limit, in bytes.
        limit_bytes: usize,
    },
    /// A picture whose width or height is outside the range of JPEG, which is that of MP4 too.
    #[error("a picture of {width_px}x{height_px} pixels: each side must be 1 to 65535")]
    PictureSize {
        /// Width in pixels.
        width_px: u32,
        /// Height in pixels.
        height_px: u32,
    },
    /// A raw picture whose number of bytes does not match its width and height.
    #[error(
        "a {format} picture of {width_px}x{height_px} pixels needs {expected_bytes} bytes, not {len_bytes}"
    )]
    RawLength {
        /// The pixel format of the picture.
        format: PixelFormat,
        /// Width in pixels.
        width_px: u32,
        /// Height in pixels.
        height_px: u32,
        /// The number of bytes that a picture of this format, width and height should have.
        expected_bytes: usize,
        /// The number of bytes that the picture really has.
        len_bytes: usize,
    },
    /// A stream of fragmented MP4 that is invalid, exceeds a limit or cannot be carried.
    #[error("byte {offset} of the stream: {problem}")]
    Mp4 {
        /// Where the box or frame at fault begins, in bytes from the start of the stream.
        offset: u64,
        /// What is wrong with it.
        problem: fmp4::Problem,
    },
    /// A frame that is too large for a fragment of MP4.
    #[error("a frame of {data_bytes} bytes is too large for a fragment: the limit is 4 GiB")]
    FragmentTooLarge {
        /// The number of bytes of the frame.
        data_bytes: usize,
    },
    /// A codec whose frames do not go into fragmented MP4.
    #[error("frames of {codec:?} do not go into fragmented MP4: only H.264 and H.265 do")]
    NotInMp4 {
        /// The codec of the frames.
        codec: Codec,
    },
    /// A picture that the capture device marked as broken.
    #[error("the device marked the picture as broken")]
    FlaggedByDevice,
    /// An RTP or RTCP packet that is invalid.
    #[error("byte {offset} of the packet: {problem}")]
    Rtp {
        /// Offset in bytes from the start of the packet.
        offset: usize,
        /// What is wrong at this offset.
        problem: rtp::Problem,
    },
    /// A payload of an RTP packet that is invalid or not supported.
    #[error("RTP packet {sequence_number}, byte {offset} of the payload: {problem}")]
    RtpPayload {
        /// The packet's sequence number.
        sequence_number: u16,
        /// Offset in bytes from the start of the payload.
        offset: usize,
        /// What is wrong at this offset.
        problem: rtp::Problem,
    },
    /// An access unit that is larger than the limit.
    #[error(
        "the access unit with RTP timestamp {rtp_timestamp} has {len_bytes} bytes or more; the limit is {limit_bytes}"
    )]
    AccessUnitTooLarge {
        /// The RTP timestamp of the access unit.
        rtp_timestamp: u32,
        /// The number of bytes that have come so far.
        len_bytes: usize,
        /// The limit, in bytes.
        limit_bytes: usize,
    },
}
