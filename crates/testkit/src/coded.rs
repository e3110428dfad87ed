//! Synthetic coded video: frames that name the frame that they need, and a decoder that checks whether it has that
//! frame.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use framecast_media::{Anchor, Codec, Dependency, Format, Frame, Timestamp};

/// The frame rate of the video.
const FRAMES_PER_SECOND: i64 = 30;

/// Makes the frames of coded video. Each frame's data begins with the frame's number and with the number of the frame
/// that it needs: the last keyframe or reference before it.
#[derive(Debug, Default)]
pub struct CodedStream {
    next_number: u64,
    /// The number of the last keyframe or reference; `None` if the next frame has none.
    reference: Option<u64>,
}

impl CodedStream {
    /// Makes the next frame, with `len_bytes` bytes of data, but at least sixteen. Numbers start at 0.
    pub fn next(&mut self, dependency: Dependency, len_bytes: usize) -> Frame {
        let number = self.next_number;
        self.next_number += 1;
        let reference = self.reference.filter(|_| dependency != Dependency::Keyframe);
        if dependency != Dependency::Disposable {
            self.reference = Some(number);
        }
        let pts = Timestamp::from_ticks(number as i64 * Timestamp::TICKS_PER_SECOND / FRAMES_PER_SECOND);
        let captured_at = Anchor::new(SystemTime::UNIX_EPOCH).time_of(pts);
        let mut data = Vec::with_capacity(len_bytes.max(16));
        data.extend(number.to_be_bytes());
        data.extend(reference.unwrap_or(u64::MAX).to_be_bytes());
        data.resize(len_bytes.max(16), 0);
        let format = Arc::new(Format::new(Codec::Jpeg, 16, 16));
        Frame::coded(Bytes::from(data), dependency, pts, captured_at, format)
    }

    /// Forgets the last reference, as a camera that is opened in the middle of its video: until the next keyframe,
    /// every frame needs a frame that nobody has.
    pub fn reopen(&mut self) {
        self.reference = None;
    }
}

/// Returns the number of a frame that a [`CodedStream`] made.
pub fn coded_number(frame: &Frame) -> u64 {
    word(frame, 0)
}

fn word(frame: &Frame, at: usize) -> u64 {
    u64::from_be_bytes(frame.data[at..at + 8].try_into().expect("eight bytes"))
}

/// A decoder for the frames of a [`CodedStream`].
#[derive(Debug, Default)]
pub struct CodedDecoder {
    reference: Option<u64>,
}

impl CodedDecoder {
    /// Decodes `frame`.
    ///
    /// # Errors
    /// Which frame `frame` needs that the decoder does not have.
    pub fn decode(&mut self, frame: &Frame) -> Result<(), String> {
        let (number, needed) = (coded_number(frame), word(frame, 8));
        if !frame.is_keyframe && self.reference != Some(needed) {
            return Err(format!("frame {number} needs frame {needed}; the decoder has {:?}", self.reference));
        }
        if !frame.is_disposable {
            self.reference = Some(number);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decoder_refuses_a_frame_whose_reference_is_missing() {
        let mut stream = CodedStream::default();
        let kinds =
            [Dependency::Keyframe, Dependency::Disposable, Dependency::Reference, Dependency::Reference];
        let frames = kinds.map(|dependency| stream.next(dependency, 100));
        let decode = |numbers: &[usize]| {
            let mut decoder = CodedDecoder::default();
            numbers.iter().try_for_each(|number| decoder.decode(&frames[*number]))
        };
        assert!(decode(&[0, 1, 2, 3]).is_ok() && decode(&[0, 2, 3]).is_ok());
        assert!(decode(&[1]).is_err() && decode(&[0, 1, 3]).is_err());
        stream.reopen();
        assert!(CodedDecoder::default().decode(&stream.next(Dependency::Reference, 100)).is_err());
    }
}
