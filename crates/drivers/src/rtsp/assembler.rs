//! Makes frames of the packets of a camera's video, in order.

use framecast_media::rtp::{
    Depacketizer, JpegDepacketizer, OrderedPacket, RtpClock, h264_parameter_sets, h265_parameter_sets,
};
use framecast_media::{Codec, Error as MediaError, Frame};
use tracing::debug;

use super::client::{Encoding, VideoTrack};
use crate::video_frames::{FIRST_MEDIA_TIME, VideoFrameBuilder};
use crate::{CaptureTime, Error, FrameBuilder, OpenContext};

/// Makes the frames of one opening of a camera.
pub(super) enum FrameAssembler {
    Video { depacketizer: Box<Depacketizer>, clock: Box<RtpClock>, frames: VideoFrameBuilder },
    Jpeg { depacketizer: JpegDepacketizer, frames: FrameBuilder },
}

impl FrameAssembler {
    pub(super) fn new(context: &OpenContext, track: &VideoTrack) -> Self {
        let max_bytes = context.max_picture_bytes();
        let (codec, depacketizer) = match track.encoding {
            Encoding::Jpeg => {
                let (depacketizer, frames) = (JpegDepacketizer::new(max_bytes), FrameBuilder::new(context));
                return Self::Jpeg { depacketizer, frames };
            }
            Encoding::H265 => {
                (Codec::H265, Depacketizer::h265(&h265_parameter_sets(&track.parameters), max_bytes))
            }
            _ => (Codec::H264, Depacketizer::h264(&h264_parameter_sets(&track.parameters), max_bytes)),
        };
        Self::Video {
            depacketizer: Box::new(depacketizer),
            clock: Box::new(RtpClock::new(track.clock_hz)),
            frames: VideoFrameBuilder::new(context, codec),
        }
    }

    /// Adds the next packet.
    pub(super) fn push(&mut self, packet: &OrderedPacket) -> Result<(), MediaError> {
        match self {
            Self::Video { depacketizer, .. } => depacketizer.push(packet),
            Self::Jpeg { depacketizer, .. } => depacketizer.push(packet),
        }
    }

    /// Ends the access unit that is held because more packets may follow.
    pub(super) fn flush(&mut self) {
        if let Self::Video { depacketizer, .. } = self {
            depacketizer.flush();
        }
    }

    /// Returns the next frame of the packets so far.
    pub(super) fn next_frame(&mut self) -> Result<Option<Frame>, Error> {
        match self {
            Self::Video { depacketizer, clock, frames } => {
                while let Some(unit) = depacketizer.next_unit() {
                    if let Some(parameter_sets) = &unit.parameter_sets {
                        frames.set_parameters(parameter_sets)?;
                    }
                    let reading = clock.read(unit.rtp_timestamp, frames.media_time());
                    if reading.has_jumped {
                        debug!("the camera's clock has jumped; its media time goes on");
                    }
                    let pts = reading.timestamp.saturating_add(FIRST_MEDIA_TIME);
                    if let Some(frame) = frames.frame(unit.data, unit.dependency, pts) {
                        return Ok(Some(frame));
                    }
                }
                Ok(None)
            }
            Self::Jpeg { depacketizer, frames } => match depacketizer.next_picture() {
                Some(picture) => frames.jpeg_frame(picture, CaptureTime::Now).map(Some),
                None => Ok(None),
            },
        }
    }

    /// Returns how many frames were whole, but not shown because a frame that they need was missing.
    pub(super) fn skipped_frames(&self) -> u64 {
        match self {
            Self::Video { depacketizer, .. } => {
                let counts = depacketizer.counts();
                counts.before_first_keyframe + counts.without_reference
            }
            Self::Jpeg { .. } => 0,
        }
    }

    /// Returns whether keyframes came, but no parameter sets for them.
    pub(super) fn lacks_parameter_sets(&self) -> bool {
        match self {
            Self::Video { depacketizer, .. } => {
                let counts = depacketizer.counts();
                counts.whole == 0 && counts.without_parameter_sets > 0
            }
            Self::Jpeg { .. } => false,
        }
    }

    /// Returns how many frames were dropped because packets were lost.
    pub(super) fn dropped_frames(&self) -> u64 {
        match self {
            Self::Video { depacketizer, .. } => {
                let counts = depacketizer.counts();
                counts.damaged + counts.without_reference
            }
            Self::Jpeg { depacketizer, .. } => depacketizer.damaged_pictures(),
        }
    }

    /// Returns how many pictures had something around them, or lacked their end.
    pub(super) fn repaired_frames(&self) -> u64 {
        match self {
            Self::Video { .. } => 0,
            Self::Jpeg { frames, .. } => frames.repaired_frames(),
        }
    }
}
